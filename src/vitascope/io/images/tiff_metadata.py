"""What a TIFF says of pixel sizes and channels: OME-XML, ImageJ, MetaMorph, resolution tags."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from vitascope.core.errors import ReaderError
from vitascope.io.images.units import Scale, scale_from, to_um

# Resolutions of printers and screens, which programs write without having measured anything.
PRINT_DPI = (72, 96, 150, 200, 254, 300, 350, 360, 400, 600, 720, 1200, 1440, 2400, 2880, 4800)
PLAUSIBLE_UM = (0.01, 100.0)
_MAX_XML = 2**26


@dataclass(frozen=True)
class OmeImage:
    """What OME-XML says of the first image of a file.

    Parameters
    ----------
    scale : Scale
    planes : int
        Planes that the XML promises for this image.
    images : int
        Images that the XML lists.
    elsewhere : bool
        Whether some of the planes lie in other files.
    """

    scale: Scale
    planes: int
    images: int
    elsewhere: bool


def read_ome(xml: str, name: str) -> OmeImage:
    """Read sizes, channel names and the number of planes from OME-XML.

    Parameters
    ----------
    xml : str
    name : str
        Of the file.

    Returns
    -------
    OmeImage

    Raises
    ------
    ReaderError
        If the XML is broken, or defines entities (these can name other files, or grow without end).

    References
    ----------
    OME-TIFF specification, https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html
    """
    hint = "Export the file again as OME-TIFF."
    if len(xml) > _MAX_XML or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ReaderError(f"The OME-XML of '{name}' defines entities, or is too long: it is not read.", hint)
    try:
        root = ElementTree.fromstring(xml)
        images = _children(root, "Image")
        pixels = _children(images[0], "Pixels")[0] if images else None
        if pixels is None:
            return OmeImage(Scale(), 0, 0, True)
        channels = _children(pixels, "Channel")
        samples = [int(channel.get("SamplesPerPixel", 1)) for channel in channels]
        planes = int(pixels.get("SizeT", 1)) * int(pixels.get("SizeZ", 1))
        planes *= len(channels) if any(s > 1 for s in samples) else int(pixels.get("SizeC", 1))
        names = tuple(channel.get("Name", "") for channel in channels)
        scale = scale_from(
            (_number(pixels, "Y"), _number(pixels, "X"), _number(pixels, "Z")),
            (_unit(pixels, "Y"), _unit(pixels, "X"), _unit(pixels, "Z")),
            names if any(names) and not any(s > 1 for s in samples) else (),
        )
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ReaderError(f"The OME-XML of '{name}' is broken: {error}.", hint) from error
    return OmeImage(scale, planes, len(images), _lies_elsewhere(root, name))


def _children(element: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == tag]


def _number(pixels: ElementTree.Element, axis: str) -> float | None:
    text = pixels.get(f"PhysicalSize{axis}")
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _unit(pixels: ElementTree.Element, axis: str) -> str:
    return pixels.get(f"PhysicalSize{axis}Unit", "µm")


def _lies_elsewhere(root: ElementTree.Element, name: str) -> bool:
    """Tell whether planes lie in other files: more than one file is named, or the one named is not this."""
    named = [element for element in root.iter() if element.tag.rpartition("}")[2] == "UUID"]
    uuids = {element.text: element.get("FileName", "") for element in named}
    if _children(root, "BinaryOnly") or len(uuids) > 1:
        return True
    own = root.get("UUID")
    return any(uuid != own and file.lower() != name.lower() for uuid, file in uuids.items())


def read_scale(tif: Any) -> Scale:
    """Read what a TIFF without OME-XML says of its scale.

    Parameters
    ----------
    tif : tifffile.TiffFile

    Returns
    -------
    Scale
        From ImageJ, MetaMorph or, where plausible, the resolution tags.
    """
    page = tif.pages.first
    if tif.is_imagej:
        return _imagej(tif.imagej_metadata or {}, page)
    if tif.is_stk:
        found = tif.stk_metadata or {}
        if found.get("SpatialCalibration"):
            unit = str(found.get("CalibrationUnits", ""))
            return scale_from((found.get("YCalibration"), found.get("XCalibration"), None), (unit, unit, ""))
        return Scale()
    description = page.description or ""
    if "spatial-calibration-x" in description:
        return _metamorph(description)
    return _resolution(page)


def _imagej(found: dict[str, Any], page: Any) -> Scale:
    unit = str(found.get("unit", ""))
    spacing = found.get("spacing")
    z = float(spacing) if isinstance(spacing, (int, float)) and found.get("slices", 1) > 1 else None
    per_pixel = [1 / density if density else None for density in _densities(page)]
    if unit.casefold() in ("", "pixel", "pixels", "px", "inch", "cm"):  # as good as the resolution tags
        return _resolution(page)
    return scale_from((per_pixel[0], per_pixel[1], z), (unit, unit, str(found.get("zunit", unit))))


def _metamorph(description: str) -> Scale:
    """Read ``<prop id="spatial-calibration-x" value="1.36"/>``, as ImageXpress writes it."""
    if "<!DOCTYPE" in description or "<!ENTITY" in description:
        return Scale()
    try:
        root = ElementTree.fromstring(description.strip().strip("\0"))
    except ElementTree.ParseError:
        return Scale()
    found = {prop.get("id"): prop.get("value", "") for prop in root.iter("prop")}
    if found.get("spatial-calibration-state", "on").casefold() in ("off", "0", "false"):
        return Scale()
    try:
        y, x = (float(found[f"spatial-calibration-{axis}"] or "nan") for axis in "yx")
    except (KeyError, ValueError):
        return Scale()
    unit = found.get("spatial-calibration-units", "")
    return scale_from((y, x, None), (unit, unit, ""))


def _densities(page: Any) -> tuple[float, float]:
    """Pixels per unit of height and of width; 0 where there is no tag."""
    found = []
    for code in ("YResolution", "XResolution"):
        tag = page.tags.get(code)
        numerator, denominator = tag.value if tag is not None and isinstance(tag.value, tuple) else (0, 1)
        found.append(numerator / denominator if denominator else 0.0)
    return found[0], found[1]


def _resolution(page: Any) -> Scale:
    """Read the resolution tags where they can come from a microscope: per inch or cm, and no printer's number."""
    tag = page.tags.get("ResolutionUnit")
    unit = {2: "inch", 3: "cm"}.get(int(tag.value) if tag is not None else 0)
    y, x = _densities(page)
    if unit is None or not (y > 0 and x > 0):
        return Scale()
    dpi = x * (2.54 if unit == "cm" else 1.0)
    size = to_um(1 / x, unit)
    printed = any(math.isclose(dpi, known, rel_tol=0.002) for known in PRINT_DPI)
    if printed or size is None or not PLAUSIBLE_UM[0] <= size <= PLAUSIBLE_UM[1]:
        return Scale()
    return scale_from((1 / y, 1 / x, None), (unit, unit, ""))
