"""Networks as they were compiled on this machine, kept in the cache folder so that no start compiles them again."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from vitascope.core.errors import OutputError
from vitascope.core.paths import cache
from vitascope.io.atomic import write_bytes

MOST_BYTES = 2 << 30
"""What all of them may take; those that were not used for longest go."""

_SHA256_BYTES = 32


def holds(key: str) -> bool:
    """Tell whether something is kept under a key, and count it as used; it may turn out to be damaged."""
    path = _file(key)
    if not path.is_file():
        return False
    _use(path)
    return True


def read(key: str) -> bytes | None:
    """Return what was kept under a key; None if there is nothing, or it is damaged and now gone.

    Parameters
    ----------
    key : str, hexadecimal
    """
    path = _file(key)
    try:
        data = path.read_bytes()
        kept = data[_SHA256_BYTES:]
        if hashlib.sha256(kept).digest() != data[:_SHA256_BYTES]:
            path.unlink()
            return None
    except OSError:
        return None
    _use(path)
    return kept


def write(key: str, data: bytes) -> None:
    """Keep data under a key, and make room for them; where nothing can be written, nothing is kept."""
    if len(data) > MOST_BYTES // 4:
        return
    with suppress(OutputError, OSError):
        write_bytes(_file(key), hashlib.sha256(data).digest() + data)
        _make_room()


def forget(key: str) -> None:
    """Drop what is kept under a key."""
    with suppress(OSError):
        _file(key).unlink()


def _use(path: Path) -> None:
    with suppress(OSError):  # a folder that may be read only
        os.utime(path)


def _file(key: str) -> Path:
    return cache() / "compiled-1" / f"{key}.bin"


def _make_room() -> None:
    """Remove the files that were not used for longest until the rest is small enough."""
    found = []
    for path in _file("").parent.glob("*.bin"):
        with suppress(OSError):  # another process makes room too
            stat = path.stat()
            found.append((stat.st_mtime_ns, stat.st_size, path))
    left = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if left <= MOST_BYTES:
            return
        with suppress(OSError):
            path.unlink()
        left -= size
