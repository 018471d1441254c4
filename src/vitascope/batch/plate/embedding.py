"""The images of a plate run as points, of the features that its journal keeps; nothing is run again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitascope.batch.plate.journal import Journal
from vitascope.core.errors import InputError
from vitascope.ops.intensity.appearance import APPEARANCE, LOOKS
from vitascope.stats.embedding.axes import NOTABLE, followed
from vitascope.stats.embedding.clusters import NOISE, find_clusters, followed_by_clusters
from vitascope.stats.embedding.layout import METHODS, USUAL_COMPONENTS, Method, fit_layout

APART = "apart from all clusters"


@dataclass(frozen=True, eq=False)
class Embedding:
    """Images in a plane.

    Parameters
    ----------
    images : tuple of str
    places : array, shape (N, 2)
    axes : tuple of str
        What each axis is, in words: its share of the variance, and what of the images' look it follows.
    looks : array, shape (N, 4)
        Focus, brightness, contrast and density of the images; NaN where not known.
    """

    images: tuple[str, ...]
    places: NDArray[np.float64]
    axes: tuple[str, ...]
    looks: NDArray[np.float64]


def embed_run(
    folder: Path,
    fitted: Collection[str] | None = None,
    method: Method = "pca",
    components: int = USUAL_COMPONENTS,
) -> Embedding:
    """Put the images of a plate run into a plane.

    Parameters
    ----------
    folder : Path
        Results of a plate run.
    fitted : collection of str, optional
        Images that the axes are fitted to, such as those of control wells; all by default. The others are put there.
    method : {"pca", "umap", "pacmap"}
    components : int
        Principal components that UMAP and PaCMAP are fitted to.

    Raises
    ------
    InputError
        If fewer than three images have features; for UMAP and PaCMAP, fewer than 20.
    ParameterError
        If what the method needs is not installed.
    ReaderError
        If there is no plate run.
    """
    with Journal(folder, read_only=True) as journal:
        known = {name: feature for name, feature in journal.features() if feature is not None}
        looks = dict(journal.appearances())
    chosen = [name for name in known if fitted is None or name in fitted]
    if not chosen:
        raise InputError("No image of this run has features.", "Run the plate again: older runs kept none.")
    layout = fit_layout(np.stack([known[name] for name in chosen]), method, components)
    at = dict(zip(chosen, layout.places, strict=True))
    others = [name for name in known if name not in at]
    if others:
        at.update(zip(others, layout.place(np.stack([known[name] for name in others])), strict=True))
    places = np.stack([at[name] for name in known])
    nothing = np.full(LOOKS, np.nan)
    numbers = np.stack([nothing if looks.get(name) is None else np.asarray(looks[name], float) for name in known])
    told = numbers[:, : len(APPEARANCE)]
    words = []
    for k, row in enumerate(followed(places, told)):
        share = f", {100 * layout.axes.shares[k]:.0f} % of the variance"
        words.append(f"axis {k + 1}{share if method == 'pca' else f' of {METHODS[method]}'}{_follows(row)}")
    return Embedding(tuple(known), places, tuple(words), told)


def clusters_in_words(embedding: Embedding) -> list[str]:
    """Return the cluster that each image belongs to, found in the picture, with what it follows; "apart" for noise.

    Raises
    ------
    InputError
        If there are too few images.
    ParameterError
        If scikit-learn is not installed.
    """
    labels = find_clusters(embedding.places)
    told = {
        label: f"cluster {label + 1}{_follows(row)}"
        for label, row in followed_by_clusters(labels, embedding.looks).items()
    }
    return [told.get(label, APART) if label != NOISE else APART for label in labels.tolist()]


def _follows(correlations: NDArray[np.float64]) -> str:
    known = np.nan_to_num(np.abs(correlations))
    best = int(known.argmax())
    return f"; follows {APPEARANCE[best]} (r {correlations[best]:.2f})" if known[best] >= NOTABLE else ""
