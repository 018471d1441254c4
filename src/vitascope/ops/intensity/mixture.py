"""Threshold where two bell curves cross: background and foreground as a mixture of Gaussians.

Equations 34-41 of Pankova 2022 (seed 004), for the whole picture, or for overlapping regions of it between which the
threshold is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import ParameterError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.ops.intensity.histogram import Histogram, bin_index
from vitascope.ops.intensity.threshold import HISTOGRAM_BINS, GlobalThreshold, iterative_threshold
from vitascope.ops.tiling.chunks import PIXELS_AT_ONCE, read_piece

MIXTURE_BINS = 1024
VALLEY_DEPTH = 0.5
LEAST_SHARE = 0.01
NEIGHBOURS = 8
REGIONS_AT_ONCE = 512

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mixture:
    """Two Gaussians, the darker one first (equation 39), for one or many histograms.

    Parameters
    ----------
    shares : array, shape (..., 2), 0 to 1
        P_1 and P_2, which add up to 1.
    means, deviations : array, shape (..., 2), grey values
        mu and sigma.
    """

    shares: Floats
    means: Floats
    deviations: Floats

    def density(self, values: Floats) -> Floats:
        """Evaluate equation 39 at ``values``, shape (..., N); returns the same shape, 1 / grey value."""
        scaled = (values[..., None] - self.means[..., None, :]) / self.deviations[..., None, :]
        curves = np.exp(-(scaled**2) / 2) / (np.sqrt(2 * np.pi) * self.deviations[..., None, :])
        return np.asarray((self.shares[..., None, :] * curves).sum(-1))

    def clear(self) -> NDArray[np.bool_]:
        """Tell, shape (...), where there are two clear peaks.

        The thesis asks for them without a rule. Ours: each class holds at least 1 % of the pixels, the curves cross
        between the means, and the density there is at most half of that at either mean (3.3 sigma for equal classes).
        """
        valley = crossing(self)
        inside = np.isfinite(valley) & (self.shares.min(-1) >= LEAST_SHARE)
        places = np.concatenate([self.means, np.where(inside, valley, self.means[..., 0])[..., None]], -1)
        density = self.density(places)
        return np.asarray(inside & (density[..., 2] <= VALLEY_DEPTH * density[..., :2].min(-1)))


def fit_mixture(
    counts: NDArray[np.integer[Any]], centres: Floats, max_iterations: int = 300, tolerance: float = 1e-7
) -> Mixture:
    """Fit two Gaussians to histograms by expectation and maximisation.

    Starts from the two groups of Algorithm 3. No deviation falls below that of a uniform bin, width / sqrt(12).

    Parameters
    ----------
    counts : array, shape (..., K), >= 0
        Histograms over the same bins, none of them empty.
    centres : array, shape (K,), K >= 2, equally spaced, grey values
    max_iterations : int, >= 1
    tolerance : float, > 0
        Stop when no mean moves by more than this share of the range of ``centres``.

    Returns
    -------
    Mixture

    References
    ----------
    Pankova 2022 (seed 004), equations 34 and 39.
    """
    weights = counts / counts.sum(-1, keepdims=True)
    floor = (centres[1] - centres[0]) ** 2 / 12
    upper = (centres > _split(weights, centres)[..., None]).astype(np.float64)
    mixture = _moments(weights, centres, np.stack([1 - upper, upper], -2), floor)
    for _ in range(max_iterations):
        scaled = (centres - mixture.means[..., None]) / mixture.deviations[..., None]
        with np.errstate(divide="ignore"):
            logs = np.log(mixture.shares / mixture.deviations)[..., None] - scaled**2 / 2
        logs -= logs.max(-2, keepdims=True)
        belief = np.exp(logs)
        belief /= belief.sum(-2, keepdims=True)
        previous, mixture = mixture, _moments(weights, centres, belief, floor)
        if np.abs(mixture.means - previous.means).max() <= tolerance * (centres[-1] - centres[0]):
            break
    order = np.argsort(mixture.means, -1)
    return Mixture(*(np.take_along_axis(v, order, -1) for v in (mixture.shares, mixture.means, mixture.deviations)))


def _split(weights: Floats, centres: Floats) -> Floats:
    """Algorithm 3 on many histograms at once, to start from; shape (...)."""
    threshold = np.asarray(weights @ centres)
    for _ in range(50):
        upper = weights * (centres > threshold[..., None])
        share = upper.sum(-1)
        high = np.divide(upper @ centres, share, out=np.array(threshold), where=share > 0)
        low = np.divide((weights - upper) @ centres, 1 - share, out=np.array(threshold), where=share < 1)
        threshold = (low + high) / 2
    return np.asarray(threshold)


def _moments(weights: Floats, centres: Floats, belief: Floats, floor: float) -> Mixture:
    """Shares, means and deviations of the classes, given how much each bin belongs to each; belief (..., 2, K)."""
    mass = belief * weights[..., None, :]
    shares = mass.sum(-1)
    safe = np.maximum(shares, np.finfo(np.float64).tiny)
    means = np.where(shares > 0, (mass @ centres) / safe, (weights @ centres)[..., None])
    spread = (mass * (centres - means[..., None]) ** 2).sum(-1) / safe
    return Mixture(shares, means, np.sqrt(np.maximum(spread, floor)))


def crossing(mixture: Mixture, equal_variance: bool = False) -> Floats:
    """Threshold at which a pixel is as likely of one class as of the other, between the two means.

    With P_1 p_1(T) = P_2 p_2(T) (equation 38) and Gaussians, A T^2 + B T + C = 0 with

    - A = sigma_1^2 - sigma_2^2,
    - B = 2 (mu_1 sigma_2^2 - mu_2 sigma_1^2),
    - C = sigma_1^2 mu_2^2 - sigma_2^2 mu_1^2 + 2 sigma_1^2 sigma_2^2 ln(sigma_2 P_1 / (sigma_1 P_2)).

    Parameters
    ----------
    mixture : Mixture
    equal_variance : bool
        Assume one variance, the shares' mean of both, which leaves one solution (equation 41).

    Returns
    -------
    array, shape (...), grey values
        NaN where the curves do not cross between the means: one class is likelier on both.

    Notes
    -----
    The thesis prints A with a plus, and B with the two variances exchanged; both are misprints, as equation 38 shows.
    Equations 35 and 36 are exchanged as well: background taken for foreground is the background's tail above T.

    References
    ----------
    Pankova 2022 (seed 004), equations 34-41; Gonzalez and Woods 2006.
    """
    (p1, p2), (m1, m2) = np.moveaxis(mixture.shares, -1, 0), np.moveaxis(mixture.means, -1, 0)
    v1, v2 = np.moveaxis(mixture.deviations**2, -1, 0)
    if equal_variance:
        v1 = v2 = p1 * v1 + p2 * v2
    with np.errstate(divide="ignore", invalid="ignore"):
        if equal_variance:
            root = (m1 + m2) / 2 + v1 / (m1 - m2) * np.log(p2 / p1)
        else:
            a = v1 - v2
            b = 2 * (m1 * v2 - m2 * v1)
            c = v1 * m2**2 - v2 * m1**2 + 2 * v1 * v2 * np.log(np.sqrt(v2) * p1 / (np.sqrt(v1) * p2))
            root = _root_between(a, b, c, m1, m2)
    return np.asarray(np.where((root > m1) & (root < m2), root, np.nan))


def _root_between(a: Floats, b: Floats, c: Floats, low: Floats, high: Floats) -> Floats:
    """Solve a quadratic for the root between ``low`` and ``high``, without cancellation where ``a`` is near 0."""
    q = -(b + np.where(b < 0, -1.0, 1.0) * np.sqrt(b**2 - 4 * a * c)) / 2
    first, second = c / q, q / a
    return np.asarray(np.where((first > low) & (first < high), first, second))


def mixture_threshold(histogram: Histogram, equal_variance: bool = False, bins: int = MIXTURE_BINS) -> GlobalThreshold:
    """Threshold where the two Gaussians of the whole picture cross.

    Parameters
    ----------
    histogram : Histogram
    equal_variance : bool
        Equation 41 instead of equation 40.
    bins : int, >= 2
        Merge the histogram to at most so many bins.

    Returns
    -------
    GlobalThreshold
        That of Algorithm 3 where there are not two clear peaks.

    References
    ----------
    Pankova 2022 (seed 004), equations 34-41.
    """
    if not histogram.range.finite or histogram.range.constant:
        return iterative_threshold(histogram)
    counts, centres = histogram.coarse(bins)
    mixture = fit_mixture(counts, centres)
    value = float(crossing(mixture, equal_variance))
    if bool(mixture.clear()) and np.isfinite(value):
        return GlobalThreshold(value, "mixture")
    return replace(iterative_threshold(histogram), reason="The histogram does not have two clear peaks.")


@dataclass(frozen=True, eq=False)
class ThresholdMap:
    """Thresholds on a grid, linearly interpolated between and constant beyond.

    Parameters
    ----------
    y_px, x_px : array, increasing, px
        Rows and columns of the grid.
    values : array, shape (len(y_px), len(x_px)), grey values
    clear : array of bool, same shape
        Where the grid point's own region had two clear peaks; elsewhere the value comes from its neighbours.
    """

    y_px: Floats
    x_px: Floats
    values: Floats
    clear: NDArray[np.bool_]

    def window(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return the threshold of each pixel of a window, shape (rows, columns), float32."""
        down = np.arange(rows.start, rows.stop)
        along = np.arange(columns.start, columns.stop)
        lines = np.stack([np.interp(along, self.x_px, line) for line in self.values])
        if len(lines) == 1:
            return np.asarray(np.repeat(lines, len(down), 0), np.float32)
        y = np.interp(down, self.y_px, np.arange(len(lines)))
        first = np.minimum(y.astype(np.intp), len(lines) - 2)
        part = (y - first)[:, None]
        return np.asarray(lines[first] * (1 - part) + lines[first + 1] * part, np.float32)


