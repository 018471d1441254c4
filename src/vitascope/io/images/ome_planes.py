"""Which planes of an OME-TIFF image lie in a file: alone, beside others, renamed, with or without UUIDs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import tifffile

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.io.images.ome_xml import THIS_FILE, FileName, OmeFile, OmeImage, Position, read_ome
from vitascope.io.images.tiff_log import quiet_tifffile

COMPANION = ".companion.ome"
_MAX_COMPANION = 2**26
_SHOWN = 3


@dataclass(frozen=True)
class OmePart:
    """The planes of one image that lie in one file.

    Parameters
    ----------
    path : Path
    image : OmeImage
    number : int
        Of the image in the XML.
    planes : mapping of Position to int
        Page of each plane.
    others : tuple of FileName
        Files that hold planes which this one does not, as the XML names them.
    """

    path: Path
    image: OmeImage
    number: int
    planes: Mapping[Position, int]
    others: tuple[FileName, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the file holds all planes of the image."""
        return len(self.planes) == self.image.count

    @property
    def key(self) -> object:
        """Equal for the parts of one image."""
        files = frozenset(file for file in self.image.planes if file != THIS_FILE)
        return self.path.parent, self.number, tuple(sorted(self.image.sizes.items())), files


def find_part(path: Path, ome: OmeFile, pages: int) -> OmePart:
    """Find the image that a file holds planes of, and which.

    Where the file holds planes of several images, the largest is taken.

    Parameters
    ----------
    path : Path
    ome : OmeFile
        Of the file.
    pages : int
        In the file.

    Raises
    ------
    ReaderError
        If it holds several images of one size, or none.
    IncompleteError
        If the XML lies in another file, which is not there, or nothing tells which of the named files this one is.
    """
    if ome.metadata_file:
        ome = _companion(path, ome)
    own = _own_names(path, ome, pages)
    parts = []
    for number, image in enumerate(ome.images):
        planes: dict[Position, int] = {}
        for file in own:
            planes = {**image.planes.get(file, {}), **planes}
        if not planes:
            continue
        if len(planes) < image.count <= pages and not [file for file in image.planes if file not in own]:
            planes = image.ordered()  # writers that list the first plane only
        if len(ome.images) > 1 or [file for file in image.planes if file not in own]:
            planes = {at: page for at, page in planes.items() if page < pages}
        rest = [file for file, held in image.planes.items() if file not in own and held.keys() - planes.keys()]
        parts.append(OmePart(path, image, number, planes, tuple(rest)))
    parts = [part for part in parts if part.planes]
    if not parts:
        raise ReaderError(f"The OME-XML of '{path.name}' tells of no image in it.", "Export it again as OME-TIFF.")
    largest = [part for part in parts if part.image.area == max(one.image.area for one in parts)]
    if len(largest) > 1:
        raise ReaderError(
            f"'{path.name}' holds {len(largest)} images of the same size.", "Save each of them as a file of its own."
        )
    return largest[0]


def _own_names(path: Path, ome: OmeFile, pages: int) -> tuple[FileName, ...]:
    """Tell under which names of the XML this file goes: by UUID, else by file name, else because no other fits."""
    named = ome.files
    own = [file for file in named if ome.uuid and file.uuid == ome.uuid]
    by_name = [file for file in named if _base(file.name) == path.name.casefold()]
    if len(own) > 1:
        own = [file for file in own if file in by_name] or own[:1]
    own = own or by_name[:1]
    implied = any(THIS_FILE in image.planes for image in ome.images)
    if own or implied or not named:
        return (THIS_FILE, *own)
    if len(named) == 1:
        return THIS_FILE, named[0]
    fitting = [file for file in named if _last_page(ome, file) + 1 == pages]
    layouts = {_layout(ome, file) for file in fitting}
    if len(layouts) == 1:  # whichever it is: all say the same of their planes
        return THIS_FILE, fitting[0]
    raise IncompleteError(
        f"'{path.name}' is none of the {len(named)} files that its OME-XML names ({_listed(named)}), and nothing tells "
        "which of them it was.",
        "Give it back the name it had when it was written.",
    )


def _last_page(ome: OmeFile, file: FileName) -> int:
    return max((max(image.planes[file].values()) for image in ome.images if image.planes.get(file)), default=-1)


def _layout(ome: OmeFile, file: FileName) -> object:
    held = [(image, image.planes[file]) for image in ome.images if file in image.planes]
    return tuple((tuple(image.sizes.values()), tuple(planes.items())) for image, planes in held)


def _base(name: str) -> str:
    """Return the last part of a path as either system writes it, in small letters."""
    return PureWindowsPath(PurePosixPath(name).name).name.casefold()


def _listed(files: Sequence[FileName]) -> str:
    names = [file.name or file.uuid for file in files]
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")


