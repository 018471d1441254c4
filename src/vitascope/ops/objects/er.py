"""The endoplasmic reticulum in a fluorescent picture: Algorithm 4 of Pankova 2022 (seed 004), as printed or mended."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.errors import InputError
from vitascope.ops.intensity.mask import open_mask
from vitascope.ops.intensity.threshold import local_threshold
from vitascope.ops.objects.split import fill_holes

THESIS_BLOCK_PX = 181
BLOCK_DIAMETERS = 6.0
"""Side of the neighbourhood in nucleus diameters: what 181 px stand for at the thesis's 30 px nuclei."""

LEAST_AREA = 0.05
"""Of a nucleus's area; smaller pieces are noise. The thesis filters too and gives no number."""

HALF = 0.5
ErMethod = Literal["mended", "thesis"]


class ErSteps(NamedTuple):
    """Every step of the algorithm, for showing (Figure 27): each (Y, X)."""

    normalised: NDArray[np.float32]
    rough: NDArray[np.bool_]
    local: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    opened: NDArray[np.bool_]
    mask: NDArray[np.bool_]


def find_er(picture: NDArray[Any], nucleus_px: float, method: ErMethod = "mended") -> ErSteps:
    """Find the endoplasmic reticulum.

    1 normalise, 2 ``threshold_mean``, 3 set what lies outside to zero, 4 local threshold, 5 fill holes, 6 opening and
    Gaussian blur, 7 leave out small pieces. As printed (``thesis``) the local threshold is that of the picture with
    zeros, which drags it down along every edge of the rough mask, and the contours are those of the blurred mask, which
    the blur has widened. ``mended`` takes the local threshold of the picture itself, cuts with the rough mask after it,
    measures the neighbourhood by the nucleus, and cuts the blurred mask at one half.

    Parameters
    ----------
    picture : array, shape (Y, X), real
        Pixels that are not finite are ground.
    nucleus_px : float, > 0, px
        Diameter of a typical nucleus.
    method : {"mended", "thesis"}

    Returns
    -------
    ErSteps
        ``mask`` is the answer.

    Raises
    ------
    InputError
        If the picture is no plane.

    References
    ----------
    Pankova 2022 (seed 004), section 3.3.3, Algorithm 4 and Figure 27.
    """
    values = normalise(picture)
    rough = mean_mask(values)
    if method == "thesis":
        kept = np.where(rough, values, np.float32(0))
        local = kept > local_threshold(kept, THESIS_BLOCK_PX)
        filled = np.asarray(ndimage.binary_fill_holes(local))
    else:
        local = (values > local_threshold(values, block_px(nucleus_px))) & rough
        filled = fill_holes(local, np.pi * nucleus_px**2 / 4)
    opened = open_mask(filled)
    soft = blur(opened)
    mask = soft > 0 if method == "thesis" else soft >= HALF
    kept = without_small(mask, LEAST_AREA * np.pi * nucleus_px**2 / 4)
    return ErSteps(normalised=values, rough=rough, local=local, filled=filled, opened=opened, mask=kept)


def normalise(picture: NDArray[Any]) -> NDArray[np.float32]:
    """Bring a picture to [0, 1] by its least and greatest finite value; 0 throughout where they are equal (step 1)."""
    values = np.asarray(picture, np.float64)
    if values.ndim != 2:
        raise InputError(f"A picture of shape {values.shape} is no plane.", "Give one plane.")
    finite = np.isfinite(values)
    if not finite.any() or np.ptp(values[finite]) == 0:
        return np.zeros(values.shape, np.float32)
    low, high = values[finite].min(), values[finite].max()
    return np.where(finite, (values - low) / (high - low), 0).astype(np.float32)


def mean_mask(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell where a picture is brighter than its mean: the "over-predictive" mask (step 2)."""
    return np.asarray(values > values.mean(dtype=np.float64))


def block_px(nucleus_px: float) -> int:
    """Return the side of the neighbourhood of the local threshold, odd, px.

    Examples
    --------
    >>> block_px(30), block_px(12.4)
    (181, 75)
    """
    return max(3, 2 * round((BLOCK_DIAMETERS * nucleus_px - 1) / 2) + 1)


def blur(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Blur a mask by the 3 x 3 kernel [1 2 1] x [1 2 1] / 16, edges mirrored (step 6; OpenCV's for 3 px)."""
    kernel = np.array([0.25, 0.5, 0.25])
    soft = ndimage.correlate1d(mask.astype(np.float64), kernel, axis=0, mode="mirror")
    return np.asarray(ndimage.correlate1d(soft, kernel, axis=1, mode="mirror"), np.float32)


def without_small(mask: NDArray[np.bool_], least_px2: float) -> NDArray[np.bool_]:
    """Leave out pieces (joined by sides or corners) below an area (step 7)."""
    pieces, count = ndimage.label(mask, np.ones((3, 3), int))
    keep = np.bincount(pieces.ravel(), minlength=count + 1) >= least_px2
    keep[0] = False
    return np.asarray(keep[pieces])
