"""Nuclei found in a fluorescent picture, real or predicted, of any size (Algorithm 2 of Pankova 2022, seed 004)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.axes import check_shape
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.progress import Progress, ProgressGenerator, run_to_end
from vitascope.ops.intensity.histogram import ValueRange, count_values, scan_range
from vitascope.ops.intensity.mixture import ThresholdMap, mixture_map, mixture_threshold
from vitascope.ops.intensity.threshold import (
    DEFAULT_BLOCK_PX,
    GlobalThreshold,
    iterative_threshold,
    local_reach_px,
    local_threshold,
    minimum_threshold,
)
from vitascope.ops.objects.measure import empty_table, intensity_table, shape_table
from vitascope.ops.objects.regions import Regions
from vitascope.ops.objects.split import REACH_DIAMETERS, fill_holes, split_touching
from vitascope.ops.tiling.chunks import read_piece

Method = Literal["local", "minimum", "iterative", "mixture", "mixture_regions"]
BLOCK_PX = 1536
REGION_DIAMETERS = 8.0
HOLE_AREA = 0.25
SMOOTHING_TRUNCATE = 4.0


@dataclass(frozen=True)
class SegmentParams:
    """How nuclei are told from background and from each other. Sizes are in typical nuclei.

    Parameters
    ----------
    threshold : {"local", "minimum", "iterative", "mixture", "mixture_regions"}
        ``local``: each pixel against the Gaussian-weighted mean around it. For the whole picture: ``minimum``, the
        valley of the histogram; ``iterative``, Algorithm 3; ``mixture``, the crossing of two Gaussians.
        ``mixture_regions``: the same for overlapping regions eight diameters wide.
    cut : float or None, 0 to 1
        For a predicted mask: what is brighter is inside, instead of any threshold and of ``min_contrast``.
    diameter_px : float or None, > 2, px
        Typical nucleus. None takes what the thesis's neighbourhood of 111 px stands for (30 px).
    block_diameters : float, > 0
        Side of the neighbourhood of the local threshold, in diameters.
    equal_variance : bool
        Equation 41 instead of 40 for the mixtures.
    min_contrast : float, 0 to 1
        What is not brighter than this is background, whatever the threshold says. The local threshold is relative:
        without a floor it finds "nuclei" in the noise of an empty background, which the thesis leaves to the filters
        of shape. 0 switches it off.
    smoothing_diameters : float, >= 0
        Standard deviation of a Gaussian blur before thresholding, in diameters; 0 switches it off.
    fill_holes : bool
        Fill holes of up to a quarter of a nucleus.
    split : bool
        Cut touching nuclei apart.
    min_area, max_area : float, >= 0
        Area of a nucleus, in areas of a circle of the typical diameter.
    max_length : float, > 0
        Longest side of the bounding box, in diameters. It bounds how far an object reaches over a block's border.
    min_solidity : float, 0 to 1
        Pixels over pixels of the convex hull.

    Raises
    ------
    ParameterError
        If a value lies outside its range.
    """

    threshold: Method = "local"
    cut: float | None = None
    diameter_px: float | None = None
    block_diameters: float = 3.7
    equal_variance: bool = False
    min_contrast: float = 0.1
    smoothing_diameters: float = 0.04
    fill_holes: bool = True
    split: bool = True
    min_area: float = 0.15
    max_area: float = 4.0
    max_length: float = 3.0
    min_solidity: float = 0.8

    def __post_init__(self) -> None:
        """Check every value against its range."""
        if self.threshold not in get_args(Method):
            raise ParameterError(f"'{self.threshold}' is no threshold.", f"Known: {', '.join(get_args(Method))}.")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= 0):
                raise ParameterError(f"{field.name} is {value}.", "Take a finite number that is not negative.")
        if self.diameter_px is not None and self.diameter_px <= 2:
            raise ParameterError(f"A nucleus of {self.diameter_px} px cannot be segmented.", "Take more than 2 px.")
        if self.block_diameters == 0 or self.max_length == 0:
            raise ParameterError("block_diameters and max_length cannot be 0.", "Take a positive number.")
        if self.min_area > self.max_area:
            raise ParameterError(
                f"The smallest area ({self.min_area}) exceeds the largest ({self.max_area}).", "Exchange them."
            )
        if self.cut is not None and self.cut > 1:
            raise ParameterError(f"A cut of {self.cut:g} leaves nothing: masks lie between 0 and 1.", "Take 0 to 1.")
        if self.min_solidity > 1 or self.min_contrast > 1:
            raise ParameterError("min_solidity and min_contrast lie between 0 and 1.", "Take a smaller number.")

    @property
    def nucleus_px(self) -> float:
        """Diameter of the typical nucleus, px, also where it was not given."""
        return DEFAULT_BLOCK_PX / self.block_diameters if self.diameter_px is None else self.diameter_px

    @property
    def block_px(self) -> int:
        """Side of the neighbourhood of the local threshold, px, odd; 111 where the diameter was not given."""
        return max(3, 2 * round((self.block_diameters * self.nucleus_px - 1) / 2) + 1)

    @property
    def nucleus_px2(self) -> float:
        """Area of the typical nucleus, px²."""
        return math.pi * self.nucleus_px**2 / 4

    @property
    def margin_px(self) -> int:
        """How far beyond a block must be read for the objects whose centroid lies in it, px.

        An object may reach ``max_length`` out; a neighbour as long may shape it; where that is cut and thresholded
        depends on a little more.
        """
        reach = 2 * self.max_length + REACH_DIAMETERS
        smoothing = int(SMOOTHING_TRUNCATE * self.smoothing_diameters * self.nucleus_px + 0.5)
        local = local_reach_px(self.block_px) if self.threshold == "local" and self.cut is None else 0
        return math.ceil(reach * self.nucleus_px) + smoothing + local


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Objects of a picture.

    Parameters
    ----------
    labels : array, shape (Y, X), uint32, numpy or what was given to write to
        0 is background, objects are 1…N without gaps.
    table : DataFrame, N rows
        As of :func:`vitascope.ops.objects.measure.measure_objects`; row k is label k + 1.
    threshold : GlobalThreshold or None
        The threshold of the whole picture, where one was used.
    flags : tuple of str
        ``no_objects``, ``constant``, ``nan_masked``, ``no_finite_pixels``.
    """

    labels: Any
    table: pd.DataFrame
    threshold: GlobalThreshold | None
    flags: tuple[str, ...]


