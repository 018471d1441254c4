"""Data sets that are drawn, or composed of real wells, when a recipe runs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import ReaderError, TrainingError
from vitascope.io.filenames.parse import parse_name
from vitascope.io.images.read import read_image
from vitascope.recipes.recipe import DataSet, RealWells, SimulatedSource, find_folder
from vitascope.simulate.composed_wells import Variety, compose_well, plan_well
from vitascope.simulate.cutouts import Parts, cut_parts
from vitascope.simulate.spheroid_series import Setting, living_volume, make_spheroid, setting_of
from vitascope.simulate.wells import draw_truth, make_well

CONTROL_WELL = 100_000
"""A well beyond those that are drawn from."""

Folders = tuple[Path, ...]


class Drawn(NamedTuple):
    """An image with its amount and group, and the amount of each pixel where that is known."""

    image: NDArray[np.uint16]
    amount: float
    group: str
    living: NDArray[np.float32] | None = None


def draw(source: SimulatedSource, number: int, folders: Folders = ()) -> Drawn:
    """Return image ``number`` of a simulated data set; always the same one.

    Parameters
    ----------
    source : SimulatedSource
    number : int
    folders : tuple of Path
        Of :func:`source_folders`, for composed wells.
    """
    plate = plate_of(source, number)
    if source.kind == "spheroids":
        spheroid = make_spheroid(source.seed, _setting(source, number), source.side_px)
        return Drawn(spheroid.image, spheroid.viability, f"plate{plate:03d}")
    if source.kind == "composed":
        lot = _lot(source, plate)
        well = compose_well(source.seed, number, plate, parts_of(source, folders, lot), Variety(alive=source.alive))
        return Drawn(well.image, well.atp_rlu, f"sources{lot}", well.living)
    well = make_well(source.seed, number, plate, source.side_px, alive=source.alive)
    return Drawn(well.image, well.atp_rlu, f"plate{plate:03d}", well.living)


def draw_control(source: SimulatedSource, number: int) -> NDArray[np.uint16]:
    """Return an image of a control of the same plate and day as spheroid ``number``; another well than its own."""
    setting = _setting(source, number)
    control = Setting(setting.plate, CONTROL_WELL, setting.day, 0)
    return make_spheroid(source.seed, control, source.side_px).image


def plate_of(source: SimulatedSource, number: int) -> int:
    """Return the plate of an image."""
    return number * source.groups // source.count


def _setting(source: SimulatedSource, number: int) -> Setting:
    """Return what spheroid ``number`` shows; numbers start anew on each plate."""
    plate = plate_of(source, number)
    first = -(-plate * source.count // source.groups)
    return setting_of(number - first, plate)


@lru_cache(maxsize=4)
def truths(source: SimulatedSource, folders: Folders = ()) -> list[float]:
    """Return the amounts of a simulated data set without drawing its images."""
    if source.kind == "spheroids":
        return [living_volume(source.seed, _setting(source, n)) for n in range(source.count)]
    if source.kind == "composed":
        found = []
        for number in range(source.count):
            plate = plate_of(source, number)
            parts = parts_of(source, folders, _lot(source, plate))
            found.append(plan_well(source.seed, number, plate, parts, Variety(alive=source.alive)).atp_rlu)
        return found
    return [draw_truth(source.seed, n, plate_of(source, n), source.alive) for n in range(source.count)]


def source_folders(data: DataSet, recipe_folder: Path) -> Folders:
    """Return the folders that the wells of a data set are composed of; none where they are drawn.

    Raises
    ------
    ReaderError
        If one is not there.
    """
    named = data.simulated.composed_of if data.simulated is not None else ()
    return tuple(find_folder(one.folder, data, recipe_folder) for one in named)


def source_files(source: SimulatedSource, folders: Folders) -> list[Path]:
    """List the pictures that wells are composed of."""
    return [path for wells, folder in zip(source.composed_of, folders, strict=True) for path in _files(wells, folder)]


def _files(wells: RealWells, folder: Path) -> list[Path]:
    found = sorted(folder.glob(wells.pattern))
    if not found:
        raise ReaderError(f"There is no '{wells.pattern}' in {wells.folder}.", "Check the pattern of 'composed_of'.")
    return found


def lot_of(position: int, count: int, folds: int) -> int:
    """Return the lot of one of ``count`` wells of a folder; where they are few, the last lots get some too.

    Examples
    --------
    >>> [lot_of(n, 3, 5) for n in range(3)], [lot_of(n, 12, 5) for n in range(6)]
    ([1, 3, 4], [0, 1, 2, 3, 4, 0])
    """
    return position % folds if count >= 2 * folds else (position * folds + folds - 1) // count


def _lot(source: SimulatedSource, plate: int) -> int:
    """Return the lot of real wells that a plate is composed of."""
    lots = source.lots or tuple(range(source.folds))
    return lots[plate % len(lots)]


@lru_cache(maxsize=8)
def parts_of(source: SimulatedSource, folders: Folders, lot: int) -> Parts:
    """Cut the real wells of a lot into parts.

    Raises
    ------
    TrainingError
        If there is nothing in them to compose wells of.
    """
    pictures = []
    for wells, folder in zip(source.composed_of, folders, strict=True):
        files = _files(wells, folder)
        names = [parse_name(path.name).well or path.stem for path in files]
        known = sorted(set(names))
        for path, name in zip(files, names, strict=True):
            if lot_of(known.index(name), len(known), source.folds) == lot:
                picture = np.asarray(read_image(path).plane(), np.float32)
                pictures.append((f"{wells.folder}/{name}", picture, wells.field_um))
    try:
        return cut_parts(pictures, source.side_px)
    except ValueError as error:
        raise TrainingError(
            f"Lot {lot} of the real wells holds nothing to compose wells of.", "Name more wells, or take fewer folds."
        ) from error
