"""The task on images: its numbers against the network in plain torch, its maps, crops, channels and bad input."""

import numpy as np
import pytest
import torch

from phenotype_support import cells, make_card, make_model, write_well
from tests_support import make_model as make_stain_model
from tests_support import save_model
from vitascope.core.errors import InputError, ModelError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.engine.execution_plan import Plan
from vitascope.engine.mil_instances import InstanceGrid, Pooled, probability_reader, with_maps
from vitascope.engine.open_backends import open_backend
from vitascope.engine.tiled_prediction import predict_picture
from vitascope.io.images.read import read_image
from vitascope.networks.jacobian import JacobianMaps
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.wells.cell_views import cell_centre, phases_sheet
from vitascope.pipelines.phenotype import decide
from vitascope.tasks.run import start

QUICK = {"device": "cpu", "precision": "f32", "tile_px": 512, "threads": 1}


@pytest.fixture
def model(tmp_path):
    return str(save_model(make_model(), tmp_path))


@pytest.fixture
def several(tmp_path):
    """A multi-label model of one channel."""
    made = make_model(model_id="several", channels=("bright-field",), classes=("a", "b", "c"), last="sigmoid")
    return str(save_model(made, tmp_path))


def image(array=None, names=("GFP", "DNA"), **kwargs):
    array = cells(True) if array is None else array
    return Micrograph.from_array(array, axes="CYX" if array.ndim == 3 else None, channel_names=names, **kwargs)


def run(given, model, **values):
    return run_to_end(start("phenotype", given, model=model, **{**QUICK, **values}))


def plain(array, seed=0, **kwargs):
    """The whole image through the network in one pass: probabilities, log odds, maps."""
    made = make_model(seed=seed, **kwargs)
    x = np.clip((array.astype(np.float32) - 100) / 50, -5, 10)
    height, width = array.shape[1:]
    window = (slice(0, height + -height % 16), slice(0, width + -width % 16))
    tensor = torch.from_numpy(np.ascontiguousarray(array_reader(x)(window)))[None]
    with torch.inference_mode():
        out = made.network(tensor)
        maps = JacobianMaps(made.network)(tensor).maps * torch.exp(out.pooled.log_p)[:, :, None, None]
        y = made.network.probabilities(out.scores)[0].numpy()
        return y, np.log(y / (1 - y)), maps[0, :, :height, :width].numpy(), torch.exp(out.pooled.log_p)[0].numpy()


def test_numbers_and_maps_are_those_of_the_network(model):
    array = cells(False, (100, 130))
    result = run(image(array), model, min_region_px=0.0)
    y, log_odds, maps, _ = plain(array)
    row = result.rows[0]
    assert [row["prob_negative"], row["prob_positive"]] == pytest.approx(y, abs=1e-5)
    assert [row["logit_negative"], row["logit_positive"]] == pytest.approx(log_odds, abs=1e-4)
    assert row["predicted"] == ("negative", "positive")[int(y.argmax())]
    assert row["probability"] == pytest.approx(y.max(), abs=1e-5)
    found = result.output("maps")
    assert found.array.shape == (2, 100, 130)
    assert found.channel_names == ("negative", "positive")
    assert np.abs(found.array - maps).max() < 1e-4 * maps.max()
    assert maps.max() > 1e-3
    labels = result.output("labels")
    assert row["regions"] == len(labels.table) == labels.array.max()
    assert row["foreground_fraction"] == pytest.approx((labels.array > 0).mean())
    assert set(labels.table["predicted"]) <= {"negative", "positive"}


def test_the_tile_never_changes_a_result(model):
    given = image(cells(True, (320, 700), spacing=40))
    one, other = (run(given, model, tile_px=tile) for tile in (256, 1024))
    for kind in ("maps", "instances"):
        a, b = one.output(kind).array, other.output(kind).array
        assert np.abs(a - b).max() <= 1e-4 * max(1.0, np.abs(b).max())
    for key, value in one.rows[0].items():
        assert value == other.rows[0][key] or value == pytest.approx(other.rows[0][key], abs=1e-4)


def test_instances_are_read_linearly_between_their_centres():
    logits = np.log(np.array([[[0.2, 0.6], [0.4, 0.8]]]) / (1 - np.array([[[0.2, 0.6], [0.4, 0.8]]]))).astype(
        np.float32
    )
    read = probability_reader(logits, 16)
    found = read((slice(0, 32), slice(0, 32)))
    assert found[0, 0, 0] == pytest.approx(0.2)
    assert found[0, 16, 16] == pytest.approx(0.8)
    assert found[0, 8, 4] == pytest.approx(0.2 + 0.5 * 0.2 + 0.25 * 0.4)
    assert found[0, 31, 31] == pytest.approx(0.8)


