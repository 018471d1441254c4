"""Open a plate in napari: its first image as ordinary layers, which know the plate that the others are found in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info, show_warning

from vitascope.gui.layers.add import LayerData, image_layers
from vitascope.gui.layers.snapshot import OWN

if TYPE_CHECKING:
    from vitascope.io.plates.plate import Plate, Site

PLATE = "plate"
"""Key of what a layer knows of its plate: its path, the plate's name and the id of the image."""

INDEX_SUFFIXES = (".htd", ".mlf", ".mrf", "index.idx.xml", "index.ref.xml")
LEAST_WELLS = 2


def plates_at(path: Path) -> tuple[Plate, ...]:
    """List the plates that a path holds, and none where it is better opened as images.

    That is a folder of fewer than two wells, or one in which most images tell no well.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ReaderError
        If an index is broken.
    """
    from vitascope.io.plates.read import find_plates, is_plate  # with the first file, not with napari

    if not is_plate(path, LEAST_WELLS):
        return ()
    return find_plates(path)


def plate_layers(plates: Sequence[Plate], note: str = "") -> list[LayerData]:
    """Open the first image of each plate that can be opened, and say what else there is.

    Parameters
    ----------
    plates : sequence of Plate
    note : str
        What the user should know of the images.

    Raises
    ------
    VitascopeError
        If no image of a plate can be opened.
    """
    made: list[LayerData] = []
    for plate in plates:
        made += site_layers(plate, _first(plate), note)
        wells = f"{len(plate.wells)} wells" if len(plate.wells) != 1 else "1 well"
        show_info(f"Plate '{plate.name}': {wells}, {len(plate)} images. Step through them in the dock Plate.")
        if plate.warnings:
            show_warning(f"Plate '{plate.name}': {' '.join(plate.warnings)}")
    return made


def site_layers(plate: Plate, site: Site, note: str = "") -> list[LayerData]:
    """Open one image of a plate as layers that know where they are from.

    Raises
    ------
    VitascopeError
        If it cannot be opened.
    """
    layers = image_layers(site.open(), note)
    for _, options, _ in layers:
        options["metadata"][OWN][PLATE] = {"path": str(plate.path), "name": plate.name, "site": site.id}
    return layers


def _first(plate: Plate) -> Site:
    return next((site for site in plate if site.problem is None), plate.sites[0])
