"""What OME-XML says of the planes of its images: which file and page holds which time, channel and z.

References
----------
OME-TIFF specification, https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from xml.etree import ElementTree

from vitascope.core.errors import ReaderError
from vitascope.io.images.units import Scale, scale_from, square_sides, stage_place

MAX_PLANES = 200_000
_MAX_XML = 2**26
_HINT = "Export the file again as OME-TIFF."

Position = tuple[int, int, int]
"""Time, channel and z of a plane."""


class FileName(NamedTuple):
    """A file that OME-XML names; both texts are empty for the file that holds the XML."""

    uuid: str = ""
    name: str = ""


THIS_FILE = FileName()


@dataclass(frozen=True)
class OmeImage:
    """What OME-XML says of one image.

    Parameters
    ----------
    name : str
    scale : Scale
    sizes : mapping of str to int
        Number of times, channels and z; samples of a colour or interleaved plane are one channel.
    order : str
        Of the planes in a file, the axis that runs fastest first, such as ``CZT``.
    area : int
        Height times width, px.
    planes : mapping of FileName to mapping of Position to int
        Page of each plane, by the file that holds it.
    listed : bool
        Whether the planes are named one by one; else they lie in this file in their order.
    """

    name: str
    scale: Scale
    sizes: Mapping[str, int]
    order: str
    area: int
    planes: Mapping[FileName, Mapping[Position, int]] = field(default_factory=dict)
    listed: bool = True

    @property
    def count(self) -> int:
        """Planes that the XML promises."""
        return self.sizes["T"] * self.sizes["C"] * self.sizes["Z"]

    @property
    def positions(self) -> list[Position]:
        """All planes, by time, then channel, then z."""
        return list(_positions(self.sizes, "ZCT"))

    def ordered(self, start: int = 0) -> dict[Position, int]:
        """Give the planes the pages from ``start`` on, in the order of the XML."""
        return {at: start + i for i, at in enumerate(_positions(self.sizes, self.order))}


@dataclass(frozen=True)
class OmeFile:
    """What OME-XML says.

    Parameters
    ----------
    uuid : str
        Of the file that holds it; empty where there is none.
    images : tuple of OmeImage
    metadata_file : str
        The file that holds the XML of this one; empty where this one does.
    """

    uuid: str
    images: tuple[OmeImage, ...]
    metadata_file: str = ""

    @property
    def files(self) -> tuple[FileName, ...]:
        """The files that are named, each once; without this one where it is not named."""
        named = (file for image in self.images for file in image.planes if file != THIS_FILE)
        return tuple(dict.fromkeys(named))


def read_ome(xml: str, name: str) -> OmeFile:
    """Read sizes, channel names and the places of all planes from OME-XML.

    Parameters
    ----------
    xml : str
    name : str
        Of the file.

    Returns
    -------
    OmeFile

    Raises
    ------
    ReaderError
        If the XML is broken, promises more than 200,000 planes, or defines entities (these can name other files, or
        grow without end).
    """
    if len(xml) > _MAX_XML or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ReaderError(f"The OME-XML of '{name}' defines entities, or is too long: it is not read.", _HINT)
    try:
        root = ElementTree.fromstring(xml)
        uuid = (root.get("UUID") or "").strip()
        elsewhere = _children(root, "BinaryOnly")
        if elsewhere:
            return OmeFile(uuid, (), elsewhere[0].get("MetadataFile", ""))
        images: list[OmeImage] = []
        start = 0
        for element in _children(root, "Image"):
            image = _image(element, name, start)
            start += 0 if image.listed else image.count
            images.append(image)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ReaderError(f"The OME-XML of '{name}' is broken: {_why(error)}.", _HINT) from error
    return OmeFile(uuid, tuple(images))


def _why(error: Exception) -> str:
    return "a part is missing" if isinstance(error, LookupError) else str(error)


def _children(element: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == tag]


def _image(element: ElementTree.Element, file: str, start: int) -> OmeImage:
    pixels = _children(element, "Pixels")[0]
    channels = _children(pixels, "Channel")
    samples = [int(channel.get("SamplesPerPixel", 1)) for channel in channels]
    together = any(count > 1 for count in samples)
    sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "TCZ"}
    if together:
        sizes["C"] = len(channels)
    count = sizes["T"] * sizes["C"] * sizes["Z"]
    if min(sizes.values()) < 1 or count > MAX_PLANES:
        raise ReaderError(
            f"The OME-XML of '{file}' promises {count:,} planes; up to {MAX_PLANES:,} are read.",
            _HINT,
            flag="too_large",
        )
    order = pixels.get("DimensionOrder", "")[2:]
    names = tuple(channel.get("Name", "") for channel in channels)
    y, x, z = ((_number(pixels, f"PhysicalSize{axis}"), _unit(pixels, axis)) for axis in "YXZ")
    y, x = square_sides(y, x)
    scale = scale_from(
        (y[0], x[0], z[0]),
        (y[1], x[1], z[1]),
        names if any(names) and not together else (),
    )
    scale = replace(scale, stage_um=_stage(_children(pixels, "Plane")))
    area = int(pixels.get("SizeY", 0)) * int(pixels.get("SizeX", 0))
    blocks = _children(pixels, "TiffData")
    if sorted(order) != ["C", "T", "Z"]:
        if sum(size > 1 for size in sizes.values()) > 1 and len(blocks) < count:
            raise ValueError("it says nothing of the order of the planes")
        order = "CZT"
    image = OmeImage(
        name=element.get("Name", ""), scale=scale, sizes=sizes, order=order, area=area, listed=bool(blocks)
    )
    if not blocks:
        return OmeImage(
            name=image.name,
            scale=scale,
            sizes=sizes,
            order=order,
            area=area,
            planes={THIS_FILE: image.ordered(start)},
            listed=False,
        )
    per_channel = max(samples, default=1)
    return OmeImage(
        name=image.name,
        scale=scale,
        sizes=sizes,
        order=order,
        area=area,
        planes=_planes(blocks, sizes, order, per_channel),
    )


def _planes(
    blocks: list[ElementTree.Element], sizes: Mapping[str, int], order: str, samples: int
) -> dict[FileName, dict[Position, int]]:
    """Read ``TiffData``: by default one plane where the page is given, else all that are left."""
    positions = list(_positions(sizes, order))
    number = {position: i for i, position in enumerate(positions)}
    found: dict[FileName, dict[Position, int]] = {}
    for block in blocks:
        named = _children(block, "UUID")
        file = FileName((named[0].text or "").strip(), named[0].get("FileName", "")) if named else THIS_FILE
        at = int(block.get("FirstT", 0)), int(block.get("FirstC", 0)) // samples, int(block.get("FirstZ", 0))
        if at not in number:
            continue
        count = int(block.get("PlaneCount", 1 if block.get("IFD") is not None else len(positions)))
        page = int(block.get("IFD", 0))
        if count < 0 or page < 0:
            raise ValueError("a number of pages is negative")
        held = found.setdefault(file, {})
        for i, position in enumerate(positions[number[at] : number[at] + count]):
            held.setdefault(position, page + i)
    return found


def _positions(sizes: Mapping[str, int], order: str) -> Iterator[Position]:
    """List time, channel and z of all planes in the order they are stored."""
    fast, middle, slow = tuple(order)
    for s in range(sizes[slow]):
        for m in range(sizes[middle]):
            for f in range(sizes[fast]):
                at = {slow: s, middle: m, fast: f}
                yield at["T"], at["C"], at["Z"]


def _stage(planes: list[ElementTree.Element]) -> tuple[float, float] | None:
    """Return where the stage stood for the first plane; without a unit it is a "reference frame" that tells nothing."""
    if not planes:
        return None
    y, x = (_number(planes[0], f"Position{axis}") for axis in "YX")
    return stage_place(y, x, (planes[0].get("PositionYUnit", ""), planes[0].get("PositionXUnit", "")))


def _number(element: ElementTree.Element, name: str) -> float | None:
    text = element.get(name)
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _unit(pixels: ElementTree.Element, axis: str) -> str:
    return pixels.get(f"PhysicalSize{axis}Unit", "µm")
