"""``vitascope run phenotype``: files and columns, channel files put together, wells judged one by one."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from phenotype_support import cells, make_model, write_well
from tests_support import save_model
from vitascope.cli.main import app
from vitascope.core.progress import run_to_end
from vitascope.tasks.run import start

FAST = ["--model", "tiny-phenotype", "--set", "precision=f32", "--set", "tile_px=512", "--set", "threads=1"]


@pytest.fixture(autouse=True)
def wells(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    save_model(make_model(), tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    for well, positive in (("A01", False), ("A02", True)):
        write_well(tmp_path, well, cells(positive, seed=int(well[1:])))
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(app, ["run", "phenotype", *map(str, arguments), *FAST])


def test_channel_files_become_images_and_the_folder_is_that_of_the_contract(wells):
    done = invoke("Channel*.tif", "-o", "out")
    assert done.exit_code == 0, done.output
    table = pd.read_csv("out/results.csv")
    assert table["well"].tolist() == ["A01", "A02"]
    numbers = [c for c in table.columns if c.startswith(("prob_", "logit_")) or c == "predicted"]
    assert numbers == ["predicted", "prob_negative", "prob_positive", "logit_negative", "logit_positive"]
    assert {p.name for p in (wells / "out").iterdir()} == {
        "results.csv", "objects.csv", "provenance.json", "maps", "labels", "instances",
    }  # fmt: skip
    for _, row in table.iterrows():
        assert f"{row['predicted']}, probability: {round(row['probability'], 4):g}" in done.output
        labels = tifffile.imread(wells / "out" / "labels" / f"{row['image']}.ome.tif")
        assert labels.max() == row["regions"]
    objects = pd.read_csv("out/objects.csv")
    assert {"image", "label", "area_px", "mean_negative", "mean_positive", "predicted"} <= set(objects.columns)


def test_the_command_gives_what_python_gives(wells):
    assert invoke("Channel1-01-A-02.tif", "Channel2-01-A-02.tif", "-o", "out").exit_code == 0
    result = run_to_end(
        start(
            "phenotype", cells(True, seed=2), axes="CYX", channels=[0, 1], model="tiny-phenotype", precision="f32",
            tile_px=512, threads=1,
        )
    )  # fmt: skip
    row = pd.read_csv("out/results.csv").iloc[0]
    for name, value in result.rows[0].items():
        assert row[name] == value or row[name] == pytest.approx(value, rel=1e-12)
    found = tifffile.imread(wells / "out" / "maps" / "A02.ome.tif")
    assert np.array_equal(found, result.output("maps").array)


@pytest.mark.fault("G01")
def test_a_well_without_its_second_channel_is_rejected_alone(wells):
    (wells / "Channel2-01-A-01.tif").unlink()
    done = invoke("Channel*.tif", "-o", "out")
    assert done.exit_code == 0, done.output
    table = pd.read_csv("out/results.csv", keep_default_na=False)
    assert dict(zip(table["well"], table["status"], strict=True))["A01"] == "REJECTED"
    rejected = table[table["well"] == "A01"].iloc[0]
    assert "takes 2 channels" in rejected["message"]
    assert rejected["prob_positive"] == ""


def test_channels_of_different_shape_are_refused(wells):
    tifffile.imwrite(wells / "Channel2-01-A-01.tif", np.zeros((90, 96), np.uint8))
    done = invoke("Channel?-01-A-01.tif", "-o", "out")
    assert done.exit_code == 2
    assert "of the same image" in done.output


def test_names_that_do_not_tell_are_asked_for_and_can_be_given(wells):
    for c, image in enumerate(cells(True)):
        tifffile.imwrite(wells / f"cells_c{c}.tif", image)
    pattern = ["--group", "cells_{channel}.tif"]
    done = invoke("cells_*.tif", "-o", "out", *pattern)
    assert "do not tell which is which" in done.output
    done = invoke("cells_*.tif", "-o", "out2", *pattern, "--set", "channels=[c0, c1]")
    assert done.exit_code == 0, done.output
    assert "probability" in done.output