def mixture_map(
    picture: Any, histogram: Histogram, region_px: int, equal_variance: bool = False
) -> ProgressGenerator[ThresholdMap]:
    """Find mixture thresholds of overlapping regions and interpolate where a region has none.

    Regions of side ``region_px`` overlap by half. "Thresholds are calculated only for the regions that contain two
    clear peaks in their histograms and interpolated to the other pixels": here by the inverse squared distance of the
    eight nearest that have one. Without any, the threshold of the whole picture holds everywhere.

    Parameters
    ----------
    picture : numpy, dask or zarr array, shape (Y, X), real
    histogram : Histogram
        Of ``picture``.
    region_px : int, >= 2, px
    equal_variance : bool

    Yields
    ------
    Progress

    Returns
    -------
    ThresholdMap

    Raises
    ------
    ParameterError
        If the region is smaller than 2 px.

    References
    ----------
    Pankova 2022 (seed 004), after equation 41.
    """
    if region_px < 2:
        raise ParameterError(f"Regions of {region_px} px cannot overlap by half.", "Take at least 2 px.")
    cell = region_px // 2
    shape = (int(picture.shape[0]), int(picture.shape[1]))
    y_px, x_px = (_grid(n, cell) for n in shape)
    whole = mixture_threshold(histogram, equal_variance)
    values = np.full((len(y_px), len(x_px)), np.nan)
    if histogram.range.finite and not histogram.range.constant:
        cells = yield from _cell_counts(picture, histogram, cell)
        values = _region_thresholds(_join_cells(cells), histogram, equal_variance)
    clear = np.isfinite(values)
    if not clear.any():
        return ThresholdMap(y_px[:1], x_px[:1], np.array([[whole.value]]), clear[:1, :1])
    return ThresholdMap(y_px, x_px, _fill(values, y_px, x_px), clear)


