"""A dose plate with known truth: 96 wells of cells in bright field, two compounds, controls on both sides.

The same seed gives the same pixels; every well is drawn from (seed, row, column), whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import OutputError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.well import Well
from vitascope.io.atomic import atomic_folder
from vitascope.io.images.write import PictureFile, write_ome_tiff
from vitascope.io.tables.plate_map import PlateMap
from vitascope.ops.intensity.corruption import defocus

ROWS, COLUMNS = 8, 12
PIXEL_SIZE_UM = 1.3
BACKGROUND, GAIN = 9000.0, 3500.0
CELL_RADIUS_PX = 5.0
DEFOCUS_PX = 9.0
MAP_FILE, TRUTH_FILE = "plate_map.csv", "truth.csv"
FLAWS = {"C05": "out_of_focus", "F09": "overexposed", "G03": "empty"}
"""Wells made to be found by a check of focus and exposure."""


@dataclass(frozen=True)
class Compound:
    """How cells answer a compound: viable = floor + (1 - floor) / (1 + (dose / ec50_um)^slope).

    Parameters
    ----------
    name : str
    ec50_um : float, > 0, µM
    slope : float, > 0
    floor : float, 0 to 1
        Viable share at endless dose.
    """

    name: str
    ec50_um: float
    slope: float
    floor: float = 0.0

    def viable(self, dose_um: float) -> float:
        """Return the share of cells that live at a dose (µM).

        Examples
        --------
        >>> Compound("x", 2.0, 1.0).viable(2.0)
        0.5
        """
        return float(self.floor + (1 - self.floor) / (1 + (dose_um / self.ec50_um) ** self.slope))


COMPOUNDS = (Compound("compound A", 0.3, 1.2), Compound("compound B", 5.0, 2.0, 0.2))
POSITIVE = Compound("staurosporine", 0.02, 1.0)
DOSES_UM = tuple(float(f"{30 / 10 ** (step / 2):.3g}") for step in range(9, -1, -1))
"""Ten doses, half a decade apart, up to 30 µM."""


@dataclass(frozen=True, eq=False)
class DosePlate:
    """A simulated plate.

    Parameters
    ----------
    truth : DataFrame
        One row for each well: ``well``, ``treatment``, ``dose``, ``dose_unit``, ``role``, ``replicate``,
        ``viable_fraction`` (of the formula), ``live_cells`` and ``dead_cells`` (drawn), ``flaw`` (empty for none).
    side_px : int
    seed : int
    """

    truth: pd.DataFrame
    side_px: int
    seed: int

    @property
    def plate_map(self) -> PlateMap:
        """What a user would know of the plate."""
        known = ["well", "treatment", "dose", "dose_unit", "role", "replicate"]
        return PlateMap.from_rows(self.truth[known].to_dict("records"), MAP_FILE)  # type: ignore[arg-type]

    def image(self, well: Well | str) -> NDArray[np.uint16]:
        """Draw a well, shape (Y, X), uint16; live cells are round and in relief, dead ones small and bright."""
        place = Well.parse(well) if isinstance(well, str) else well
        row = self.truth.iloc[place.row * COLUMNS + place.column]
        rng = np.random.default_rng((self.seed, place.row, place.column, 1))
        picture = _draw_cells(rng, self.side_px, int(row["live_cells"]), int(row["dead_cells"]))
        if row["flaw"] == "out_of_focus":
            picture = defocus(picture, DEFOCUS_PX).astype(np.float64)
        light = BACKGROUND * _shading(self.side_px) * (8.0 if row["flaw"] == "overexposed" else 1.0)
        photons = light + GAIN * picture + rng.normal(0, 60, picture.shape)
        return np.clip(np.rint(photons), 0, 65535).astype(np.uint16)


def make_dose_plate(seed: int = 0, side_px: int = 128, cells: float = 60.0) -> DosePlate:
    """Lay out a plate: column 1 DMSO, column 12 staurosporine, ten doses between; rows A-D and E-H one compound each.

    Parameters
    ----------
    seed : int
    side_px : int, >= 32
        Side of each image.
    cells : float
        Mean number of cells of a well; the actual one is Poisson distributed.

    Returns
    -------
    DosePlate
    """
    rows = []
    for row in range(ROWS):
        compound = COMPOUNDS[row * len(COMPOUNDS) // ROWS]
        for column in range(COLUMNS):
            well = str(Well(row, column))
            if column == 0:
                treatment, dose, role, viable = "DMSO", 0.0, "negative", 1.0
            elif column == COLUMNS - 1:
                treatment, dose, role, viable = POSITIVE.name, 1.0, "positive", POSITIVE.viable(1.0)
            else:
                dose = DOSES_UM[column - 1]
                treatment, role, viable = compound.name, "treated", compound.viable(dose)
            rng = np.random.default_rng((seed, row, column, 0))
            flaw = FLAWS.get(well, "")
            total = 0 if flaw == "empty" else int(rng.poisson(cells))
            live = int(rng.binomial(total, viable))
            rows.append(
                {
                    "well": well,
                    "treatment": treatment,
                    "dose": dose,
                    "dose_unit": "µM",
                    "role": role,
                    "replicate": str(row % (ROWS // len(COMPOUNDS)) + 1),
                    "viable_fraction": viable,
                    "live_cells": live,
                    "dead_cells": total - live,
                    "flaw": flaw,
                }
            )
    return DosePlate(pd.DataFrame(rows), side_px, seed)


def write_dose_plate(folder: Path, plate: DosePlate, name: str = "Dose") -> ProgressGenerator[Path]:
    """Write a plate as an ImageXpress folder of OME-TIFF, with its plate map and its truth beside.

    Parameters
    ----------
    folder : Path
        Replaced if it is there.
    plate : DosePlate
    name : str
        Of the plate, in the names of the files.

    Yields
    ------
    Progress
        Wells.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If it cannot be written; nothing is left then.
    """
    if folder.is_file():
        raise OutputError(f"'{folder}' is a file, not a folder.", "Choose another folder.")
    with atomic_folder(folder) as home:
        for number, (well, picture) in enumerate(_pictures(plate, name)):
            yield Progress(number, ROWS * COLUMNS, "Drawing wells")
            write_ome_tiff(home / f"{name}_{well}_s1.ome.tif", picture)
        plate.plate_map.save(home / MAP_FILE)
        plate.truth.to_csv(home / TRUTH_FILE, index=False)
    return folder


def _pictures(plate: DosePlate, name: str) -> Iterator[tuple[str, PictureFile]]:
    for well in plate.truth["well"]:
        image = plate.image(well)
        yield (
            well,
            PictureFile(
                array=image,
                axes="YX",
                dtype="uint16",
                name=f"{name}_{well}_s1",
                channel_names=("Brightfield",),
                pixel_size_um=PIXEL_SIZE_UM,
            ),
        )


def _shading(side: int) -> NDArray[Any]:
    """Uneven light: 15 % less in the corners than in the middle."""
    at = np.linspace(-1, 1, side)
    return 1 - 0.075 * (at[:, None] ** 2 + at[None, :] ** 2)


def _draw_cells(rng: np.random.Generator, side: int, live: int, dead: int) -> NDArray[np.float64]:
    """Add up cells at random places, those at the border cut off; live ones show relief from the upper left."""
    picture = np.zeros((side, side))
    for kind, number in (("live", live), ("dead", dead)):
        for _ in range(number):
            centre = rng.uniform(0, side, 2)
            radius = CELL_RADIUS_PX * rng.uniform(0.8, 1.2) * (1.0 if kind == "live" else 0.5)
            reach = int(np.ceil(3 * radius))
            low = np.maximum(np.floor(centre).astype(int) - reach, 0)
            high = np.minimum(np.floor(centre).astype(int) + reach + 1, side)
            y = np.arange(low[0], high[0])[:, None] - centre[0]
            x = np.arange(low[1], high[1])[None, :] - centre[1]
            bell = np.exp(-(y**2 + x**2) / (2 * radius**2))
            light = -(y + x) / radius * bell if kind == "live" else 1.2 * bell
            picture[low[0] : high[0], low[1] : high[1]] += light
    return picture
