from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from vitascope import run
from vitascope.cli.main import app
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.paths import BUNDLED_MODELS, SAMPLES
from vitascope.core.progress import run_to_end
from vitascope.engine import resolve_plan as resolving
from vitascope.engine.device import Device
from vitascope.engine.load_model import load_model
from vitascope.engine.measured_speed import Speed
from vitascope.engine.openvino_backend import adds_int8_exactly
from vitascope.io.images.read import read_image
from vitascope.io.models.cards import find_model, read_card, write_card
from vitascope.pipelines import stain_committee
from vitascope.pipelines.quantise import quantise
from vitascope.tasks.good_image import GoodImage

exact = pytest.mark.skipif(not adds_int8_exactly(), reason="this processor does not add 8-bit numbers exactly")


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("vitascope.pipelines.quantise.MOST_CUTS", 4)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def mine(models):
    card = read_card(BUNDLED_MODELS / "nuclei-phase.json")
    (models / card.weights.file).write_bytes((BUNDLED_MODELS / card.weights.file).read_bytes())
    write_card(card.model_copy(update={"id": "mine", "int8": None}), models)
    return "mine"


def halves(count=2):
    field = np.asarray(read_image(str(SAMPLES / "isl_phase.ome.tif")).plane(z=3))
    parts = [field[:192, :256], field[256:448, :256]] * 2
    return [GoodImage(f"part {n}", lambda n=n: Micrograph(parts[n], "YX")) for n in range(count)]


@exact
def test_a_model_of_ones_own_learns_to_round_and_says_how_well(mine):
    card = run_to_end(quantise(mine, halves()))
    assert card.int8 == find_model(mine)[0].int8
    assert card.int8.pcc > 0.995
    assert (card.int8.images, card.int8.on) == (1, "part 1")
    result = run("stain", halves()[1].image(), model=mine, precision="int8", device="cpu")
    assert result.provenance.precision == "int8"
    plain = run("stain", halves()[1].image(), model=mine, precision="f32", device="cpu")
    pictures = [np.asarray(r.output("prediction").array) for r in (result, plain)]
    assert not np.array_equal(*pictures)
    assert np.corrcoef(*(p.ravel() for p in pictures))[0, 1] > 0.999


@exact
def test_a_run_that_is_cancelled_leaves_the_card_as_it_was(mine, models):
    before = (models / "mine.json").read_bytes()
    steps = quantise(mine, halves())
    for progress in steps:
        assert (progress.done, progress.total) <= (2, 6)
        if progress.stage == "Comparing with 32 bit" and progress.done == 2:
            break
    assert (models / "mine.json").read_bytes() != before  # it is tried from the card
    steps.close()
    assert (models / "mine.json").read_bytes() == before


def test_what_cannot_be_quantised_is_said(mine, monkeypatch):
    with pytest.raises(ModelError, match="none of your own"):
        run_to_end(quantise("nuclei-phase", halves()))
    with pytest.raises(ModelError, match="whole squares"):
        run_to_end(quantise("atp-organoid", halves()))
    with pytest.raises(ParameterError, match=r"1 image\(s\) are given"):
        run_to_end(quantise(mine, halves(1)))
    monkeypatch.setattr("vitascope.pipelines.quantise.adds_int8_exactly", lambda: False)
    with pytest.raises(ParameterError, match="does not add"):
        run_to_end(quantise(mine, halves()))


def test_a_model_whose_rounding_is_not_known_is_not_run_in_8_bit(mine):
    with pytest.raises(ParameterError, match="models quantise"):
        run("stain", halves()[0].image(), model=mine, precision="int8", device="cpu")


@exact
@pytest.mark.parametrize(
    ("pcc", "formats", "taken"),
    [(0.9998, ("f32",), "int8"), (0.998, ("f32",), "f32"), (0.9998, ("f32", "bf16"), "bf16")],
)
def test_by_itself_8_bit_is_taken_where_it_agrees_and_there_is_no_bf16(monkeypatch, pcc, formats, taken):
    model = load_model("nuclei-phase", "stain")
    told = model.card.int8.model_copy(update={"pcc": pcc, "change": 0.001})
    model = replace(model, card=model.card.model_copy(update={"int8": told}))
    compared = []

    def speeds(model, device, threads, shape=None):
        compared.append(device.precisions)
        return [Speed(p, 512, {"f32": 1.0, "bf16": 0.5, "int8": 0.4}[p], 1.0) for p in device.precisions]

    monkeypatch.setattr(resolving, "measured_speeds", speeds)
    monkeypatch.setattr(resolving, "pick_device", lambda wanted: (Device("cpu", "Processor", 8 << 30, formats), False))
    assert resolving.resolve_plan(model, RunParams(), (600, 600)).precision == taken
    assert ("int8" in compared[-1]) == (taken == "int8")
    assert resolving.resolve_plan(model, RunParams(precision="int8"), (600, 600)).precision == "int8"


@exact
def test_the_command_says_how_near_it_stays(mine, tmp_path):
    import tifffile

    for n, image in enumerate(halves()):
        tifffile.imwrite(tmp_path / f"{n}.tif", np.asarray(image.image().plane()))
    told = CliRunner().invoke(app, ["models", "quantise", mine, str(tmp_path / "0.tif"), str(tmp_path / "1.tif")])
    assert told.exit_code == 0, told.output
    assert "correlation with 32 bit inside objects 0.99" in told.output
    assert "In 8 bit" in CliRunner().invoke(app, ["models", "show", mine]).output
    few = CliRunner().invoke(app, ["models", "quantise", mine, str(tmp_path / "0.tif")])
    assert few.exit_code == 2
    assert "are needed" in few.output


@exact
def test_models_that_are_asked_for_a_second_opinion_need_not_round(mine, models, monkeypatch):
    card = read_card(models / "mine.json")
    write_card(card.model_copy(update={"int8": read_card(BUNDLED_MODELS / "nuclei-phase.json").int8}), models)
    asked = []
    resolve = stain_committee.resolve_plan

    def watch(model, params, shape):
        asked.append((model.card.id, params.precision))
        return resolve(model, params, shape)

    bare = load_model("nuclei-any", "stain")
    bare = replace(bare, card=bare.card.model_copy(update={"int8": None}))
    monkeypatch.setattr(stain_committee, "resolve_plan", watch)
    monkeypatch.setattr(stain_committee, "load_model", lambda name, task: bare)
    noise = np.random.default_rng(0).normal(1000, 50, (256, 256)).astype(np.float32)
    run("stain", Micrograph(noise, "YX"), model=mine, precision="int8", device="cpu", abstain=False, invert="no")
    assert asked
    assert {precision for _, precision in asked} == {"f32"}
