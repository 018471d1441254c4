"""One image in several OME-TIFF files: its planes are put together as the OME-XML in them says."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from vitascope.core.errors import IncompleteError, ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.io.filenames.expand import persistently, unreadable
from vitascope.io.filenames.parse import is_tiff_name
from vitascope.io.images.lazy import FileArray
from vitascope.io.images.limits import EAGER_BYTES, check_declared, check_memory, count_bytes
from vitascope.io.images.ome_planes import OmePart, check_whole, parts_of
from vitascope.io.images.ome_xml import Position
from vitascope.io.images.tiff import micrograph
from vitascope.io.images.tiff_log import quiet_tifffile
from vitascope.io.images.tiff_validation import check_structure
from vitascope.io.images.tiff_values import COLOUR, as_told


def find_sets(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """List the files, among some, that hold parts of one image; those of the first planes come first.

    Only what the files themselves say counts, not their names.
    """
    sets = parts_of([path for path in paths if is_tiff_name(path.name)])
    return [tuple(part.path for part in sorted(parts, key=lambda part: min(part.planes))) for parts in sets]


def open_set(paths: Sequence[Path], axes: str | None = None, eager_bytes: int = EAGER_BYTES) -> Micrograph | None:
    """Open files that hold parts of one image.

    Parameters
    ----------
    paths : sequence of Path
    axes : str, optional
        One letter for each dimension of the whole image, whatever the files say.
    eager_bytes : int
        Up to this size the pixels are read at once.

    Returns
    -------
    Micrograph or None
        None where the files are no parts of one image.

    Raises
    ------
    IncompleteError
        If planes lie in a file that was not given; it is named.
    ReaderError
        If two files hold the same plane, differ in the size of their planes, or cannot be read.
    """
    sets = parts_of([path for path in paths if is_tiff_name(path.name)])
    parts = next((one for one in sets if len(one) == len(paths)), None)
    if parts is None:
        return None
    try:
        return persistently(lambda: _open(parts, axes, eager_bytes))
    except VitascopeError:
        raise
    except Exception as error:
        raise unreadable(paths[0], error) from error


def _open(parts: Sequence[OmePart], axes: str | None, eager_bytes: int) -> Micrograph:
    for part in parts:
        check_structure(part.path)
    where = _placed(parts)
    sizes, first = parts[0].image.sizes, parts[0]
    pages = [where[at] for at in first.image.positions]
    with quiet_tifffile(), tifffile.TiffFile(first.path) as tif:
        page = tif.pages[min(first.planes.values())]
        shape, dtype, letters, photometric = page.shape, page.dtype, page.axes, int(page.photometric)
        chunks, values = page.chunks, page
        lead = [axis for axis in "TCZ" if sizes[axis] > 1]
        whole = (*(sizes[axis] for axis in lead), *shape)
        check_declared(first.path.name, whole, dtype)
        source = SplitTiff(whole, dtype, pages, shape)
        array: Any = source.to_dask((1,) * len(lead) + tuple(chunks)[-len(shape) :])
        if count_bytes(whole, dtype) <= eager_bytes:
            check_memory(first.path.name, whole, dtype)
            array = source[...]
        array, flags = as_told(array, values, first.path.name)
    if "S" in letters and photometric not in COLOUR:
        letters = letters.replace("S", "C")
    scale = replace(first.image.scale, flags=(*first.image.scale.flags, *flags))
    return micrograph(first.path, array, axes or "".join(lead) + letters, scale)


def _placed(parts: Sequence[OmePart]) -> dict[Position, tuple[Path, int]]:
    """Tell in which file and page each plane of the image lies."""
    where: dict[Position, tuple[Path, int]] = {}
    for part in parts:
        for at, page in part.planes.items():
            if at in where:
                raise ReaderError(
                    f"'{where[at][0].name}' and '{part.path.name}' claim to hold the same plane of one image.",
                    "Leave one of them out.",
                )
            where[at] = part.path, page
    image = parts[0].image
    if len(where) < image.count:
        held = {file for file, planes in image.planes.items() if planes.keys() <= where.keys()}
        absent = tuple(file for file in image.planes if file not in held)
        pages = {at: page for at, (_, page) in where.items()}
        check_whole(replace(parts[0], planes=pages, others=absent), max(pages.values()) + 1)
    return where


class SplitTiff(FileArray):
    """Planes in the pages of several files.

    Parameters
    ----------
    shape : sequence of int
        Leading axes, then those of one page.
    dtype : dtype
    places : sequence of (Path, int)
        File and page for each position of the leading axes, in C order.
    page_shape : sequence of int
    """

    def __init__(
        self, shape: Sequence[int], dtype: Any, places: Sequence[tuple[Path, int]], page_shape: Sequence[int]
    ) -> None:
        super().__init__(places[0][0], shape, dtype)
        self.lead = self.ndim - len(page_shape)
        self.page_shape = tuple(page_shape)
        self.files = tuple(dict.fromkeys(path for path, _ in places))
        numbers = [(self.files.index(path), page) for path, page in places]
        self.places = np.asarray(numbers, np.int64).reshape(*self.shape[: self.lead], 2)

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Decode the strips or tiles that a part touches, file by file."""
        within = key[self.lead :]
        places = self.places[key[: self.lead]]
        leading = places.shape[:-1]
        out = np.empty((*leading, *(part.stop - part.start for part in within)), self.dtype)
        for number in np.unique(places[..., 0]):
            path = self.files[number]
            with quiet_tifffile(), tifffile.TiffFile(path) as tif:
                for position in itertools.product(*(range(side) for side in leading)):
                    if places[position][0] == number:
                        out[position] = self._plane(tif, path, int(places[position][1]), within)
        return out

    def _plane(self, tif: Any, path: Path, index: int, within: tuple[slice, ...]) -> NDArray[Any]:
        if index >= len(tif.pages):
            raise IncompleteError(
                f"'{path.name}' has {len(tif.pages)} planes, fewer than its OME-XML says.",
                "Copy it again from its source.",
            )
        page = tif.pages[index]
        if page.shape != self.page_shape or page.dtype != self.dtype:
            raise ReaderError(
                f"The planes in '{path.name}' differ in size or type of number from those in '{self.path.name}'.",
                "Export the image again as OME-TIFF.",
            )
        with page.aszarr() as store:
            import zarr  # loads slowly, and is wanted here only

            plane: NDArray[Any] = np.asarray(zarr.open_array(store, mode="r")[within])
            return plane

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """Tell dask what makes two of these equal: all files as they are now."""
        stats = [path.stat() for path in self.files]
        files = tuple((str(p), s.st_mtime_ns, s.st_size) for p, s in zip(self.files, stats, strict=True))
        return type(self).__name__, files, self.shape, str(self.dtype), self.places.tobytes()
