"""Which file it was: SHA-256 of inputs, for provenance."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from vitascope.io.filenames.expand import unreadable

_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def sha256_of(paths: Iterable[str | os.PathLike[str]]) -> list[dict[str, str]]:
    """Hash files and zarr folders.

    Of a file, every byte is hashed. Of a zarr folder, the metadata files byte by byte and of every other file the name
    and size, so that a large array is not read twice: a chunk that changed but kept its size is not noticed.

    Parameters
    ----------
    paths : iterable of path

    Returns
    -------
    list of dict
        For each path its ``name``, ``sha256`` and ``hashed``: ``content``, or ``metadata and chunk sizes``.

    Raises
    ------
    ReaderError
        If a path cannot be read.
    """
    records = []
    for given in paths:
        path = Path(given)
        try:
            is_folder = path.is_dir()
            digest = _of_folder(path) if is_folder else _of_file(path)
        except OSError as error:
            raise unreadable(path, error) from error
        records.append(
            {"name": path.name, "sha256": digest, "hashed": "metadata and chunk sizes" if is_folder else "content"}
        )
    return records


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(parent, name)
            line = f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0"
            digest.update(line.encode("utf-8", "surrogateescape"))
            if name in _METADATA:
                digest.update(_of_file(path).encode())
    return digest.hexdigest()
