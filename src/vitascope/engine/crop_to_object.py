"""What a network of wells or spheroids sees of an image: the thing is found, cut out and brought to one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec
from vitascope.core.errors import InputError
from vitascope.engine.preprocess import MAX_NAN_FRACTION, MAX_SATURATED_FRACTION
from vitascope.ops.intensity.histogram import PILE, histogram
from vitascope.ops.intensity.rank import median
from vitascope.ops.wells.light import ground_surface
from vitascope.ops.wells.locate import central_square, find_spheroid, find_well
from vitascope.ops.wells.squares import Region, Squares, cut_square, well_mask

FINDERS = {"well": find_well, "spheroid": find_spheroid, "centre": central_square}


@dataclass(frozen=True)
class CroppedObject:
    """A square cut out of an image.

    Parameters
    ----------
    planes : list of array, each (side, side), float32
        In grey values of the image, or in shares of the ground's light where the card evens it; what is not part of a
        well, or lies outside the image, has the median of the rest, or 1.
    square : Squares
        Of the middle plane, as it was given.
    inside : array of bool, shape (side, side)
        What of the square lies in the image.
    flags : tuple of str
    """

    planes: list[NDArray[np.float32]]
    square: Squares
    inside: NDArray[np.bool_]
    flags: tuple[str, ...]

    @property
    def region(self) -> Region:
        """Where the square lies on the image."""
        return self.square.region


def crop_to_object(
    planes: Sequence[Any], spec: InputSpec, region: Region | None = None, sides_px: Sequence[int] = ()
) -> CroppedObject:
    """Find what a model looks at and cut it out; the same in training and in a run.

    Parameters
    ----------
    planes : sequence of array, each (Y, X)
        One per network channel; the middle one is looked at.
    spec : InputSpec
        With ``find`` and ``side_px``.
    region : Region, optional
        To cut out instead of what is found.
    sides_px : sequence of int
        Further sizes that the square of the middle plane will be asked for.

    Raises
    ------
    InputError
        If no pixel, or less than 90 % of them, is finite, or light is measured against a ground that is not above 0.
    """
    assert spec.side_px is not None
    given, middle = [np.asarray(plane) for plane in planes], len(planes) // 2
    arrays, flags = [], []
    for plane in given:
        array, found = _finite(plane)
        arrays.append(array)
        flags += found
    if region is None:
        region = FINDERS[spec.crop_to](arrays[middle])
    window = _window(region, arrays[0].shape)
    if any(_saturated(array[window]) for array in arrays):
        flags.append("saturated")
    square = Squares(given[middle], region, (spec.side_px, *sides_px))
    cut = [
        square.at(spec.side_px) if array is square.picture else cut_square(array, region, spec.side_px)
        for array in arrays
    ]
    inside = np.isfinite(cut[0])
    shown = inside & well_mask(spec.side_px) if spec.crop_to == "well" else inside
    if not shown.any():
        shown = inside
    if spec.ground == "even":
        filled = [_evened(c, shown) for c in cut]
    else:
        grounds = [np.float32(median(c[shown])) for c in cut]
        if spec.normalisation.method == "background" and not grounds[0] > 0:
            raise _no_light()
        filled = [np.where(shown, c, ground) for c, ground in zip(cut, grounds, strict=True)]
    return CroppedObject(filled, square, inside, tuple(dict.fromkeys([*flags, *region.flags])))


def _evened(square: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Divide a square by the light of its ground; 1 where nothing is shown."""
    ground = ground_surface(square, shown)
    if ground is None:
        raise _no_light()
    return np.where(shown, square / ground, np.float32(1))


def _no_light() -> InputError:
    return InputError(
        "The background of the image is not above 0, and light is measured against it.",
        "Give the picture as the camera took it, with no background subtracted.",
    )


def _finite(plane: NDArray[Any]) -> tuple[NDArray[Any], list[str]]:
    """Fill what is not finite by the median, and flag what the grey values call for."""
    flags = []
    if plane.dtype.kind == "f":
        finite = np.isfinite(plane)
        share = 1 - float(finite.mean())
        if share == 1:
            raise InputError(
                "No pixel of the image is a finite number.", "Check how it was saved.", flag="no_finite_pixels"
            )
        if share > MAX_NAN_FRACTION:
            raise InputError(
                f"{share:.0%} of the pixels are not finite numbers; up to 10 % can be treated as background.",
                "Check how the image was saved or registered, or crop it.",
                flag="too_many_nan",
            )
        if share > 0:
            plane = np.where(finite, plane, np.median(plane[finite]))
            flags.append("nan_masked")
    low, high = plane.min(), plane.max()
    if low == high:
        raise InputError("The image has one single value: there is nothing to see.", "Check the file.", flag="constant")
    return plane, flags


def _saturated(pixels: NDArray[Any]) -> bool:
    """Tell whether more than 1 % of the pixels pile up at an end of the values, see ``piled_up``.

    All grey values are counted only where the ends do not tell that there are too few, or no more than beside them.
    """
    low, high = pixels.min(), pixels.max()
    ends = [(high, -1), *([(low, 1)] if low <= 0 else [])]
    if sum(_at_end(pixels, *end) for end in ends) <= MAX_SATURATED_FRACTION * pixels.size:
        return False
    return histogram(pixels).saturated_fraction > MAX_SATURATED_FRACTION


def _at_end(pixels: NDArray[Any], value: Any, inwards: int) -> int:
    """Return how many pixels may pile up at an end of their values; 0 where the number of the next value denies it."""
    count = np.count_nonzero(pixels == value)
    if pixels.dtype.kind in "iu" and count <= PILE * np.count_nonzero(pixels == int(value) + inwards):
        return 0
    return int(count)


def _window(region: Region, shape_yx: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the pixels of a picture that lie in a square, at least one row and column."""
    rows, columns = (
        slice(start := min(max(0, math.floor(first)), length - 1), max(start + 1, math.ceil(first + region.side)))
        for first, length in zip((region.top, region.left), shape_yx, strict=True)
    )
    return rows, columns


def back_on_image(
    values: NDArray[np.floating[Any]], region: Region, shape_yx: tuple[int, int], outside: float
) -> NDArray[np.float32]:
    """Lay a grid of cells that spans a square back on the image, each pixel taking its cell's value.

    Parameters
    ----------
    values : array, shape (g, g)
    region : Region
    shape_yx : tuple of int
        Of the image.
    outside : float
        For pixels that lie in no cell.

    Returns
    -------
    array, shape (Y, X), float32
    """
    rows, columns = (
        cell_of_pixels(start, region.side, len(values), n)
        for start, n in zip((region.top, region.left), shape_yx, strict=True)
    )
    found = np.asarray(values, np.float32)[np.maximum(rows, 0)][:, np.maximum(columns, 0)]
    known = (rows >= 0)[:, None] & (columns >= 0)[None]
    return np.where(known, found, np.float32(outside))


def cell_of_pixels(start: float, side: float, cells: int, length: int) -> NDArray[np.intp]:
    """Return in which cell of a side each pixel's centre lies; -1 for none."""
    index = np.floor((np.arange(length) + 0.5 - start) / side * cells).astype(np.intp)
    return np.where((index >= 0) & (index < cells), index, -1)
