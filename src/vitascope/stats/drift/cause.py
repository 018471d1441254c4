"""Why images drifted: which of focus, light, contrast and density moved farthest from the trusted ones, and whither."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import InputError
from vitascope.stats.drift.step import Step

DIRECTIONS: dict[str, tuple[str, str]] = {
    "focus": ("blurred", "sharper, or noisier"),
    "brightness": ("darker", "brighter"),
    "contrast": ("less contrast", "more contrast"),
    "density": ("emptier", "denser"),
}
"""What images look like whose number fell, and whose number rose, in the order of
:data:`vitascope.ops.intensity.appearance.APPEARANCE`."""

OTHER = "neither focus, light, contrast nor density"
LEAST_SPREAD = 0.01
"""Numbers of trusted images that vary by less than one per cent count as varying by that much."""

LEAST_SHIFT, LEAST_STEPS = 1.0, 4.0
"""A cause is named where its number moved by at least one spread of single images, and four standard errors."""


@dataclass(frozen=True)
class Usual:
    """How trusted images look.

    Parameters
    ----------
    centre, spread : tuple of float, length 4
        Median, and 1.4826 times the median deviation from it, of each number of the appearance; NaN where no trusted
        image has the number.
    """

    centre: tuple[float, ...]
    spread: tuple[float, ...]


@dataclass(frozen=True)
class Cause:
    """What moved.

    Parameters
    ----------
    kind : str
        ``focus``, ``brightness``, ``contrast`` or ``density``; empty for none of these.
    words : str
        Such as "blurred".
    shifts : tuple of float, length 4
        Of each number, in spreads of single trusted images.
    """

    kind: str
    words: str
    shifts: tuple[float, ...]


def usual_appearance(table: ArrayLike) -> Usual:
    """Return how trusted images look, of their appearances, shape (N, 4 or more)."""
    values = _checked(table)
    centre = np.full(values.shape[1], np.nan)
    spread = centre.copy()
    for k, column in enumerate(values.T):
        known = column[np.isfinite(column)]
        if known.size:
            centre[k] = np.median(known)
            spread[k] = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(known - centre[k]))))
    return Usual(tuple(centre.tolist()), tuple(spread.tolist()))


def cause_of(usual: Usual, window: ArrayLike) -> Cause:
    """Name what moved farthest in a window of images.

    Parameters
    ----------
    usual : Usual
    window : array, shape (n, 4 or more)
        Appearances of the images that raised the alarm; those that are NaN do not count.

    Returns
    -------
    Cause

    Examples
    --------
    >>> usual = Usual((0.0, 5.0, -1.0, -1.0), (0.1, 0.1, 0.1, 0.1))
    >>> cause_of(usual, [[-0.5, 5.0, -1.1, -1.0]] * 10).words
    'blurred'
    """
    values = _checked(window)
    shifts = np.zeros(values.shape[1])
    for k, column in enumerate(values.T):
        known = column[np.isfinite(column)]
        if known.size and np.isfinite(usual.centre[k]):
            found = (float(known.mean()) - usual.centre[k]) / usual.spread[k]
            enough = abs(found) >= max(LEAST_SHIFT, LEAST_STEPS / np.sqrt(known.size))
            shifts[k] = found if enough else 0.0
    told = tuple(round(float(shift), 2) for shift in shifts)
    k = int(np.argmax(np.abs(shifts)))
    if shifts[k] == 0:
        return Cause("", OTHER, told)
    kind = list(DIRECTIONS)[k]
    return Cause(kind, DIRECTIONS[kind][int(shifts[k] > 0)], told)


def _checked(table: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(table, np.float64)
    if values.ndim != 2 or values.shape[1] < len(DIRECTIONS) or not len(values):
        raise InputError(
            f"Appearances have the shape {values.shape}.", f"Give one row of {len(DIRECTIONS)} numbers for each image."
        )
    return values[:, : len(DIRECTIONS)]


class CauseFinder:
    """Follows a series of images, and tells the cause of each alarm by the window in which it was loudest.

    At the first image of an alarm most of the window is still as it should be; later ones tell more.

    Parameters
    ----------
    usual : Usual or None
        How trusted images look; None, and no cause is told.
    window : int

    Attributes
    ----------
    found : dict of str to Cause
        By the image at which the alarm began.
    """

    def __init__(self, usual: Usual | None, window: int) -> None:
        self._usual = usual
        self._recent: deque[NDArray[np.floating]] = deque(maxlen=window)
        self._began, self._loudest = "", 0.0
        self.found: dict[str, Cause] = {}

    def step(self, image: str, look: ArrayLike | None, step: Step) -> None:
        """Take the next image: its appearance, shape (4 or more,), or None, and what the detector says of it."""
        nothing = np.full(len(DIRECTIONS), np.nan)
        self._recent.append(nothing if look is None else np.asarray(look, np.float64)[: len(DIRECTIONS)])
        if not step.alarm or step.statistic is None or step.threshold is None:
            self._began, self._loudest = "", 0.0
            return
        self._began = self._began or image
        loud = step.statistic - step.threshold
        if self._usual is not None and loud > self._loudest:
            self._loudest = loud
            self.found[self._began] = cause_of(self._usual, np.stack(self._recent))
