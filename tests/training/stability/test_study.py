"""A stability study on small pieces of a bundled sample, with a network of random weights."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from matplotlib.figure import Figure
from typer.testing import CliRunner

from tests_support import make_domain, make_model, save_model
from vitascope.cli.main import app
from vitascope.core.errors import ParameterError
from vitascope.core.paths import BUNDLED_MODELS, SAMPLES
from vitascope.core.progress import run_to_end
from vitascope.io.images.read import read_image
from vitascope.io.results.stability_figure import draw_stability, metrics_of
from vitascope.recipes.recipe import read_recipe
from vitascope.training.stability.images import study_images
from vitascope.training.stability.study import run_stability


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a stack of three planes, its stain, a recipe that lists both, and a model of one plane."""
    folder = tmp_path_factory.mktemp("stability")
    phase = np.asarray(read_image(str(SAMPLES / "isl_phase.ome.tif")).plane())[:256, :512]
    stain = np.asarray(read_image(str(SAMPLES / "isl_stains.ome.tif")).plane(0, 0, 0))[:256, :512]
    stack = np.stack([np.roll(phase, by, 1) for by in (-3, 0, 3)])
    tifffile.imwrite(folder / "stack.ome.tif", stack, ome=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "flat.ome.tif", phase, ome=True, metadata={"axes": "YX"})
    tifffile.imwrite(folder / "stain.ome.tif", stain, ome=True, metadata={"axes": "YX"})
    shas = {f"{n}.ome.tif": hashlib.sha256((folder / f"{n}.ome.tif").read_bytes()).hexdigest()
            for n in ("stack", "flat", "stain")}  # fmt: skip
    tree = yaml.safe_load((BUNDLED_MODELS / "recipes" / "nuclei-phase.yaml").read_text())
    for name in ("stack", "flat"):
        pair = {"image": f"{name}.ome.tif", "targets": {tree["targets"][0]["name"]: "stain.ome.tif"}, "group": "a"}
        tree["data"] = [{**tree["data"][0], "folder": ".", "sha256": shas, "pairs": [pair]}]
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(tree))
    card = save_model(make_model(width=0.25, object_diameter_px=18, domain=make_domain(64)), folder / "models")
    shutil.copyfile(folder / "flat.yaml", folder / "models" / "flat.yaml")
    return folder, card


@pytest.fixture(autouse=True)
def here(made, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(made[0] / "models"))


def value(table, corruption, severity, metric):
    found = table[(table["corruption"] == corruption) & (table["severity"] == severity) & (table["metric"] == metric)]
    return found["mean"].iloc[0]


def test_a_study_names_what_normalisation_takes_back_and_what_the_network_really_sees(made, tmp_path):
    folder, _ = made
    done = CliRunner().invoke(
        app,
        ["stability", "test-model", "--recipe", str(folder / "flat.yaml"), "-o", str(tmp_path / "out"), "--images", "2",
         "--corruption", "contrast", "--corruption", "defocus", "--severity", "2", "--severity", "4"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "stability.csv")
    assert list(table) == ["corruption", "severity", "value", "unit", "metric", "mean", "low", "high", "images"]
    assert (tmp_path / "out" / "stability.png").read_bytes().startswith(b"\x89PNG")
    assert "contrast before normalisation, severity 2: normalisation takes it back" in done.output
    assert "no test part" in done.output
    assert value(table, "contrast before normalisation", 2, "input_change") < 0.01
    assert value(table, "contrast after normalisation", 2, "input_change") > 0.1
    assert value(table, "contrast before normalisation", 2, "pcc") == pytest.approx(
        value(table, "none", 0, "pcc"), abs=1e-3
    )
    assert value(table, "defocus after normalisation", 4, "pcc") != value(table, "none", 0, "pcc")
    loss, pcc = (table[table["metric"] == name]["mean"].to_numpy() for name in ("loss", "pcc"))
    np.testing.assert_allclose(loss, 1 - pcc)
    some = table[table["corruption"].eq("defocus after normalisation") & table["severity"].eq(4)]
    assert some["value"].unique().tolist() == [2.0]
    assert set(table["images"]) == {2}
    figure = Figure()
    assert "clipped_percent" not in metrics_of(table)
    assert draw_stability(figure, table, "pcc")
    assert draw_stability(Figure(), table, "nothing") == 0


def test_planes_of_a_stack_are_out_of_focus_both_ways(made):
    folder, _ = made
    recipe = read_recipe(folder / "stack.yaml")
    found = run_to_end(run_stability("test-model", recipe, folder, corruptions=["exposure"], severities=[1], most=1))
    focus = found.table[found.table["corruption"] == "focus of the stack"]
    assert sorted(focus["severity"].unique()) == [-1, 1]
    assert focus["unit"].unique().tolist() == ["planes"]
    assert value(found.table, "focus of the stack", 1, "pcc") != value(found.table, "focus of the stack", -1, "pcc")


def test_pieces_of_the_image_lie_on_those_of_the_stain(made):
    folder, _ = made
    images, on_test = study_images(read_recipe(folder / "flat.yaml"), folder, 9)
    assert not on_test
    assert [one.image.name.split("_", 1)[1] for one in images] == ["y0_x0", "y0_x256"]
    stain = np.asarray(read_image(str(folder / "stain.ome.tif")).plane())
    np.testing.assert_array_equal(images[1].reference.plane(), stain[:, 256:])


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"corruptions": ["fog"]}, "no corruption"), ({"severities": [9]}, "severities"), ({"most": 0}, "0 images")],
)
def test_wrong_usage_is_a_sentence(made, changes, said):
    folder, _ = made
    with pytest.raises(ParameterError, match=said):
        run_to_end(run_stability("test-model", read_recipe(folder / "flat.yaml"), folder, **changes))
