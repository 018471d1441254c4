"""From an image as it lies on disk to what a network reads: channels, planes, size, one global normalisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec, Normalisation
from vitascope.core.errors import InputError, ModelError
from vitascope.core.micrograph import Micrograph
from vitascope.core.pixel_size import MAX_RESCALE, SAME_SIZE_FRACTION
from vitascope.core.progress import ProgressGenerator
from vitascope.ops.geometry.resample import Reader, read_reflected, resampled_reader
from vitascope.ops.intensity.histogram import EXACT_FLOAT_INTEGERS, Histogram, count_values

MAX_NAN_FRACTION = 0.1
MAX_SATURATED_FRACTION = 0.01
COPIED_BYTES = 64 << 20
"""Planes in memory that take no more are stacked by copying."""


@dataclass(frozen=True)
class LinearMap:
    """One normalisation: ``(pixel - offset) * gain``, clipped; what is not finite becomes ``fill`` first.

    Where ``turned_about`` is a number, bright and dark are swapped about it last.
    """

    offset: float
    gain: float
    fill: float
    clip: tuple[float, float] | None
    turned_about: float | None = None

    def turned(self, how: Normalisation) -> LinearMap:
        """Return the map that swaps bright and dark: about the middle of the scale, or about its ground."""
        ends = how.method in ("percentile", "minmax")
        return replace(self, turned_about=0.5 if ends else 0.0)

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Map raw pixels of any real type to float32."""
        # Wide integers and doubles lose their differences in float32; the subtraction is done before narrowing.
        kind: type[np.floating[Any]] = np.float32
        if (pixels.dtype.itemsize > 2 and pixels.dtype != np.float32) or not self._moderate:
            kind = np.float64
        values = pixels.astype(kind)
        if pixels.dtype.kind == "f":
            values = np.where(np.isfinite(values), values, kind(self.fill))
        with np.errstate(over="ignore"):  # a pixel beyond all others becomes infinite, then the clip's limit
            values = (values - kind(self.offset)) * kind(self.gain)
            if self.clip is not None:
                values = np.clip(values, *self.clip)
            if self.turned_about is not None:
                values = 2 * kind(self.turned_about) - values
            return np.asarray(values, np.float32)

    @property
    def _moderate(self) -> bool:
        """Whether offset and gain lie well within float32."""
        return abs(self.offset) < 1e30 and (self.gain == 0 or 1e-30 < self.gain < 1e30)


@dataclass(frozen=True)
class PreparedImage:
    """One picture made ready for a network.

    Parameters
    ----------
    read : Reader
        Gives (C, h, w) float32 on the network's grid.
    shape_yx : tuple of int
        Of the network's grid.
    source_yx : tuple of int
        Of the image's own grid.
    maps : tuple of LinearMap
        One per network channel.
    flags : tuple of str
    finite : callable or None
        Gives a (h, w) mask of finite pixels of a window of the image's own grid; None where all are finite.
    """

    read: Reader
    shape_yx: tuple[int, int]
    source_yx: tuple[int, int]
    maps: tuple[LinearMap, ...]
    flags: tuple[str, ...]
    finite: Callable[[tuple[slice, slice]], NDArray[np.bool_]] | None


def prepare_picture(
    planes: list[Any],
    spec: InputSpec,
    scale: float,
    *,
    inverted: bool = False,
    fitted_on: list[Any] | None = None,
    fit: Callable[[Histogram], LinearMap] | None = None,
) -> ProgressGenerator[PreparedImage]:
    """Make one picture ready: a first pass over the pixels fits the normalisation, the reader applies it on the fly.

    Parameters
    ----------
    planes : list of array, each (Y, X), numpy or dask
        One per network channel, in the card's order. Never written to.
    spec : InputSpec
        Of the card.
    scale : float, > 0
        Network pixels per image pixel; 1 leaves the grid as it is.
    inverted : bool
        Whether bright and dark are swapped.
    fitted_on : list of array, optional
        Planes that the normalisation is fitted to, where it is one for all; by default ``planes``.
    fit : callable, optional
        Turns grey values into the normalisation; by default :func:`fit_normalisation` as the card says.

    Yields
    ------
    Progress

    Returns
    -------
    PreparedImage

    Raises
    ------
    InputError
        If more than 10 % of the pixels are not finite.
    """
    histograms: list[Histogram] = []
    if spec.normalisation.per == "plane" or spec.normalisation.method == "dataset":
        for plane in planes:
            histograms.append((yield from count_values(plane)))
    else:
        stack = stack_lazily(planes if fitted_on is None else fitted_on)
        histograms = [(yield from count_values(stack))] * len(planes)
    flags = [flag for h in dict.fromkeys(histograms) for flag in check_histogram(h)]
    if fit is not None:
        maps = tuple(fit(h) for h in histograms)
    elif spec.normalisation.method == "dataset":
        maps = dataset_maps(histograms, spec.normalisation)
    else:
        maps = tuple(fit_normalisation(h, spec.normalisation) for h in histograms)
    flags += [f for h, m in zip(histograms, maps, strict=True) for f in saturation_flags(h, spec.normalisation, m)]
    if inverted:
        maps = tuple(m.turned(spec.normalisation) for m in maps)
    return _prepared(planes, maps, scale, flags, all_finite=not any(h.range.not_finite_fraction for h in histograms))