def _grid(length_px: int, cell_px: int) -> Floats:
    """Centres of the regions along one axis, px."""
    cells = -(-length_px // cell_px)
    if cells == 1:
        return np.array([(length_px - 1) / 2])
    return np.asarray(np.arange(1, cells) * cell_px - 0.5, np.float64)


def _cell_counts(picture: Any, histogram: Histogram, cell: int) -> ProgressGenerator[NDArray[np.int32]]:
    """Histogram of every cell over common bins, shape (rows, columns, bins); each pixel is read once."""
    height, width = int(picture.shape[0]), int(picture.shape[1])
    rows, columns = -(-height // cell), -(-width // cell)
    counts = np.zeros((rows, columns, HISTOGRAM_BINS), np.int32)
    at_once = max(1, PIXELS_AT_ONCE // (cell * width))
    column = np.arange(width) // cell
    for first in range(0, rows, at_once):
        last = min(rows, first + at_once)
        block = read_piece(picture, (slice(first * cell, min(height, last * cell)), slice(0, width)))
        finite = np.isfinite(block)
        values = np.where(finite, block, histogram.range.minimum)
        bins = bin_index(values, histogram.range.minimum, histogram.range.maximum, HISTOGRAM_BINS)
        row = np.arange(len(block))[:, None] // cell
        place = ((row * columns + column) * HISTOGRAM_BINS + bins)[finite]
        found = np.bincount(place, minlength=(last - first) * columns * HISTOGRAM_BINS)
        counts[first:last] = found.reshape(last - first, columns, HISTOGRAM_BINS)
        yield Progress(last, rows, "Finding thresholds by region")
    return counts


def _join_cells(cells: NDArray[np.int32]) -> NDArray[np.int32]:
    """Add up 2 x 2 neighbouring cells to regions that overlap by half."""
    if len(cells) > 1:
        cells = cells[:-1] + cells[1:]
    if cells.shape[1] > 1:
        cells = cells[:, :-1] + cells[:, 1:]
    return cells


def _region_thresholds(counts: NDArray[np.int32], histogram: Histogram, equal_variance: bool) -> Floats:
    """Threshold of each region, NaN without two clear peaks."""
    low, high = histogram.range.minimum, histogram.range.maximum
    steps: Floats = np.arange(HISTOGRAM_BINS, dtype=np.float64) + 0.5
    centres: Floats = low + steps * ((high - low) / HISTOGRAM_BINS)
    flat = counts.reshape(-1, HISTOGRAM_BINS)
    values = np.full(len(flat), np.nan)
    used = np.flatnonzero(flat.sum(1))
    for start in range(0, len(used), REGIONS_AT_ONCE):
        part = used[start : start + REGIONS_AT_ONCE]
        mixture = fit_mixture(flat[part], centres, max_iterations=100, tolerance=1e-4)
        values[part] = np.where(mixture.clear(), crossing(mixture, equal_variance), np.nan)
    return values.reshape(counts.shape[:2])


def _fill(values: Floats, y_px: Floats, x_px: Floats) -> Floats:
    """Give grid points without a threshold that of their neighbours, weighted by inverse squared distance."""
    known = np.isfinite(values)
    points = np.stack(np.meshgrid(y_px, x_px, indexing="ij"), -1)
    count = min(NEIGHBOURS, int(known.sum()))
    from scipy.spatial import cKDTree  # only ever needed where blocks are too poor, and slow to import

    distance, index = cKDTree(points[known]).query(points[~known], k=range(1, count + 1))
    weight = 1 / distance**2
    filled = values.copy()
    filled[~known] = (weight * values[known][index]).sum(1) / weight.sum(1)
    return filled
