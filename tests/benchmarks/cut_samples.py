"""Cut the bundled sample images out of their sources: ``python -m tests.benchmarks cut_samples [FOLDER]``.

The sources lie under ``VITASCOPE_DATA``; what is cut, from where and under which licence is told in
``src/vitascope/samples/LICENSES.md``.
"""

import sys
from pathlib import Path

import numpy as np

from vitascope.core.paths import SAMPLES, training_data
from vitascope.io.images.read import open_file
from vitascope.io.images.write import PictureFile, write_ome_tiff
from vitascope.ops.intensity.quality import bin_pixels
from vitascope.ops.wells.montage import cut_montage, distinct_cells

ISL = "1_insilico_labelling/isl_conditionB_wellA4"
ORGANOIDS = "2_organoid_atp/deepOrganoid_plate23997_rowA"
JURKAT = "1_insilico_labelling/mlcp_flow_bf_dna"
BBBC013 = "4_mil_hcs/bbbc013_sbs_plate"
WELLS = {"bbbc013_negative": "50-E-02", "bbbc013_positive": "49-E-01"}
ROWS, COLUMNS = slice(0, 512), slice(512, 1024)
PLANES = (0, 2, 4, 6, 8, 10, 12)
STAINS = ("DAPI", "MAP2", "NFH")
PHASES = (("G1", "CP0008"), ("S_phase", "CP0009"), ("G2", "CP0008"))
GRID, SIDE_PX, ALL = 12, 40, 30


def isl_pictures(data: Path) -> dict[str, PictureFile]:
    """Rows 0-511, columns 512-1023 of the seven phase planes and of the three stains."""
    phase = [open_file(data / ISL / f"phase_z{z:02}.png").array[ROWS, COLUMNS] for z in PLANES]
    stains = [open_file(data / ISL / f"{name}_confocal_maxproj.png").array[ROWS, COLUMNS] for name in STAINS]
    return {
        "isl_phase": PictureFile(np.stack(phase), "ZYX", "uint16", "isl_phase", ("phase contrast",)),
        "isl_stains": PictureFile(np.stack(stains), "CYX", "uint16", "isl_stains", STAINS),
    }


def jurkat_pictures(data: Path) -> dict[str, PictureFile]:
    """Twelve rows of twelve cells: four rows each of G1, S and G2, the first distinct ones of their montages."""
    found = {"brightfield": [], "DNA": []}
    for phase, part in PHASES:
        bright, dna = (
            cut_montage(open_file(data / JURKAT / f"{phase}__{kind}_{part}.tif").array, ALL, ALL, SIDE_PX)
            for kind in ("brightfield__Ch3", "PI_DNA__Ch4")
        )
        cells = distinct_cells(bright)[: GRID * GRID // len(PHASES)]
        found["brightfield"].append(bright[cells])
        found["DNA"].append(dna[cells])
    return {
        f"jurkat_{name.lower()}": PictureFile(
            _grid(np.concatenate(cells)), "YX", "uint16", f"jurkat_{name.lower()}", (name,)
        )
        for name, cells in found.items()
    }


def translocation_pictures(data: Path) -> dict[str, PictureFile]:
    """Two control wells of the plate, whole: GFP and DNA."""
    return {
        name: PictureFile(
            np.stack([open_file(data / BBBC013 / f"Channel{c}-{well}.tif").array for c in (1, 2)]),
            "CYX",
            "uint8",
            name,
            ("GFP", "DNA"),
        )
        for name, well in WELLS.items()
    }


def organoid_pictures(data: Path) -> dict[str, PictureFile]:
    """The 24 wells of row A, the mean of every 4 x 4 pixels of the upper left 680 x 680."""
    found = {}
    for column in range(1, 25):
        whole = open_file(data / ORGANOIDS / f"ch01_A{column:02}_t1.tif").array[:680, :680]
        small = np.rint(bin_pixels(whole, 4)).astype(np.uint16)
        name = f"ch01_A_{column}_t1"
        found[name] = PictureFile(small, "YX", "uint16", name, ("bright field",))
    return found


def _grid(cells):
    tiles = cells.reshape(GRID, GRID, SIDE_PX, SIDE_PX).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(tiles.reshape(GRID * SIDE_PX, GRID * SIDE_PX))


def main(arguments):
    data = training_data()
    if data is None:
        sys.exit("Set VITASCOPE_DATA to the folder that holds 1_insilico_labelling.")
    folder = Path(arguments[0]) if arguments else SAMPLES
    for name, picture in organoid_pictures(data).items():
        write_ome_tiff(folder / "plate23997_rowA" / f"{name}.ome.tif", picture)
    for name, picture in {**isl_pictures(data), **jurkat_pictures(data), **translocation_pictures(data)}.items():
        path = folder / f"{name}.ome.tif"
        write_ome_tiff(path, picture)
        print(f"{path.name}: {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main(sys.argv[1:])