@pytest.mark.fault("A17")
def test_channels_are_found_by_name_in_any_order_and_by_what_files_call_them(model):
    array = cells(True)
    first = run(image(array), model, maps=False).rows
    assert run(image(array[::-1], ("dna", "gfp")), model, maps=False).rows == first
    assert run(image(array, ("Channel1", "Channel2")), model, maps=False).rows == first
    three = np.concatenate([array[:1] * 0, array])
    found = run(image(three, ("phase", "GFP", "DNA")), model, maps=False)
    assert found.rows == first
    assert "fewer_channels_used" in found.flags
    named = run(image(array[::-1], ("x", "y")), model, maps=False, channels=["y", 0])
    assert named.rows == first
    assert named.provenance.params["channels"] == ["y", "0"]


@pytest.mark.fault("A18")
def test_channels_without_names_are_asked_for(model):
    with pytest.raises(InputError, match="do not tell which is which") as caught:
        run(image(names=()), model)
    assert "--set 'channels=[0, 1]'" in caught.value.hint
    assert run(image(names=()), model, maps=False, channels=(0, 1)).rows == run(image(), model, maps=False).rows


@pytest.mark.fault("A16")
@pytest.mark.parametrize(
    ("array", "names", "values", "words"),
    [
        (cells(True)[:1], ("GFP",), {}, "takes 2 channels .GFP, DNA.; the image has 1"),
        (cells(True), ("GFP", "DNA"), {"channels": ("GFP",)}, "1 are named"),
        (cells(True), ("GFP", "DNA"), {"channels": ("GFP", "GFP")}, "2 are named"),
        (cells(True), ("GFP", "DNA"), {"channels": ("GFP", "red")}, "no channel 'red'"),
    ],
)
def test_missing_channels_are_named(model, array, names, values, words):
    with pytest.raises(InputError, match=words):
        run(image(array, names), model, **values)


def test_the_files_of_a_plate_need_no_word(tmp_path, model):
    array = cells(True)
    write_well(tmp_path, "A01", array)
    read = read_image(str(tmp_path / "Channel?-01-A-01.tif"))
    result = run(read, model, maps=False)
    assert result.rows == run(image(array), model, maps=False).rows
    assert result.place.well == "A01"


def test_of_a_crop_only_the_cell_in_the_middle_counts_and_the_pooling_layer_answers(model):
    array = cells(True, (48, 48))
    row = run(image(array), model, maps=False).rows[0]
    made = make_model()
    prepared = np.clip((array.astype(np.float32) - 100) / 50, -5, 10)
    sheet, counts = phases_sheet(prepared, cell_centre(prepared, 24.0), 16, 24.0, 4)
    output = made.network(torch.from_numpy(sheet)[None], torch.from_numpy(counts)[None, None])
    expected = torch.exp(output.pooled.log_p)[0]
    assert [row["prob_negative"], row["prob_positive"]] == pytest.approx(expected.tolist(), abs=1e-5)
    whole = run(image(array), model, maps=False, instances="all").rows[0]
    assert whole["prob_positive"] == pytest.approx(plain(array)[0][1], abs=1e-5)
    large = image(cells(True, (96, 96)))
    assert run(large, model, maps=False).rows != run(large, model, maps=False, instances="centre").rows


def test_places_outside_the_region_do_not_count(model):
    array = cells(True, (96, 160))
    region = np.zeros((96, 160), np.uint8)
    region[:, :80] = 1
    inside = run(image(array), model, maps=False, region=region).rows[0]
    made = make_model()
    x = torch.from_numpy(np.clip((array.astype(np.float32) - 100) / 50, -5, 10))[None]
    mask = torch.zeros(1, 1, 6, 10)
    mask[..., :5] = 1
    expected = made.network.probabilities(made.network(x, mask).scores)[0]
    assert inside["prob_positive"] == pytest.approx(float(expected[1].detach()), abs=1e-5)
    with pytest.raises(InputError, match="No place"):
        run(image(array), model, region=region * 0)
    with pytest.raises(InputError, match="same pixels"):
        run(image(array), model, region=region[:50])


@pytest.mark.fault("A02")
def test_pixels_that_are_no_numbers_do_not_count_and_have_no_map(model):
    array = cells(True, (96, 160)).astype(np.float32)
    array[0, 10:30, 100:140] = np.nan
    result = run(image(array), model)
    assert "nan_masked" in result.flags
    assert np.isfinite(result.output("maps").array).all()
    assert not result.output("maps").array[:, 10:30, 100:140].any()
    assert np.isfinite(result.rows[0]["prob_positive"])


@pytest.mark.fault("A04")
def test_a_constant_image_has_no_numbers(model):
    result = run(image(np.full((2, 64, 64), 7, np.uint8)), model)
    assert "constant" in result.flags
    assert result.rows[0]["predicted"] == ""
    assert np.isnan(result.rows[0]["prob_positive"])
    assert not result.output("labels").array.any()


@pytest.mark.fault("A07")
@pytest.mark.fault("A08")
@pytest.mark.parametrize("shape", [(3, 3), (17, 17), (513, 1), (65, 100)])
def test_any_size_gives_a_map_of_its_size(model, shape):
    array = np.random.default_rng(0).integers(0, 255, (2, *shape), np.uint8)
    result = run(image(array), model)
    assert result.output("maps").array.shape == (2, *shape)
    assert ("smaller_than_cell" in result.flags) == (min(shape) < 24)


