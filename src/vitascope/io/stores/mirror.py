"""A store's objects as files of this machine, each of which is got when it is opened.

What lies under an address is listed whenever the address is given. For each object a file of its size and time
stands in a folder of the cache: all that looks at names, sizes and times works as on a disk, and no pixel is moved.
Such a file is read-only as long as it is empty inside; :func:`fetch` replaces it by the object, whole, and makes it
writable. Whoever opens images calls it first; chunks of zarr are got one by one, as they are read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from vitascope.core.errors import IncompleteError, OutputError, ReaderError
from vitascope.core.paths import cache, is_url
from vitascope.io.atomic import TEMPORARY, output_error, write_json
from vitascope.io.stores.object_store import StoredObject, StoreUrl, endpoint_of, get, list_objects

FOLDER, OBJECTS = "stores", "objects.json"
INDEX_SUFFIXES = (".xml", ".htd", ".mlf", ".mes", ".mrf", ".companion.ome")
"""Files that tell of others beside them: the folder of such a one is listed."""

GOT_AT_ONCE = (
    *INDEX_SUFFIXES,
    ".json",
    ".csv",
    ".tsv",
    ".txt",
    ".xlsx",
    ".yaml",
    ".md5",
    ".sha1",
    ".sha256",
    ".sha512",
)
ZARR_METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata")
OF_SEVERAL = (".czi", ".lif", ".nd2")
"""Files of several images, of which another may be read just now."""

MOST_AT_ONCE_BYTES = 256 << 20
FREE_BYTES, FREE_SHARE = 1 << 30, 0.1
"""That stay free on the disk of the cache; and the share of it below which what was used is let go of again."""

logger = logging.getLogger(__name__)


def local(path: str | os.PathLike[str]) -> Path:
    """Return a path of this machine: itself, or where an address is mirrored.

    Raises
    ------
    ReaderError, MissingPackageError
        See :func:`mirror`.
    """
    return mirror(os.fspath(path)) if is_url(path) else Path(path)


def mirror(text: str) -> Path:
    """List what lies under an address, and return the file or folder of this machine that stands for it.

    Raises
    ------
    ReaderError
        If there is nothing, or the store does not answer.
    MissingPackageError
        If the package for such addresses is not installed.
    OutputError
        If the cache cannot be written.
    """
    from filelock import FileLock  # paths of this machine do without it

    url = StoreUrl.parse(text)
    if url.name.lower().endswith(INDEX_SUFFIXES):
        found = mirror(str(url.parent())) / url.name
        if not found.is_file():
            raise ReaderError(f"There is nothing at '{url}'.", "Check bucket and path; upper and lower case differ.")
        return found
    listed = list_objects(url)
    home = _stores() / hashlib.sha256(f"{endpoint_of(url.scheme)} {url}".encode()).hexdigest()[:24]
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".lock"):
            _lay_out(home, url, listed)
    except OSError as error:
        raise output_error(home, error) from error
    top = home / url.name
    small = [
        path for path, one in ((_place(top, one.name), one) for one in listed) if _is_got_at_once(path.name, one.size)
    ]
    fetch(small)
    return top


def fetch_folder(folder: Path) -> None:
    """Get all that lies in a folder of a mirror; errors as of :func:`fetch`."""
    if _home_of(folder) is not None:
        fetch(folder.rglob("*"))


def fetch(paths: Iterable[Path]) -> None:
    """Get the objects that files stand for; files that lie elsewhere, or are there already, are left alone.

    Raises
    ------
    ReaderError
        If the store does not give one.
    IncompleteError
        If one was changed in the store since it was listed.
    OutputError
        If the disk of the cache is full.
    """
    waiting: dict[Path, list[Path]] = {}
    for path in paths:
        home = _home_of(path)
        if home is not None and _is_empty(path):
            waiting.setdefault(home, []).append(path)
    for home, wanted in waiting.items():
        _get(home, wanted)


def release(paths: Sequence[Path]) -> None:
    """Let go of what was got for files whose work is done, where the disk of the cache is nearly full."""
    ours = [path for path in paths if _home_of(path) is not None and not path.name.lower().endswith(OF_SEVERAL)]
    if ours:
        disk = shutil.disk_usage(_stores())
        if disk.free < max(FREE_BYTES, FREE_SHARE * disk.total):
            for path in _files(ours):
                found = path.stat()
                if not _is_empty(path) and not _is_got_at_once(path.name, found.st_size):
                    _stand_in(path, StoredObject("", found.st_size, found.st_mtime, ""))


def _files(paths: Sequence[Path]) -> list[Path]:
    """List files, and those in folders (zarr)."""
    inside = [one for path in paths if path.is_dir() for one in path.rglob("*")]
    return [path for path in (*paths, *inside) if path.is_file() and path.name != OBJECTS]


def _stores() -> Path:
    return cache().absolute() / FOLDER


def _home_of(path: Path) -> Path | None:
    """Return the folder of the mirror that a path lies in; None for other paths."""
    stores = str(_stores()) + os.sep
    text = str(path)
    return Path(stores + text[len(stores) :].split(os.sep, 1)[0]) if text.startswith(stores) else None


def _is_empty(path: Path) -> bool:
    """Tell whether a file of a mirror only stands for its object."""
    try:
        found = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and not found.st_mode & stat.S_IWUSR


def _is_got_at_once(name: str, size: int) -> bool:
    lowered = name.lower()
    return size <= MOST_AT_ONCE_BYTES and (lowered.endswith(GOT_AT_ONCE) or lowered in ZARR_METADATA)


def _place(top: Path, name: str) -> Path:
    return top.joinpath(*name.split("/")) if name else top


def _lay_out(home: Path, url: StoreUrl, listed: Sequence[StoredObject]) -> None:
    """Make the files that stand for objects, and take those away whose object is gone or was changed."""
    record, top = home / OBJECTS, home / url.name
    known = read_objects(home) if record.is_file() else {}
    now = {one.name: one for one in listed if _can_be_file(one.name)}
    if len(now) < len(listed):
        logger.warning("%d objects below '%s' have names that no file can have.", len(listed) - len(now), url)
    for name in known.keys() - now.keys():
        _place(top, name).unlink(missing_ok=True)
    above = {parent for name in now for parent in _parents(name)}
    for name, one in now.items():
        path = _place(top, name)
        if name in above:
            logger.warning("'%s/%s' is left out: there are objects below it too.", url, name)
        elif not path.is_file() or known.get(name) != one:
            path.parent.mkdir(parents=True, exist_ok=True)
            _stand_in(path, one)
    objects = {name: [one.size, one.modified, one.tag] for name, one in now.items()}
    write_json(record, {"url": str(url), "objects": objects})


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _can_be_file(name: str) -> bool:
    return not name or not any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in name.split("/"))


def read_objects(home: Path) -> dict[str, StoredObject]:
    """Read what a mirror knows of its objects, by their names."""
    found = json.loads((home / OBJECTS).read_text("utf-8"))["objects"]
    return {name: StoredObject(name, *about) for name, about in found.items()}


def _stand_in(path: Path, one: StoredObject) -> None:
    """Put a read-only file of an object's size and time in its place, which takes no room on most disks."""
    made = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    with made.open("wb") as file:
        file.truncate(one.size)
    os.utime(made, (one.modified, one.modified))
    made.chmod(0o444)
    _replace(made, path)


