"""Shape and light of a spheroid by classic means: what was judged by before there were networks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import find_contours, label

MAX_POINTS = 120
"""Points that a contour is brought to; curvature is taken between them."""

STEADY_POINTS = 3.0
"""Standard deviation of the smoothing along the outline, of :data:`MAX_POINTS`: pixels have corners of their own."""


class Contour(NamedTuple):
    """Measures of a spheroid.

    Parameters
    ----------
    roundness : float, 0 to 1
        Circumference of the circle of equal area over the length of the outline; 1 for a circle.
    curvature : float, >= 0
        Mean absolute difference of the outline's curvature from that of the circle of equal area, times its radius; 0
        for a circle. The plain mean of the absolute curvature, as in the public code, is no second feature: of any
        convex outline it equals ``roundness``, since the turns of such an outline add up to a full circle.
    light : float, >= 0
        Light in the spheroid's middle over that in the corners of the picture.
    """

    roundness: float
    curvature: float
    light: float


def measure_contour(picture: NDArray[Any], smoothing_px: float = 2.0) -> Contour | None:
    """Measure the largest dark body of a bright-field picture; None where there is none.

    Parameters
    ----------
    picture : array, shape (Y, X), real
    smoothing_px : float, >= 0
        Blur before the outline is taken.

    References
    ----------
    The classic baseline (CVE) of the public code of NViR (seed 001).
    """
    smooth = ndimage.gaussian_filter(np.asarray(picture, np.float64), smoothing_px)
    if smooth.min() == smooth.max():
        return None
    level = float(threshold_otsu(smooth))
    labels = label(ndimage.binary_fill_holes(smooth < level))
    body = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    grown = ndimage.binary_dilation(body, iterations=2)
    alone = np.pad(np.where(grown, smooth, smooth.max()), 1, constant_values=smooth.max())
    outline = max(find_contours(alone, level), key=len, default=None)
    if outline is None or len(outline) < 8:
        return None
    points = _evenly(outline)
    steps = np.roll(points, -1, 0) - points
    lengths = np.hypot(*steps.T)
    y, x = points.T
    area = abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2
    radius = np.sqrt(area / np.pi)
    angles = np.arctan2(steps[:, 0], steps[:, 1])
    turns = (np.diff(np.append(angles, angles[0])) + np.pi) % (2 * np.pi) - np.pi
    bends = ndimage.gaussian_filter1d(turns, STEADY_POINTS * len(turns) / MAX_POINTS, mode="wrap")
    cy, cx = (int(v) for v in ndimage.center_of_mass(body))
    reach = max(1, int(radius / 3))
    inner = smooth[max(0, cy - reach) : cy + reach + 1, max(0, cx - reach) : cx + reach + 1]
    edge = max(1, min(smooth.shape) // 10)
    corners = [smooth[r, c] for r in (slice(edge), slice(-edge, None)) for c in (slice(edge), slice(-edge, None))]
    return Contour(
        float(2 * np.pi * radius / lengths.sum()),
        float(np.abs(bends * np.sign(turns.sum()) * radius - lengths).sum() / lengths.sum()),
        float(inner.mean() / np.median(np.concatenate([c.ravel() for c in corners]))),
    )


def _evenly(outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring a closed outline to points of even spacing, (n, 2)."""
    run = np.append(0, np.cumsum(np.hypot(*np.diff(outline, axis=0).T)))
    at = np.linspace(0, run[-1], min(MAX_POINTS, len(outline) // 2), endpoint=False)
    return np.stack([np.interp(at, run, outline[:, k]) for k in (0, 1)], 1)
