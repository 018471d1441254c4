"""A look at a TIFF's skeleton before anything is read: is it whole, does it end, does it hold what it promises.

Readers fill what is missing with zeros; here a cut or circular file is found by walking its directories (TIFF 6.0,
section 2; BigTIFF the same with eight-byte offsets).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import IncompleteError, ReaderError

MAX_PAGES = 200_000
MAX_TAGS = 4096
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_OFFSETS, _COUNTS = (273, 324), (279, 325)
_INSIDE = (330, 34665, 34853)
"""Tags that lead to further directories: SubIFDs, and those of EXIF and GPS."""
_OWN_BLOCKS = {33560, 33628, 33629, 33630, 33631, 34361, 34412, 37500, 43314, 50740, 51123, 65420, 65426}
"""Private tags of writers that keep blocks, or further planes, where no directory tells of them: Olympus, MetaMorph,
FluoView, LSM, makers' notes, NIH Image, DNG, Micro-Manager, Hamamatsu."""
_DESCRIPTION, _JPEG, _JPEG_BYTES = 270, 513, 514
_MICRO_MANAGER = 54773648
"""Stands behind the header of its files, before offsets to its blocks at the end."""
PADDING_BYTES = 16
"""Writers fill up to a round number of bytes."""
_NUMPY_CODE = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}


class _Form(NamedTuple):
    """Byte order and widths of a TIFF or BigTIFF."""

    order: str
    offset: str
    number: str

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(f"{self.order}HH{self.offset}{struct.calcsize(self.offset)}s")


def check_structure(path: Path) -> int:
    """Walk through a TIFF's pages.

    Parameters
    ----------
    path : Path

    Returns
    -------
    int
        Number of pages.

    Raises
    ------
    ReaderError
        If the file is empty, no TIFF, circular or damaged.
    IncompleteError
        If it ends before its pixels do, or was not written to the end.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        form, position = _read_header(file, path, size)
        seen: set[int] = set()
        while position:
            if position in seen:
                raise _damaged(path, "its pages refer to each other in a circle")
            if len(seen) >= MAX_PAGES:
                raise _damaged(path, f"it has more than {MAX_PAGES:,} pages")
            seen.add(position)
            position = _check_page(file, form, position, size, path, len(seen))
    if not seen:
        raise _damaged(path, "it has no page")
    return len(seen)


def count_spare_bytes(path: Path) -> int:
    """Count the bytes behind the last one that a TIFF's directories tell of.

    Parameters
    ----------
    path : Path
        A file that :func:`check_structure` found whole.

    Returns
    -------
    int
        0 where there are none, or where the writer is known to keep something there: ImageJ and tifffile (further
        planes), Micro-Manager, MetaMorph, LSM and others (blocks of their own).
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        form, first = _read_header(file, path, size)
        file.seek(8)
        if int(np.frombuffer(file.read(4).ljust(4, b"\0"), f"{form.order}u4")[0]) == _MICRO_MANAGER:
            return 0
        seen: set[int] = set()
        end, waiting = 0, [first]
        while waiting:
            position = waiting.pop()
            if not position or position in seen or position >= size or len(seen) >= MAX_PAGES:
                continue
            seen.add(position)
            tags, behind, following = _read_tags(file, form, position)
            if _OWN_BLOCKS & tags.keys() or (len(seen) == 1 and _has_hidden_planes(file, form, tags)):
                return 0
            end = max(end, behind, *(_value_end(form, *tag) for tag in tags.values()), _pixels_end(file, form, tags))
            inside = (_values(file, form, *tags[code]).tolist() for code in _INSIDE if code in tags)
            waiting += [following, *(int(offset) for offsets in inside for offset in offsets)]
    spare = size - end
    return spare if spare > PADDING_BYTES else 0


_Tag = tuple[int, int, bytes]
"""Kind, count, and the value or where it stands."""


def _read_tags(file: IO[bytes], form: _Form, position: int) -> tuple[dict[int, _Tag], int, int]:
    """Read one directory: its tags, where it ends, and where the next one stands."""
    file.seek(position)
    count = int(struct.unpack(form.order + form.number, file.read(struct.calcsize(form.number)))[0])
    offset_bytes = struct.calcsize(form.offset)
    raw = file.read(count * form.entry.size + offset_bytes)
    tags = {code: (kind, n, value) for code, kind, n, value in form.entry.iter_unpack(raw[: count * form.entry.size])}
    following = raw[count * form.entry.size :]
    return tags, file.tell(), int.from_bytes(following, "little" if form.order == "<" else "big")


def _value_end(form: _Form, kind: int, count: int, value: bytes) -> int:
    """Return where a value that stands elsewhere ends; 0 for one in its tag, or of a type that is not known."""
    length = count * _TYPE_BYTES.get(kind, 0)
    return int(struct.unpack(form.order + form.offset, value)[0]) + length if length > len(value) else 0


def _pixels_end(file: IO[bytes], form: _Form, tags: dict[int, _Tag]) -> int:
    """Return where the last strip, tile or JPEG thumbnail of a page ends."""
    ends = [0]
    for starts, lengths in (*zip(_OFFSETS, _COUNTS, strict=True), (_JPEG, _JPEG_BYTES)):
        if starts in tags and lengths in tags:
            offsets, counts = (_values(file, form, *tags[code]) for code in (starts, lengths))
            least = min(len(offsets), len(counts))
            ends += [int(end) for end in (offsets[:least] + counts[:least])]
    return max(ends)


