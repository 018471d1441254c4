"""What is expected of an image: how it is shown to the model, what is told, and what is held back."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import vitascope
from tests_support import blobs, make_domain, make_model, save_model
from vitascope.core.card import CommitteeMember, ExpectedAgreement, HomeAgreement, ObjectErrors
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import SAMPLES
from vitascope.core.progress import run_to_end
from vitascope.engine.expected import AT_HOME
from vitascope.engine.load_model import load_model
from vitascope.engine.preprocess import LinearMap, Normalisation
from vitascope.io.images.read import read_image
from vitascope.pipelines import stain_committee
from vitascope.pipelines.stain_look import choose_between, choose_model
from vitascope.tasks.stain import StainParams

FAST = {"model": "told", "precision": "f32", "tile_px": 512, "threads": 1, "min_contrast": 0}


def told(**changes):
    """An expectation by the skewness alone: bright things on dark ground are what the model wants."""
    known = {
        "statistics": ("skewness",), "mean": (0.0,), "spread": (1.0,), "weights": (0.0,), "intercept": 2.0,
        "low_by": -0.1, "high_by": 0.1, "views": 9, "laboratories": ("a", "b", "c"),
        "errors": ObjectErrors(objects=(-0.1, 0.1), mean_area=(-0.1, 0.1), views=9),
    }  # fmt: skip
    return ExpectedAgreement(**{**known, **changes})


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Save a model of random weights whose card tells what is expected."""
    import torch

    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))

    def make(expected, **card):
        torch.manual_seed(1)
        model = make_model(model_id="told", width=0.25, object_diameter_px=18, domain=make_domain(), **card)
        named = model.card.model_copy(update={"expected": expected})
        save_model(replace(model, card=named), tmp_path / "models")

    return make


@pytest.fixture
def image():
    return (200 + 1000 * blobs((250, 270))).astype(np.uint16)


def predict(image, **params):
    return vitascope.run("stain", image, **{**FAST, **params})


def test_an_image_that_fits_has_numbers_interval_and_expectation(save, image):
    save(told())
    result = predict(image)
    row = result.rows[0]
    assert row["expected_pcc"] == pytest.approx(np.tanh(2), abs=1e-4)
    assert row["expected_pcc_low"] < row["expected_pcc"] < row["expected_pcc_high"]
    assert result.trust.level == "fits"
    assert (row["input_scale"], row["input_inverted"]) == (1.0, 0)
    assert row["objects_low"] < row["objects"] < row["objects_high"]
    assert result.interval_level == 0.8
    assert "withheld" not in result.flags


def test_numbers_that_are_likely_wrong_are_held_back_and_pictures_are_not(save, image, tmp_path):
    save(told(intercept=0.3))
    result = predict(image)
    row = result.rows[0]
    assert result.status == "WARN"
    assert {"withheld", "outside_model", "interval_unknown"} <= set(result.flags)
    assert row["objects"] is None
    assert row["mean_area_px"] is None
    assert row["expected_pcc"] == pytest.approx(np.tanh(0.3), abs=1e-4)
    assert result.output("prediction").array.any()
    assert result.output("labels").array.max() == len(result.output("labels").table) > 0
    folder = result.save(tmp_path / "out")
    table = pd.read_csv(folder / "results.csv")
    assert table["status"].tolist() == ["WARN"]
    assert table["objects"].isna().all()
    assert not len(pd.read_csv(folder / "objects.csv"))
    assert list((folder / "labels").iterdir())
    assert "0.19 to 0.39" in result.message


def test_numbers_are_shown_anyway_or_by_another_limit(save, image):
    save(told(intercept=0.3))
    shown = predict(image, abstain=False)
    assert shown.rows[0]["objects"] > 0
    assert "withheld" not in shown.flags
    assert "outside_model" in shown.flags
    assert shown.rows[0]["objects_low"] is None
    assert predict(image, least_expected=0.1).rows[0]["objects"] == shown.rows[0]["objects"]


def test_the_limits_of_unsure_are_those_of_the_card(save, image):
    save(told(intercept=0.7))
    assert predict(image).trust.level == "unsure"
    save_again = told(intercept=0.7, fits=0.45)
    save(save_again)
    assert predict(image).trust.level == "fits"


