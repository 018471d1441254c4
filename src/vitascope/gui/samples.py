"""Real images in File ▸ Open Sample: small, in the package, with credit; see ``samples/LICENSES.md``."""

from __future__ import annotations

from pathlib import Path

from vitascope.core.paths import SAMPLES, cache
from vitascope.gui.layers.add import LayerData, image_layers
from vitascope.gui.layers.plate import plate_layers

PHASE, STAINS = "isl_phase.ome.tif", "isl_stains.ome.tif"
NEGATIVE, POSITIVE = "bbbc013_negative.ome.tif", "bbbc013_positive.ome.tif"
BRIGHTFIELD, DNA = "jurkat_brightfield.ome.tif", "jurkat_dna.ome.tif"

ORGANOIDS, DOSE_PLATE = "plate23997_rowA", "dose_plate_1"
ORGANOID_WELLS = 384

ORGANOID_NOTE = "Sample: row A of a plate of tumour organoids, deepOrganoid (MIT), a quarter of its width and height."
DOSE_NOTE = "Sample: simulated; plate_map.csv and truth.csv lie beside the images."
ISL_NOTE = (
    "Sample: Christiansen et al. 2018 (CC-BY-4.0). The bundled nuclei and neurite models were trained on this field: "
    "agreement here is optimistic."
)
JURKAT_NOTE = (
    "Sample: Jurkat cells, Blasi et al. 2016, from MLCP (BSD-3-Clause). The bundled model dna-brightfield was trained "
    "on these cells: agreement here is optimistic."
)
TRANSLOCATION_NOTE = (
    "Sample: U2OS cells, image set BBBC013v1 (I. Ravkin; Broad Bioimage Benchmark Collection), from CellProfiler "
    "(BSD-3-Clause). A control well that translocation-bbbc013 was not trained on, of the plate it was trained on: "
    "agreement on other plates may be less; this is optimistic."
)


def isl_phase() -> list[LayerData]:
    """Open the phase-contrast stack of a field of human neurons: 7 planes of 512 x 512 px."""
    return _open(PHASE, ISL_NOTE)


def isl_stains() -> list[LayerData]:
    """Open the real stains of the same field: DAPI, MAP2 and NFH."""
    return _open(STAINS, ISL_NOTE)


def jurkat_cells() -> list[LayerData]:
    """Open a montage of single Jurkat cells: their DNA stain below, bright-field on top."""
    return [*_open(DNA, JURKAT_NOTE), *_open(BRIGHTFIELD, JURKAT_NOTE)]


def translocation() -> list[LayerData]:
    """Open two control wells of 640 x 640 px, GFP and DNA: a positive one below, a negative one on top."""
    return [*_open(POSITIVE, TRANSLOCATION_NOTE), *_open(NEGATIVE, TRANSLOCATION_NOTE)]


def organoid_row() -> list[LayerData]:
    """Open row A of a plate of tumour organoids in bright field: 24 wells."""
    return _open_plate(SAMPLES / ORGANOIDS, ORGANOID_NOTE)


def dose_plate() -> list[LayerData]:
    """Open a simulated plate of 96 wells, two compounds in ten doses; it is drawn when it is first asked for."""
    from vitascope.core.progress import run_to_end
    from vitascope.simulate.plates import make_dose_plate, write_dose_plate

    folder = cache() / "samples" / DOSE_PLATE
    if not folder.is_dir():
        run_to_end(write_dose_plate(folder, make_dose_plate()))
    return _open_plate(folder, DOSE_NOTE)


def _open_plate(folder: Path, note: str) -> list[LayerData]:
    from vitascope.io.plates.read import open_plate  # readers are loaded with the first plate, not with napari

    return plate_layers([open_plate(folder, size=ORGANOID_WELLS if folder.name == ORGANOIDS else None)], note)


def _open(name: str, note: str) -> list[LayerData]:
    from vitascope.io.images.read import read_image  # readers are loaded with the first image, not with napari

    return image_layers(read_image(SAMPLES / name), note)