@dataclass(frozen=True)
class _Cutoff:
    """What each pixel of a window is compared with."""

    whole: GlobalThreshold | None = None
    regions: ThresholdMap | None = None
    masked: bool = False

    def at(
        self, values: NDArray[np.float32], finite: NDArray[np.bool_], window: Window, params: SegmentParams
    ) -> NDArray[np.float32] | float:
        if params.cut is not None:
            return params.cut
        if self.whole is not None:
            return max(self.whole.value, params.min_contrast)
        if self.regions is not None:
            level = self.regions.window(*window)
        else:
            level = local_threshold(values, params.block_px, finite=finite if self.masked else None)
        return np.maximum(level, np.float32(params.min_contrast)) if params.min_contrast else level


Window = tuple[slice, slice]


def segment(picture: Any, params: SegmentParams | None = None, *, pixel_size_um: float | None = None) -> Segmentation:
    """Find and measure nuclei in a picture, in one go; see :func:`segment_blocks`.

    Examples
    --------
    >>> y, x = np.mgrid[:60, :60]
    >>> disks = ((y - 30) ** 2 + (x - 20) ** 2 < 64) | ((y - 30) ** 2 + (x - 42) ** 2 < 64)
    >>> found = segment(disks.astype(np.float32), SegmentParams(diameter_px=16))
    >>> found.table["centroid_x_px"].round().tolist()
    [20.0, 42.0]
    """
    return run_to_end(segment_blocks(picture, params, pixel_size_um=pixel_size_um))