def _companion(path: Path, ome: OmeFile) -> OmeFile:
    """Read the XML of a file that says another one holds it; that one must lie beside it."""
    name = PureWindowsPath(PurePosixPath(ome.metadata_file).name).name
    beside = path.with_name(name) if name else path
    if beside == path or not beside.is_file():
        raise IncompleteError(
            f"What '{path.name}' holds is told by another file, '{name or 'without a name'}', which is not beside it.",
            "Copy that file into the same folder.",
        )
    told = (
        _read_companion(beside) if beside.suffix.lower() in (".ome", ".xml") else read_ome(_description(beside), name)
    )
    if told.metadata_file:
        raise ReaderError(f"'{path.name}' and '{name}' each say that the other tells of it.", "Export them again.")
    # What the XML says of its own file is not said of this one.
    told_of = FileName(told.uuid, name)
    images = [
        replace(one, planes={told_of if file == THIS_FILE else file: held for file, held in one.planes.items()})
        for one in told.images
    ]
    return OmeFile(ome.uuid, tuple(images))


def _read_companion(path: Path) -> OmeFile:
    if path.stat().st_size > _MAX_COMPANION:
        raise ReaderError(f"'{path.name}' is too long to be OME-XML.", "Export the images again.")
    return read_ome(path.read_text("utf-8", "replace").lstrip("\ufeff"), path.name)


def _description(path: Path) -> str:
    with quiet_tifffile(), tifffile.TiffFile(path) as tif:
        return str(tif.pages.first.description or "") if tif.is_ome else ""


def check_whole(part: OmePart, pages: int) -> None:
    """Refuse a file that lacks planes of its image.

    Raises
    ------
    IncompleteError
        It names the files that hold them, where the XML does.
    """
    held = sum(page < pages for page in part.planes.values())
    count, name = part.image.count, part.path.name
    if held == count:
        return
    if part.others:
        names = list(dict.fromkeys(PurePosixPath(file.name or file.uuid).name for file in part.others))
        others = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
        raise IncompleteError(
            f"'{name}' holds {held} of the {count} planes of its image; the others lie in {others}.",
            f"Give the files of the image together, or the folder they lie in: {name}, {others}.",
        )
    raise IncompleteError(
        f"{count - held} of {count} planes of '{name}' are missing.", "Export it again from its source."
    )


def parts_of(paths: Sequence[Path]) -> list[list[OmePart]]:
    """Find the files among some that hold parts of one image.

    Parameters
    ----------
    paths : sequence of Path

    Returns
    -------
    list of list of OmePart
        At least two parts each; files that hold all of their image, or nothing that can be read, are in none.
    """
    found: dict[object, list[OmePart]] = {}
    strangers: dict[str, Path] = {}
    companions = {folder: sorted(folder.glob("*" + COMPANION)) for folder in {path.parent for path in paths}}
    for path in paths:
        part = _partial(path, companions[path.parent])
        if part is not None:
            found.setdefault(part.key, []).append(part)
        else:
            strangers[path.name.casefold()] = path
    for parts in found.values():
        known = {file for part in parts for file in part.image.planes if file not in part.others}
        for file in dict.fromkeys(file for part in parts for file in part.others):
            other = strangers.get(_base(file.name))
            if file not in known and other is not None and other.parent == parts[0].path.parent and not _has_xml(other):
                parts.append(replace(parts[0], path=other, planes=parts[0].image.planes[file], others=()))
    return [_told_by_name(parts) for parts in found.values() if len(parts) > 1]


def _has_xml(path: Path) -> bool:
    try:
        return bool(_description(path))
    except Exception:  # what cannot be read is said when it is opened
        return True


def _partial(path: Path, companions: Sequence[Path]) -> OmePart | None:
    """Return what a file that holds planes of an image says of them, or a companion beside it where it says nothing."""
    try:
        xml = _description(path)
        ome = read_ome(xml, path.name) if xml else _named_in(path, companions)
        if ome is None:
            return None
        with quiet_tifffile(), tifffile.TiffFile(path) as tif:
            part = find_part(path, ome, len(tif.pages))
    except Exception:  # what cannot be read is said when it is opened
        return None
    return None if part.whole else part


def _named_in(path: Path, companions: Sequence[Path]) -> OmeFile | None:
    told = map(_read_companion, companions)
    return next((one for one in told if any(_base(file.name) == path.name.casefold() for file in one.files)), None)


def _told_by_name(parts: list[OmePart]) -> list[OmePart]:
    """Go by file names where several files call themselves the same: the XML was copied with its UUID."""
    if len({tuple(sorted(part.planes)) for part in parts}) == len(parts):
        return parts
    told = []
    for part in parts:
        files = [file for file in part.image.planes if _base(file.name) == part.path.name.casefold()]
        told.append(replace(part, planes=part.image.planes[files[0]]) if files else part)
    return told