def _has_hidden_planes(file: IO[bytes], form: _Form, tags: dict[int, _Tag]) -> bool:
    """Tell whether the first page says that further planes lie behind it without directories of their own."""
    if _DESCRIPTION not in tags:
        return False
    _, count, value = tags[_DESCRIPTION]
    if count > len(value):
        file.seek(struct.unpack(form.order + form.offset, value)[0])
        value = file.read(count)
    return value.startswith(b"ImageJ=") or (value.startswith(b"{") and b'"truncated": true' in value)


def _read_header(file: IO[bytes], path: Path, size: int) -> tuple[_Form, int]:
    head = file.read(16)
    if size == 0:
        raise ReaderError(f"'{path.name}' is empty (0 bytes).", "Copy it again from its source.")
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = int.from_bytes(head[2:4], "little" if order == "<" else "big")
    if order is None or version not in (42, 43):
        raise ReaderError(
            f"'{path.name}' is no TIFF file, whatever its name says.", "Check what it is, or save it as TIFF again."
        )
    form = _Form(order, "I", "H") if version == 42 else _Form(order, "Q", "Q")
    start = 4 if version == 42 else 8
    raw = head[start : start + struct.calcsize(form.offset)]
    if len(raw) < struct.calcsize(form.offset):
        raise _cut(path)
    return form, int(struct.unpack(order + form.offset, raw)[0])


def _check_page(file: IO[bytes], form: _Form, position: int, size: int, path: Path, page: int) -> int:
    """Check one page and return where the next one stands."""
    count_bytes, offset_bytes = struct.calcsize(form.number), struct.calcsize(form.offset)
    if position + count_bytes > size:
        raise _cut(path)
    file.seek(position)
    tags = int(struct.unpack(form.order + form.number, file.read(count_bytes))[0])
    if not 0 < tags <= MAX_TAGS:
        raise _damaged(path, f"page {page} has {tags} tags")
    raw = file.read(tags * form.entry.size + offset_bytes)
    if len(raw) < tags * form.entry.size + offset_bytes:
        raise _cut(path)
    segments: dict[int, tuple[int, int, bytes]] = {}
    for code, kind, count, value in form.entry.iter_unpack(raw[: tags * form.entry.size]):
        if code >= 32768:  # private tags: some writers count them in their own way
            continue
        if kind in _TYPE_BYTES and count * _TYPE_BYTES[kind] > offset_bytes:
            start = int(struct.unpack(form.order + form.offset, value)[0])
            if start + count * _TYPE_BYTES[kind] > size:
                raise _cut(path)
        if code in _OFFSETS + _COUNTS:
            segments[code] = (kind, count, value)
    _check_segments(file, form, segments, size, path, page)
    return int(struct.unpack(form.order + form.offset, raw[-offset_bytes:])[0])


def _check_segments(
    file: IO[bytes], form: _Form, tags: dict[int, tuple[int, int, bytes]], size: int, path: Path, page: int
) -> None:
    """Check that every strip or tile of a page lies inside the file."""
    offsets = next((_values(file, form, *tags[code]) for code in _OFFSETS if code in tags), None)
    counts = next((_values(file, form, *tags[code]) for code in _COUNTS if code in tags), None)
    if offsets is None:
        raise _damaged(path, f"page {page} does not say where its pixels are")
    if counts is None or len(counts) != len(offsets):
        counts = np.ones(len(offsets), np.uint64)
    missing = int(np.count_nonzero((offsets == 0) | (counts == 0)))
    if missing:
        raise IncompleteError(
            f"{missing} of {len(offsets)} parts of page {page} of '{path.name}' were never written.",
            "Export the file again, or copy it again from its source.",
        )
    if offsets.size and int((offsets + counts).max()) > size:
        raise _cut(path)
    _check_order(offsets, counts, _OFFSETS[0] in tags, path, page)


def _check_order(offsets: NDArray[np.uint64], counts: NDArray[np.uint64], strips: bool, path: Path, page: int) -> None:
    """Check that parts of a page do not lie in each other, and that strips follow one another.

    Tiles may stand in any order, and equal ones may share their bytes: writers of pyramids do both.
    """
    starts, ends = offsets.astype(np.int64), (offsets + counts).astype(np.int64)
    if strips and (np.diff(starts) < 0).any():
        raise _damaged(path, f"the strips of page {page} are out of order")
    order = np.lexsort((ends, starts))
    starts, ends = starts[order], ends[order]
    shared = (np.diff(starts) == 0) & (np.diff(ends) == 0)
    if ((starts[1:] < ends[:-1]) & ~(shared & (not strips))).any():
        raise _damaged(path, f"parts of page {page} lie in each other")


def _values(file: IO[bytes], form: _Form, kind: int, count: int, value: bytes) -> NDArray[np.uint64]:
    dtype = np.dtype(_NUMPY_CODE.get(kind, "u4")).newbyteorder(form.order)  # type: ignore[arg-type]
    if count * dtype.itemsize > len(value):
        file.seek(struct.unpack(form.order + form.offset, value)[0])
        value = file.read(count * dtype.itemsize)
    return np.frombuffer(value[: count * dtype.itemsize], dtype).astype(np.uint64)


def _cut(path: Path) -> IncompleteError:
    return IncompleteError(
        f"'{path.name}' ends before its pixels do: it was cut off while being written or copied.",
        "Copy it again from its source.",
    )


def _damaged(path: Path, why: str) -> ReaderError:
    return ReaderError(f"'{path.name}' is damaged: {why}.", "Copy it again from its source.")
