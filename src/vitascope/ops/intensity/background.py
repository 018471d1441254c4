"""Background taken off a fluorescent picture (section 3.4.1.1 of Pankova 2022, seed 004)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import ParameterError

GREY_LEVELS = 255.0
SHRINK_BY_RADIUS = ((10.0, 1), (30.0, 2), (100.0, 4))
LARGEST_SHRINK = 8


def rolling_ball_background(picture: NDArray[Any], radius_px: float, shrink: int | None = None) -> NDArray[np.float32]:
    """Estimate the background by a ball rolled along the underside of the picture.

    One grey value of 255 counts as one pixel of height, so that the ball is round for a picture that was 8-bit. Large
    balls are rolled over a picture shrunk by block minima, which is faster by orders of magnitude; the background is
    then enlarged linearly and kept at or below the picture.

    Parameters
    ----------
    picture : array, shape (Y, X), real, in [0, 1]
        NaN stays out of the ball's way.
    radius_px : float, > 0, px
        Larger than the objects to keep.
    shrink : int, >= 1, optional
        Default: 1 up to a radius of 10 px, 2 up to 30, 4 up to 100, then 8.

    Returns
    -------
    array, shape (Y, X), float32
        Background, in the picture's unit.

    Raises
    ------
    ParameterError
        If the radius or ``shrink`` is not positive.

    References
    ----------
    Sternberg 1983; Pankova 2022 (seed 004), section 3.4.1.1.
    """
    from skimage.restoration import rolling_ball  # loaded where a background is taken off, not with the pipelines
    from skimage.transform import resize

    if not (np.isfinite(radius_px) and radius_px > 0) or (shrink is not None and shrink < 1):
        raise ParameterError(
            f"A ball of radius {radius_px} px, shrunk {shrink}-fold, cannot roll.", "Take positive numbers."
        )
    if shrink is None:
        shrink = next((s for limit, s in SHRINK_BY_RADIUS if radius_px <= limit), LARGEST_SHRINK)
    values = np.asarray(picture, np.float32)
    filled = np.where(np.isfinite(values), values, np.inf).astype(np.float32)
    small = _block_minimum(filled, shrink)
    top = np.float32(np.max(small, initial=0, where=np.isfinite(small)))
    small = np.where(np.isfinite(small), small, top)
    # height shrinks with the sides, so that the ball stays a ball
    heights = small * np.float32(GREY_LEVELS / shrink)
    background = rolling_ball(heights, radius=radius_px / shrink) / np.float32(GREY_LEVELS / shrink)
    if shrink > 1:
        whole = tuple(n * shrink for n in background.shape)
        background = resize(background, whole, order=1, mode="edge", anti_aliasing=False, preserve_range=True)
    return np.asarray(np.minimum(background[: values.shape[0], : values.shape[1]], filled), np.float32)


def _block_minimum(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    padded = np.pad(values, [(0, -n % side) for n in values.shape], mode="edge")
    rows, columns = (n // side for n in padded.shape)
    return np.asarray(padded.reshape(rows, side, columns, side).min(axis=(1, 3)))


def subtract_background(picture: NDArray[Any], radius_px: float, shrink: int | None = None) -> NDArray[np.float32]:
    """Take the rolling-ball background off a picture; see :func:`rolling_ball_background`.

    Returns
    -------
    array, shape (Y, X), float32, >= 0
        NaN where the picture is not finite.
    """
    values = np.asarray(picture, np.float32)
    values = np.where(np.isfinite(values), values, np.float32(np.nan))
    return values - np.where(np.isnan(values), np.float32(0), rolling_ball_background(picture, radius_px, shrink))


def clip_low(picture: NDArray[Any], percent: float = 90.0) -> NDArray[np.float32]:
    """Clip a picture from below at a percentile and stretch the rest to [0, 1].

    Parameters
    ----------
    picture : array, shape (Y, X), real
    percent : float, 0 to 100
        The thesis takes 90.

    Returns
    -------
    array, shape (Y, X), float32, in [0, 1]
        All 0 where nothing exceeds the percentile; NaN where the picture is not finite.

    Raises
    ------
    ParameterError
        If the percentile lies outside 0 to 100.

    References
    ----------
    Pankova 2022 (seed 004), section 3.4.1.1, ``clip``.
    """
    if not 0 <= percent <= 100:
        raise ParameterError(f"There is no percentile {percent}.", "Take 0 to 100.")
    finite = np.isfinite(picture)
    known = picture[finite].astype(np.float64)
    result = np.full(picture.shape, np.nan, np.float32)
    if known.size:
        low, high = float(np.percentile(known, percent)), float(known.max())
        span = high - low
        result[finite] = (np.clip(known, low, high) - low) / span if span > 0 else 0.0
    return result
