import re

import numpy as np
import pytest
from napari.layers import Layer

from vitascope.core.paths import SAMPLES, training_data
from vitascope.gui.layers.snapshot import snapshot_layers
from vitascope.gui.samples import dose_plate, isl_phase, isl_stains, jurkat_cells, organoid_row, translocation

MOST_BYTES = 8 << 20


@pytest.mark.fault("H28")
@pytest.mark.parametrize(
    ("open_sample", "names", "shape"),
    [
        (isl_phase, ["isl_phase"], (7, 512, 512)),
        (isl_stains, ["isl_stains DAPI", "isl_stains MAP2", "isl_stains NFH"], (512, 512)),
        (jurkat_cells, ["jurkat_dna", "jurkat_brightfield"], (480, 480)),
        (
            translocation,
            [f"bbbc013_{kind} {channel}" for kind in ("positive", "negative") for channel in ("GFP", "DNA")],
            (640, 640),
        ),
    ],
)
def test_samples_open_without_a_network_and_tell_where_they_are_from(no_network, open_sample, names, shape):
    layers = [Layer.create(*one) for one in open_sample()]
    assert [one.name for one in layers] == names
    for layer in layers:
        assert layer.data.shape == shape
        note = layer.metadata["vitascope"]["note"]
        assert re.search(r"\b(CC-BY-4.0|BSD-3-Clause)\b", note)
        assert "optimistic" in note
        image = snapshot_layers([layer]).micrograph()
        assert image.pixel_size_um is None
        assert all(path.startswith(str(SAMPLES)) for path in image.sources)


def test_the_samples_are_small_and_each_has_its_licence():
    files = sorted(SAMPLES.glob("*.tif"))
    assert len(files) == 6
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    text = (SAMPLES / "LICENSES.md").read_text()
    for path in files:
        assert f"`{path.name}`" in text
    for needed in ("CC-BY-4.0", "creativecommons.org/licenses/by/4.0", "Copyright (c) 2017, minh-doan", "AS IS"):
        assert needed in text


def test_the_jurkat_cells_are_cells_and_no_two_are_one():
    from vitascope.ops.wells.montage import cut_montage, distinct_cells

    dna, bright = (np.asarray(one[0]) for one in jurkat_cells())
    assert len(distinct_cells(cut_montage(bright, 12, 12, 40))) == 144
    cells = cut_montage(dna, 12, 12, 40).astype(float)
    total = (cells - np.median(cells, axis=(1, 2), keepdims=True)).clip(0).sum(axis=(1, 2))
    g1, g2 = np.median(total[:48]), np.median(total[96:])
    assert 1.6 < g2 / g1 < 2.1  # twice the DNA, as cells have before they divide


@pytest.mark.skipif(training_data() is None, reason="VITASCOPE_DATA does not say where the sources are")
def test_the_samples_are_the_pixels_of_their_sources():
    from benchmarks.cut_samples import isl_pictures, jurkat_pictures, organoid_pictures
    from vitascope.io.images.read import read_image

    for name, picture in {**isl_pictures(training_data()), **jurkat_pictures(training_data())}.items():
        np.testing.assert_array_equal(read_image(SAMPLES / f"{name}.ome.tif").array, picture.array)
    for name, picture in organoid_pictures(training_data()).items():
        np.testing.assert_array_equal(read_image(SAMPLES / "plate23997_rowA" / f"{name}.ome.tif").array, picture.array)


@pytest.mark.parametrize(
    ("open_sample", "name", "wells", "shape"),
    [(organoid_row, "plate23997_rowA", 24, (170, 170)), (dose_plate, "Dose", 96, (128, 128))],
)
def test_plates_open_at_their_first_well_and_know_the_others(no_network, open_sample, name, wells, shape):
    from vitascope.io.plates.read import open_plate

    (layer,) = (Layer.create(*one) for one in open_sample())
    own = layer.metadata["vitascope"]
    plate = open_plate(own["plate"]["path"])
    assert (plate.name, len(plate.wells)) == (name, wells)
    assert own["plate"]["site"] == plate.sites[0].id
    assert layer.data.shape == shape
    np.testing.assert_array_equal(layer.data, plate.sites[0].open().array)
    assert re.search("MIT|simulated", own["note"])


def test_the_plate_sample_is_small_and_has_its_licence():
    files = list((SAMPLES / "plate23997_rowA").iterdir())
    assert len(files) == 24
    assert sum(path.stat().st_size for path in files) < 2 << 20
    text = (SAMPLES / "LICENSES.md").read_text()
    assert "deepOrganoid" in text
    assert "Copyright (c) 2021, Texas A&M" in text
