"""Zeiss CZI: scenes and their blocks by czifile, pixels unpacked by imagecodecs.

References
----------
ZISRAW (CZI) file format, Carl Zeiss; compression as in libCZI, https://zeiss.github.io/libczi (5 zstd0, 6 zstd1)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import IncompleteError, InputError, ReaderError, VitascopeError
from vitascope.io.filenames.expand import unreadable
from vitascope.io.images.scene import Scene, SceneArray, image_axes
from vitascope.io.images.units import to_um

_LOW_AND_HIGH_APART = 1
_MAX_EXPANSION = 10_000


def czi_scenes(path: Path) -> tuple[Scene, ...]:
    """List the scenes; one that cannot be opened has a problem of its own."""
    import czifile

    with czifile.CziFile(str(path)) as file:
        root = ElementTree.fromstring(file.metadata(raw=True))
        listed = {int(one.get("Index", -1)): one for one in root.iter("Scene")}
        in_wells = {index for index, one in listed.items() if _shape_name(one)}
        steps = {one.get("Id"): one.findtext("Value") for one in root.iter("Distance")}
        size, step = (to_um(float(steps.get(axis) or "nan"), "m") for axis in "XZ")
        channels = tuple(str(one.get("Name") or "") for one in root.findall(".//Image/Dimensions/Channels/Channel"))
        scenes = []
        for index, entries in sorted(_entries(file).items()):
            name = _scene_name(listed[index]) if index in listed else ""
            placed = not in_wells or index in in_wells
            what = f"{path.name}, {name or index}"
            try:
                axes, low, sizes = _extent(what, entries)
                _check_whole(what, entries, low, sizes)
            except VitascopeError as error:
                scenes.append(Scene(index=index, name=name, problem=error, in_well=placed))
                continue
            except Exception as error:
                scenes.append(Scene(index=index, name=name, problem=unreadable(path, error), in_well=placed))
                continue
            shape = tuple(sizes[axis] for axis in axes)
            dtype = str(np.dtype(entries[0].dtype))
            scenes.append(
                Scene(
                    index=index,
                    name=name,
                    axes=axes,
                    shape=shape,
                    dtype=dtype,
                    pixel_size_um=size,
                    z_step_um=step,
                    channels=channels,
                    in_well=placed,
                    stage_um=(low["Y"] * size, low["X"] * size) if size is not None else None,
                )
            )
        return tuple(scenes)


def _shape_name(scene: ElementTree.Element) -> str:
    shape = scene.find("Shape")
    return str((shape.get("Name") if shape is not None else None) or scene.findtext("ArrayName") or "")


def _scene_name(scene: ElementTree.Element) -> str:
    """Take the name of the well that a scene lies in, where there is one, else its own."""
    return _shape_name(scene) or str(scene.get("Name") or "")


def _entries(file: Any) -> dict[int, list[Any]]:
    """List the full-resolution blocks of each scene."""
    found: dict[int, list[Any]] = {}
    for entry in file.subblock_directory:
        if entry.pyramid_type == 0 and entry.shape == entry.stored_shape:
            found.setdefault(_starts(entry).get("S", 0), []).append(entry)
    return found


def _starts(entry: Any) -> dict[str, int]:
    return {str(dim.dimension): int(dim.start) for dim in entry.dimension_entries}


def _sides(entry: Any) -> dict[str, int]:
    return {str(dim.dimension): int(dim.size) for dim in entry.dimension_entries}


def _extent(what: str, entries: Sequence[Any]) -> tuple[str, dict[str, int], dict[str, int]]:
    """Return axes, first index and length along each; Y and X begin where the scene does on the stage."""
    low: dict[str, int] = {}
    high: dict[str, int] = {}
    for entry in entries:
        starts, sides = _starts(entry), _sides(entry)
        for axis, start in starts.items():
            low[axis] = min(start, low.get(axis, start))
            high[axis] = max(start + sides[axis], high.get(axis, start + sides[axis]))
        if np.dtype(entry.dtype).shape:
            raise InputError(f"'{what}' is in colour.", "Give the grey camera image.", flag="colour_image")
    sizes = {axis: high[axis] - low[axis] for axis in low}
    axes = "".join(axis for axis in "TCZYX" if axis in sizes)
    strange = [axis for axis in sizes if axis not in "TCZYXSM" and sizes[axis] > 1]
    image_axes(what, axes + "".join(strange), sizes | {"S": 1})
    return axes, low, sizes


def _check_whole(what: str, entries: Sequence[Any], low: Mapping[str, int], sizes: Mapping[str, int]) -> None:
    """Refuse a scene of which a time, channel or z has no block: its pixels would be zeros that nobody took."""
    lead = [axis for axis in "TCZ" if sizes.get(axis, 1) > 1]
    held = np.zeros([sizes[axis] for axis in lead], bool)
    for entry in entries:
        starts, sides = _starts(entry), _sides(entry)
        spans = ((starts.get(axis, low[axis]) - low[axis], sides.get(axis, 1)) for axis in lead)
        held[tuple(slice(start, start + side) for start, side in spans)] = True
    if not held.all():
        raise IncompleteError(
            f"{int(held.size - held.sum())} of {held.size} planes of '{what}' are missing.",
            "Copy it again from its source; if the recording was stopped, save what is whole as a file of its own.",
        )


class CziArray(SceneArray):
    """One scene of a CZI file; tiles of a mosaic lie where the stage was, later ones on top."""

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part; only the blocks it touches are loaded."""
        import czifile

        with czifile.CziFile(str(self.path)) as file:
            entries = _entries(file)[self.scene.index]
            axes, low, _ = _extent(self.path.name, entries)
            out = np.zeros([part.stop - part.start for part in key], self.dtype)
            for entry in entries:
                starts, sides = _starts(entry), _sides(entry)
                with contextlib.suppress(_ElsewhereError):
                    spans = [_overlap(starts[a] - low[a], sides[a], part) for a, part in zip(axes, key, strict=True)]
                    data = unpack_block(entry, self.path.name)
                    kept = [str(dim.dimension) for dim in entry.dimension_entries if dim.dimension != "M"]
                    data = data[tuple(slice(None) if axis in axes else 0 for axis in kept)]
                    order = [[axis for axis in kept if axis in axes].index(axis) for axis in axes]
                    block = data.transpose(order)
                    out[tuple(to for to, _ in spans)] = block[tuple(source for _, source in spans)]
            return out


