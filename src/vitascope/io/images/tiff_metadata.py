"""What a TIFF without OME-XML says of pixel sizes and channels: ImageJ, MetaMorph, Zeiss, Olympus, resolution tags."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from vitascope.io.images.units import Scale, scale_from, square_sides, stage_place, to_um

# Resolutions of printers and screens, which programs write without having measured anything.
PRINT_DPI = (72, 96, 150, 200, 254, 300, 350, 360, 400, 600, 720, 1200, 1440, 2400, 2880, 4800)
PLAUSIBLE_UM = (0.01, 100.0)


def read_scale(tif: Any) -> Scale:
    """Read what a TIFF without OME-XML says of its scale.

    Parameters
    ----------
    tif : tifffile.TiffFile

    Returns
    -------
    Scale
        From ImageJ, MetaMorph, Micro-Manager, LSM, Aperio or, where plausible, the resolution tags.
    """
    page = tif.pages.first
    if tif.is_lsm:
        return _lsm(tif.lsm_metadata or {})
    if tif.is_micromanager:
        of_plane = page.tags.get("MicroManagerMetadata")
        of_plane = of_plane.value if of_plane is not None and isinstance(of_plane.value, dict) else {}
        found_scale = _micromanager({**(tif.micromanager_metadata or {}), **of_plane})
        if found_scale.pixel_size_um is not None:
            return found_scale
    if tif.is_svs:
        return _aperio(page.description or "")
    if tif.is_imagej:
        return _imagej(tif.imagej_metadata or {}, page)
    if tif.is_stk:
        found = tif.stk_metadata or {}
        if found.get("SpatialCalibration"):
            unit = str(found.get("CalibrationUnits", ""))
            y, x = square_sides((found.get("YCalibration"), unit), (found.get("XCalibration"), unit))
            return scale_from((y[0], x[0], None), (unit, unit, ""))
        return Scale()
    description = page.description or ""
    if "spatial-calibration-x" in description:
        return _metamorph(description)
    return _resolution(page)


def _lsm(found: dict[str, Any]) -> Scale:
    """Read voxel sizes, in metres, and the names of channels of a Zeiss LSM."""
    sizes = [_length(found.get(f"VoxelSize{axis}")) for axis in "YXZ"]
    colours = found.get("ChannelColors")
    names = tuple(str(name) for name in colours.get("ColorNames") or ()) if isinstance(colours, dict) else ()
    return scale_from((sizes[0], sizes[1], sizes[2]), ("m", "m", "m"), names)


def _micromanager(found: dict[str, Any]) -> Scale:
    """Read what Micro-Manager writes beside the pixels, in µm: of the whole stack, or of one plane."""
    summary = found.get("Summary")
    told = {**found, **(summary if isinstance(summary, dict) else {})}
    size = _length(told.get("PixelSize_um") or told.get("PixelSizeUm"))
    step = _length(told.get("z-step_um"))
    names = told.get("ChNames")
    channels = tuple(str(name) for name in names) if isinstance(names, (list, tuple)) else ()
    scale = scale_from((size, size, step), ("um", "um", "um"), channels)
    y, x = (_coordinate(found.get(f"{axis}PositionUm")) for axis in "YX")
    return replace(scale, stage_um=stage_place(y, x))


def _coordinate(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _aperio(description: str) -> Scale:
    """Read ``MPP = 0.499``, micrometres per pixel, from a slide's description."""
    told = re.search(r"\|\s*MPP\s*=\s*([\d.]+)", description)
    size = _length(told[1]) if told else None
    return scale_from((size, size, None), ("um", "um", ""))


def _length(value: Any) -> float | None:
    """Turn text or a number into a length above zero; None where it is none."""
    length = _coordinate(value)
    return length if length is not None and math.isfinite(length) and length > 0 else None


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
        height, width = (float(found.get(f"spatial-calibration-{axis}") or "nan") for axis in "yx")
    except ValueError:
        return Scale()
    unit = found.get("spatial-calibration-units", "")
    y, x = square_sides((height, unit), (width, unit))
    return scale_from((y[0], x[0], None), (unit, unit, ""))


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
