"""The images of a plate run as points: principal axes of the features that its journal keeps; nothing is run again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitascope.batch.plate.journal import Journal
from vitascope.core.errors import InputError
from vitascope.ops.intensity.appearance import APPEARANCE, LOOKS
from vitascope.stats.embedding import NOTABLE, fit_axes, followed


@dataclass(frozen=True, eq=False)
class Embedding:
    """Images in a plane.

    Parameters
    ----------
    images : tuple of str
    places : array, shape (N, 2)
    axes : tuple of str
        What each axis is, in words: its share of the variance, and what of the images' look it follows.
    """

    images: tuple[str, ...]
    places: NDArray[np.float64]
    axes: tuple[str, ...]


def embed_run(folder: Path, fitted: Collection[str] | None = None) -> Embedding:
    """Put the images of a plate run into a plane.

    Parameters
    ----------
    folder : Path
        Results of a plate run.
    fitted : collection of str, optional
        Images that the axes are fitted to, such as those of control wells; all by default.

    Raises
    ------
    InputError
        If fewer than three images have features.
    ReaderError
        If there is no plate run.
    """
    with Journal(folder, read_only=True) as journal:
        known = {name: feature for name, feature in journal.features() if feature is not None}
        looks = dict(journal.appearances())
    chosen = [name for name in known if fitted is None or name in fitted]
    if not chosen:
        raise InputError("No image of this run has features.", "Run the plate again: older runs kept none.")
    axes = fit_axes(np.stack([known[name] for name in chosen]))
    places = axes.place(np.stack(list(known.values())))
    nothing = np.full(LOOKS, np.nan)
    numbers = np.stack([nothing if looks.get(name) is None else np.asarray(looks[name], float) for name in known])
    table = followed(places, numbers[:, : len(APPEARANCE)])
    words = [_words(k, share, row) for k, (share, row) in enumerate(zip(axes.shares, table, strict=True), 1)]
    return Embedding(tuple(known), places, tuple(words))


def _words(number: int, share: float, correlations: NDArray[np.float64]) -> str:
    told = f"axis {number}, {100 * share:.0f} % of the variance"
    known = np.nan_to_num(np.abs(correlations))
    best = int(known.argmax())
    return f"{told}; follows {APPEARANCE[best]} (r {correlations[best]:.2f})" if known[best] >= NOTABLE else told
