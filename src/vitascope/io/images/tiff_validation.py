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