def test_a_single_pixel_is_constant(model):
    result = run(image(np.full((2, 1, 1), 3, np.uint8)), model)
    assert "constant" in result.flags
    assert result.output("maps").array.shape == (2, 1, 1)


@pytest.mark.fault("A29")
def test_each_time_point_and_plane_is_classified(several):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 255, (2, 3, 70, 80), np.uint8)
    result = run(Micrograph.from_array(array, axes="TZYX"), several)
    assert [(r["time"], r["z"]) for r in result.rows] == [(t, z) for t in range(2) for z in range(3)]
    assert result.output("maps").axes == "TCZYX"
    assert result.output("labels").array.shape == (2, 3, 70, 80)
    alone = run(Micrograph.from_array(array[1, 2]), several)
    assert {k: v for k, v in result.rows[5].items() if k not in ("time", "z")} == alone.rows[0]
    table = result.output("labels").table
    assert table["label"].tolist() == list(range(1, len(table) + 1))


def test_a_multi_label_model_names_all_classes_above_one_half(several):
    row = run(Micrograph.from_array(np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)), several).rows[0]
    found = {c for c in "abc" if row[f"prob_{c}"] > 0.5}
    assert (set(row["predicted"].split(";")) if row["predicted"] != "none" else set()) == found
    assert decide(np.array([0.2, 0.4]), ["a", "b"], several=True) == ("none", 0.6)


def test_a_run_repeats_to_the_bit_from_its_provenance(model):
    given = image(cells(True, (100, 130)))
    first = run(given, model)
    again = run_to_end(start("phenotype", given, **{**first.provenance.params, "model": model}))
    assert first.rows == again.rows
    assert np.array_equal(first.output("maps").array, again.output("maps").array)
    assert np.array_equal(first.output("labels").array, again.output("labels").array)


def test_without_maps_the_numbers_are_the_same(model):
    given = image(cells(True, (100, 130)))
    plain_rows, full = run(given, model, maps=False), run(given, model)
    assert plain_rows.outputs == ()
    for key, value in plain_rows.rows[0].items():
        assert full.rows[0][key] == value or full.rows[0][key] == pytest.approx(value, abs=1e-5)


def test_the_pixel_size_brings_the_image_to_the_models(tmp_path):
    made = make_model()
    spec = made.card.input.model_copy(update={"pixel_size_um": 0.5})
    path = str(
        save_model(type(made)(made.card.model_copy(update={"input": spec}), made.network, made.family), tmp_path)
    )
    array = np.repeat(np.repeat(cells(True), 2, 1), 2, 2)
    result = run(image(array, pixel_size_um=0.25), path)
    assert result.output("maps").array.shape == (2, 192, 192)
    native = run(image(cells(True), pixel_size_um=0.5), path)
    assert result.rows[0]["prob_positive"] == pytest.approx(native.rows[0]["prob_positive"], abs=0.1)


def test_memory_that_runs_out_takes_smaller_tiles_and_the_same_result(model):
    given = image(cells(True, (600, 700), spacing=40))
    expected = run(given, model, tile_px=1024)

    def short(loaded, plan):
        backend = open_backend(loaded, plan)

        def call(x):
            if x.shape[-1] > 512:
                raise MemoryError
            return backend(x)

        return call

    made = make_model()
    x = np.clip((given.array.astype(np.float32) - 100) / 50, -5, 10)
    maps = np.zeros((2, 600, 700), np.float32)

    def sink(where, piece):
        maps[(slice(None), *where)] = piece

    grid = InstanceGrid((600, 700), 2, 16)
    ready, plan = with_maps(made, True), Plan("cpu", "f32", 1024, 1)
    plan = run_to_end(
        predict_picture(ready, array_reader(x), (600, 700), plan, sink, pool=grid, open_with=short)  # type: ignore[arg-type]
    )
    assert ("tile_reduced" in plan.flags, plan.tile_px) == (True, 416)
    share = Pooled(made.network, grid.logits, np.ones(grid.logits.shape[1:], np.float32)).pooled
    wanted = expected.output("maps").array
    assert np.abs(maps * share[:, None, None] - wanted).max() <= 1e-4 * wanted.max()


@pytest.mark.fault("D14")
def test_models_of_other_tasks_are_refused(tmp_path):
    stain = str(save_model(make_stain_model(), tmp_path))
    with pytest.raises(ModelError, match="for the task 'stain'"):
        run(image(), stain)
    card = make_stain_model(task="phenotype", model_id="wrong")
    with pytest.raises(ModelError, match="gives no instances"):
        run(Micrograph.from_array(cells(True)[0]), str(save_model(card, tmp_path)))


def test_auto_takes_the_model_with_as_many_channels(tmp_path, monkeypatch):
    monkeypatch.setattr("vitascope.pipelines.phenotype.find_cards", lambda task: {"x": tmp_path / "x.json"})
    monkeypatch.setattr("vitascope.pipelines.phenotype.read_card", lambda path: make_card())
    with pytest.raises(ParameterError, match="No models for phenotypes take 3"):
        run_to_end(start("phenotype", np.zeros((3, 20, 20), np.uint8), axes="CYX"))