def test_polarity_is_found_told_and_repeated(save, image):
    save(told(weights=(0.5,), intercept=0.2))
    dark = (image.max() + image.min() - image).astype(np.uint16)
    bright = predict(image)
    found = predict(dark)
    assert bright.rows[0]["input_inverted"] == 0
    assert found.rows[0]["input_inverted"] == 1
    assert found.provenance.input_inverted is True
    assert "Bright and dark swapped" in found.message
    kept = predict(dark, invert="no")
    assert kept.rows[0]["input_inverted"] == 0
    assert kept.rows[0]["expected_pcc"] < found.rows[0]["expected_pcc"] - 0.1
    again = predict(dark, **{k: v for k, v in found.provenance.params.items() if k not in FAST})
    np.testing.assert_array_equal(again.output("prediction").array, found.output("prediction").array)
    assert again.rows[0]["objects_low"] == found.rows[0]["objects_low"]


def at_home(**changes):
    """Training images that are bright on dark, whatever else they look like."""
    n = len(AT_HOME)
    known = {
        "statistics": AT_HOME, "mean": (0.0,) * n, "spread": (1.0,) * n, "weights": (0.0,) * n, "least": -1.0,
        "dark": False, "skewness_limit": 0.5, "value": 0.8, "low": 0.75, "high": 0.9, "views": 12,
    }  # fmt: skip
    return HomeAgreement(**{**known, **changes})


def test_an_image_like_the_training_images_but_turned_over_is_turned_back(save, image):
    """However little more is expected of other looks."""
    dark = (image.max() + image.min() - image).astype(np.uint16)
    save(told(intercept=0.7, home=at_home()))
    found = predict(dark)
    assert (found.rows[0]["input_scale"], found.rows[0]["input_inverted"]) == (1.0, 1)
    assert found.rows[0]["expected_pcc"] == 0.8
    assert "Bright and dark swapped" in found.message
    assert predict(dark, invert="no").rows[0]["input_inverted"] == 0
    save(told(intercept=0.7, home=at_home(least=1.0)))  # nothing looks like those
    assert predict(dark).rows[0]["input_inverted"] == 0


def test_scale_is_found_and_an_explicit_one_wins(save, image):
    fine = np.kron(image, np.ones((2, 2), np.uint16))
    wants_small = told(statistics=("band2",), mean=(-1.0,), weights=(0.8,), intercept=0.0)
    save(wants_small)
    found = predict(fine)
    assert found.rows[0]["input_scale"] != 1
    assert found.provenance.params["object_diameter_px"] == pytest.approx(18 / found.rows[0]["input_scale"], rel=1e-3)
    given = predict(fine, object_diameter_px=18, invert="no")
    assert given.rows[0]["input_scale"] == 1
    assert predict(fine, rescale=False, invert="no").rows[0]["input_scale"] == 1


def test_pixel_sizes_known_on_both_sides_win(save, image):
    save(told(statistics=("band2",), mean=(-1.0,), weights=(0.8,), intercept=0.0), pixel_size_um=0.5)
    assert predict(image, pixel_size_um=0.25).rows[0]["input_scale"] == 0.5


def test_a_card_that_tells_nothing_is_run_as_given(save, image):
    save(None)
    row = predict(image).rows[0]
    assert (row["input_scale"], row["input_inverted"]) == (1.0, 0)
    assert "expected_pcc" not in row
    assert "objects_low" not in row


def test_a_constant_image_has_no_expectation_and_is_not_searched(save):
    save(told())
    result = predict(np.full((200, 220), 7, np.uint16))
    assert result.rows[0]["expected_pcc"] is None
    assert "constant" in result.flags


@pytest.mark.parametrize(
    ("method", "of"), [("percentile", 0.75), ("minmax", 0.75), ("standard", -0.25), ("zscore", -0.25)]
)
def test_swapping_bright_and_dark_is_about_the_middle_or_the_ground(method, of):
    plain = LinearMap(0.0, 1.0, 0.0, (-1.0, 2.0))
    turned = plain.turned(Normalisation(method=method))
    assert turned(np.array([0.25, np.nan])).tolist()[0] == pytest.approx(of)
    assert turned(np.array([5.0]))[0] == pytest.approx(1 - 2 if of > 0 else -2)


