from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from spheroid_support import SPHEROID, VOXEL, save_by_brightness, stack
from vitascope.core.card import Intervals
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.io.models.cards import read_card, write_card
from vitascope.ops.tiling.chunks import chunk_slices
from vitascope.pipelines.spheroid import run
from vitascope.simulate.spheroids import DEAD, LIVE, StackParams, simulate_spheroid
from vitascope.simulate.volume_optics import VolumeOptics
from vitascope.tasks.spheroid import SPEC


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_by_brightness(tmp_path_factory.mktemp("model")))


def start(model, image, **values):
    params = SPEC.make_params(model=model, device="cpu", precision="f32", threads=1, **{"tile_px": 256, **values})
    return run({"image": image}, params)


@pytest.fixture(scope="module")
def result(model):
    return run_to_end(start(model, stack()))


def test_masks_and_viability_are_those_of_the_simulated_voxels(result):
    live, dead = result.output("labels").array, result.output("dead").array
    for found, truth in ((live, SPHEROID.classes == LIVE), (dead, SPHEROID.classes == DEAD)):
        dice = 2 * ((found > 0) & truth).sum() / ((found > 0).sum() + truth.sum())
        assert dice > 0.8
    assert set(np.unique(live)) == {0, 1}
    assert result.rows[0]["viability_percent"] == pytest.approx(100 * SPHEROID.viability, abs=4)
    assert result.rows[0]["live_um3"] == (live > 0).sum() * 16
    assert result.rows[0]["equivalent_diameter_um"] == pytest.approx(72, abs=6)  # centres reach 34 µm


def test_there_is_a_row_for_each_spheroid_and_one_for_the_stack(result):
    assert result.rows[0]["spheroids"] == len(result.output("labels").table) == 1
    assert len(result.output("dead").table) == 0
    assert np.isnan(result.rows[0]["viability_of_control_percent"])
    assert result.output("probability").array.shape == SPHEROID.image.shape
    assert result.provenance.params["tile_px"] == 256


def test_without_a_dead_dye_live_voxels_are_given_and_no_viability(model):
    named = run_to_end(start(model, stack(SPHEROID.image[:1], ("calcein",))))
    told = run_to_end(start(model, stack(SPHEROID.image[:1], ()), channels=("0",)))
    np.testing.assert_array_equal(named.output("labels").array, told.output("labels").array)
    found, truth = named.output("labels").array > 0, SPHEROID.classes == LIVE
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
    row, table, shells = named.rows[0], named.output("labels").table, named.tables["shells"]
    assert row["live_um3"] == found.sum() * 16
    assert np.isnan([row[n] for n in ("viability_percent", "dead_um3", "total_um3", "viability_low")]).all()
    assert table["dead_um3"].isna().all()
    assert shells["live_fraction"].isna().all()
    assert "dead_channel_missing" in named.flags
    assert "constant" not in named.flags


def test_where_the_live_dye_leaks_no_viability_is_given(model):
    image = simulate_spheroid(StackParams(diameter_um=120, dose=1000.0), (4.0, 2.0, 2.0), VolumeOptics(), 1).image
    found = run_to_end(start(model, stack(image), control_live_um3=1e5))
    row = found.rows[0]
    assert "live_dye_leak" in found.flags
    assert np.isnan([row[n] for n in ("viability_percent", "viability_low", "viability_of_control_percent")]).all()
    assert found.output("labels").table["viability_percent"].isna().all()
    assert found.tables["shells"]["live_fraction"].isna().all()
    assert row["total_um3"] > 0


def test_swapped_channels_give_the_same_as_in_order(model, result):
    swapped = run_to_end(start(model, stack(SPHEROID.image[::-1], ("PI", "calcein"))))
    np.testing.assert_array_equal(swapped.output("labels").array, result.output("labels").array)
    named = run_to_end(start(model, stack(SPHEROID.image[::-1], ()), channels=("1", "0")))
    np.testing.assert_array_equal(named.output("dead").array, result.output("dead").array)


def test_the_tile_and_the_second_run_change_nothing(model, result):
    again = run_to_end(start(model, stack(), tile_px=64))
    np.testing.assert_array_equal(again.output("labels").array, result.output("labels").array)
    np.testing.assert_allclose(again.output("probability").array, result.output("probability").array, atol=1e-4)
    assert again.rows[0] == pytest.approx(result.rows[0], nan_ok=True)


