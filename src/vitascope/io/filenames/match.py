"""Which image belongs to which stain, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vitascope.core.errors import InputError
from vitascope.io.filenames.parse import split_suffix

TOKEN = re.compile(r"\d+|[^\W\d_]+")


@dataclass(frozen=True)
class Matched:
    """Files of two kinds that belong together.

    Parameters
    ----------
    pairs : tuple of (str, str, str)
        What the names share, the image, the stain; paths relative to their folder.
    images, stains : tuple of str
        Those that have no partner.
    """

    pairs: tuple[tuple[str, str, str], ...]
    images: tuple[str, ...] = ()
    stains: tuple[str, ...] = ()


def match_globs(folder: Path, images: str, stains: str) -> Matched:
    """Pair the files of two globs by name.

    Parameters
    ----------
    folder : Path
    images, stains : str
        Such as ``DIC/*.tif`` and ``DAPI/*.tif``, or ``*_C1.tif`` and ``*_C2.tif``. What the wildcards stand for is
        the same in a pair; where it never is (``DIC/dic_01.tif``, ``DAPI/dapi_01.tif``), the words and numbers that
        tell the files of one kind apart are.

    Raises
    ------
    InputError
        If a glob names no file, two files of one kind have the same name, or nothing can be paired.
    """
    found = []
    for glob in (images, stains):
        if Path(glob).is_absolute() or ".." in PurePosixPath(glob).parts:
            raise InputError(f"'{glob}' leads out of the folder of the data set.", "Name files inside it.")
        files = sorted(p.relative_to(folder).as_posix() for p in folder.glob(glob) if p.is_file())
        if not files:
            raise InputError(f"There is no file '{glob}' in {folder.name}.", "Check folder and ending.")
        found.append(files)
    first, second = found
    if len(first) == len(second) == 1:
        return Matched(((PurePosixPath(first[0]).stem, first[0], second[0]),))
    keys = (_wildcards(images), _wildcards(stains))
    return _match_or_refuse(first, second, keys, f"No image of '{images}' has a stain in '{stains}'")


def match_folders(images: Path, stains: Path) -> Matched:
    """Pair the image files of two folders by name: whole names first, else the words and numbers that tell them apart.

    Raises
    ------
    InputError
        If a folder holds no image, both are the same, or nothing can be paired.
    """
    if images.resolve() == stains.resolve():
        raise InputError("Images and stains are the same folder.", "Choose two, or channels of the same images.")
    names = []
    for folder in (images, stains):
        inside = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        files = [name for name in inside if split_suffix(name)[1] and not name.startswith(".")]
        if not files:
            raise InputError(f"There is no image in {folder.name or folder}.", "Check the folder.")
        names.append(files)
    first, second = names
    if len(first) == len(second) == 1:
        return Matched(((_stem(first[0]), first[0], second[0]),))
    return _match_or_refuse(first, second, (_stem, _stem), "No image has a stain")


def _match_or_refuse(
    first: Sequence[str], second: Sequence[str], keys: tuple[Callable[[str], str], Callable[[str], str]], told: str
) -> Matched:
    """Pair names by keys, else by the words and numbers that tell them apart.

    Raises
    ------
    InputError
        If nothing can be paired; it begins as told.
    """
    matched = match(first, second, *keys)
    if not matched.pairs:
        matched = match(first, second, _words(first), _words(second))
    if not matched.pairs:
        one, other = (PurePosixPath(names[0]).name for names in (first, second))
        raise InputError(
            f"{told}: {one} and {other} share nothing that tells them from others.",
            "Give both the same name or number.",
        )
    return matched


def _stem(name: str) -> str:
    return split_suffix(name)[0]


def match(
    images: Sequence[str], stains: Sequence[str], image_key: Callable[[str], str], stain_key: Callable[[str], str]
) -> Matched:
    """Pair names whose keys are the same.

    Raises
    ------
    InputError
        If two images, or two stains, have one key.
    """
    keyed = []
    for names, key in ((images, image_key), (stains, stain_key)):
        by_key: dict[str, str] = {}
        for name in names:
            if (other := by_key.setdefault(key(name), name)) != name:
                raise InputError(
                    f"{other} and {name} are both called '{key(name)}': which one belongs to its partner is not told.",
                    "Name more of the files' names in the pattern.",
                )
        keyed.append(by_key)
    shared = [k for k in keyed[0] if k in keyed[1]]
    left = [tuple(name for k, name in own.items() if k not in other) for own, other in (keyed, keyed[::-1])]
    return Matched(tuple((k, keyed[0][k], keyed[1][k]) for k in shared), *left)


def _wildcards(glob: str) -> Callable[[str], str]:
    """Return what gives the text that the wildcards of a glob stand for."""
    parts = {"**/": "(?:(.*)/)?", "*": "([^/]*)", "?": "([^/])"}
    pattern = re.compile("".join(parts.get(p, re.escape(p)) for p in re.split(r"(\*\*/|\*|\?)", glob)))

    def key(name: str) -> str:
        found = pattern.fullmatch(name)
        return " ".join(text or "" for text in found.groups()) if found else name

    return key


def _words(names: Sequence[str]) -> Callable[[str], str]:
    """Return what gives the words and numbers of a name that not all names have."""
    tokens = {name: [t.lower().lstrip("0") or "0" for t in TOKEN.findall(name)] for name in names}
    common = set.intersection(*(set(each) for each in tokens.values()))
    return lambda name: " ".join(t for t in tokens[name] if t not in common)
