"""The images of plate runs as points, of the features that their journals keep; nothing is run again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitascope.batch.plate.journal import Journal
from vitascope.core.errors import InputError
from vitascope.io.images.acquired import acquired_at
from vitascope.io.plates.plate import Plate
from vitascope.ops.intensity.appearance import APPEARANCE, LOOKS
from vitascope.stats.embedding.axes import NOTABLE, followed
from vitascope.stats.embedding.clusters import NOISE, find_clusters, followed_by_clusters
from vitascope.stats.embedding.layout import METHODS, USUAL_COMPONENTS, Method, fit_layout

APART = "apart from all clusters"
DAY = len("2026-03-14")


@dataclass(frozen=True, eq=False)
class Embedding:
    """Images in a plane.

    Parameters
    ----------
    images : tuple of str
    runs : tuple of int
        Which of the folders each image is of.
    places : array, shape (N, 2)
    axes : tuple of str
        What each axis is, in words: its share of the variance, and what of the images' look it follows.
    looks : array, shape (N, 4)
        Focus, brightness, contrast and density of the images; NaN where not known.
    left_out : tuple of int
        Folders whose network is another than the last one's: their features are no numbers of the same kind.
    """

    images: tuple[str, ...]
    runs: tuple[int, ...]
    places: NDArray[np.float64]
    axes: tuple[str, ...]
    looks: NDArray[np.float64]
    left_out: tuple[int, ...] = ()


class _Known(NamedTuple):
    """Features (N, F) and looks (N, 6) of the images of a run, and the network they are of."""

    images: list[str]
    table: NDArray[np.float32]
    looks: NDArray[np.float64]
    model_sha256: str


def embed_runs(
    folders: Sequence[Path],
    fitted: Sequence[Collection[str]] | None = None,
    method: Method = "pca",
    components: int = USUAL_COMPONENTS,
) -> Embedding:
    """Put the images of plate runs into one plane.

    Parameters
    ----------
    folders : sequence of Path
        Results of plate runs; those of another network than the last one's are left out.
    fitted : sequence of collection of str, optional
        Of each folder, the images that the axes are fitted to, such as those of control wells; all by default. The
        others are put there.
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
    known = [_known(folder) for folder in folders]
    last = known[-1].model_sha256
    used = [k for k, one in enumerate(known) if one.images and one.model_sha256 == last]
    if not used:
        raise InputError("No image of this run has features.", "Run the plate again: older runs kept none.")
    names = [(k, name) for k in used for name in known[k].images]
    table = np.concatenate([known[k].table for k in used])
    looks = np.concatenate([known[k].looks for k in used])[:, : len(APPEARANCE)]
    chosen = np.array([fitted is None or name in fitted[k] for k, name in names])
    if not chosen.any():
        raise InputError("No image of these wells has features.", "Fit the axes to other wells.")
    layout = fit_layout(table[chosen], method, components)
    places = np.empty((len(names), 2))
    places[chosen] = layout.places
    if not chosen.all():
        places[~chosen] = layout.place(table[~chosen])
    words = []
    for k, row in enumerate(followed(places, looks)):
        share = f", {100 * layout.axes.shares[k]:.0f} % of the variance"
        words.append(f"axis {k + 1}{share if method == 'pca' else f' of {METHODS[method]}'}{_follows(row)}")
    return Embedding(
        images=tuple(name for _, name in names),
        runs=tuple(k for k, _ in names),
        places=places,
        axes=tuple(words),
        looks=looks,
        left_out=tuple(k for k, one in enumerate(known) if one.images and one.model_sha256 != last),
    )


def _known(folder: Path) -> _Known:
    with Journal(folder, read_only=True) as journal:
        found = {name: feature for name, feature in journal.features() if feature is not None}
        looks = dict(journal.appearances())
        about = next(journal.provenances(), None)
    nothing = np.full(LOOKS, np.nan)
    seen = [nothing if looks.get(name) is None else np.asarray(looks[name], float) for name in found]
    return _Known(
        list(found),
        np.stack(list(found.values())) if found else np.empty((0, 0), np.float32),
        np.stack(seen) if found else np.empty((0, LOOKS)),
        about.model_sha256 if about is not None else "",
    )


def days_taken(plate: Plate) -> dict[str, str]:
    """Return the day on which each image of a plate was taken, as 2026-03-14; empty where its file does not tell."""
    return {site.id: (acquired_at(site.paths[0]) or "")[:DAY] if site.paths else "" for site in plate}


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