def test_the_control_gives_a_relative_viability(model, result):
    found = run_to_end(start(model, stack(), control_live_um3=result.rows[0]["live_um3"] * 2)).rows[0]
    assert found["viability_of_control_percent"] == pytest.approx(50, abs=5)


def test_without_a_plane_distance_the_run_is_flagged_and_sizes_are_empty(model):
    found = run_to_end(start(model, stack(z_step_um=None)))
    assert "z_step_unknown" in found.flags
    assert np.isnan(found.rows[0]["live_um3"])
    assert found.rows[0]["viability_percent"] > 0
    told = run_to_end(start(model, stack(z_step_um=None), z_step_um=4.0))
    assert told.rows[0]["live_um3"] > 0


@pytest.mark.parametrize("value", [0, 500])
def test_an_empty_stack_has_no_number(model, value):
    found = run_to_end(start(model, stack(np.full((2, 8, 40, 40), value))))
    assert {"constant", "no_objects"} <= set(found.flags)
    assert np.isnan(found.rows[0]["viability_percent"])
    assert not found.output("labels").array.any()


def test_what_is_smaller_than_asked_for_is_still_found_and_the_bound_is_said(model, result):
    """A stack in which cells were seen never has no objects: the bound adapts."""
    found = run_to_end(start(model, stack(), least_diameter_um=2000.0))
    assert "bound_lowered" in found.flags
    assert "no_objects" not in found.flags
    assert found.rows[0]["least_diameter_um"] < 80
    np.testing.assert_array_equal(found.output("labels").array, result.output("labels").array)
    assert "bound_lowered" not in result.flags
    assert result.rows[0]["least_diameter_um"] == 40.0


def test_pieces_left_out_as_debris_are_counted_and_told(model, result):
    image = np.tile(SPHEROID.image, (1, 1, 1, 2)).astype(np.uint16)
    half = image.shape[-1] // 2
    bright = image[0, :, :, half:].max()
    image[:, :, :, half:] = image[:, :1, :1, :1]  # ground
    for y in range(4, image.shape[2] - 8, 28):
        for x in range(half + 12, image.shape[3] - 8, 28):
            image[0, 4:10, y : y + 8, x : x + 8] = bright
    found = run_to_end(start(model, stack(image), least_diameter_um=60.0))
    row = found.rows[0]
    assert row["left_out_voxels"] > 0.1 * (row["live_voxels"] + row["dead_voxels"])
    assert "small_left_out" in found.flags
    assert result.rows[0]["left_out_voxels"] == 0


def test_the_slider_moves_outlines_from_loose_to_tight(model):
    blurred = np.stack([ndimage.gaussian_filter(c.astype(np.float32), (0.5, 2, 2)) for c in SPHEROID.image])
    voxels = {
        share: (run_to_end(start(model, stack(blurred), outline_percent=share)).output("labels").array > 0).sum()
        for share in (30, 50, 70)
    }
    assert voxels[30] > 1.1 * voxels[50] > 1.2 * voxels[70] > 0


def test_outlines_do_not_depend_on_the_tile(model):
    one, other = (run_to_end(start(model, stack(), outline_percent=50, tile_px=t)) for t in (64, 256))
    np.testing.assert_array_equal(one.output("labels").array, other.output("labels").array)


def test_light_says_where_cells_end_piece_by_piece_as_in_one(model, tmp_path, monkeypatch):
    card = read_card(save_by_brightness(tmp_path))
    weights = {"outline_odds": 0.5, "outline_light": 6.0, "outline_near": -0.5, "outline_offset": -4.0}
    path = str(write_card(card.model_copy(update={"default_params": weights}), tmp_path))
    image = stack(np.stack([ndimage.gaussian_filter(c.astype(np.float32), (0.5, 2, 2)) for c in SPHEROID.image]))
    plain, whole = (run_to_end(start(m, image)) for m in (model, path))
    assert (whole.output("labels").array != plain.output("labels").array).any()
    assert (whole.output("labels").array > 0).any()
    pieces = partial(chunk_slices, max_pixels=4000)
    monkeypatch.setattr("vitascope.pipelines.spheroid.chunk_slices", pieces)
    cut = run_to_end(start(path, image))
    np.testing.assert_allclose(cut.output("probability").array, whole.output("probability").array, atol=1e-5)
    p = np.asarray(whole.output("probability").array)
    assert ((p >= 0) & (p.sum(0) <= 1 + 1e-5)).all()


