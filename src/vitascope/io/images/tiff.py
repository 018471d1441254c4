"""TIFF, OME-TIFF, ImageJ and MetaMorph files as images, large ones lazily."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from vitascope.core.axes import UNKNOWN, complete_axes
from vitascope.core.errors import IncompleteError, InputError, ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.io.filenames.expand import persistently, unreadable
from vitascope.io.filenames.parse import split_suffix
from vitascope.io.images.lazy import FileArray
from vitascope.io.images.limits import EAGER_BYTES, check_declared, check_memory, count_bytes
from vitascope.io.images.ome_planes import OmePart, check_whole, find_part
from vitascope.io.images.ome_xml import read_ome
from vitascope.io.images.tiff_log import quiet_tifffile
from vitascope.io.images.tiff_metadata import read_scale
from vitascope.io.images.tiff_validation import check_structure, count_spare_bytes
from vitascope.io.images.tiff_values import COLOUR, as_told
from vitascope.io.images.units import Scale

_KNOWN = "TCZYXSIQ" + UNKNOWN  # tifffile calls what nothing tells I (pages) or Q
_ALPHA = (1, 2)
_OTHER_AXES = {
    "P": "positions", "R": "regions", "M": "tiles of a mosaic", "E": "wavelengths", "L": "wavelengths", "A": "angles",
    "H": "lifetimes", "V": "views",
}  # fmt: skip


def open_tiff(path: Path, axes: str | None = None, eager_bytes: int = EAGER_BYTES) -> Micrograph:
    """Open the image of a TIFF file.

    What OME-XML, ImageJ and other writers say of the pages is used; where nothing tells what they are, the axes must be
    given. Values become what the tags say they mean. Of a file with images of several sizes the largest is taken.

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
        If planes are missing or lie in another file, or the file ends before its pixels do.
    AxesUnknownError
        If nothing tells what a third dimension is.
    InputError
        If it is a colour picture, or has more than five dimensions.
    """
    try:
        return persistently(lambda: _open(path, axes, eager_bytes))
    except VitascopeError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error


def _open(path: Path, axes: str | None, eager_bytes: int) -> Micrograph:
    pages = check_structure(path)
    with quiet_tifffile(), tifffile.TiffFile(path) as tif:
        if tif.is_ome:
            part = find_part(path, read_ome(tif.pages.first.description, path.name), pages)
            check_whole(part, pages)
            series, scale = _ome_series(tif, part), part.image.scale
        else:
            series, scale = _main_series(tif, path), read_scale(tif)
        _check_whole(tif, series, path)
        array, flags = as_told(_pixels(series, path, eager_bytes), series.keyframe, path.name, imagej=tif.is_imagej)
        letters = axes or _axes_of(series, path)
        if axes is None and _is_masked_grey(series.keyframe):
            at = series.axes.index("S")
            array, letters = array[(slice(None),) * at + (0,)], letters[:at] + letters[at + 1 :]
        return micrograph(path, array, letters, replace(scale, flags=(*scale.flags, *flags)))


def micrograph(path: Path, array: Any, axes: str, scale: Scale) -> Micrograph:
    """Put pixels and what a file says of them together."""
    channels = array.shape[axes.upper().index("C")] if "C" in axes.upper() and len(axes) == array.ndim else 1
    return Micrograph.from_array(
        array,
        axes=axes,
        pixel_size_um=scale.pixel_size_um,
        z_step_um=scale.z_step_um,
        channel_names=scale.channel_names if len(scale.channel_names) == channels else (),
        name=split_suffix(path.name)[0],
        sources=(str(path),),
        flags=(*scale.flags, *(("spare_bytes",) if count_spare_bytes(path) else ())),
        stage_um=scale.stage_um,
    )


def _is_masked_grey(page: Any) -> bool:
    """Tell whether a page holds grey values and, beside them, how opaque each is (ExtraSamples): no channel."""
    extra = [int(kind) for kind in page.extrasamples]
    grey = int(page.photometric) not in COLOUR and int(page.samplesperpixel) == 1 + len(extra)
    return grey and bool(extra) and all(kind in _ALPHA for kind in extra)


def _ome_series(tif: Any, part: OmePart) -> Any:
    """Put the pages of a file in the order that its OME-XML gives them; no other file is opened."""
    sizes = part.image.sizes
    lead = [axis for axis in "TCZ" if sizes[axis] > 1]
    index = [tif.pages[part.planes[at]] for at in part.image.positions]
    keyframe = index[0]
    odd = [page for page in index if (page.shape, page.dtype) != (keyframe.shape, keyframe.dtype)]
    if odd or keyframe.dtype is None:
        raise ReaderError(
            f"The planes of '{part.path.name}' differ in size or type of number.", "Export it again as OME-TIFF."
        )
    shape = (*(sizes[axis] for axis in lead), *keyframe.shape)
    return tifffile.TiffPageSeries(
        index, shape, keyframe.dtype, "".join(lead) + keyframe.axes, parent=tif, squeeze=False
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


def _check_whole(tif: Any, series: Any, path: Path) -> None:
    """Refuse a file that promises more than it holds: readers put zeros where planes are missing."""
    held, promised = len(series.pages) - sum(page is None for page in series.pages), len(series.pages)
    if tif.is_imagej and not tif.is_ome:
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
    """Turn tifffile's letters into TCZYX and S; those that tell nothing are asked for where they are longer than one.

    Raises
    ------
    AxesUnknownError
        If nothing tells what a dimension is.
    InputError
        If the file tells that one is something else, such as positions or angles.
    """
    letters = list(series.axes)
    if "S" in letters and int(series.keyframe.photometric) not in COLOUR:
        letters[letters.index("S")] = "C" if "C" not in letters else UNKNOWN
    strange = [a for a, side in zip(letters, series.shape, strict=True) if a not in _KNOWN and side > 1]
    if strange:
        what = _OTHER_AXES.get(strange[0], strange[0])
        raise InputError(
            f"'{path.name}' has {series.shape[letters.index(strange[0])]} {what}, which are no times, channels or "
            "planes.",
            "Save one of them as a file of its own, or name the axes with --axes.",
            flag="wrong_dimensions",
        )
    told = "".join(letter if letter in "TCZYXS" else UNKNOWN for letter in letters)
    return complete_axes(told, series.shape, path.name)


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
