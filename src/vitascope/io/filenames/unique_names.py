"""What outputs are called: one name for every image of a run, no two the same, on disks that ignore case too."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitascope.core.well import WellPosition


@dataclass(frozen=True)
class NameCandidate:
    """What an image may be called after.

    Parameters
    ----------
    full : str
        The file's stem, or the common part of the names of its planes.
    place : WellPosition
    complete : bool
        Whether plate, well and field say all that the name says.
    channel : str
        The channel, where there is one only.
    suffix : str
        Of the file, without the dot.
    folder : Path
        Where the files lie.
    """

    full: str
    place: WellPosition
    complete: bool
    channel: str
    suffix: str
    folder: Path


def name_images(images: Sequence[NameCandidate]) -> list[str]:
    """Give every image a name of its own, the shortest that tells it from the others.

    ``<plate>_<well>_<field>`` where the name says nothing else, otherwise the full name. Where several clash, time,
    channel, the folder's name (then those above it), the full name and the suffix are tried in this order.

    Parameters
    ----------
    images : sequence of NameCandidate

    Returns
    -------
    list of str
        One for each image, in the same order; no two are equal, capitals or not.

    Examples
    --------
    >>> at = [NameCandidate("A1", WellPosition(well="A01"), True, "", "tif", Path(f)) for f in ("x", "y")]
    >>> name_images(at)
    ['x_A01', 'y_A01']
    """
    names = [_short(image) for image in images]
    names = _tell_apart(names, lambda i: f"{names[i]}_t{images[i].place.time}" if images[i].place.time else names[i])
    names = _tell_apart(names, lambda i: f"{names[i]}_{images[i].channel}" if images[i].channel else names[i])
    full = [image.full for image in images]
    for base in (list(names), full, [f"{image.full}_{image.suffix}" for image in images]):
        names = _tell_apart(names, base.__getitem__)
        for depth in range(1, 6):
            names = _tell_apart(names, lambda i, d=depth, b=base: _with_folders(b[i], images[i].folder, d))  # type: ignore[misc]
    return _counted(names)


def _short(image: NameCandidate) -> str:
    place = image.place
    if place.well and image.complete:
        return "_".join(text for text in (place.plate, place.well, place.field) if text)
    return image.full


def _tell_apart(names: Sequence[str], longer: Callable[[int], str]) -> list[str]:
    """Replace names that clash by longer ones, where these tell some of them apart."""
    clashing: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        clashing.setdefault(name.casefold(), []).append(i)
    result = list(names)
    taken = set(clashing)
    for indices in clashing.values():
        if len(indices) == 1:
            continue
        tried = {i: longer(i) for i in indices}
        folded = {name.casefold() for name in tried.values()}
        if len(folded) > 1 and not folded & taken:
            taken |= folded
            for i, name in tried.items():
                result[i] = name
    return result


def _with_folders(name: str, folder: Path, depth: int) -> str:
    parts = Path(os.path.abspath(folder)).parts[1:]  # noqa: PTH100, resolve() would follow links
    return "_".join([*parts[-depth:], name])


def _counted(names: Sequence[str]) -> list[str]:
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    result = []
    for name in names:
        unique, count = name, 1
        while unique.casefold() in seen or (count > 1 and unique.casefold() in taken):
            count += 1
            unique = f"{name}_{count}"
        seen.add(unique.casefold())
        result.append(unique)
    return result
