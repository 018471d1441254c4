"""Targets, overlay, doubt and whole cells of the task ``stain``."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

import vitascope
from tests_support import blobs, make_model, save_model
from vitascope.core.errors import InputError, ParameterError, ReaderError
from vitascope.core.micrograph import Micrograph
from vitascope.ops.objects.whole_cells import parents
from vitascope.pipelines.stain_cells import find_cells

FAST = {"precision": "f32", "tile_px": 512, "threads": 1, "min_contrast": 0, "min_solidity": 0}
NAMES = ("nuclei", "er", "agp", "mito")


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    import torch

    torch.manual_seed(1)
    folder = tmp_path / "models"
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    save_model(make_model(model_id="five", targets=NAMES, width=0.25, object_diameter_px=18), folder)
    save_model(make_model(model_id="one", width=0.25, object_diameter_px=18), folder)


@pytest.fixture
def image():
    return (200 + 1000 * blobs((150, 170))).astype(np.uint16)


def predict(image, **params):
    return vitascope.run("stain", image, **{"model": "five", **FAST, **params})


def test_all_targets_stand_in_one_picture_and_those_asked_for_are_the_same_pixels(image):
    whole = predict(image).output("prediction")
    assert whole.channel_names == NAMES
    assert whole.array.shape == (4, 150, 170)
    two = predict(image, targets=("mito", "er"))
    part = two.output("prediction")
    assert part.channel_names == ("er", "mito")
    np.testing.assert_array_equal(part.array, whole.array[[1, 3]])
    assert {name for name in two.rows[0] if not name.startswith("input_")} == {"mean_er", "mean_mito"}
    assert two.rows[0]["mean_er"] == pytest.approx(whole.array[1].mean(), rel=1e-5)
    one = predict(image, targets="agp").output("prediction")
    assert one.axes == "YX"
    np.testing.assert_array_equal(one.array, whole.array[2])


@pytest.mark.parametrize("said", ["er, mito", "ER,Mito", ("er", "mito"), ["er", "mito"]])
def test_targets_are_read_as_they_are_written(image, said):
    assert predict(image, targets=said).output("prediction").channel_names == ("er", "mito")


def test_a_target_that_the_model_does_not_predict_is_refused_with_those_it_does(image):
    with pytest.raises(ParameterError, match="does not predict 'golgi'") as refused:
        predict(image, targets=("er", "golgi"))
    assert "nuclei, er, agp, mito" in refused.value.hint


def test_the_overlay_is_er_cell_and_nuclei_in_red_green_and_blue(image):
    result = predict(image, overlay=True)
    stains, overlay = result.output("prediction").array, result.output("overlay")
    assert overlay.channel_names == ("red er", "green agp", "blue nuclei")
    np.testing.assert_allclose(overlay.array, np.clip(stains[[1, 2, 0]], 0, 1), atol=1e-6)
    part = predict(image, overlay=True, targets=("nuclei", "er")).output("overlay")
    assert part.channel_names == ("red er", "green", "blue nuclei")
    assert not part.array[1].any()
    with pytest.raises(ParameterError, match="no overlay of DNA"):
        predict(image, model="one", overlay=True)


def test_doubt_is_the_spread_over_mirror_images_and_leaves_the_prediction(image):
    image = image[:144, :160]  # multiples of 16: a mirrored picture is cut at the same pixels
    plain, result = predict(image), predict(image, doubt=True)
    np.testing.assert_array_equal(result.output("prediction").array, plain.output("prediction").array)
    mirrored = predict(np.ascontiguousarray(image[:, ::-1])).output("prediction").array[:, :, ::-1]
    expected = np.abs(plain.output("prediction").array - mirrored) / 2  # of two numbers
    doubt = result.output("doubt")
    assert doubt.channel_names == NAMES
    np.testing.assert_allclose(doubt.array, expected, atol=1e-5)
    assert expected.max() > 1e-3
    assert result.rows[0]["doubt_er"] == pytest.approx(expected[1].mean(), abs=1e-5)


def test_cells_organelles_and_spots_are_linked_by_parent(image):
    result = predict(image, cells=True, steps=True)
    found = {o.title: o for o in result.outputs}
    nuclei, cells, spots = (found[title] for title in ("nuclei", "cells", "golgi part"))
    assert len(nuclei.table) == len(cells.table) > 1
    assert cells.table["parent"].tolist() == nuclei.table["label"].tolist()
    inside = nuclei.array > 0
    np.testing.assert_array_equal(cells.array[inside], nuclei.array[inside])
    assert spots.table["parent"].tolist() == parents(spots.array, cells.array).tolist()
    assert result.rows[0]["cells"] == len(cells.table)
    assert {"er_area_px", "mito_length_px", "golgi_spots", "nucleus_to_cell_ratio"} <= set(cells.table)
    steps = found["step"]
    assert len(steps.channel_names) == len(steps.array) == 9
    er = steps.array[steps.channel_names.index("er 7 mask")] > 0
    counted = [int((er & (cells.array == n)).sum()) for n in cells.table["label"]]
    assert cells.table["er_area_px"].tolist() == counted


def test_numbers_run_on_over_the_times_of_a_movie(image):
    movie = np.stack([image, image[::-1]])
    result = vitascope.run("stain", movie, axes="TYX", model="five", cells=True, **FAST)
    found = {o.title: o for o in result.outputs}
    cells, nuclei = found["cells"], found["nuclei"]
    assert cells.table["label"].tolist() == list(range(1, len(cells.table) + 1))
    assert cells.table["parent"].tolist() == nuclei.table["label"].tolist()
    assert set(np.unique(cells.array[1])) - {0} == set(cells.table.loc[cells.table["time"] == 1, "label"])


def drawn_cell(spot):
    """A nucleus in a cell body with a bright part of a given brightness beside it."""
    y, x = np.ogrid[:120, :120]
    from_centre = np.hypot(y - 60, x - 60)
    body = 0.5 * np.clip(1 - from_centre / 50, 0, 1) + spot * (np.hypot(y - 60, x - 80) < 6)
    return (from_centre < 10).astype(np.uint32), {"nuclei": 1.0 * (from_centre < 10), "agp": body}


def test_one_golgi_level_for_a_plate_tells_bright_cells_from_dim_ones():
    spots = {}
    for spot in (0.1, 0.5):
        nuclei, stains = drawn_cell(spot)
        alone, plate = find_cells(nuclei, stains, 20), find_cells(nuclei, stains, 20, golgi_level=0.2)
        spots[spot] = (int(alone.table["golgi_spots"].sum()), int(plate.table["golgi_spots"].sum()))
        assert plate.summary["golgi_level"] == 0.2
        again = find_cells(nuclei, stains, 20, golgi_level=alone.summary["golgi_level"])
        np.testing.assert_array_equal(again.spots, alone.spots)
    assert spots == {0.1: (1, 0), 0.5: (1, 1)}


def test_the_golgi_level_of_a_run_is_in_its_row_and_holds_when_it_is_given(image):
    row = predict(image, cells=True).rows[0]
    again = predict(image, cells=True, golgi_level=row["golgi_level"])
    assert again.rows[0] == pytest.approx(row, nan_ok=True)
    assert predict(image, cells=True, golgi_level=0.25).rows[0]["golgi_level"] == 0.25
    with pytest.raises(ParameterError):
        predict(image, cells=True, golgi_level=1.5)


@pytest.mark.parametrize("params", [{"model": "one"}, {"targets": ("er", "agp")}, {"masks": False}])
def test_cells_need_nuclei_and_a_stain_of_bodies(image, params):
    with pytest.raises(ParameterError, match="Whole cells"):
        predict(image, cells=True, **params)


def test_every_kind_of_picture_has_a_folder_of_its_own(image, tmp_path):
    predict(image, cells=True, steps=True, overlay=True, doubt=True).save(tmp_path / "out")
    kinds = sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir())
    assert kinds == ["doubt", "labels", "overlay", "prediction", "steps"]
    (written,) = (tmp_path / "out" / "prediction").iterdir()
    with tifffile.TiffFile(written) as tif:
        names = [c.get("Name") for c in _channels(tif.ome_metadata)]
    assert names == list(NAMES)
    objects = pd.read_csv(tmp_path / "out" / "objects.csv")
    assert set(objects["objects"]) <= {"nuclei", "cells", "golgi part"}


def _channels(xml):
    from xml.etree import ElementTree

    return [e for e in ElementTree.fromstring(xml).iter() if e.tag.endswith("}Channel")]


def test_a_correction_is_a_line_on_each_stain_and_is_recorded(image, tmp_path):
    (tmp_path / "lines.json").write_text(
        '{"er": {"slope": 1.5, "intercept": -0.1, "fitted_on": 9}, "other": {"slope": 2, "intercept": 0}}'
    )
    plain = predict(image).output("prediction").array
    result = predict(image, correction=str(tmp_path / "lines.json"))
    found = result.output("prediction").array
    np.testing.assert_allclose(found[1], 1.5 * plain[1] - 0.1, atol=1e-6)
    np.testing.assert_array_equal(found[[0, 2, 3]], plain[[0, 2, 3]])
    assert result.tables["correction"].to_dict("records") == [{"target": "er", "slope": 1.5, "intercept": -0.1}]
    assert "correction" not in predict(image).tables
    for name, error in (("absent.json", ReaderError), ("bad.json", InputError)):
        (tmp_path / "bad.json").write_text("[1]")
        with pytest.raises(error, match=name):
            predict(image, correction=str(tmp_path / name))


def test_a_real_stain_is_compared_in_three_tiers_as_the_command_does(image):
    real = np.stack([image[::-1], image])
    stains = Micrograph.from_array(real, axes="CYX", channel_names=("DNA", "er"), name="real")
    result = predict(image, reference=stains)
    table = result.tables["tiers"]
    assert list(table.columns) == ["tier", "quantity", "target", "value", "low", "high"]
    assert set(table["target"]) == {"nuclei", "er"}
    assert set(table["tier"]) == {"pixels", "masks", "single-cell"}
    row = table[(table["quantity"] == "pcc") & (table["target"] == "nuclei")].iloc[0]
    assert row["value"] == pytest.approx(result.rows[0]["pcc"], abs=1e-5)


@pytest.fixture
def masks(tmp_path):
    """Two models of masks: of cells alone, and of nuclei and cells."""
    for name, targets, size in (("bodies", ("cells",), 170), ("both", ("nuclei", "cells"), 18)):
        model = make_model(model_id=name, targets=targets, width=0.25, object_diameter_px=size)
        cuts = {f"cut_{target}": 0.45 for target in targets}
        save_model(replace(model, card=model.card.model_copy(update={"default_params": cuts})), tmp_path / "models")


LOOSE = {"min_area": 0, "max_area": 1000, "split_touching": False}


def test_a_predicted_mask_is_cut_where_the_card_says_or_the_thesis(image, masks):
    answers = {}
    for cut in ("card", 0.45, 0.5, "thesis"):
        result = predict(image, model="bodies", cut=cut, **LOOSE)
        predicted, found = result.output("prediction").array, result.output("labels")
        answers[cut] = np.asarray(found.array)
        above = predicted > {"card": 0.45, "thesis": 0.8}.get(cut, cut)
        assert not answers[cut][~ndimage.binary_fill_holes(above)].any()
        assert found.title == result.unit == "cells"
    np.testing.assert_array_equal(answers["card"], answers[0.45])
    assert (answers["card"] > 0).sum() > (answers[0.5] > 0).sum() > (answers["thesis"] > 0).sum()


def test_whole_cells_lie_in_the_mask_that_was_predicted_and_have_no_golgi(image, masks):
    result = predict(image, model="both", cells=True, **LOOSE)
    found = {o.title: o for o in result.outputs}
    inside = result.output("prediction").array[1] > 0.45
    cells = np.asarray(found["cells"].array) > 0
    assert cells.any()
    assert not (cells & ~inside & ~(np.asarray(found["nuclei"].array) > 0)).any()
    assert not np.asarray(found["golgi part"].array).any()


def test_a_cut_of_stains_is_refused(image):
    with pytest.raises(ParameterError, match="not masks") as refused:
        predict(image, cut="thesis")
    assert "target_preparation.mask" in refused.value.hint
