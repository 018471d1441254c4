"""Results to an object store: made in a folder of this machine, and put there when all is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitascope.core.errors import OutputError
from vitascope.core.paths import is_url
from vitascope.io.stores.object_store import StoreUrl, list_objects, put


@contextmanager
def folder_for(out: Path, last: str) -> Iterator[Path]:
    """Give a folder to write to: the one that was asked for, or one whose files go to an address at the end.

    Parameters
    ----------
    out : Path
        Folder, or address as a path.
    last : str
        File that goes last, so that where it is, all is.

    Raises
    ------
    OutputError
        If there is something at the address already, or it cannot be written. Nothing goes there after an error.
    """
    if not is_url(out):
        yield out
        return
    url = StoreUrl.parse(out)
    if list_objects(url, may_be_empty=True):
        raise OutputError(f"There is something at '{url}' already.", "Choose another address.")
    with tempfile.TemporaryDirectory(prefix="vitascope-") as made:
        folder = Path(made) / url.name
        yield folder
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for part in ([one for one in files if one.name != last], [one for one in files if one.name == last]):
            put(part, [StoreUrl(url.scheme, f"{url.key}/{one.relative_to(folder).as_posix()}") for one in part])


def told(out: Path) -> str:
    """Write where results are, an address as one."""
    return str(StoreUrl.parse(out)) if is_url(out) else os.fspath(out)
