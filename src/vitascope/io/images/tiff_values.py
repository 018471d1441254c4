"""What stored numbers mean: TIFF tags that turn white into black, or look values up in a table.

References
----------
TIFF 6.0 specification, sections 4, 5 and 19 (PhotometricInterpretation, ColorMap, SampleFormat).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError

COLOUR = (2, 5, 6, 8, 9, 10)
"""PhotometricInterpretation of RGB, CMYK, YCbCr and the Lab kinds."""

_WHITE_IS_ZERO, _PALETTE = 0, 3
_NOT_GREY = {32803: "a raw colour mosaic of a camera", 32844: "in LogL", 32845: "in LogLuv"}
_ONE_STEP = 257
"""Of a table of 16 bit that shows 8 bit."""


def as_told(array: Any, page: Any, name: str, *, imagej: bool = False) -> tuple[Any, tuple[str, ...]]:
    """Turn stored values into grey values, as the tags of their page say.

    Parameters
    ----------
    array : numpy or dask array
        As stored.
    page : tifffile.TiffPage
    name : str
        Of the file.
    imagej : bool
        Whether ImageJ wrote the file: its tables are for display, and the stored values are those measured.

    Returns
    -------
    tuple
        The array, and flags: ``palette_ignored`` where a table of colours was left aside.

    Raises
    ------
    InputError
        If the stored values are no amounts: indices of colours, a colour mosaic, or fractions with white at zero.
    """
    photometric = int(page.photometric)
    if photometric == _WHITE_IS_ZERO:
        return _inverted(array, int(page.bitspersample), name), ()
    if photometric == _PALETTE and page.colormap is not None:
        return _looked_up(array, np.asarray(page.colormap), name, imagej)
    if photometric in _NOT_GREY:
        raise InputError(
            f"'{name}' is {_NOT_GREY[photometric]}, not grey values.", "Export it as grey values.", flag="colour_image"
        )
    return array, ()


def _inverted(array: Any, bits: int, name: str) -> Any:
    """Turn values whose zero is white: the largest that the bits allow becomes zero."""
    dtype = np.dtype(array.dtype)
    if dtype.kind == "b":
        return ~array
    if dtype.kind == "i":
        return ~array
    if dtype.kind == "u":
        return np.array(2 ** min(bits, 8 * dtype.itemsize) - 1, dtype) - array
    raise InputError(
        f"'{name}' says that zero is white, but has fractions, of which nothing tells what black is.",
        "Save it with black at zero.",
        flag="wrong_dtype",
    )


def _looked_up(array: Any, table: NDArray[Any], name: str, imagej: bool) -> tuple[Any, tuple[str, ...]]:
    """Read values through a table of 16-bit red, green and blue, shape (3, 2**bits)."""
    red, green, blue = (channel.astype(np.int64) for channel in table)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        grey = red if red.max() < 256 else red // 256 if _holds_8_bit(red) else red
        if np.array_equal(grey, np.arange(grey.size)):
            return array, ()
        values = grey.astype("uint8" if grey.max() < 256 else "uint16")
        if hasattr(array, "map_blocks"):
            return array.map_blocks(partial(np.take, values), dtype=values.dtype), ()
        return values[array], ()
    if _is_ramp(table):
        return array, ()
    if imagej:
        return array, ("palette_ignored",)
    raise InputError(
        f"'{name}' is a colour picture: its values are numbers of colours in a table.",
        "Give the grey camera image.",
        flag="colour_image",
    )


def _holds_8_bit(grey: NDArray[Any]) -> bool:
    return bool(np.all(grey % _ONE_STEP == 0) or np.all(grey % 256 == 0))


def _is_ramp(table: NDArray[Any]) -> bool:
    """Tell whether a table shows the values in brightness of one hue, such as green: they are amounts then."""
    steps = np.arange(table.shape[1]) / max(table.shape[1] - 1, 1)
    return all(np.allclose(channel, steps * channel[-1], atol=_ONE_STEP) for channel in table.astype(float))