def at_scale(
    prepared: PreparedImage, planes: list[Any], spec: InputSpec, scale: float, *, inverted: bool
) -> PreparedImage:
    """Return a picture prepared otherwise, without another pass over its pixels.

    Parameters
    ----------
    prepared : PreparedImage
        Not inverted.
    planes, spec, scale, inverted
        As :func:`prepare_picture` takes them.
    """
    maps = tuple(m.turned(spec.normalisation) for m in prepared.maps) if inverted else prepared.maps
    return _prepared(planes, maps, scale, list(prepared.flags), all_finite=prepared.finite is None)


def _prepared(
    planes: list[Any], maps: tuple[LinearMap, ...], scale: float, flags: list[str], *, all_finite: bool
) -> PreparedImage:
    source_yx = (int(planes[0].shape[0]), int(planes[0].shape[1]))
    shape_yx = (max(1, round(source_yx[0] * scale)), max(1, round(source_yx[1] * scale)))

    def fetch(window: tuple[slice, slice]) -> NDArray[np.float32]:
        return np.stack([m(np.asarray(p[window])) for m, p in zip(maps, planes, strict=True)])

    def read(window: tuple[slice, slice]) -> NDArray[np.float32]:
        return read_reflected(fetch, source_yx, window)

    def finite(window: tuple[slice, slice]) -> NDArray[np.bool_]:
        return np.asarray(np.all([np.isfinite(np.asarray(p[window])) for p in planes], axis=0))

    return PreparedImage(
        read=resampled_reader(read, source_yx, shape_yx),
        shape_yx=shape_yx,
        source_yx=source_yx,
        maps=maps,
        flags=tuple(dict.fromkeys(flags)),
        finite=None if all_finite else finite,
    )


def stack_lazily(planes: list[Any]) -> Any:
    """Stack (Y, X) planes to (C, Y, X) without reading them; a single plane stays as it is.

    Small ones that are in memory are copied: importing dask takes longer.
    """
    if len(planes) == 1:
        return planes[0]
    if all(isinstance(p, np.ndarray) for p in planes) and sum(p.nbytes for p in planes) <= COPIED_BYTES:
        return np.stack(planes)
    import dask.array as da

    return da.stack([p if isinstance(p, da.Array) else da.from_array(p, chunks=-1, name=False) for p in planes])


def fit_normalisation(histogram: Histogram, how: Normalisation) -> LinearMap:
    """Turn the grey values of a picture into its normalisation.

    Parameters
    ----------
    histogram : Histogram
        Of all the planes that share the normalisation.
    how : Normalisation
        ``percentile``, ``minmax`` (equation 24), ``standard`` (median and standard deviation), ``background`` (median
        as ground and as unit), ``median_iqr`` (median and distance of the quartiles) or ``zscore``.

    Returns
    -------
    LinearMap
        Of gain 0 for a constant picture.

    References
    ----------
    Pankova 2022 (seed 004), equation 24.
    """
    low, median, high = histogram.percentiles(how.low, 50, how.high)
    if how.method == "zscore":
        return _zscore(histogram, low, median, high)
    if how.method == "standard":
        offset, spread = median, standard_deviation(histogram)
    elif how.method == "minmax":
        offset, spread = histogram.range.minimum, histogram.range.maximum - histogram.range.minimum
    elif how.method == "background":
        offset, spread = median, abs(median)
    elif how.method == "median_iqr":
        first, third = histogram.percentiles(25, 75)
        offset, spread = median, third - first
    else:
        offset, spread = low, high - low
    gain = 1.0 / spread if spread > 0 else 0.0
    return LinearMap(offset, gain if np.isfinite(gain) else 0.0, median, how.clip)


def _zscore(histogram: Histogram, low: float, median: float, high: float) -> LinearMap:
    """Return the map that cuts at ``low`` and ``high``, then gives mean 0 and standard deviation 1."""
    weights = histogram.counts / histogram.counts.sum()
    cut = np.clip(histogram.centres, low, high)
    mean = float(weights @ cut)
    spread = float(np.sqrt(weights @ (cut - mean) ** 2))
    if not (np.isfinite(spread) and spread > 0):
        return LinearMap(mean, 0.0, median, None)
    return LinearMap(mean, 1.0 / spread, median, ((low - mean) / spread, (high - mean) / spread))