def test_otsus_mask_lies_in_the_maps_and_its_agreement_in_the_row(model, result):
    otsu = np.asarray(result.output("maps").array)
    assert set(np.unique(otsu)) <= {0, 1, 2}
    cells = (result.output("labels").array > 0) | (result.output("dead").array > 0)
    dice = 2 * (cells & (otsu > 0)).sum() / (cells.sum() + (otsu > 0).sum())
    assert result.rows[0]["otsu_dice"] == pytest.approx(dice, abs=0.01)
    assert "otsu_disagrees" not in result.flags


def test_otsus_mask_that_differs_by_more_than_half_is_flagged(model):
    """A speck far brighter than the cells takes the threshold above them."""
    image = SPHEROID.image.astype(np.float64).copy()
    image[:, 8:12, 2:6, 2:6] = image.max() * 60
    found = run_to_end(start(model, stack(image / image.max() * 60000)))
    assert "otsu_disagrees" in found.flags
    assert found.rows[0]["otsu_dice"] < 0.5


def test_the_width_of_a_cell_stands_in_for_the_pixel_size(tmp_path):
    card = read_card(save_by_brightness(tmp_path))
    spec = card.input.model_copy(update={"object_diameter_px": 6.0})  # 12 µm at 2 µm per pixel
    path = write_card(card.model_copy(update={"input": spec}), tmp_path)
    fine = np.repeat(np.repeat(SPHEROID.image, 2, 2), 2, 3)
    found = run_to_end(start(str(path), stack(fine, pixel_size_um=None), object_diameter_px=12.0))
    known = run_to_end(start(str(path), stack(fine, pixel_size_um=1.0)))
    np.testing.assert_array_equal(found.output("labels").array, known.output("labels").array)
    assert np.isnan(found.rows[0]["live_um3"])
    plain = run_to_end(start(str(path), stack(fine, pixel_size_um=None)))
    assert (plain.output("labels").array != known.output("labels").array).any()


@pytest.mark.parametrize(
    ("name", "said", "told"),
    [
        ("calcein", "auto", "cell bodies"),
        ("Hoechst", "auto", "nuclei"),
        ("GFP", "auto", "not told"),
        ("GFP", "nuclei", "nuclei"),
    ],
)
def test_a_column_says_what_live_voxels_are(model, name, said, told):
    image = stack(SPHEROID.image, (name, "PI"))
    found = run_to_end(start(model, image, channels=("0", "1"), live_voxels=said))
    assert found.rows[0]["live_voxels_are"] == told


def test_volumes_have_intervals_where_the_card_calibrates_them(tmp_path, result):
    card = read_card(save_by_brightness(tmp_path))
    further = {"live_um3": Intervals(level=0.9, scale="log", half_width=np.log(2), groups=12, on="test")}
    path = write_card(card.model_copy(update={"further_intervals": further}), tmp_path)
    row = run_to_end(start(str(path), stack())).rows[0]
    assert row["live_um3_low"] == pytest.approx(row["live_um3"] / 2)
    assert row["live_um3_high"] == pytest.approx(row["live_um3"] * 2)
    assert np.isnan(row["dead_um3_low"])
    assert np.isnan(result.rows[0]["live_um3_low"])


def test_times_are_judged_one_by_one(model, result):
    both = np.stack([SPHEROID.image, SPHEROID.image]).astype(np.uint16)
    image = Micrograph.from_array(
        both, axes="TCZYX", channel_names=("calcein", "PI"), pixel_size_um=VOXEL[1], z_step_um=VOXEL[0]
    )
    found = run_to_end(start(model, image))
    assert [row["time"] for row in found.rows] == [0, 1]
    np.testing.assert_array_equal(found.output("labels").array[1], result.output("labels").array)
    assert list(found.output("labels").table["time"]) == [0, 1]


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (lambda: stack(SPHEROID.image[:, :1]), "1 plane"),
        (lambda: stack(SPHEROID.image[:1], ("PI",)), "2 channels"),
        (lambda: stack(SPHEROID.image[:1], ()), "has no name"),
        (lambda: stack(SPHEROID.image, ("a", "b")), "do not tell"),
        (lambda: stack(pixel_size_um=60.0), "far apart"),
        (lambda: stack(z_step_um=200.0), "far"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_sentence(model, image, told):
    with pytest.raises(InputError, match=told) as caught:
        run_to_end(start(model, image()))
    assert caught.value.hint


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(ParameterError, match="nothing-of-it"):
        run_to_end(start("nothing-of-it", stack()))
