"""A network that is normalised by plate: one image's answer depends on the plate it lies on, and on nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from graph_support import SmallUNet, seeded, to_onnx, torch_answer
from vitascope import run
from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.run import run_plate
from vitascope.cli.main import app
from vitascope.core.errors import ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.exchange.graph_import import import_graph, try_on
from vitascope.io.plates.read import open_plate
from vitascope.pipelines.stain_domain import fit_domain
from vitascope.tasks.good_image import GoodImage
from vitascope.tasks.registry import find_task

pytest.importorskip("onnx")

SIDE = 96
HOW = {
    "percentile:0:100": lambda x, all_: (x - all_.min()) / (all_.max() - all_.min()),
    "percentile:1:99": lambda x, all_: (x - np.percentile(all_, 1)) / np.subtract(*np.percentile(all_, (99, 1))),
    "zscore": lambda x, all_: (x - all_.mean()) / all_.std(),
    "median_iqr": lambda x, all_: (x - np.median(all_)) / np.subtract(*np.percentile(all_, (75, 25))),
    "minmax": lambda x, all_: (x - all_.min()) / (all_.max() - all_.min()),
}


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def network():
    return seeded(SmallUNet)


@pytest.fixture
def onnx(network, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(to_onnx(network, (1, 1, 32, 32), free=(2, 3)))
    return path


def write_plate(folder, brightness, side=SIDE):
    """One image for each well, brighter from well to well; those of another plate are the same where they are alike."""
    folder.mkdir()
    images = {}
    for k, level in enumerate(brightness):
        images[f"A{k + 1:02d}"] = np.random.default_rng(k).normal(level, 90, (side, side)).clip(1).astype(np.uint16)
        tifffile.imwrite(folder / f"p_A{k + 1:02d}_s1_w1.tif", images[f"A{k + 1:02d}"])
    return images


def run_on(folder, out, **params):
    spec = find_task("stain")
    job = PlateJob(spec, open_plate(folder), spec.make_params(model="theirs", **params), out)
    return run_to_end(run_plate(job))


def predicted(out, well):
    group = out / "prediction.ome.zarr" / well[0] / str(int(well[1:])) / "1" / "0"
    return np.asarray(zarr.open_array(group, mode="r")).squeeze()


@pytest.mark.parametrize("how", HOW)
def test_each_image_is_prepared_by_all_pixels_of_the_plate(network, onnx, tmp_path, how):
    import_graph(onnx, "stain", "theirs", normalise=how, answers={"per": "plate"})
    images = write_plate(tmp_path / "plate", (500, 900, 1700))
    report = run_on(tmp_path / "plate", tmp_path / "out")
    assert report.counts == {"WARN": 3}  # nothing is known of its domain
    every = np.concatenate([i.ravel() for i in images.values()]).astype(np.float64)
    for well, image in images.items():
        wanted = torch_answer(network, HOW[how](image.astype(np.float64), every)[None])
        np.testing.assert_allclose(predicted(tmp_path / "out", well), wanted, atol=2e-5 * np.ptp(wanted))


def test_an_image_depends_on_its_plate_and_not_on_the_tile(onnx, tmp_path):
    import_graph(onnx, "stain", "theirs", normalise="zscore", answers={"per": "plate"})
    write_plate(tmp_path / "plate", (500, 900), side=400)
    write_plate(tmp_path / "other", (500, 2500), side=400)
    run_on(tmp_path / "plate", tmp_path / "whole")
    run_on(tmp_path / "plate", tmp_path / "tiles", tile_px=256)
    run_on(tmp_path / "other", tmp_path / "brighter")
    whole, tiles, brighter = (predicted(tmp_path / out, "A01") for out in ("whole", "tiles", "brighter"))
    np.testing.assert_allclose(tiles, whole, atol=1e-5 * np.ptp(whole))
    assert np.abs(brighter - whole).max() > 0.05 * np.ptp(whole)


def test_levels_are_recorded_and_repeat_the_run_for_one_image(onnx, tmp_path):
    import_graph(onnx, "stain", "theirs", normalise="zscore:1:99", answers={"per": "plate"})
    images = write_plate(tmp_path / "plate", (500, 900, 1700))
    run_on(tmp_path / "plate", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "provenance.json").read_text())
    levels = told["params"]["plate_levels"]
    zero, unit, low, high = (float(v) for v in levels.split(":"))
    every = np.concatenate([i.ravel() for i in images.values()]).astype(np.float64)
    kept = np.clip(every, *np.percentile(every, (1, 99)))
    assert (zero, unit) == pytest.approx((kept.mean(), kept.std()), rel=1e-9)
    assert (low, high) == pytest.approx(tuple(np.percentile(every, (1, 99))))
    image = Micrograph(images["A02"], "YX", name="A02")
    again = run("stain", image, model="theirs", plate_levels=levels)
    np.testing.assert_array_equal(np.asarray(again.outputs[0].array), predicted(tmp_path / "out", "A02"))
    with pytest.raises(ParameterError, match="normalised by plate: 'A02' alone"):
        run("stain", image, model="theirs")


def test_a_run_that_is_resumed_keeps_its_levels(onnx, tmp_path):
    import_graph(onnx, "stain", "theirs", normalise="zscore", answers={"per": "plate"})
    write_plate(tmp_path / "plate", (500, 900, 1700))
    spec = find_task("stain")
    plate = open_plate(tmp_path / "plate")
    job = PlateJob(spec, plate, spec.make_params(model="theirs"), tmp_path / "out")
    steps = run_plate(job)
    for at in steps:
        if getattr(at, "ended", ()):
            break
    steps.close()
    (tmp_path / "plate" / "p_A03_s1_w1.tif").unlink()  # would change what is counted
    tifffile.imwrite(tmp_path / "plate" / "p_A03_s1_w1.tif", np.full((SIDE, SIDE), 60000, np.uint16))
    run_to_end(run_plate(replace(job, plate=open_plate(tmp_path / "plate"))))
    after = json.loads((tmp_path / "out" / "provenance.json").read_text())["params"]["plate_levels"]
    whole = [np.random.default_rng(k).normal(v, 90, (SIDE, SIDE)) for k, v in enumerate((500, 900, 1700))]
    assert float(after.split(":")[0]) == pytest.approx(np.mean([w.clip(1).astype(np.uint16) for w in whole]))


def test_an_image_that_cannot_be_read_does_not_count(onnx, tmp_path):
    import_graph(onnx, "stain", "theirs", normalise="minmax", answers={"per": "plate"})
    images = write_plate(tmp_path / "plate", (500, 900))
    (tmp_path / "plate" / "p_A03_s1_w1.tif").write_bytes(b"no picture")
    report = run_on(tmp_path / "plate", tmp_path / "out")
    assert report.counts == {"WARN": 2, "FAILED": 1}
    told = json.loads((tmp_path / "out" / "provenance.json").read_text())["params"]["plate_levels"]
    assert float(told.split(":")[0]) == min(i.min() for i in images.values())


def test_the_command_imports_tries_and_says_what_one_image_lacks(onnx, tmp_path):
    images = write_plate(tmp_path / "plate", (500, 900))

    def invoke(*words):
        return CliRunner().invoke(app, [str(w) for w in words], env={"COLUMNS": "200"})

    one = tmp_path / "plate" / "p_A01_s1_w1.tif"
    done = invoke("models", "import", onnx, "--task", "stain", "--name", "theirs", "--per", "plate", "--try", one)
    assert done.exit_code == 0, done.output
    refused = invoke("run", "stain", "--model", "theirs", one, "-o", "alone")
    assert refused.exit_code == 2
    assert "plate_levels" in refused.output
    assert not (tmp_path / "alone").exists()
    done = invoke("plate", tmp_path / "plate", "--task", "stain", "--model", "theirs", "-o", "out")
    assert done.exit_code == 0, done.output
    assert all(predicted(tmp_path / "out", well).shape == (2, SIDE, SIDE) for well in images)
    fixed = invoke("models", "import", onnx, "--task", "stain", "--name", "b", "--per", "plate", "--normalise", "none")
    assert fixed.exit_code == 2
    assert "nothing that a plate could share" in fixed.output


def test_levels_for_other_models_are_refused(onnx, tmp_path):
    import_graph(onnx, "stain", "theirs", normalise="zscore")
    image = Micrograph(np.random.default_rng(0).random((SIDE, SIDE), np.float32), "YX", name="a")
    with pytest.raises(ParameterError, match="not normalised by plate"):
        run("stain", image, model="theirs", plate_levels="3:2")


def test_images_stand_for_the_plate_where_there_is_none(onnx):
    card = import_graph(onnx, "stain", "theirs", normalise="zscore", answers={"per": "plate"})
    images = [
        Micrograph(np.random.default_rng(k).normal(500 + 400 * k, 90, (256, 256)).astype(np.float32), "YX", name=str(k))
        for k in range(2)
    ]
    result = run_to_end(try_on(card, images[0]))
    assert float(result.provenance.params["plate_levels"].split(":")[0]) == pytest.approx(500, abs=2)
    fitted = run_to_end(fit_domain("theirs", [GoodImage(i.name, lambda i=i: i, None) for i in images]))
    assert fitted.domain is not None
    low, _, high = fitted.domain.statistics["mean"]
    assert high - low > 1  # one normalisation for both: alone each would have a mean of 0
