"""A CZI, ND2 or LIF file as a plate: its scenes are the fields of the wells that their names tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vitascope.core.errors import ReaderError
from vitascope.core.well import Well, WellPosition
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.filenames.parse import parse_name
from vitascope.io.images.vendor import list_scenes
from vitascope.io.plates.image_folder import site_name
from vitascope.io.plates.plate import Plate, Site, plate_shape, site_order

_REGION = re.compile(r"TR\d+(-\w+)?", re.IGNORECASE)
_POSITION = re.compile(r"P\d+(-\w+)?", re.IGNORECASE)
_PLAIN = re.compile(
    r"(?:.*/)?(?:(?:point|well|pos(?:ition)?|scene|tile ?scan)[ _-]*)*"
    r"[A-P][A-F]?[ _/-]?\d{1,2}(?:[ _/-]+[A-Z]{0,5}\d*)*",
    re.IGNORECASE,
)
"""A name that says a well and numbers, and nothing else."""
_ROW_AND_COLUMN = re.compile(r"(?:\A|.*/)(A[A-F]|[A-P])/(\d{1,2})(?:/|\Z)")


def vendor_plate(path: Path, size: int | None = None) -> Plate:
    """Index a file; no pixel is read.

    Parameters
    ----------
    path : Path
    size : int, optional
        Number of wells.

    Returns
    -------
    Plate
        The fields of a well are numbered from 1, in the order of the file.

    Raises
    ------
    ReaderError
        If the file cannot be read, or none of its scenes is called after a well.
    """
    scenes = list_scenes(path)
    if not scenes:
        raise ReaderError(f"'{path.name}' holds no image.", "Copy it again from its source.")
    sites: list[Site] = []
    fields: dict[str, int] = {}
    strangers = []
    wells = scene_wells([scene.name if scene.in_well else "" for scene in scenes])
    for scene, well in zip(scenes, wells, strict=True):
        if not well:
            strangers.append(scene.name or str(scene.index))
            continue
        fields[well] = fields.get(well, 0) + 1
        place = WellPosition(path.stem, well, str(fields[well]))
        group = ImageGroup(
            name=site_name(place), grid=((path,),), channels=scene.channels, place=place, scene=scene.index
        )
        sites.append(
            Site(
                id=group.name,
                well=Well.parse(well),
                group=group,
                pixel_size_um=scene.pixel_size_um,
                z_step_um=scene.z_step_um,
                problem=scene.problem,
            )
        )
    if not sites:
        raise ReaderError(
            f"None of the {len(scenes)} images in '{path.name}' is called after a well.",
            f"Run its images without wells: vitascope run TASK '{path.name}' -o OUT.",
        )
    warnings = (f"{len(strangers)} images are called after no well: {strangers[0]} …",) if strangers else ()
    rows, columns = plate_shape([site.well for site in sites], size)
    layout = path.suffix.lower()[1:]
    return Plate(
        name=path.stem,
        path=path,
        layout=layout,
        rows=rows,
        columns=columns,
        sites=tuple(sorted(sites, key=site_order)),
        warnings=warnings,
    )


def scene_wells(names: Sequence[str]) -> list[str]:
    """Find the wells in the names of all scenes of a file; empty for those that name none.

    ``P1`` is what ZEN calls a position and ``TR1`` a tile region: beside tile regions, or where all wells would lie
    in row P, it is no well. Where some names tell none, a word among others (``B16 melanoma``) tells none either.

    Examples
    --------
    >>> scene_wells(["TR1", "P1"]), scene_wells(["P1", "P2"]), scene_wells(["O1", "P1"])
    (['', ''], ['', ''], ['O01', 'P01'])
    """
    wells = [scene_well(name) for name in names]
    if any(name.strip() and not well for name, well in zip(names, wells, strict=True)):
        wells = [well if _PLAIN.fullmatch(name.strip()) else "" for name, well in zip(names, wells, strict=True)]
    regions = any(_REGION.fullmatch(name.strip()) for name in names)
    others = any(well and not _POSITION.fullmatch(name.strip()) for name, well in zip(names, wells, strict=True))
    if others and not regions:
        return wells
    return ["" if _POSITION.fullmatch(name.strip()) else well for name, well in zip(names, wells, strict=True)]


def scene_well(name: str) -> str:
    """Find the well in a scene's name: ``B02``, ``B2-1``, ``Point B02_0003`` or ``Plate/B/2/R1``; empty for none.

    Examples
    --------
    >>> [scene_well(name) for name in ("B2-1", "TileScan 1/B/2/R1", "Series001")]
    ['B02', 'B02', '']
    """
    match = _ROW_AND_COLUMN.match(name)
    if match:
        return str(Well.parse(match[1] + match[2]))
    return parse_name(name.replace("/", "_") or "image").well
