"""Which files a job may read: those that were sent with it, and those below the service's root."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from vitascope.core.errors import InputError, ParameterError, ReaderError
from vitascope.io.atomic import file_name
from vitascope.io.filenames.parse import is_tiff_name, split_suffix
from vitascope.io.images.limits import count_pixels
from vitascope.io.images.read import open_file

TABLES = (".csv", ".tsv", ".txt", ".xlsx")
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def below_root(root: Path, data: Path, name: str) -> Path:
    """Return a file or folder below the root by its name.

    Raises
    ------
    ParameterError
        If there is none: what lies elsewhere, and the service's own data, are as if they were not there.
    """
    missing = ParameterError(f"There is no '{name[:200]}' here.", "Name a file or folder below the service's root.")
    if "\0" in name or not name.strip() or Path(name).is_absolute() or ".." in Path(name).parts:
        raise missing
    try:
        found = (root / name).resolve(strict=True)
    except (OSError, RuntimeError):
        raise missing from None
    if not found.is_relative_to(root.resolve()) or found.is_relative_to(data.resolve()):
        raise missing
    if data.resolve().is_relative_to(found):
        raise ParameterError(
            "The service's own data lie in this folder.", "Name the folders in it that hold images, one by one."
        )
    return found


def check_inside(paths: Iterable[Path], folders: Sequence[Path]) -> None:
    """Refuse files that a link leads out of the folders that may be read.

    Raises
    ------
    ReaderError
    """
    allowed = [folder.resolve() for folder in folders]
    for path in paths:
        if not any(path.resolve().is_relative_to(folder) for folder in allowed):
            raise ReaderError(f"'{path.name}' leads out of the service's root.", "Give the file itself, not a link.")


def safe_name(given: str | None) -> str:
    r"""Return the name of a file that was sent, without folders.

    Examples
    --------
    >>> safe_name("../../etc/a.tif"), safe_name("C:\\plates\\b.tif"), safe_name("")
    ('a.tif', 'b.tif', 'image')
    """
    return file_name((given or "").replace("\\", "/").rsplit("/", 1)[-1])


def check_picture(path: Path) -> int:
    """Look at the head of a file that was sent, and return how many pixels it declares; 0 where it is not told so soon.

    No pixel is unpacked here: that is done in a worker's process.

    Raises
    ------
    InputError, ReaderError
        If it is no picture.
    """
    name = path.name
    if not split_suffix(name)[1]:
        raise ReaderError(f"'{name}' is no image that can be read here.", "Send TIFF, OME-TIFF, PNG, CZI, LIF or ND2.")
    with path.open("rb") as file:
        head = file.read(24)
    if not head:
        raise ReaderError(f"'{name}' is empty.", "Send it again from its source.")
    if head.startswith(_PNG):
        width, height = struct.unpack(">II", head[16:24]) if len(head) == 24 else (0, 0)
        return int(width) * int(height)
    if is_tiff_name(name):
        if head[:4] not in _TIFF:
            raise ReaderError(f"'{name}' is no TIFF, though it is called one.", "Send it again from its source.")
        return _declared(path)
    if name.lower().endswith(".png"):
        raise ReaderError(f"'{name}' is no PNG, though it is called one.", "Send it again from its source.")
    return 0


def _declared(path: Path) -> int:
    try:
        return count_pixels(open_file(path, eager_bytes=0).array.shape)
    except InputError as error:
        if error.flag == "axes_unknown":
            return 0  # the job may be told by its parameters
        raise
