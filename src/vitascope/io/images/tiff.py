"""TIFF, OME-TIFF, ImageJ and MetaMorph files as images, large ones lazily."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from vitascope.core.errors import IncompleteError, InputError, ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.io.filenames.expand import persistently, unreadable
from vitascope.io.filenames.parse import split_suffix
from vitascope.io.images.lazy import FileArray
from vitascope.io.images.limits import EAGER_BYTES, check_declared, check_memory, count_bytes
from vitascope.io.images.tiff_metadata import OmeImage, read_ome, read_scale
from vitascope.io.images.tiff_validation import check_structure
from vitascope.io.images.units import Scale

_COLOUR = (2, 5, 6, 8, 9, 10)  # RGB, CMYK, YCbCr and the Lab kinds


def open_tiff(path: Path, axes: str | None = None, eager_bytes: int = EAGER_BYTES) -> Micrograph:
    """Open the image of a TIFF file.

    Pages whose meaning the file does not tell are planes of a stack. Of a file with images of several sizes the
    largest is taken.

    Parameters
    ----------
    path : Path
    axes : str, optional
        One letter per dimension of what the file holds, where it does not tell or tells it wrong.
    eager_bytes : int
        Up to this size the pixels are read at once; larger images stay in the file (dask).

    Returns
    -------
    Micrograph
        With pixel size, z step and channel names where the file tells them.

    Raises
    ------
    ReaderError
        If the file is no TIFF, damaged, too large, or packed in a way that is not known.
    IncompleteError
        If planes are missing, or the file ends before its pixels do.
    InputError
        If it is a colour picture, or has more than five dimensions.
    """
    try:
        return persistently(lambda: _open(path, axes, eager_bytes))
    except VitascopeError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error


@contextmanager
def quiet_tifffile() -> Iterator[None]:
    """Keep tifffile's log lines of this thread from the user: what matters is checked and said in words."""
    thread = threading.get_ident()

    def other_threads_only(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("tifffile")
    logger.addFilter(other_threads_only)
    try:
        yield
    finally:
        logger.removeFilter(other_threads_only)


def _open(path: Path, axes: str | None, eager_bytes: int) -> Micrograph:
    pages = check_structure(path)
    with ExitStack() as stack:
        stack.enter_context(quiet_tifffile())
        tif = stack.enter_context(tifffile.TiffFile(path))
        ome = read_ome(tif.pages.first.description, path.name) if tif.is_ome else None
        if ome is not None and ome.elsewhere:
            # The pages at hand are read as a stack: no other file is opened because this one names it.
            tif = stack.enter_context(tifffile.TiffFile(path, is_ome=False))
        series = _main_series(tif, path)
        _check_whole(tif, series, ome, pages, path)
        letters = _axes_of(series, path) if axes is None else axes
        scale = ome.scale if ome is not None else read_scale(tif)
        return _micrograph(path, _pixels(series, path, eager_bytes), letters, scale)


def _micrograph(path: Path, array: Any, axes: str, scale: Scale) -> Micrograph:
    channels = array.shape[axes.upper().index("C")] if "C" in axes.upper() and len(axes) == array.ndim else 1
    return Micrograph.from_array(
        array,
        axes=axes,
        pixel_size_um=scale.pixel_size_um,
        z_step_um=scale.z_step_um,
        channel_names=scale.channel_names if len(scale.channel_names) == channels else (),
        name=split_suffix(path.name)[0],
        sources=(str(path),),
        flags=scale.flags,
    )


def _main_series(tif: Any, path: Path) -> Any:
    """Take the series of the largest planes; smaller ones beside it are previews and labels."""
    series = [one for one in tif.series if one.size > 0 and {"Y", "X"} <= set(one.axes)]
    if not series:
        raise ReaderError(f"'{path.name}' holds no image.", "Save it as TIFF again.")
    areas = [one.shape[one.axes.index("Y")] * one.shape[one.axes.index("X")] for one in series]
    largest = [one for one, area in zip(series, areas, strict=True) if area == max(areas)]
    if len(largest) > 1:
        raise ReaderError(
            f"'{path.name}' holds {len(largest)} images of the same size.", "Save each of them as a file of its own."
        )
    return largest[0]


def _check_whole(tif: Any, series: Any, ome: OmeImage | None, pages: int, path: Path) -> None:
    """Refuse a file that promises more than it holds: readers put zeros where planes are missing."""
    held, promised = len(series.pages) - sum(page is None for page in series.pages), len(series.pages)
    if ome is not None and not ome.elsewhere and ome.images == 1 and ome.planes > pages:
        held, promised = pages, ome.planes
    if tif.is_imagej:
        stated = int((tif.imagej_metadata or {}).get("images", 1))
        planes = math.prod(side for side, axis in zip(series.shape, series.axes, strict=True) if axis not in "YXS")
        if stated > planes:
            held, promised = planes, stated
    if held < promised:
        raise IncompleteError(
            f"{promised - held} of {promised} planes of '{path.name}' are missing.", "Export it again from its source."
        )
    size = path.stat().st_size
    keyframe = series.keyframe
    check_declared(path.name, series.shape, series.dtype, size)
    packed = keyframe.compression != 1 or keyframe.bitspersample % 8
    if not packed and (series.dataoffset or 0) + count_bytes(series.shape, series.dtype) > size:
        raise IncompleteError(
            f"'{path.name}' holds fewer pixels than it declares: {series.shape} of {series.dtype}.",
            "Copy it again from its source.",
        )
    _check_codec(keyframe, path)


def _check_codec(page: Any, path: Path) -> None:
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except KeyError as error:
        codec = getattr(page.compression, "name", str(page.compression))
        raise ReaderError(
            f"'{path.name}' is packed with '{codec}', which cannot be unpacked here.",
            "Save it uncompressed, or with LZW or deflate.",
        ) from error


def _axes_of(series: Any, path: Path) -> str:
    """Turn tifffile's letters into TCZYX and S; those that tell nothing become Z, then C, then T."""
    letters = list(series.axes)
    if "S" in letters and int(series.keyframe.photometric) not in _COLOUR:
        letters[letters.index("S")] = "C" if "C" not in letters else "Q"
    unknown = [i for i, letter in enumerate(letters) if letter not in "TCZYXS"]
    free = [letter for letter in "TCZ" if letter not in letters]
    if len(unknown) > len(free):
        raise InputError(
            f"'{path.name}' has {len(letters)} dimensions ({series.axes}); 2 to 5 can be read.",
            "Save one field or one time series.",
            flag="wrong_dimensions",
        )
    for i, letter in zip(unknown, free[len(free) - len(unknown) :], strict=True):
        letters[i] = letter
    return "".join(letters)


def _pixels(series: Any, path: Path, eager_bytes: int) -> Any:
    if count_bytes(series.shape, series.dtype) <= eager_bytes:
        check_memory(path.name, series.shape, series.dtype)
        return series.asarray()
    keyframe = series.keyframe
    if series.dataoffset is not None:
        source: FileArray = ContiguousTiff(
            path, series.shape, series.dtype.newbyteorder(series.parent.byteorder), series.dataoffset
        )
        chunks = (1,) * (len(series.shape) - 2) + (512, series.shape[-1])
    elif series.shape[len(series.shape) - len(keyframe.shape) :] == keyframe.shape:
        source = PagedTiff(path, series.shape, series.dtype, [page.index for page in series.pages], len(keyframe.shape))
        chunks = (1,) * (len(series.shape) - len(keyframe.shape)) + tuple(keyframe.chunks)[-len(keyframe.shape) :]
    else:
        check_memory(path.name, series.shape, series.dtype)
        return series.asarray()
    return source.to_dask(chunks)


class ContiguousTiff(FileArray):
    """Pixels that lie in a file one after the other, uncompressed.

    Parameters
    ----------
    path : Path
    shape : sequence of int
    dtype : dtype
        With the byte order of the file.
    offset : int
        Where the first pixel stands.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: Any, offset: int) -> None:
        super().__init__(path, shape, dtype)
        self.offset = offset

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Copy a part out of the mapped file."""
        if self.path.stat().st_size < self.offset + count_bytes(self.shape, self.dtype):
            raise IncompleteError(
                f"'{self.path.name}' was cut off since it was opened.", "Copy it again from its source."
            )
        mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
        return np.array(mapped[key])


class PagedTiff(FileArray):
    """Pixels in the strips or tiles of pages.

    Parameters
    ----------
    path : Path
    shape : sequence of int
        Leading axes, then those of one page.
    dtype : dtype
    pages : sequence of int
        Page for each position of the leading axes, in C order.
    page_ndim : int
        Dimensions of one page.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: Any, pages: Sequence[int], page_ndim: int) -> None:
        super().__init__(path, shape, dtype)
        self.lead = self.ndim - page_ndim
        self.pages = np.asarray(pages, np.int64).reshape(self.shape[: self.lead])

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Decode the strips or tiles that a part touches."""
        import zarr

        within = key[self.lead :]
        indices = self.pages[key[: self.lead]]
        out = np.empty((*indices.shape, *(part.stop - part.start for part in within)), self.dtype)
        with quiet_tifffile(), tifffile.TiffFile(self.path) as tif:
            for position in itertools.product(*(range(side) for side in indices.shape)):
                page = tif.pages[int(indices[position])]
                with page.aszarr() as store:
                    out[position] = zarr.open_array(store, mode="r")[within]
        return out
