"""Pictures of another kind than a model's."""

import dask.array as da
import numpy as np
import pytest
from scipy import ndimage

import vitascope
from foreign_kinds import KINDS, every_kind
from vitascope.core.paths import SAMPLES
from vitascope.engine.foreign import FILE, is_foreign, picture_kind
from vitascope.io.images.read import read_image
from vitascope.ops.intensity.descriptor import LENGTH, describe_picture
from vitascope.simulate.wells import make_well


def noise(blur=0.0):
    picture = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(200, 240)), blur)
    return (20000 + 4000 * picture / picture.std()).astype(np.uint16)


def checks():
    return np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((16, 16))).astype(np.uint16) * 9000 + 500


@pytest.mark.parametrize("picture", [noise(), noise(3), checks()])
def test_what_is_no_well_gets_no_atp_and_no_ok(picture):
    result = vitascope.run("atp", picture, model="atp-organoid-sim", maps=False, threads=1)
    assert result.trust.level == "outside"
    assert "outside_model" in result.flags
    assert not any(np.isfinite(row["atp"]) for row in result.rows)


def test_a_page_and_the_grain_of_a_camera_are_no_cells_and_no_number_is_given():
    rng = np.random.default_rng(1)
    page = np.where(np.kron(rng.random((40, 60)) < 0.3, np.ones((5, 4))) > 0, 500, 50000).astype(np.uint16)
    for picture in (page, noise()):
        assert is_foreign("cells-brightfield", picture)
        result = vitascope.run("viability", picture, model="viability-ldc", maps=False, threads=1)
        assert result.trust.level == "outside"
        assert "does not look like what the model is for" in result.trust.reasons[0]
        assert not any(np.isfinite(row["viability"]) for row in result.rows)


def test_scans_plots_gels_and_other_microscopes_are_neither_cells_in_a_chamber_nor_wells():
    drawn = list(every_kind(seed=101, count=1))
    assert len(drawn) == len(KINDS)
    assert [source for source, _, picture in drawn if not is_foreign("cells-brightfield", picture)] == []
    near = [picture for _, _, picture in drawn if not is_foreign("organoid-well", picture)]
    assert len(near) <= 2  # membranes and lines on grey are near to organoids on grey
    for picture in near:
        assert vitascope.run("atp", picture, model="atp-organoid", maps=False, threads=1).status != "OK"


@pytest.mark.parametrize(("task", "model"), [("atp", "atp-organoid"), ("viability", "viability-ldc")])
@pytest.mark.parametrize("source", ["gels", "slides", "histology"])
def test_a_gel_a_slide_and_a_section_get_no_number_at_status_ok(task, model, source):
    _, _, picture = next(one for one in every_kind(seed=102, count=1) if one[0] == source)
    result = vitascope.run(task, picture, model=model, maps=False, threads=1)
    assert result.status != "OK"


def test_wells_are_wells_real_or_drawn():
    for k in range(6):
        assert not is_foreign("organoid-well", make_well(9000 + k, k, 0, 200).image)
    real = [read_image([str(path)]).plane() for path in sorted((SAMPLES / "plate23997_rowA").glob("*.tif"))]
    assert np.mean([is_foreign("organoid-well", np.asarray(plane)) for plane in real]) <= 0.1


def test_a_description_depends_on_neither_size_nor_scale_of_grey():
    well = make_well(9000, 1, 0, 256).image.astype(float)
    one = describe_picture(well)
    assert one.shape == (LENGTH,)
    assert np.isfinite(one).all()
    np.testing.assert_allclose(describe_picture(well * 7 + 300), one, atol=1e-4)
    larger = describe_picture(ndimage.zoom(well, 2, order=1))
    assert np.abs(larger - one).mean() < 0.1


def test_large_pictures_are_read_in_steps_and_unknown_kinds_tell_nothing():
    well = make_well(9000, 1, 0, 256).image
    large = da.from_array(np.kron(well, np.ones((16, 16), np.uint16)), chunks=1024)
    assert not is_foreign("organoid-well", large)
    assert not is_foreign("", noise())
    assert not is_foreign("no such kind", noise())
    assert picture_kind("organoid-well") is not None
    assert FILE.stat().st_size < 250_000


def test_nan_is_looked_past():
    well = make_well(9000, 1, 0, 128).image.astype(np.float32)
    well[:3] = np.nan
    assert not is_foreign("organoid-well", well)
    assert not is_foreign("organoid-well", np.full((64, 64), np.nan))


def test_cells_in_transmitted_light_are_told_from_stains_and_from_text():
    kind = "cells-transmitted-light"
    phase, bright = (
        np.asarray(read_image(SAMPLES / name).plane()) for name in ("isl_phase.ome.tif", "jurkat_brightfield.ome.tif")
    )
    for own in (phase, bright, phase.max() - phase, ndimage.gaussian_filter(phase, 2)):
        assert not is_foreign(kind, own)
    stains = [read_image(SAMPLES / name) for name in ("isl_stains.ome.tif", "bbbc013_positive.ome.tif")]
    page = np.where(np.kron(np.random.default_rng(1).random((40, 60)) < 0.3, np.ones((5, 4))) > 0, 500, 50000)
    for other in (*(np.asarray(image.plane(c=0)) for image in stains), page.astype(np.uint16), noise()):
        assert is_foreign(kind, other)
