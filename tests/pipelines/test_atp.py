import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from tests_support import save_model
from vitascope.core.card import (
    Architecture,
    Domain,
    InputSpec,
    Intervals,
    ModelCard,
    Normalisation,
    Target,
    Weights,
)
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.engine.crop_to_object import crop_to_object
from vitascope.engine.load_model import LoadedModel, build_network, find_family
from vitascope.networks.unet import initialise
from vitascope.pipelines.atp import run
from vitascope.simulate.wells import make_well
from vitascope.tasks.atp import AtpParams

SIDE = 64


def make_model(folder, model_id="atp-tiny", domain=None, intervals=None, **arguments):
    """A small network with random weights, on disk."""
    arguments = {"width": 4, "stages": 2, "grid": 8, "hidden": 8, "fusion": "additive", "top": 4e5, **arguments}
    architecture = Architecture(name="ins_atp", arguments=arguments)
    network = build_network(architecture)
    initialise(network, torch.Generator().manual_seed(0))
    network.eval()
    card = ModelCard(
        id=model_id,
        task="atp",
        title="t",
        summary="s",
        architecture=architecture,
        input=InputSpec(
            modality="bright-field",
            channels=("bright-field",),
            normalisation=Normalisation(method="background"),
            crop_to="well",
            side_px=SIDE,
        ),
        targets=(Target(name="ATP", unit="RLU"),),
        data=(),
        split="",
        limitations="all",
        licence="BSD-3-Clause",
        weights=Weights(file=f"{model_id}.safetensors", sha256="0" * 64, dtype="float32", parameters=1),
        domain=domain,
        intervals=intervals,
    )
    return save_model(LoadedModel(card, network, find_family(architecture)), folder)


def image_of(number=0, side=200, **changes):
    return Micrograph.from_array(make_well(3, number, 0, side).image, name="well", **changes)


def estimate(image, card, **params):
    return run_to_end(run({"image": image}, AtpParams.make(model=str(card), device="cpu", threads=1, **params)))


@pytest.fixture
def card(tmp_path):
    return make_model(tmp_path, intervals=Intervals(level=0.9, half_width=1000.0, groups=20, on="test"))


def test_contributions_sum_to_the_number_over_pixels_and_places(card):
    result = estimate(image_of(), card)
    atp = result.rows[0]["atp"]
    maps = result.output("maps").array
    table = result.output("instances").table
    assert atp > 0
    assert maps.astype(np.float64).sum() == pytest.approx(atp, rel=1e-5)
    assert table["contribution_rlu"].sum() == pytest.approx(atp, rel=1e-9)
    assert maps.shape == (200, 200)
    assert result.rows[0]["atp_low"] == pytest.approx(max(0, atp - 1000))
    assert result.rows[0]["atp_high"] == pytest.approx(atp + 1000)
    assert (result.unit, result.interval_level) == ("RLU", 0.9)


def test_the_number_is_the_networks_own(card):
    from vitascope.engine.load_model import load_model

    image = image_of()
    model = load_model(str(card), "atp")
    framed = crop_to_object([image.plane()], model.card.input)
    x = framed.planes[0] / np.median(framed.planes[0]) - 1
    with torch.no_grad():
        expected = float(model.network(torch.from_numpy(x[None, None].astype(np.float32))).value)
    assert estimate(image, card, views=1).rows[0]["atp"] == pytest.approx(expected, rel=2e-3)


def test_number_and_maps_do_not_depend_on_which_way_is_up(card):
    image = make_well(3, 0, 0, 200).image
    upright, turned = (estimate(Micrograph.from_array(i.copy()), card) for i in (image, np.rot90(image)))
    assert turned.rows[0]["atp"] == pytest.approx(upright.rows[0]["atp"], rel=1e-4)
    np.testing.assert_allclose(
        np.rot90(upright.output("maps").array),
        turned.output("maps").array,
        rtol=1e-3,
        atol=1e-3 * upright.rows[0]["atp"] / 4e4,
    )
    alone = [estimate(Micrograph.from_array(i.copy()), card, views=1).rows[0]["atp"] for i in (image, np.rot90(image))]
    assert abs(alone[1] / alone[0] - 1) > 1e-4


def test_instances_lie_where_their_contributions_are(card):
    result = estimate(image_of(), card)
    labels, maps = result.output("instances").array, result.output("maps").array
    for row in result.output("instances").table.sample(10, random_state=0).itertuples():
        assert maps[labels == row.label].astype(float).sum() == pytest.approx(row.contribution_rlu, rel=1e-4, abs=1e-3)


def test_finer_maps_keep_the_number(card):
    plain, fine = estimate(image_of(), card), estimate(image_of(), card, refine=2)
    assert fine.rows == plain.rows
    assert fine.output("maps").array.astype(float).sum() == pytest.approx(plain.rows[0]["atp"], rel=1e-5)
    assert len(np.unique(fine.output("maps").array)) > len(np.unique(plain.output("maps").array))