def segment_blocks(
    picture: Any,
    params: SegmentParams | None = None,
    *,
    pictures: Mapping[str, Any] | None = None,
    labels: Any = None,
    pixel_size_um: float | None = None,
    block_px: int = BLOCK_PX,
) -> ProgressGenerator[Segmentation]:
    """Find and measure nuclei in a picture of any size, block by block.

    Algorithm 2: threshold, fill holes, (ours) cut touching nuclei, leave out what is too small, too large or not
    convex. The picture is cut into a fixed grid of blocks, each read with a margin (``params.margin_px``). An object
    belongs to the block that its centroid lies in and is written whole. Masks and numbers are those of one block as
    large as the picture; labels count block by block, row by row of blocks, within a block by first pixel.

    Parameters
    ----------
    picture : numpy, dask or zarr array, shape (Y, X), real
        Normalised: background about 0, the brightest nuclei about 1. Pixels that are not finite are background.
    params : SegmentParams, optional
    pictures : mapping of channel name to array, shape (Y, X), optional
        Where intensities are measured, numpy, dask or zarr.
    labels : array, shape (Y, X), uint32, all 0, optional
        Where to write, such as a zarr array; by default a new numpy array.
    pixel_size_um : float or None, > 0, micrometre
    block_px : int, >= 1, px
        Side of a block; memory grows with it.

    Yields
    ------
    Progress
        After each block.

    Returns
    -------
    Segmentation

    Raises
    ------
    InputError
        If the picture is no plane, has no pixels, or another shape than ``pictures`` or ``labels``.
    ParameterError
        If ``block_px`` is not positive.

    References
    ----------
    Pankova 2022 (seed 004), Algorithm 2 and section 3.2.3.1.
    """
    params = params or SegmentParams()
    pictures = pictures or {}
    _check(picture, pictures, labels, block_px)
    shape = (int(picture.shape[0]), int(picture.shape[1]))
    labels = np.zeros(shape, np.uint32) if labels is None else labels
    cutoff, values = yield from _find_cutoff(picture, params)
    tables = [empty_table(list(pictures))]
    count = 0
    blocks = [] if values.constant or not values.finite else list(_grid(shape, block_px, params.margin_px))
    for done, (core, window) in enumerate(blocks, 1):
        found = _segment_window(picture, core, window, params, cutoff)
        table = _write_objects(found, window, labels, pictures, pixel_size_um, count)
        count += len(table)
        tables.append(table)
        yield Progress(done, len(blocks), "Finding nuclei")
    table = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
    return Segmentation(labels, table, cutoff.whole, _flags(values, count))


def _check(picture: Any, pictures: Mapping[str, Any], labels: Any, block_px: int) -> None:
    if len(picture.shape) != 2:
        raise InputError(
            f"A picture of shape {tuple(picture.shape)} cannot be segmented.",
            "Give one plane.",
            flag="wrong_dimensions",
        )
    check_shape(picture.shape)
    for name, other in {**pictures, **({} if labels is None else {"labels": labels})}.items():
        if tuple(other.shape) != tuple(picture.shape):
            raise InputError(
                f"'{name}' has shape {tuple(other.shape)}, the picture {tuple(picture.shape)}.",
                "Give pictures of the same field.",
                flag="wrong_dimensions",
            )
    if block_px < 1:
        raise ParameterError(f"Blocks of {block_px} px cannot be cut.", "Take a positive number.")


def _flags(values: ValueRange, count: int) -> tuple[str, ...]:
    said = {
        "no_finite_pixels": values.finite == 0,
        "constant": values.constant,
        "nan_masked": 0 < values.finite < values.pixels,
        "no_objects": count == 0,
    }
    return tuple(word for word, holds in said.items() if holds)


def _find_cutoff(picture: Any, params: SegmentParams) -> ProgressGenerator[tuple[_Cutoff, ValueRange]]:
    """Learn of the whole picture what its blocks must agree on."""
    if params.threshold == "local" or params.cut is not None:
        values = yield from scan_range(picture)
        return _Cutoff(masked=values.finite < values.pixels), values
    counted = yield from count_values(picture)
    values = counted.range
    if params.threshold == "mixture_regions":
        region_px = math.ceil(REGION_DIAMETERS * params.nucleus_px)
        regions = yield from mixture_map(picture, counted, region_px, params.equal_variance)
        return _Cutoff(regions=regions), values
    if params.threshold == "mixture":
        return _Cutoff(mixture_threshold(counted, params.equal_variance)), values
    find = minimum_threshold if params.threshold == "minimum" else iterative_threshold
    return _Cutoff(find(counted)), values


