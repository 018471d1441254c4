"""One zarr array on disk: its declared shape, and that no chunk is missing (libraries read zeros there)."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.io.filenames.expand import unreadable
from vitascope.io.images.lazy import FileArray
from vitascope.io.images.limits import check_declared

_MAX_JSON = 2**26


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
        Names of the dimensions; empty where there are none.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    prefix: str
    separator: str
    names: tuple[str, ...] = ()

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
            f"The metadata '{path.parent.name}/{path.name}' are broken: {error}.", "Copy it again from its source."
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
    return ChunkGrid(shape, chunks, prefix, separator, tuple(str(name) for name in names) if all(names) else ())


def count_chunks(folder: Path, grid: ChunkGrid) -> int:
    """Count the chunk files of an array that are there and not empty."""
    number = r"(\d+)"
    key = re.compile(re.escape(grid.prefix) + re.escape(grid.separator).join([number] * len(grid.shape)))
    found = 0
    for parent, _, files in os.walk(folder):
        above = os.path.relpath(parent, folder).replace(os.sep, "/")
        for file in files:
            match = key.fullmatch(file if above == "." else f"{above}/{file}")
            if match and all(int(i) < count for i, count in zip(match.groups(), grid.counts, strict=True)):
                found += 1
    return found


class ZarrSource(FileArray):
    """A zarr array on disk, opened once and read part by part.

    Parameters
    ----------
    folder : Path
    sparse : bool
        Whether chunks may be missing and then hold the fill value, as in label images.

    Raises
    ------
    ReaderError
        If metadata are broken or more pixels are declared than are read.
    IncompleteError
        If chunks are missing.
    """

    def __init__(self, folder: Path, sparse: bool = False) -> None:
        import zarr

        self.grid = read_grid(folder)
        check_declared(folder.name, self.grid.shape, "uint8")
        try:
            self.array = zarr.open_array(str(folder), mode="r")
        except Exception as error:
            raise unreadable(folder, error) from error
        super().__init__(folder, self.grid.shape, self.array.dtype)
        self.sparse = sparse
        total = math.prod(self.grid.counts)
        present = total if sparse else count_chunks(folder, self.grid)
        if present < total:
            raise IncompleteError(
                f"{total - present} of {total} chunks of '{folder}' are missing.",
                "Copy it again from its source. If they were left out because they are empty, "
                "write the array again with empty chunks included.",
            )

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part, checking that the chunks it touches are still there."""
        if not self.sparse:
            touched = [
                range(part.start // chunk, -(-part.stop // chunk))
                for part, chunk in zip(key, self.grid.chunks, strict=True)
            ]
            for indices in itertools.product(*touched):
                if not (self.path / self.grid.key(indices)).is_file():
                    raise IncompleteError(
                        f"Chunk {self.grid.key(indices)} of '{self.path}' has gone.",
                        "Check that the drive is connected.",
                    )
        return np.asarray(self.array[key])
