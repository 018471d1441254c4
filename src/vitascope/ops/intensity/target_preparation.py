"""Stains that are poor to learn from, made better: background off, dim light clipped away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.training_params import CropFilter, TargetPreparation
from vitascope.ops.intensity.background import clip_low, subtract_background
from vitascope.ops.intensity.mask import open_mask
from vitascope.ops.intensity.threshold import local_threshold

TOP_PERCENTILE = 99.9
EXPOSURE = CropFilter(min_foreground=0.02, max_saturated=0.2, min_peak=0.3, keep_anyway=0.1)
"""The exposure filter of the dock; section 3.2.1 of the thesis names the faults, the numbers are ours."""


def prepare_target(stain: NDArray[Any], how: TargetPreparation) -> NDArray[np.float32]:
    """Prepare a stain for training on.

    Parameters
    ----------
    stain : array, shape (Y, X), real, finite
    how : TargetPreparation

    Returns
    -------
    array, shape (Y, X), float32
        In the stain's grey values; in [0, 1] where it was clipped, 0 or 1 where it was made a mask.

    References
    ----------
    Pankova 2022 (seed 004), section 3.4.1.1: rolling ball, and clipping at a percentile.
    """
    values = np.asarray(stain, np.float32)
    if how.rolling_ball_px is not None:
        low, high = (float(v) for v in np.percentile(values, (0, TOP_PERCENTILE)))
        span = high - low if high > low else 1.0
        values = subtract_background((values - low) / span, how.rolling_ball_px) * np.float32(span)
    if how.clip_percentile is not None:
        values = clip_low(values, how.clip_percentile)
    if how.mask:
        values = mask_target(values, how.mask_block_px)
    return values


def mask_target(stain: NDArray[Any], block_px: int) -> NDArray[np.float32]:
    """Make a stain black and white: local threshold, no part of the dark ground, opening (Figure 40).

    Parameters
    ----------
    stain : array, shape (Y, X), real, finite
    block_px : int, odd, >= 3, px
        Side of the neighbourhood of the threshold.

    Returns
    -------
    array, shape (Y, X), float32
        0 or 1. What is darker than the mean of the whole picture is ground, whatever its neighbourhood: the thesis's
        threshold alone takes noise of the ground for cells (its Figure 26).

    References
    ----------
    Pankova 2022 (seed 004), section 3.5.1 and Figure 40.
    """
    values = np.asarray(stain, np.float32)
    above = (values > local_threshold(values, block_px)) & (values > values.mean(dtype=np.float64))
    return open_mask(above).astype(np.float32)


def kept_crops(target: NDArray[Any], keep: CropFilter, crop_px: int) -> NDArray[np.bool_]:
    """Tell which crops of a grid an exposure filter keeps.

    Parameters
    ----------
    target : array, shape (Y, X), in [0, 1]
    keep : CropFilter
    crop_px : int

    Returns
    -------
    array, shape (rows, columns), bool
        One for every whole crop.
    """
    rows, columns = (max(1, n // crop_px) for n in target.shape)
    cut = target[: rows * crop_px, : columns * crop_px]
    side_y, side_x = cut.shape[0] // rows, cut.shape[1] // columns
    crops = cut[: rows * side_y, : columns * side_x].reshape(rows, side_y, columns, side_x)
    return np.asarray(
        ((crops > keep.foreground_above).mean((1, 3)) >= keep.min_foreground)
        & ((crops >= 1).mean((1, 3)) <= keep.max_saturated)
        & (crops.max((1, 3)) >= keep.min_peak)
    )