def _grid(shape: tuple[int, int], block_px: int, margin_px: int) -> Iterator[tuple[Window, Window]]:
    """Cores that cover the picture once, row by row, and what is read for each."""
    for top in range(0, shape[0], block_px):
        for left in range(0, shape[1], block_px):
            bottom, right = min(top + block_px, shape[0]), min(left + block_px, shape[1])
            rows = slice(max(0, top - margin_px), min(shape[0], bottom + margin_px))
            columns = slice(max(0, left - margin_px), min(shape[1], right + margin_px))
            yield (slice(top, bottom), slice(left, right)), (rows, columns)


def _segment_window(picture: Any, core: Window, window: Window, params: SegmentParams, cutoff: _Cutoff) -> Regions:
    """Return the objects that belong to a block, in coordinates of its window."""
    values = read_piece(picture, window).astype(np.float32)
    finite = np.isfinite(values)
    values[~finite] = 0
    if params.smoothing_diameters and params.cut is None:  # a blur would move the edge that the cut was chosen for
        sigma = params.smoothing_diameters * params.nucleus_px
        values = ndimage.gaussian_filter(values, sigma, truncate=SMOOTHING_TRUNCATE)
    mask = (values > cutoff.at(values, finite, window, params)) & finite
    if params.fill_holes:
        mask = fill_holes(mask, HOLE_AREA * params.nucleus_px2)
    if params.split:
        origin = (window[0].start, window[1].start)
        length_px = params.max_length * params.nucleus_px
        pieces = split_touching(mask, values, params.nucleus_px, length_px, origin)
    else:
        pieces, _ = ndimage.label(mask)
    return _keep_nuclei(Regions.of(pieces), core, window, params)


def _keep_nuclei(regions: Regions, core: Window, window: Window, params: SegmentParams) -> Regions:
    """Select what belongs to the block and looks like a nucleus (step 4 of Algorithm 2), in order of first pixel."""
    area = regions.area_px
    keep = (area >= params.min_area * params.nucleus_px2) & (area <= params.max_area * params.nucleus_px2)
    keep &= regions.extent_px <= params.max_length * params.nucleus_px
    for centre, inside, read in zip(regions.centroid_yx_px, core, window, strict=True):
        place = np.floor(centre + 0.5) + read.start
        keep &= (place >= inside.start) & (place < inside.stop)
    regions = regions.select(keep)
    regions = regions.select(regions.area_px >= params.min_solidity * regions.hull_area_px())
    return regions.sorted_by_place()


def _write_objects(
    found: Regions,
    window: Window,
    labels: Any,
    pictures: Mapping[str, Any],
    pixel_size_um: float | None,
    count: int,
) -> pd.DataFrame:
    """Write the objects of a block into the labels, never over others, and measure them as written."""
    if not len(found):
        return empty_table(list(pictures))
    top, left = int(found.y.min()), int(found.x.min())
    bottom, right = int(found.y.max()) + 1, int(found.x.max()) + 1
    origin = (window[0].start + top, window[1].start + left)
    place = (slice(origin[0], origin[0] + bottom - top), slice(origin[1], origin[1] + right - left))
    patch = np.zeros((bottom - top, right - left), np.uint32)
    patch[found.y - top, found.x - left] = found.index + 1
    there = np.asarray(labels[place])
    patch[there != 0] = 0
    written = Regions.of(patch)
    number = np.zeros(len(found) + 1, np.uint32)
    number[written.labels] = np.arange(count + 1, count + 1 + len(written))
    patch = number[patch]
    labels[place] = np.where(patch > 0, patch, there)
    written = Regions(number[written.labels].astype(np.int64), written.starts, written.y, written.x)
    shapes = shape_table(patch, written, pixel_size_um=pixel_size_um, origin_yx_px=origin)
    values = {name: read_piece(other, place) for name, other in pictures.items()}
    return pd.concat([shapes, intensity_table(written, values)], axis=1)
