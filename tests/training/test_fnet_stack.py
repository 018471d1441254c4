"""A network of volumes that is trained on stacks: what is learnt, what is measured, and that it can be run."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage
from typer.testing import CliRunner

from vitascope import run
from vitascope.cli.main import app
from vitascope.core.errors import InputError, TrainingError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.io.models.cards import find_model
from vitascope.networks.fnet import FNet3d
from vitascope.recipes.stack_pair import StackPair, StackTrainParams
from vitascope.training.fnet_stack import StackJob, compare, prepare, train_on_stacks

SMALL = StackTrainParams(steps=60, filters=2, crop_px=32, planes=16, batch=1, learning_rate=3e-3)


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


def pair(planes=9, seed=0, side=(220, 64)):
    """Blobs: dark in the stack, bright in the stain."""
    noise = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(noise.normal(size=(planes, *side)), (1, 2, 2))
    blobs = np.clip(blobs / blobs.std(), 0, None)
    image = 3000 - 400 * blobs + 20 * noise.normal(size=blobs.shape)
    return StackPair("blobs", image.astype(np.uint16), (200 + 900 * blobs).astype(np.uint16))


def test_it_learns_and_is_measured_on_rows_it_has_not_seen(tmp_path):
    given = pair()
    found = run_to_end(train_on_stacks([given], SMALL, tmp_path / "net.pt", "cpu"))
    assert found.last_loss < 0.8 * found.first_loss
    assert found.pcc > 0.4
    assert found.explained > 0.05
    assert found.rows == (165, 219)
    network = FNet3d(filters=2).eval()
    network.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    done = prepare(given, SMALL)
    predicted, real = compare(network, done, done.test)
    assert np.corrcoef(predicted, real)[0, 1] == pytest.approx(found.pcc, abs=1e-5)
    # not a pixel of the held-out rows was learnt from
    other = given.stain.copy()
    other[:, 165:] = 0
    again = run_to_end(train_on_stacks([replace(given, stain=other)], SMALL, tmp_path / "other.pt", "cpu"))
    assert (again.first_loss, again.last_loss) == (found.first_loss, found.last_loss)


def test_a_projection_is_compared_with_the_brightest_planes():
    given = pair()
    flat = replace(given, stain=given.stain.max(0))
    done = prepare(flat, SMALL)
    assert done.image.shape[0] == 16
    job = StackJob([done], SMALL)
    batch = job.batch(0, 2)
    assert batch["image"].shape == (2, 1, 16, 32, 32)
    assert batch["target"].shape == (2, 1, 1, 32, 32)
    assert batch["weight"].sum() == 2 * given.image.shape[0]

    class Told(torch.nn.Module):
        """Knows the answer; its planes beyond the stack are brighter, and do not count."""

        def forward(self, x):
            planes = batch["target"].expand(x.shape).clone()
            planes[:, :, 1:9] -= 1
            planes[:, :, 9:] += 50
            return type("Answer", (), {"image": planes})

    assert float(job.loss(Told(), batch)) == 0


def test_batches_are_a_function_of_the_step():
    job = StackJob([prepare(pair(), SMALL)], SMALL)
    one, other = job.batch(3, 2), StackJob([prepare(pair(), SMALL)], SMALL).batch(3, 2)
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert not torch.equal(one["image"], job.batch(4, 2)["image"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: replace(p, stain=p.stain[:4]), "its stain 4 x 220 x 64"),
        (lambda p: replace(p, stain=np.zeros_like(p.stain)), "one single value"),
        (lambda p: replace(p, image=p.image[:, :40], stain=p.stain[:, :40]), "too small"),
        (lambda p: replace(p, image=np.where(p.image > 2000, np.nan, 1.0)), "no numbers"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(change, told, tmp_path):
    with pytest.raises(InputError, match=told):
        run_to_end(train_on_stacks([change(pair())], SMALL, tmp_path / "net.pt", "cpu"))
    assert not (tmp_path / "net.pt").exists()
    with pytest.raises(TrainingError, match="no pair"):
        run_to_end(train_on_stacks([], SMALL, tmp_path / "net.pt", "cpu"))


def test_the_command_makes_a_model_that_runs(tmp_path):
    pytest.importorskip("onnxscript")
    given = pair(side=(300, 64))
    tifffile.imwrite(tmp_path / "phase.ome.tif", given.image, metadata={"axes": "ZYX"}, ome=True)
    tifffile.imwrite(tmp_path / "dna.ome.tif", given.stain, metadata={"axes": "ZYX"}, ome=True)
    words = ["train-stack", "phase.ome.tif", "dna.ome.tif", "--name", "mine", "--stain-name", "DNA", "--steps", "6"]
    words += ["--filters", "2", "--batch", "1"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "Held-out rows" in done.output
    card, _ = find_model("mine")
    assert [t.name for t in card.targets] == ["DNA"]
    assert {m.name for m in card.metrics} == {"PCC DNA", "explained variance DNA"}
    image = Micrograph(given.image, "ZYX", name="a")
    result = run("stain", image, model="mine")
    network = FNet3d(filters=2).eval()
    network.load_state_dict(torch.load(tmp_path / "mine.pt", weights_only=True))
    # one pass over rows and columns padded to 16, as training measures it
    scaled = prepare(given, SMALL).image
    deep = np.pad(scaled, ((0, 0), (0, -300 % 16), (0, 0)), mode="reflect")
    with torch.no_grad():
        wanted = network(torch.from_numpy(deep)[None, None]).image[0, 0, :9, :300].numpy()
    found = np.asarray(result.outputs[0].array).squeeze()
    np.testing.assert_allclose(found, wanted, atol=2e-4 * np.ptp(wanted))
    again = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert again.exit_code == 2
    assert "already" in again.output