def test_attention_models_show_attention_that_sums_to_one(tmp_path):
    card = make_model(tmp_path, "atp-attends", fusion="attention", instances="mesh", bits=5, bin_width=2e4)
    result = estimate(image_of(), card)
    assert result.output("instances").table["attention"].sum() == pytest.approx(1, rel=1e-5)
    shown = {output.title: output.array for output in result.outputs if output.kind == "maps"}
    assert list(shown) == ["contribution", "attention", "organoids", "percentile"]
    assert set(np.unique(shown["organoids"])) <= {0.0, 1.0}
    assert 0 < shown["organoids"].mean() < 0.6
    assert shown["contribution"].sum(dtype=float) == pytest.approx(result.rows[0]["atp"], rel=1e-4)
    assert len(np.unique(shown["attention"])) <= 64 + 1
    assert np.isnan(result.rows[0]["atp_low"])


def test_each_plane_of_a_stack_is_a_well(card):
    stack = np.stack([make_well(3, n, 0, 128).image for n in range(3)])
    result = estimate(Micrograph.from_array(stack, axes="ZYX"), card)
    assert [row["z"] for row in result.rows] == [0, 1, 2]
    alone = estimate(Micrograph.from_array(stack[1]), card)
    assert result.rows[1]["atp"] == alone.rows[0]["atp"]
    table = result.output("instances").table
    assert table["label"].tolist() == list(range(1, 3 * 64 + 1))
    assert set(np.unique(result.output("instances").array[2])) <= {0, *range(129, 193)}


def test_a_well_unlike_all_gets_no_number_unless_asked(tmp_path):
    domain = Domain(
        crop_px=SIDE,
        crops=9,
        statistics={"mean": (0.0, 0.1, 0.2)},
        feature_mean=(1e3,) * 8,
        feature_std=(1e-3,) * 8,
        distance_99=1.0,
    )
    card = make_model(tmp_path, "atp-knows", domain=domain)
    result = estimate(image_of(), card)
    assert result.status == "REJECTED"
    assert "outside_model" in result.flags
    assert "Outside what the model knows" in result.message
    assert np.isnan(result.rows[0]["atp"])
    assert result.outputs == ()  # no map that explains what is not said
    given = estimate(image_of(), card, abstain=False)
    assert (given.status, given.rows[0]["atp"] > 0) == ("WARN", True)
    assert given.output("maps").array.max() > 0


def test_gain_and_depth_do_not_matter(card):
    pixels = make_well(3, 0, 0, 128).image
    first = estimate(Micrograph.from_array(pixels), card).rows[0]["atp"]
    for changed in (pixels.astype(np.uint32) * 7, pixels / 4096.0, (pixels / 4).astype(np.float32)):
        assert estimate(Micrograph.from_array(changed), card).rows[0]["atp"] == pytest.approx(first, rel=1e-3)


def test_the_input_is_not_written_to(card):
    pixels = make_well(3, 0, 0, 128).image.astype(np.float32)
    pixels[5, 5] = np.nan
    before = pixels.copy()
    result = estimate(Micrograph.from_array(pixels), card)
    assert np.array_equal(pixels, before, equal_nan=True)
    assert "nan_masked" in result.flags


def test_the_command_writes_numbers_and_maps(card, tmp_path):
    from typer.testing import CliRunner

    from vitascope.cli.main import app

    for n in range(2):
        tifffile.imwrite(tmp_path / f"plate_A0{n + 1}.tif", make_well(3, n, 0, 128).image)
    tifffile.imwrite(tmp_path / "plate_A03.tif", np.full((64, 64), 7, np.uint16))
    out = tmp_path / "out"
    done = CliRunner().invoke(
        app, ["run", "atp", *sorted(map(str, tmp_path.glob("plate*.tif"))), "-o", str(out), "--model", str(card)]
    )
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out / "results.csv")
    assert table["well"].tolist() == ["A01", "A02", "A03"]
    assert table["status"].tolist()[2] == "REJECTED"
    assert {"atp", "atp_low", "atp_high", "unit", "interval_level"} <= set(table)
    for stem, atp in zip(table["image"][:2], table["atp"][:2], strict=True):
        assert tifffile.imread(out / "maps" / f"{stem}.ome.tif").astype(float).sum() == pytest.approx(atp, rel=1e-5)


def test_how_much_rests_on_empty_ground_is_told(card, tmp_path):
    ground = np.full((200, 200), 5000.0)
    ground += np.random.default_rng(0).normal(0, 20, ground.shape)
    ground[80:120, 80:120] = 2500
    row = estimate(Micrograph.from_array(ground), card).rows[0]
    maps = estimate(Micrograph.from_array(ground), card).output("maps").array.astype(float)
    places = np.zeros((200, 200), bool)
    places[75:125, 75:125] = True  # the two by two places in the middle
    assert row["attention_on_background"] == pytest.approx(maps[~places].sum() / maps.sum(), abs=0.02)
    result = estimate(Micrograph.from_array(ground), card)
    assert ("attention_on_background" in result.flags) == (row["attention_on_background"] > 0.5)
