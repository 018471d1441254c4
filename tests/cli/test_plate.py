import pandas as pd
import pytest
from typer.testing import CliRunner

from plate_support import SPEC, make_plate
from vitascope.cli import plate as command
from vitascope.cli.main import app


@pytest.fixture(autouse=True)
def fake_task(monkeypatch):
    monkeypatch.setattr(command, "find_task", lambda name: SPEC)


@pytest.fixture
def plate(tmp_path):
    return make_plate(tmp_path / "plate", 6)


def call(*arguments):
    return CliRunner().invoke(app, ["plate", *map(str, arguments)])


def test_a_plate_with_its_map_is_run_and_gone_on_with(plate, tmp_path):
    (tmp_path / "map.csv").write_text("well;treatment;dose (µM)\nA1;DMSO;\na02;X;0,5\n", encoding="utf-8")
    first = call(plate, "--task", "fake", "-o", tmp_path / "out", "--map", tmp_path / "map.csv")
    assert first.exit_code == 0, first.output
    assert "6 OK; 6 computed now" in first.output
    assert "the map leaves it out" in first.output
    found = pd.read_csv(tmp_path / "out" / "results.csv").set_index("well")
    assert found.loc["A02", ["treatment", "dose"]].tolist() == ["X", 0.5]
    lines = [line.split("  ") for line in first.stderr.splitlines() if " of 6  " in line]
    assert sorted(name for _, _, name, *_ in lines) == sorted(found["image"])
    assert {status for _, _, _, status, *_ in lines} == {"OK"}
    again = call(plate, "--task", "fake", "-o", tmp_path / "out", "--map", tmp_path / "map.csv")
    assert "0 computed now" in again.output


@pytest.mark.fault("I11")
def test_exit_codes_tell_wrong_usage_from_wells_that_failed(plate, tmp_path):
    out = tmp_path / "out"
    assert call(tmp_path / "nothing", "--task", "fake", "-o", out).exit_code == 2
    both = call(plate, "--task", "fake", "-o", out, "--workers", 2, "--scheduler", "tcp://x:1")
    assert both.exit_code == 2
    assert "leave one out" in both.output
    assert call(plate, "--task", "fake", "-o", out, "--set", "gain=none").exit_code == 2
    assert not out.exists()
    (plate / "p_A02_s1_w1.tif").write_bytes(b"")
    failed = call(plate, "--task", "fake", "-o", out)
    assert failed.exit_code == 3
    assert "1 FAILED, 5 OK" in failed.output


def test_a_map_with_a_well_twice_stops_before_anything_is_run(plate, tmp_path):
    (tmp_path / "map.csv").write_text("well,treatment\nA1,DMSO\nA01,X\n")
    done = call(plate, "--task", "fake", "-o", tmp_path / "out", "--map", tmp_path / "map.csv")
    assert done.exit_code == 2
    assert "A01" in done.output
    assert not (tmp_path / "out").exists()


def test_columns_of_a_map_are_named_and_many_wells_are_said_in_one_sentence(plate, tmp_path):
    rows = [f"{row}{k},{k / 2},X" for row in "AB" for k in range(1, 7)]
    (tmp_path / "map.csv").write_text("\n".join(["well,amount,substance", *rows]) + "\n")
    options = ("--map", tmp_path / "map.csv", "--map-column", "dose=amount")
    done = call(plate, "--task", "fake", "-o", tmp_path / "out", *options)
    assert done.exit_code == 0, done.output
    assert "The map has B01, but there is no image. The same is true of 5 more: B02, B03, B04, B05, B06." in done.output
    assert pd.read_csv(tmp_path / "out" / "results.csv")["dose"].tolist() == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    wrong = call(plate, "--task", "fake", "-o", tmp_path / "out", "--map", tmp_path / "map.csv", "--map-column", "dose")
    assert wrong.exit_code == 2
    assert "--map-column dose" in wrong.output


def test_profiles_are_written_where_they_are_asked_for(plate, tmp_path):
    refused = call(plate, "--task", "fake", "-o", tmp_path / "out", "--export-profiles", tmp_path / "p.csv")
    assert refused.exit_code == 2
    assert ".parquet" in refused.output
    assert not (tmp_path / "out").exists()
    done = call(plate, "--task", "fake", "-o", tmp_path / "out", "--export-profiles", tmp_path / "p.parquet")
    assert done.exit_code == 0, done.output
    assert {"Metadata_Plate", "Metadata_Well", "Metadata_Site", "Cells_mean"} <= set(
        pd.read_parquet(tmp_path / "p.parquet")
    )


def test_stack_or_projection_is_asked_for_and_kept_with_the_results(plate, tmp_path):
    none = call(plate, "--task", "fake", "-o", tmp_path / "out", "--planes", "projection")
    assert none.exit_code == 2
    assert "no projections" in none.output
    for path in [*plate.iterdir()]:
        for z in (1, 2):
            (plate / f"ZStep_{z}").mkdir(exist_ok=True)
            (plate / f"ZStep_{z}" / path.name).write_bytes(path.read_bytes())
    done = call(plate, "--task", "fake", "-o", tmp_path / "out", "--planes", "projection")
    assert done.exit_code == 0, done.output
    other = call(plate, "--task", "fake", "-o", tmp_path / "out", "--planes", "stack")
    assert other.exit_code == 2
    assert "planes was projection and is stack" in other.output
