"""``vitascope run atp`` and ``viability`` with a plate map, over days, and without a model."""

import re

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from vitascope.cli.main import app
from vitascope.simulate.wells import make_well

FAST = ("--set", "maps=false", "--device", "cpu")


@pytest.fixture
def wells(tmp_path):
    folder = tmp_path / "wells"
    folder.mkdir()
    for number, name in enumerate(("A01_t1", "A01_t2", "B02_t1", "B02_t2")):
        tifffile.imwrite(folder / f"{name}.tif", make_well(1, number, 0, 384).image)
    return folder


def run(*words):
    return CliRunner().invoke(app, ["run", *map(str, words)])


def test_a_map_gives_percent_of_control_and_days_give_curves(wells, tmp_path):
    (tmp_path / "map.csv").write_text("well;treatment;dose\nA1;DMSO;\nB2;drug;0,5\n")
    out = tmp_path / "out"
    found = run("atp", wells, "-o", out, "--map", tmp_path / "map.csv", *FAST)
    assert found.exit_code == 0, found.output
    table = pd.read_csv(out / "results.csv").set_index(["well", "time"])
    for day in table.index.levels[1]:
        control, treated = table.loc[("A01", day)], table.loc[("B02", day)]
        assert control["atp_percent_of_control"] == pytest.approx(100)
        assert treated["atp_percent_of_control"] == pytest.approx(100 * treated["atp"] / control["atp"])
        assert treated["atp_percent_of_control_high"] == pytest.approx(100 * treated["atp_high"] / control["atp"])
        assert (treated["treatment"], treated["dose"], treated["role"]) == ("drug", 0.5, "treated")
    assert ", 100 % of the map's controls" in found.output
    curves = pd.read_csv(out / "curves.csv").set_index("well")
    assert len(curves.filter(like="atp_percent_of_control_").columns) == 2
    assert curves.loc["A01"].filter(like="atp_").tolist() == pytest.approx([100, 100])


def test_a_map_of_another_plate_stops_the_run_before_it_starts(wells, tmp_path):
    (tmp_path / "map.csv").write_text("well,treatment\nH12,DMSO\n")
    found = run("atp", wells, "-o", tmp_path / "out", "--map", tmp_path / "map.csv", *FAST)
    assert found.exit_code == 2
    assert "says nothing of any of the images" in found.output
    assert not (tmp_path / "out").exists()


def test_viability_asks_which_model(wells, tmp_path):
    found = run("viability", wells / "A01_t1.tif", "-o", tmp_path / "out", *FAST)
    assert found.exit_code == 2
    assert "viability-ldc (Viability of single cells in a counting chamber)" in found.output
    assert not (tmp_path / "out").exists()


def test_each_plane_of_a_stack_has_its_own_line(tmp_path):
    stack = np.stack([make_well(1, number, 0, 384).image for number in (1, 0, 2)])
    stack[1] = 9
    tifffile.imwrite(tmp_path / "wells.ome.tif", stack, ome=True, metadata={"axes": "ZYX"})
    found = run("atp", tmp_path / "wells.ome.tif", "-o", tmp_path / "out", *FAST)
    lines = found.stdout.splitlines()
    assert "wells z 0  ATP: " in lines[0]
    assert lines[1].startswith("REJECTED   wells z 1  The image has one single value")
    assert "wells z 2  ATP: " in lines[2]
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert table["status"].tolist() == ["OK", "REJECTED", "OK"]
    assert table["atp"].notna().tolist() == [True, False, True]


def test_a_line_says_the_number_with_its_unit_and_interval_and_what_was_noticed(wells, tmp_path):
    ground = np.random.default_rng(0).normal(4000, 20, (96, 96)).astype(np.uint16)
    tifffile.imwrite(wells / "C03_t1.tif", ground)
    out = tmp_path / "out"
    found = run("atp", wells, "-o", out, "--set", "abstain=false", *FAST)
    row = pd.read_csv(out / "results.csv").iloc[0]
    line = next(line for line in found.stdout.splitlines() if row["image"] in line)
    said = re.search(r"ATP: ([\d,]+) RLU \(([\d,]+) to ([\d,]+)\)", line)
    told = [float(text.replace(",", "")) for text in said.groups()]
    half = (row["atp_high"] - row["atp_low"]) / 2
    assert told == pytest.approx([row["atp"], row["atp_low"], row["atp_high"]], abs=0.06 * half)
    assert "empty well" in next(line for line in found.stdout.splitlines() if "C03" in line)
    assert "empty well" not in line
