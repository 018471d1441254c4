"""Every task and one training step on a graphics card, against the processor; skipped where there is none."""

import copy

import numpy as np
import pytest
import torch

import vitascope
from optics_support import NOISE_FREE
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import SAMPLES
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.engine.load_model import load_model
from vitascope.simulate.spheroid_series import Setting, make_spheroid
from vitascope.simulate.spheroids import StackParams, simulate_spheroid
from vitascope.training.loop.loop import TrainingJob, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA card here that this torch can use"),
]


def sample(name):
    return vitascope.read_image(SAMPLES / name)


def stack():
    found = simulate_spheroid(StackParams(diameter_um=80.0, margin_um=14.0), (4.0, 2.0, 2.0), NOISE_FREE, 0)
    return Micrograph(found.image, "CZYX", pixel_size_um=2.0, z_step_um=4.0, channel_names=("live", "dead"), name="s")


IMAGES = {
    "stain": lambda: sample("isl_phase.ome.tif"),
    "phenotype": lambda: sample("bbbc013_positive.ome.tif"),
    "atp": lambda: sample("plate23997_rowA/ch01_A_3_t1.ome.tif"),
    "viability": lambda: Micrograph(make_spheroid(5, Setting(0, 1, 1, 1), 256).image, "YX", name="v"),
    "spheroid": stack,
}


@pytest.mark.parametrize("task", list(IMAGES))
def test_a_card_gives_what_the_processor_gives(task):
    """Within 1e-4 of each picture's range in 32 bit: different sums, no TF32."""
    image = IMAGES[task]()
    model = {"viability": "viability-spheroid-sim"}.get(task, "auto")
    on_card, here = (
        vitascope.run(task, image, model=model, device=device, precision="f32") for device in ("cuda", "cpu")
    )
    assert on_card.provenance.device == "cuda:0"
    assert "CUDA" in on_card.provenance.device_name
    for ours, theirs in zip(on_card.outputs, here.outputs, strict=True):
        a, b = np.asarray(ours.array, np.float64), np.asarray(theirs.array, np.float64)
        if ours.kind == "labels":
            assert ((a > 0) == (b > 0)).mean() > 0.999
        else:
            np.testing.assert_allclose(a, b, atol=1e-4 * max(1.0, float(np.abs(b).max())))
    for ours, theirs in zip(on_card.rows, here.rows, strict=True):
        for name, value in theirs.items():
            if isinstance(value, float):
                assert ours[name] == pytest.approx(value, rel=1e-3, abs=1e-4, nan_ok=True), name


@pytest.mark.parametrize("task", ["stain", "spheroid"])
def test_the_same_plan_gives_the_same_bits(task):
    image = IMAGES[task]()
    first, again = (vitascope.run(task, image, device="cuda") for _ in range(2))
    for ours, theirs in zip(first.outputs, again.outputs, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.array), np.asarray(theirs.array))


class Step(TrainingJob):
    """A few steps of the bundled network for nuclei on noise."""

    def __init__(self):
        self.network = copy.deepcopy(load_model("nuclei-phase", "stain").network).requires_grad_(True)

    def batch(self, step, size):
        rng = np.random.default_rng(step)
        image, target = (torch.from_numpy(rng.standard_normal((size, 1, 64, 64), np.float32)) for _ in range(2))
        return {"image": image, "target": target}

    def loss(self, network, batch):
        return ((network(batch["image"]).image - batch["target"]) ** 2).mean()

    def validate(self, network):
        return {}


def trained(device, steps=1):
    params = TrainingParams(epochs=1, steps_per_epoch=steps, batch_size=4, optimizer="sgd", learning_rate=0.01)
    return run_to_end(train(Step(), params, device=device)).network.state_dict()


def test_one_training_step_moves_weights_as_on_the_processor():
    for name, there in trained("cuda").items():
        np.testing.assert_allclose(there.numpy(), trained("cpu")[name].numpy(), atol=1e-4, err_msg=name)


def test_training_twice_gives_the_same_bits():
    first, again = trained("cuda", 5), trained("cuda", 5)
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
