"""From what the user gives (files, folders, quoted globs) to a list of image files that exist."""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from vitascope.core.errors import ReaderError, describe
from vitascope.core.paths import is_url
from vitascope.io.filenames.parse import natural, split_suffix, step_folders
from vitascope.io.stores.mirror import mirror

T = TypeVar("T")

READABLE = "TIFF, OME-TIFF, LSM, STK, CZI, LIF, ND2, PNG, JPEG, BMP, zarr and OME-Zarr"
VENDOR_SUFFIXES = (".oib", ".oif", ".vsi", ".dv", ".svs", ".ims", ".scn", ".ndpi", ".mrxs")
_THUMBNAIL = re.compile(r"(?:.*_)?thumb", re.IGNORECASE)
_COMPANION = ".companion.ome"
_FILE_NAME = re.compile(r'FileName\s*=\s*"([^"]+)"')
_PAUSES_S = (0.1, 0.3, 1.0)


def expand(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """List the images behind files, folders and globs, each once, in the order given.

    A path that exists is taken as it is, whatever characters its name holds; otherwise it is a glob. Of a folder, the
    image files and ``.zarr`` folders inside are taken, and those in folders for time points and z-steps (not those of
    other folders further down). Hidden files and thumbnails are left out unless named one by one.

    Raises
    ------
    ReaderError
        If a path does not exist, holds no image, or is no image that can be read.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    found: dict[str, Path] = {}
    for given in paths:
        for path in _expand_one(given):
            found.setdefault(os.path.abspath(path), path)  # noqa: PTH100, resolve() would follow links
    if not found:
        raise ReaderError("No image was given.", f"Give files, folders or a quoted glob; readable: {READABLE}.")
    return list(found.values())


def _expand_one(given: str | os.PathLike[str]) -> list[Path]:
    text = os.fspath(given)
    if not text.strip() or "\0" in text:
        raise ReaderError("An empty path was given.", "Give a file, a folder or a quoted glob.")
    if is_url(text):
        return _expand_url(text)
    path = Path(text)
    try:
        if path.is_dir() and not is_zarr(path):
            return _images_in(path)
        if path.name.lower().endswith(_COMPANION) and path.is_file():
            return _images_of_companion(path)
        if path.exists():
            return [_checked(path)]
    except OSError as error:
        raise unreadable(path, error) from error
    return _glob(text)


def _expand_url(text: str) -> list[Path]:
    """List the images below an address; what follows its first wildcard is matched against what is there."""
    plain, wild = text.split("/"), 0
    while wild < len(plain) and not glob.has_magic(plain[wild]):
        wild += 1
    home = mirror("/".join(plain[:wild]))
    return _expand_one(home) if wild == len(plain) else _glob(os.path.join(home, *plain[wild:]))  # noqa: PTH118


def _images_of_companion(path: Path) -> list[Path]:
    """List the images that a file of OME-XML names, which lie beside it."""
    names = dict.fromkeys(_FILE_NAME.findall(path.read_text("utf-8", "replace")))
    found = [image for name in names if (image := path.with_name(PurePosixPath(name).name)).is_file()]
    if not found:
        raise ReaderError(
            f"'{path.name}' only tells of images, and none that it names lies beside it.", "Copy them into its folder."
        )
    return found


def _images_in(folder: Path) -> list[Path]:
    inside = list(_images_of_steps(folder))
    if not inside:
        raise ReaderError(
            f"The folder '{folder}' holds no image.", f"Readable: {READABLE}. Folders further down are not searched."
        )
    return sorted(inside, key=lambda entry: natural(str(entry.relative_to(folder))))


def _images_of_steps(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if _is_image(entry):
            yield entry
        elif step_folders((entry.name,)) and entry.is_dir():
            yield from _images_of_steps(entry)


def _glob(text: str) -> list[Path]:
    """Match a glob; where brackets match nothing they are taken literally, as in ``Stitched[Bright Field]_*.tif``."""
    pattern = os.path.expanduser(text)  # noqa: PTH111, Path would fold the pattern's dots and slashes
    matches: list[str] = []
    if glob.has_magic(pattern):
        matches = glob.glob(pattern, recursive=True) or glob.glob(pattern.replace("[", "[[]"), recursive=True)  # noqa: PTH207
    elif pattern != text:
        matches = [pattern] if Path(pattern).exists() else []
    images = [Path(match) for match in matches if _is_image(Path(match))]
    if images:
        return sorted(images, key=lambda image: natural(str(image)))
    if matches:
        raise ReaderError(f"What '{text}' matches holds no image.", f"Readable: {READABLE}.")
    what = "matches no file" if glob.has_magic(text) else "does not exist"
    raise ReaderError(f"'{text}' {what}.", "Check the spelling, and put a glob in quotes.")


def _is_image(path: Path) -> bool:
    return is_image_name(path.name) and path.is_dir() == path.name.lower().endswith(".zarr")


def is_image_name(name: str) -> bool:
    """Tell whether a name is that of an image: not hidden, no thumbnail, with a suffix that can be read."""
    return bool(split_suffix(name)[1]) and not name.startswith(".") and not is_thumbnail_name(name)


def is_thumbnail_name(name: str) -> bool:
    """Tell whether a name is that of a thumbnail, which instruments write beside the images."""
    return "thumb" in name.lower() and bool(_THUMBNAIL.match(name))


def _checked(path: Path) -> Path:
    if path.is_dir() or split_suffix(path.name)[1]:
        return path
    if path.suffix.lower() in VENDOR_SUFFIXES:
        raise ReaderError(
            f"'{path.name}' is a {path.suffix[1:].upper()} file, which is not read here.",
            "Export it as OME-TIFF, in the microscope's software or with Fiji (Bio-Formats exporter).",
        )
    raise ReaderError(f"'{path.name}' is no image that can be read.", f"Readable: {READABLE}.")


def is_zarr(folder: Path) -> bool:
    """Tell whether a folder is a zarr array or group, by its name or by the metadata file inside."""
    if folder.name.lower().endswith(".zarr"):
        return True
    return any((folder / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))


def unreadable(path: Path, error: BaseException) -> ReaderError:
    """Say in the user's words why the system did not let a file be read."""
    if isinstance(error, FileNotFoundError):
        return ReaderError(f"'{path}' does not exist or has gone.", "Check the path, and that the drive is connected.")
    if isinstance(error, PermissionError):
        return ReaderError(f"'{path}' may not be read.", "Ask its owner for permission to read it.")
    if isinstance(error, MemoryError):
        return ReaderError(f"'{path.name}' does not fit into memory.", "Close other programs.", flag="memory")
    return ReaderError(
        f"'{path.name}' cannot be read: {describe(error)}.", "Check the file, or copy it again from its source."
    )


def persistently(read: Callable[[], T], pauses_s: Sequence[float] = _PAUSES_S) -> T:
    """Call ``read``; a file that is not there is waited for a little, as on a network drive.

    Raises
    ------
    FileNotFoundError
        If it is still not there after the last pause.
    """
    for pause_s in pauses_s:
        try:
            return read()
        except FileNotFoundError:
            time.sleep(pause_s)
    return read()
