"""Whether a picture is of the kind that a model was made for at all, such as a well with organoids.

A network gives a number for a picture of the moon too. Pictures of the model's own kind and of many others were
described (:mod:`vitascope.ops.intensity.descriptor`) and told apart by regularised least squares on a Gaussian kernel.
What was found lies in one file beside the models: descriptions, and for each kind weights and a limit, which 97 or 98 %
of its own pictures pass that were left out of the fit, and 85 % of each source that was left out whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.result import Trust
from vitascope.ops.intensity.descriptor import describe_picture

FILE = BUNDLED_MODELS / "picture_kinds.safetensors"
READ_PX = 1024
"""Larger pictures are read in steps, so that memory stays bounded."""

REACH = 4.0
"""Descriptions are cut so many standard deviations from the middle."""


@dataclass(frozen=True, eq=False)
class PictureKind:
    """How to tell one kind of pictures from all others.

    Parameters
    ----------
    middle, spread : array, shape (F,)
    known : array, shape (N, F)
        Descriptions of the pictures it was found from, standardised.
    weights : array, shape (N,)
    width : float
        Of the kernel.
    limit : float
        Scores above are of another kind.
    """

    middle: NDArray[np.float64]
    spread: NDArray[np.float64]
    known: NDArray[np.float64]
    weights: NDArray[np.float64]
    width: float
    limit: float

    def score(self, description: NDArray[Any]) -> NDArray[np.float64]:
        """Return how unlike its kind pictures are, shape (M,), from descriptions (M, F)."""
        here = standardised(description, self.middle, self.spread)
        return np.asarray(gauss(here, self.known, self.width) @ self.weights)


def standardised(
    description: NDArray[Any], middle: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return descriptions (M, F) around 0, cut at :data:`REACH`."""
    return np.asarray(np.clip((np.atleast_2d(description) - middle) / spread, -REACH, REACH), np.float64)


def gauss(a: NDArray[np.float64], b: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return the kernel between (M, F) and (N, F): by the mean squared difference of a number."""
    squared = ((a[:, None] - b[None]) ** 2).mean(axis=2)
    return np.asarray(np.exp(-squared / (2 * width**2)))


@cache
def picture_kind(name: str) -> PictureKind | None:
    """Read a kind by its name; None where it is not known."""
    if not FILE.is_file():
        return None
    with safetensors.safe_open(FILE, "numpy") as file:
        about = json.loads(file.metadata()["kinds"])
        if name not in about:
            return None
        used = file.get_tensor(f"{name}.used").astype(np.intp)
        middle, spread = (file.get_tensor(f"{name}.{part}").astype(np.float64) for part in ("middle", "spread"))
        known = standardised(file.get_tensor("descriptions").astype(np.float64)[used], middle, spread)
        weights = file.get_tensor(f"{name}.weights").astype(np.float64)
    return PictureKind(
        middle=middle,
        spread=spread,
        known=known,
        weights=weights,
        width=about[name]["width"],
        limit=about[name]["limit"],
    )


def is_foreign(kind: str, plane: Any) -> bool:
    """Tell whether a picture is of another kind than a model's.

    Parameters
    ----------
    kind : str
        As the model's card names it; empty, or a name that is not known, tells nothing.
    plane : numpy, dask or zarr array, shape (Y, X)

    Returns
    -------
    bool
    """
    known = picture_kind(kind) if kind else None
    if known is None or min(plane.shape) < 8:
        return False
    step = max(1, min(plane.shape) // READ_PX)
    picture = np.asarray(plane[::step, ::step])
    # one sum tells whether any pixel is not finite, in a fraction of the time of asking each
    if picture.dtype.kind == "f" and not np.isfinite(picture.sum(dtype=np.float64)):
        finite = np.isfinite(picture)
        if not finite.any():
            return False
        picture = np.where(finite, picture, np.median(picture[finite]))
    return bool(known.score(describe_picture(picture))[0] > known.limit)


def judge_kind(
    card: ModelCard, planes: Sequence[Any], trust: Trust, flags: tuple[str, ...]
) -> tuple[Trust, tuple[str, ...]]:
    """Say "outside" of a picture of another kind than the model's, whatever else it looks like.

    Parameters
    ----------
    card : ModelCard
    planes : sequence of array, shape (Y, X)
        As they came, before anything was done to them; the middle one is looked at.
    trust, flags
        What was found besides.

    Returns
    -------
    tuple of Trust and of str
    """
    if not is_foreign(card.picture_kind, planes[len(planes) // 2]):
        return trust, flags
    reason = f"The picture does not look like what the model is for: {card.title}."
    others = tuple(flag for flag in flags if flag not in ("unsure", "outside_model"))
    return Trust("outside", (reason, *trust.reasons)), ("outside_model", *others)
