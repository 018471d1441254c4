"""One zarr array on disk: its declared shape, and that no chunk is missing (libraries read zeros there)."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import IncompleteError, ReaderError, describe
from vitascope.io.filenames.expand import unreadable
from vitascope.io.images.lazy import FileArray
from vitascope.io.images.limits import check_declared
from vitascope.io.stores.mirror import fetch

_MAX_JSON = 2**26
_MAX_CHUNKS = 2**26


@dataclass(frozen=True)
class ChunkGrid:
    """How an array lies in files.

    Parameters
    ----------
    shape, chunks : tuple of int
        Of the array, and of what one file holds (a shard, where there are shards).
    prefix, separator : str
        A chunk's file is ``prefix`` and its indices joined by ``separator``.
    names : tuple of str
        Names of the dimensions, empty text for one without; no names at all where there are none.
    filled : bool
        Whether there is a fill value, which chunks that are not there hold.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    prefix: str
    separator: str
    names: tuple[str, ...] = ()
    filled: bool = True

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of chunks along each dimension."""
        return tuple(-(-side // chunk) for side, chunk in zip(self.shape, self.chunks, strict=True))

    def key(self, indices: tuple[int, ...]) -> str:
        """Path of a chunk's file inside the array's folder."""
        return self.prefix + self.separator.join(str(i) for i in indices)


def read_json(path: Path) -> dict[str, Any]:
    """Read a metadata file.

    Raises
    ------
    ReaderError
        If it is no JSON object.
    """
    try:
        if path.stat().st_size > _MAX_JSON:
            raise ValueError("it is too long")
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ReaderError(
            f"The metadata '{path.parent.name}/{path.name}' are broken: {describe(error)}.",
            "Copy it again from its source.",
        ) from error
    if not isinstance(found, dict):
        raise ReaderError(
            f"The metadata '{path.parent.name}/{path.name}' are broken.", "Copy it again from its source."
        )
    return found


def read_grid(folder: Path) -> ChunkGrid:
    """Read shape, chunks and the names of their files, for zarr versions 2 and 3.

    Raises
    ------
    ReaderError
        If the folder is no array, or its metadata are broken.

    References
    ----------
    Zarr core specification, versions 2 and 3 (chunk key encoding), https://zarr-specs.readthedocs.io
    """
    broken = ReaderError(f"The zarr metadata in '{folder.name}' are broken.", "Copy it again from its source.")
    try:
        if (folder / ".zarray").is_file():
            found = read_json(folder / ".zarray")
            chunks, prefix, separator = found["chunks"], "", found.get("dimension_separator") or "."
            names: tuple[Any, ...] = ()
        elif (folder / "zarr.json").is_file():
            found = read_json(folder / "zarr.json")
            encoding = found["chunk_key_encoding"]
            plain = encoding["name"] == "v2"
            separator = encoding.get("configuration", {}).get("separator", "." if plain else "/")
            prefix = "" if plain else f"c{separator}"
            chunks = found["chunk_grid"]["configuration"]["chunk_shape"]
            names = tuple(found.get("dimension_names") or ())
        else:
            raise ReaderError(f"'{folder}' holds no zarr array.", "Copy it again from its source.")
        shape = tuple(int(side) for side in found["shape"])
        chunks = tuple(int(chunk) for chunk in chunks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise broken from error
    if (
        len(shape) != len(chunks)
        or min(chunks, default=0) < 1
        or min(shape, default=0) < 0
        or separator not in (".", "/")
    ):
        raise broken
    filled = found.get("fill_value") is not None
    return ChunkGrid(
        shape=shape,
        chunks=chunks,
        prefix=prefix,
        separator=separator,
        names=tuple(str(name or "") for name in names),
        filled=filled,
    )


def present_chunks(folder: Path, grid: ChunkGrid) -> NDArray[np.bool_]:
    """Tell which chunk files of an array are there.

    Parameters
    ----------
    folder : Path
    grid : ChunkGrid

    Returns
    -------
    array, shape as ``grid.counts``, bool

    Raises
    ------
    ReaderError
        If the array declares more than 2^26 chunks.
    """
    if math.prod(grid.counts) > _MAX_CHUNKS:
        raise ReaderError(
            f"'{folder}' declares {math.prod(grid.counts):,} chunks, more than can be.",
            "Write it again in larger chunks.",
            flag="too_large",
        )
    number = r"(\d+)"
    key = re.compile(re.escape(grid.prefix) + re.escape(grid.separator).join([number] * len(grid.shape)))
    found = np.zeros(grid.counts, bool)
    for parent, _, files in os.walk(folder):
        above = os.path.relpath(parent, folder).replace(os.sep, "/")
        for file in files:
            match = key.fullmatch(file if above == "." else f"{above}/{file}")
            if match and all(int(i) < count for i, count in zip(match.groups(), grid.counts, strict=True)):
                found[tuple(int(i) for i in match.groups())] = True
    return found


class ZarrSource(FileArray):
    """A zarr array on disk, opened once and read part by part.

    Writers may leave out chunks that hold the fill value and nothing else; those are counted.

    Parameters
    ----------
    folder : Path
    complete : bool
        Whether it is known that all chunks were written, as in arrays of our own.
    listed : collection of str
        Paths of chunks inside the folder that a list of files says were there.

    Attributes
    ----------
    left_out : int
        Chunks that are not there and hold the fill value.

    Raises
    ------
    ReaderError
        If metadata are broken or more pixels are declared than are read.
    IncompleteError
        If chunks are missing that were written, or that have no fill value.
    """

    def __init__(self, folder: Path, complete: bool = False, listed: Collection[str] = ()) -> None:
        import zarr

        self.grid = read_grid(folder)
        check_declared(folder.name, self.grid.shape, "uint8")
        try:
            self.array = zarr.open_array(str(folder), mode="r")
        except Exception as error:
            raise unreadable(folder, error) from error
        super().__init__(folder, self.grid.shape, self.array.dtype)
        self.present = present_chunks(folder, self.grid)
        self.left_out = int(self.present.size - np.count_nonzero(self.present))
        missing = self.left_out if complete or not self.grid.filled else 0
        if not missing and listed and self.left_out:
            absent = (self.grid.key(tuple(int(i) for i in at)) for at in np.argwhere(~self.present))
            missing = sum(key in listed for key in absent)
        if missing:
            raise IncompleteError(
                f"{missing} of {self.present.size} chunks of '{folder}' are missing.",
                "They were written once: copy it again from its source.",
            )

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part, checking that the chunks it touches are still there."""
        touched = [
            range(part.start // chunk, -(-part.stop // chunk))
            for part, chunk in zip(key, self.grid.chunks, strict=True)
        ]
        for indices in itertools.product(*touched):
            if self.present[indices] and not (self.path / self.grid.key(indices)).is_file():
                raise IncompleteError(
                    f"Chunk {self.grid.key(indices)} of '{self.path}' has gone.",
                    "Check that the drive is connected.",
                )
        fetch(self.path / self.grid.key(at) for at in itertools.product(*touched) if self.present[at])
        return np.asarray(self.array[key])
