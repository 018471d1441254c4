"""One file, and what its name, its folder or an index tells of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from vitascope.io.filenames.parse import NameParts, step_folders


class Member(NamedTuple):
    """One file, and what its name or an index tells of it.

    Parameters
    ----------
    path : Path
    parts : NameParts
    levels : int
        Folders above the file that tell of it: that a pattern has read, or that stand for its well.
    kind : str
        What it is that is no data, such as ``projection`` (:mod:`vitascope.io.filenames.kinds`); empty for data.
    at : Path or None
        Folder of the image, where it is another than those above the file.
    told : NameParts or None
        What the name of a projection tells, with the word that says so.
    """

    path: Path
    parts: NameParts
    levels: int = 0
    kind: str = ""
    at: Path | None = None
    told: NameParts | None = None

    @property
    def home(self) -> Path:
        """Folder of the image: above those that stand for its parts, such as z-steps and time points."""
        return self.at or _home(self.path.parts[:-1], self.levels)


@lru_cache(maxsize=1024)
def _home(folders: tuple[str, ...], levels: int) -> Path:
    """Give all files of a folder one object for it, which is hashed once."""
    return Path(*folders[: len(folders) - (levels or len(step_folders(folders)))])