def test_the_second_model_is_loaded_only_where_the_first_does_not_fit():
    """Loading one that was never compiled here imports torch, which takes longer than a run."""
    image = read_image(SAMPLES / "isl_phase.ome.tif")
    middle = Micrograph(np.asarray(image.plane(z=3)), "YX", name="middle")
    first, loaded = load_model("nuclei-phase", "stain"), []

    def load_second():
        loaded.append("nuclei-any")
        return load_model("nuclei-any", "stain")

    assert run_to_end(choose_between(first, load_second, middle, StainParams(threads=1)))[0] is first
    assert loaded == []
    noise = Micrograph(np.random.default_rng(0).normal(100, 5, (300, 300)).astype(np.float32), "YX", name="noise")
    run_to_end(choose_between(first, load_second, noise, StainParams(threads=1)))
    assert loaded == ["nuclei-any"]


def by_committee(**changes):
    """An expectation by what another model predicts alone."""
    other = CommitteeMember(model="other", mean=0.5, spread=0.5)
    known = {"statistics": ("committee",), "weights": (0.4,), "intercept": 0.1, "committee": (other,)}
    return told(**{**known, **changes})


def save_other(folder, strength=1.0):
    """Save a model of the same weights, or of weaker ones: of none, it answers with nothing."""
    import torch

    torch.manual_seed(1)
    model = make_model(model_id="other", width=0.25, object_diameter_px=18, domain=make_domain())
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.mul_(strength)
    save_model(model, folder)


def test_what_another_model_predicts_alike_speaks_for_a_prediction(save, image, tmp_path):
    save(by_committee())
    alone = predict(image, rescale=False, invert="no").rows[0]["expected_pcc"]
    assert alone == pytest.approx(np.tanh(0.1), abs=1e-4)
    save_other(tmp_path / "models")
    alike = predict(image, rescale=False, invert="no").rows[0]["expected_pcc"]
    save_other(tmp_path / "models", strength=0.0)
    unlike = predict(image, rescale=False, invert="no").rows[0]["expected_pcc"]
    assert alike > 0.7
    assert unlike < alone


def test_no_other_model_is_loaded_for_images_like_home(save, image, tmp_path, monkeypatch):
    home = HomeAgreement(
        statistics=("distance",), mean=(0.0,), spread=(1.0,), weights=(0.0,), least=-1.0, dark=False,
        skewness_limit=-50.0, value=0.8, low=0.75, high=0.85, views=9,
    )  # fmt: skip
    save(by_committee(home=home))
    save_other(tmp_path / "models")
    asked = []
    monkeypatch.setattr(stain_committee, "load_model", lambda *name: asked.append(name))
    assert predict(image).rows[0]["expected_pcc"] == 0.8
    assert asked == []


def test_scales_and_polarities_are_ranked_by_what_tells_of_them(save, image):
    dark = (image.max() + image.min() - image).astype(np.uint16)
    save(told(intercept=0.2, search=told(weights=(0.5,), intercept=0.2)))
    assert predict(dark).rows[0]["input_inverted"] == 1
    save(told(intercept=0.2))
    assert predict(dark).rows[0]["input_inverted"] == 0


def test_a_fluorescence_image_is_no_transmitted_light_and_its_numbers_are_held_back():
    stains = read_image(SAMPLES / "isl_stains.ome.tif")
    nuclei = Micrograph(np.asarray(stains.plane(c=0)), "YX", name="DAPI")
    result = vitascope.run("stain", nuclei, model="nuclei-any", threads=1)
    assert result.trust.level == "outside"
    assert "does not look like what the model is for" in result.trust.reasons[0]
    assert {"outside_model", "withheld"} <= set(result.flags)
    assert result.rows[0]["objects"] is None


@pytest.mark.parametrize(
    ("sample", "taken"), [("jurkat_brightfield.ome.tif", "dna-brightfield"), ("isl_phase.ome.tif", "nuclei-phase")]
)
def test_automatic_takes_the_model_whose_training_images_look_alike(sample, taken):
    image = read_image(SAMPLES / sample)
    picture = Micrograph(np.asarray(image.plane(z=image.sizes["Z"] // 2)), "YX", name=sample)
    model, look = run_to_end(choose_model(picture, StainParams(threads=1)))
    assert model.card.id == taken
    assert (look.scale, look.inverted) == (1.0, False)


def test_what_is_no_cell_is_left_to_the_models_of_any_light():
    noise = Micrograph(np.random.default_rng(0).normal(100, 5, (300, 300)).astype(np.float32), "YX", name="noise")
    assert run_to_end(choose_model(noise, StainParams(threads=1)))[0].card.id != "dna-brightfield"