def dataset_maps(histograms: list[Histogram], how: Normalisation) -> tuple[LinearMap, ...]:
    """Return the normalisation by the training set's mean and standard deviation, one for each network channel.

    A pixel that is not finite becomes the median of its channel.

    Raises
    ------
    ModelError
        If the card has no mean and standard deviation for each channel.
    """
    if len(how.means) != len(histograms):
        raise ModelError(
            f"The card knows the grey values of {len(how.means)} channel(s), the network takes {len(histograms)}.",
            "Ask whoever made the model for a whole card.",
        )
    return tuple(
        LinearMap(mean, 1.0 / spread, h.percentiles(50)[0], how.clip)
        for h, mean, spread in zip(histograms, how.means, how.stds, strict=True)
    )


def standard_deviation(histogram: Histogram) -> float:
    """Standard deviation of the finite pixels, from the bins (exact where each bin is one value)."""
    weights = histogram.counts / histogram.counts.sum()
    centres = histogram.centres
    mean = float(weights @ centres)
    return float(np.sqrt(weights @ (centres - mean) ** 2))


def check_histogram(histogram: Histogram) -> list[str]:
    """Return the flags that the grey values of a picture call for, whatever becomes of them.

    Raises
    ------
    InputError
        If no pixel, or less than 90 % of the pixels, is finite.
    """
    flags = []
    values = histogram.range
    if not values.finite:
        raise InputError(
            "No pixel of the image is a finite number.", "Check how it was saved.", flag="no_finite_pixels"
        )
    if values.not_finite_fraction > MAX_NAN_FRACTION:
        raise InputError(
            f"{values.not_finite_fraction:.0%} of the pixels are not finite numbers; up to 10 % can be treated as "
            "background.",
            "Check how the image was saved or registered, or crop it.",
            flag="too_many_nan",
        )
    if values.not_finite_fraction > 0:
        flags.append("nan_masked")
    if values.constant:
        flags.append("constant")
    if histogram.integers and max(abs(values.minimum), abs(values.maximum)) > EXACT_FLOAT_INTEGERS:
        flags.append("precision_lost")
    return flags


def saturation_flags(histogram: Histogram, how: Normalisation, fitted: LinearMap) -> list[str]:
    """Tell whether pixels pile up at an end of the scale, and whether it matters to the network.

    It does not where the normalisation cuts off at or before that end, and was fitted without those pixels: whatever
    the camera would have seen beyond, the network would be given the same.

    Parameters
    ----------
    histogram : Histogram
    how : Normalisation
    fitted : LinearMap
        What it became for this picture.

    Returns
    -------
    list of str
        ``saturated``, ``saturated_clipped``, or nothing.
    """
    if histogram.saturated_fraction <= MAX_SATURATED_FRACTION:
        return []
    ends = ((histogram.at_low, histogram.range.minimum, 0), (histogram.at_high, histogram.range.maximum, 1))
    seen = sum(count for count, value, end in ends if not _cut_off(count, value, end, histogram, how, fitted))
    return ["saturated" if seen > MAX_SATURATED_FRACTION * histogram.range.finite else "saturated_clipped"]


def _cut_off(count: int, value: float, end: int, histogram: Histogram, how: Normalisation, fitted: LinearMap) -> bool:
    """Tell whether the network is given the same for all that lies at or beyond an end (0 below, 1 above)."""
    if fitted.clip is None or how.method in ("minmax", "standard"):  # these are fitted to all pixels
        return False
    ranks = histogram.range.finite - 1
    percent = {"percentile": (how.low, how.high), "zscore": (how.low, how.high), "background": (50.0, 50.0)}
    if how.method in percent:
        rank = percent[how.method][end] / 100 * ranks
        if count > (ranks - math.ceil(rank) if end else math.floor(rank)):  # the fit rests on pixels of the pile
            return False
    shown = (value - fitted.offset) * fitted.gain
    return shown >= fitted.clip[1] if end else shown <= fitted.clip[0]


def rescale_factor(
    image: Micrograph, spec: InputSpec, *, rescale: bool, object_diameter_px: float | None
) -> tuple[float, tuple[str, ...]]:
    """Return how many network pixels an image pixel becomes, and flags.

    By pixel size where image and model both know theirs; else by the diameter of objects, if the user gave it; else 1.

    Raises
    ------
    InputError
        If the sizes are more than a factor of 8 apart.
    """
    factor = 1.0
    if image.pixel_size_um is not None and spec.pixel_size_um is not None:
        factor = image.pixel_size_um / spec.pixel_size_um
        told = f"{image.pixel_size_um:.4g} µm per pixel, the model's {spec.pixel_size_um:.4g}"
    elif object_diameter_px is not None and spec.object_diameter_px is not None:
        factor = spec.object_diameter_px / object_diameter_px
        told = f"objects of {object_diameter_px:.4g} px, the model's of {spec.object_diameter_px:.4g} px"
    if abs(factor - 1) <= SAME_SIZE_FRACTION:
        return 1.0, ()
    if not rescale:
        return 1.0, ("pixel_size_mismatch",)
    if not 1 / MAX_RESCALE <= factor <= MAX_RESCALE:
        raise InputError(
            f"The image has {told}: too far apart to be brought together.",
            "Check the pixel size, or choose a model for this magnification.",
            flag="pixel_size_mismatch",
        )
    return factor, ()
