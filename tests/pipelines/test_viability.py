"""The task viability end to end with a small network."""

import numpy as np
import pytest
import torch

from tests_support import save_model
from vitascope.core.card import Architecture, Domain, InputSpec, Intervals, ModelCard, Normalisation, Target, Weights
from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.engine.crop_to_object import crop_to_object
from vitascope.engine.load_model import LoadedModel, build_network, find_family
from vitascope.networks.unet import initialise
from vitascope.pipelines.viability import SHOWN, run
from vitascope.simulate.spheroid_series import Setting, make_spheroid
from vitascope.tasks.viability import ViabilityParams

SIDE = 64


def make_model(folder, domain=None, pair=False, crop_to="spheroid", unit="of control", half_width=0.1, counts=None):
    """A small network with random weights, on disk; its number is well above 0.

    With ``counts`` it sees living cells everywhere, more for a higher number, and next to no dead ones.
    """
    arguments = {"width": 0.0625, "in_channels": 1 + pair, "pair": pair, "counts": counts is not None}
    architecture = Architecture(name="nvir", arguments=arguments)
    network = build_network(architecture)
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        if counts is None:
            network.head[-1].bias.fill_(0.7)
        else:
            network.head.weight.zero_()
            network.head.bias.copy_(torch.tensor([counts, -9.0]))
    network.eval()
    card = ModelCard(
        id="viability-tiny",
        task="viability",
        title="t",
        summary="s",
        architecture=architecture,
        input=InputSpec(
            modality="bright-field",
            channels=("bright-field", "control")[: 1 + pair],
            normalisation=Normalisation(method="background"),
            crop_to=crop_to,
            side_px=SIDE,
        ),
        targets=(Target(name="viability", unit=unit),),
        data=(),
        split="",
        limitations="all",
        licence="BSD-3-Clause",
        weights=Weights(file="viability-tiny.safetensors", sha256="0" * 64, dtype="float32", parameters=1),
        domain=domain,
        intervals=Intervals(level=0.9, half_width=half_width, groups=20, on="test"),
    )
    return save_model(LoadedModel(card, network, find_family(architecture)), folder), network


def picture(day=1, dose=0):
    return make_spheroid(5, Setting(0, dose, day, dose), 96).image


def estimate(card, image, control=None, **params):
    inputs = {"image": Micrograph.from_array(image, name="spheroid")}
    if control is not None:
        inputs["control"] = Micrograph.from_array(control)
    return run_to_end(run(inputs, ViabilityParams.make(model=str(card), device="cpu", threads=1, **params)))


def network_value(network, spec, *pictures):
    x = []
    for one in pictures:
        plane = crop_to_object([one], spec).planes[0]
        x.append(plane / np.median(plane) - 1)
    with torch.no_grad():
        return float(network(torch.from_numpy(np.stack(x))[None]).value)


SPEC = InputSpec(
    modality="b", channels=("b",), normalisation=Normalisation(method="background"), crop_to="spheroid", side_px=SIDE
)


def test_the_number_is_that_of_the_network_on_the_centred_spheroid(tmp_path):
    card, network = make_model(tmp_path)
    image = picture()
    before = image.copy()
    result = estimate(card, image, maps=False)
    row = result.rows[0]
    assert row["viability"] == pytest.approx(network_value(network, SPEC, image), abs=1e-4)
    assert row["viability_low"] == pytest.approx(row["viability"] - 0.1)
    assert row["viability_high"] == pytest.approx(row["viability"] + 0.1)
    assert (result.unit, result.interval_level, result.outputs) == ("of control", 0.9, ())
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("unit", "most"), [("living share", 1.0), ("of control", None)])
def test_the_interval_of_a_share_ends_at_one_and_at_nothing(tmp_path, unit, most):
    card, _ = make_model(tmp_path, unit=unit, half_width=0.9)
    row = estimate(card, picture(), maps=False).rows[0]
    assert row["viability_low"] == 0.0
    assert row["viability_high"] == pytest.approx(most or row["viability"] + 0.9)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_bit_depth_and_exposure_do_not_matter(tmp_path, dtype):
    card, _ = make_model(tmp_path)
    image = picture()
    other = (image * (250 / image.max())).astype(dtype)
    one, two = (estimate(card, i, maps=False).rows[0]["viability"] for i in (image, other))
    assert two == pytest.approx(one, abs=0.02)


