"""PNG, JPEG and BMP pictures as images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs

from vitascope.core.errors import IncompleteError, ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.io.filenames.expand import persistently, unreadable
from vitascope.io.filenames.parse import split_suffix
from vitascope.io.images.lazy import FileArray
from vitascope.io.images.limits import EAGER_BYTES, check_declared, check_memory, count_bytes

_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM"
_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


def open_raster(path: Path, axes: str | None = None, eager_bytes: int = EAGER_BYTES) -> Micrograph:
    """Open a picture of one plane; its pixel size is never known, for dots per inch are those of a printer.

    Parameters
    ----------
    path : Path
    axes : str, optional
        ``YX``, or ``YXS`` for colour.
    eager_bytes : int
        Up to this size the pixels are read at once; larger grey pictures stay in the file (dask).

    Returns
    -------
    Micrograph

    Raises
    ------
    ReaderError
        If the file is empty, damaged, too large or something else.
    IncompleteError
        If it ends before its pixels do.
    InputError
        If it is a colour picture.
    """
    try:
        data = persistently(path.read_bytes)
        shape, dtype = _header(path.name, data)
        if shape[2] <= 2 and count_bytes(shape[:2], dtype) > eager_bytes:
            array = RasterFile(path, shape[:2], dtype).to_dask(shape[:2])
        else:
            array = _decode(data)
    except VitascopeError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error
    axes = axes or ("YXS" if array.ndim == 3 else "YX")
    return Micrograph.from_array(array, axes=axes, name=split_suffix(path.name)[0], sources=(str(path),))


class RasterFile(FileArray):
    """A grey picture that stays in its file; every part read decodes the whole of it."""

    def read(self, key: tuple[slice, ...]) -> Any:
        """Decode the picture and cut a part out of it."""
        return _decode(self.path.read_bytes())[key]


def _header(name: str, data: bytes) -> tuple[tuple[int, int, int], str]:
    """Read height, width and samples, and the number type, and refuse what is too large."""
    if not data:
        raise ReaderError(f"'{name}' is empty (0 bytes).", "Copy it again from its source.")
    if data.startswith(_PNG):
        shape, dtype = _png_sides(data)
    elif data.startswith(_JPEG):
        shape, dtype = _jpeg_sides(name, data)
    elif data.startswith(_BMP):
        shape, dtype = _bmp_sides(data)
    else:
        raise ReaderError(
            f"'{name}' is no PNG, JPEG or BMP picture, whatever its name says.", "Check what it is, or save it again."
        )
    check_declared(name, shape, dtype, len(data))
    check_memory(name, shape, dtype)
    return shape, dtype


def _decode(data: bytes) -> Any:
    if data.startswith(_PNG):
        array = imagecodecs.png_decode(data)
    else:
        array = imagecodecs.jpeg_decode(data) if data.startswith(_JPEG) else imagecodecs.bmp_decode(data)
    return array[..., 0] if array.ndim == 3 and array.shape[2] <= 2 else array  # grey, or grey and transparency


def _png_sides(data: bytes) -> tuple[tuple[int, int, int], str]:
    """Read height, width and samples from the header, PNG specification section 11.2.2."""
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return (height, width, _PNG_SAMPLES.get(data[25], 4)), "uint16" if data[24] == 16 else "uint8"


def _bmp_sides(data: bytes) -> tuple[tuple[int, int, int], str]:
    width, height = (int.from_bytes(data[i : i + 4], "little", signed=True) for i in (18, 22))
    return (abs(height), abs(width), 3), "uint8"


def _jpeg_sides(name: str, data: bytes) -> tuple[tuple[int, int, int], str]:
    """Read the frame header (ITU-T T.81, B.2.2), and check that the picture has an end: decoders fill it with grey."""
    sides: tuple[int, int, int] = (0, 0, 0)
    position = 2
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[position + i : position + i + 2], "big") for i in (5, 7))
            sides = (height, width, data[position + 9])
        if marker == 0xDA:
            break
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if data.rfind(b"\xff\xd9") <= position or 0 in sides:
        raise IncompleteError(f"'{name}' ends before its pixels do.", "Copy it again from its source.")
    return sides, "uint8"