class _ElsewhereError(Exception):
    """A block does not touch the part that is read."""


def _overlap(start: int, side: int, part: slice) -> tuple[slice, slice]:
    """Return where a stretch lies in the part read, and which of it."""
    first, last = max(start, part.start), min(start + side, part.stop)
    if first >= last:
        raise _ElsewhereError
    return slice(first - part.start, last - part.start), slice(first - start, last - start)


def unpack_block(entry: Any, name: str) -> NDArray[Any]:
    """Read and unpack the pixels of a grey block, shape as stored without the axis of samples.

    Parameters
    ----------
    entry : czifile.DirectoryEntryDV
    name : str
        Of the file.

    Raises
    ------
    ReaderError
        If it is packed in a way that is not known, or holds fewer pixels than it declares.
    """
    shape, dtype = entry.stored_shape[:-1], np.dtype(entry.dtype)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = bytes(entry.data_segment().data(raw=True))
    if entry.compression and nbytes > _MAX_EXPANSION * max(len(raw), 1):
        raise ReaderError(f"A block of '{name}' declares more pixels than it can hold.", "Copy it again.")
    if entry.compression in (0, 2, 5, 6):
        ways: dict[int, Callable[[bytes], bytes]] = {0: bytes, 2: _lzw, 5: _zstd, 6: unpack_zstd1}
        unpack = ways[entry.compression]
        data = np.frombuffer(unpack(raw)[:nbytes], dtype)
    elif entry.compression in (1, 4):
        decode = imagecodecs.jpeg8_decode if entry.compression == 1 else imagecodecs.jpegxr_decode
        data = np.asarray(decode(raw)).astype(dtype, copy=False).reshape(-1)
    else:
        raise ReaderError(
            f"'{name}' is packed in a way ({entry.compression}) that cannot be unpacked here.",
            "Save it in ZEN uncompressed, or with zstd.",
        )
    if data.size * dtype.itemsize != nbytes:
        raise ReaderError(f"A block of '{name}' holds fewer pixels than it declares.", "Copy it again from its source.")
    pixels: NDArray[Any] = data.reshape(shape)
    return pixels


def _lzw(data: bytes) -> bytes:
    return bytes(imagecodecs.lzw_decode(data))


def _zstd(data: bytes) -> bytes:
    return bytes(imagecodecs.zstd_decode(data))


def unpack_zstd1(data: bytes) -> bytes:
    """Unpack zstd with the header of CZI: the low bytes of all numbers may come first, then the high ones.

    Raises
    ------
    ValueError
        If the header is of another kind.
    """
    size = data[0] if data else 0
    if size == 1:
        return _zstd(data[1:])
    if size != 3 or data[1] != 1:
        raise ValueError("a block has an unknown zstd header")
    plain = np.frombuffer(_zstd(data[3:]), np.uint8)
    if data[2] & _LOW_AND_HIGH_APART:
        plain = np.ascontiguousarray(plain.reshape(2, -1).T)
    return plain.tobytes()