def test_a_series_over_days_gives_a_row_for_each(tmp_path):
    card, _ = make_model(tmp_path)
    series = Micrograph.from_array(np.stack([picture(d)[None] for d in (1, 3, 5)]), axes="TCYX", name="series")
    result = run_to_end(run({"image": series}, ViabilityParams.make(model=str(card), device="cpu", threads=1)))
    assert [row["time"] for row in result.rows] == [0, 1, 2]
    single = estimate(card, picture(3), maps=False).rows[0]["viability"]
    assert result.rows[1]["viability"] == pytest.approx(single, abs=1e-6)
    assert result.output("maps").array.shape == (3, 96, 96)


@pytest.mark.parametrize("explain", ["occlusion", "integrated_gradients"])
def test_the_map_lies_on_the_image_with_fixed_limits(tmp_path, explain):
    card, _ = make_model(tmp_path)
    result = estimate(card, picture(), explain=explain)
    output = result.output("maps")
    assert output.array.shape == (96, 96)
    assert np.isfinite(np.asarray(output.array)).all()
    assert np.asarray(output.array).any()
    assert output.limits == (-SHOWN, SHOWN)


def test_a_pair_model_wants_the_control_and_looks_at_it(tmp_path):
    card, network = make_model(tmp_path, pair=True)
    image, control = picture(dose=3), picture()
    with pytest.raises(InputError, match="control"):
        estimate(card, image)
    found = estimate(card, image, control, maps=False).rows[0]["viability"]
    assert found == pytest.approx(network_value(network, SPEC, image, control), abs=1e-4)
    assert found != estimate(card, image, image, maps=False).rows[0]["viability"]


def test_a_control_that_nobody_looks_at_is_refused(tmp_path):
    card, _ = make_model(tmp_path)
    with pytest.raises(InputError, match="does not look at a control"):
        estimate(card, picture(), picture())


def test_an_image_outside_the_model_gets_no_number_unless_asked(tmp_path):
    statistics = dict.fromkeys(("mean", "contrast", "focus", "skewness"), (-1e9, 0.0, 1e9))
    features = {"feature_mean": (1e6,) * 32, "feature_std": (1.0,) * 32, "distance_99": 1.0}
    card, _ = make_model(tmp_path, domain=Domain(crop_px=SIDE, crops=9, statistics=statistics, **features))
    refused = estimate(card, picture())
    assert refused.status == "REJECTED"
    assert "outside_model" in refused.flags
    assert np.isnan(refused.rows[0]["viability"])
    assert refused.outputs == ()  # no map that explains what is not said
    assert np.isfinite(estimate(card, picture(), maps=False, abstain=False).rows[0]["viability"])


def test_a_picture_in_which_no_cell_is_counted_gets_no_number(tmp_path):
    some, _ = make_model(tmp_path / "some", counts=3.0, crop_to="centre")
    found = estimate(some, picture())
    assert found.rows[0]["viability"] == pytest.approx(1, abs=0.01)
    assert "no_objects" not in found.flags
    none, _ = make_model(tmp_path / "none", counts=-9.0, crop_to="centre")
    for abstain in (True, False):
        found = estimate(none, picture(), abstain=abstain)
        assert np.isnan(found.rows[0]["viability"])
        assert "no_objects" in found.flags
        assert found.status != "OK"
        assert found.outputs == ()


def test_an_even_picture_is_refused(tmp_path):
    card, _ = make_model(tmp_path)
    with pytest.raises(InputError, match="single value"):
        estimate(card, np.full((80, 80), 9, np.uint8))