def _replace(made: Path, path: Path) -> None:
    if os.name == "nt" and path.exists():
        path.chmod(0o644)  # there a file that is read-only cannot be replaced
    made.replace(path)


def _get(home: Path, wanted: Sequence[Path]) -> None:
    record = json.loads((home / OBJECTS).read_text("utf-8"))
    url, objects = StoreUrl.parse(record["url"]), record["objects"]
    top = home / url.name
    names = ["" if path == top else path.relative_to(top).as_posix() for path in wanted]
    needed = sum(objects[name][0] for name in names)
    if shutil.disk_usage(home).free < needed + FREE_BYTES:
        raise OutputError(
            f"The disk of the cache has no room for {needed / 2**30:.3g} GiB of '{url}'.",
            "Free some space, or set VITASCOPE_CACHE to a folder on a larger disk.",
        )
    made = [path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}") for path in wanted]
    try:
        get([StoreUrl(url.scheme, f"{url.key}/{name}".rstrip("/")) for name in names], made)
        for part, path, name in zip(made, wanted, names, strict=True):
            size, modified, _ = objects[name]
            if part.stat().st_size != size:
                raise IncompleteError(
                    f"'{path.name}' was changed in the store since it was listed.", "Start the same command again."
                )
            os.utime(part, (modified, modified))
            _replace(part, path)
    except OSError as error:
        raise output_error(home, error) from error
    finally:
        for part in made:
            part.unlink(missing_ok=True)
