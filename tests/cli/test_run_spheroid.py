"""``vitascope run spheroid``: files and columns, and stacks that cannot be read or judged."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from spheroid_support import SPHEROID, save_by_brightness, stack
from vitascope.cli.main import app
from vitascope.core.formatting import number_text
from vitascope.core.progress import run_to_end
from vitascope.tasks.run import start

FAST = ["--model", "bright", "--set", "precision=f32", "--set", "tile_px=256", "--set", "threads=1"]


def write(path, image=SPHEROID.image, names=("calcein", "PI"), axes="CZYX"):
    metadata = {"axes": axes, "Channel": {"Name": list(names)}}
    for axis, size in zip("XYZ", (2.0, 2.0, 4.0), strict=True):
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(path, image.astype(np.uint16), ome=True, metadata=metadata)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    save_by_brightness(tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(app, ["run", "spheroid", *map(str, arguments), *FAST])


def test_the_folder_is_that_of_the_contract_and_the_command_gives_what_python_gives(folder):
    write("a.ome.tif")
    done = invoke("a.ome.tif", "-o", "out")
    assert done.exit_code == 0, done.output
    assert {p.name for p in (folder / "out").iterdir()} == {
        "results.csv", "objects.csv", "shells.csv", "provenance.json", "labels", "dead", "density", "probability",
            "maps",
    }  # fmt: skip
    result = run_to_end(start("spheroid", stack(), model="bright", precision="f32", tile_px=256, threads=1))
    (row,) = pd.read_csv("out/results.csv").to_dict("records")
    for name, value in result.rows[0].items():
        assert row[name] == pytest.approx(value, nan_ok=True), name
    for kind in ("labels", "dead"):
        np.testing.assert_array_equal(tifffile.imread(f"out/{kind}/a.ome.tif"), result.output(kind).array)
    objects = pd.read_csv("out/objects.csv")
    assert objects["label"].tolist() == [1]
    assert objects["live_um3"][0] == row["live_um3"]
    assert f"Viability: {number_text(row['viability_percent'])} %" in done.output


def test_one_stack_that_cannot_be_judged_never_stops_the_others(folder):
    write("a_good.ome.tif")
    write("b_one_plane.ome.tif", SPHEROID.image[:, :1])
    write("c_no_live_dye.ome.tif", SPHEROID.image[1:], ("PI",))
    write("g_no_dead_dye.ome.tif", SPHEROID.image[:1], ("calcein",))
    flat = np.full_like(SPHEROID.image, 9)
    write("d_flat.ome.tif", flat)
    holes = SPHEROID.image.astype(np.float32).copy()
    holes[:, 3] = np.nan
    tifffile.imwrite(
        "e_nan_plane.ome.tif", holes, ome=True, metadata={"axes": "CZYX", "Channel": {"Name": ["calcein", "PI"]}}
    )
    write("f_broken.ome.tif")
    whole = (folder / "f_broken.ome.tif").read_bytes()
    (folder / "f_broken.ome.tif").write_bytes(whole[: len(whole) // 2])
    done = invoke("*.ome.tif", "-o", "out")
    table = pd.read_csv("out/results.csv").set_index("image")
    assert done.exit_code == 3
    status = {name.split("_")[0]: table["status"][name] for name in table.index}
    assert (status["a"], status["b"], status["c"], status["d"], status["e"]) == (
        "OK", "REJECTED", "REJECTED", "WARN", "WARN",
    )  # fmt: skip
    assert status["f"] in ("FAILED", "INCOMPLETE")
    flags = {name.split("_")[0]: str(table["flags"][name]) for name in table.index}
    assert "wrong_planes" in flags["b"]
    assert "wrong_channels" in flags["c"]
    assert (status["g"], flags["g"]) == ("WARN", "dead_channel_missing")
    assert table["viability_percent"].notna()[["a_good"]].all()
    assert table["viability_percent"].isna()[["g_no_dead_dye"]].all()
    assert "no_objects" in flags["d"]
    assert "nan_masked" in flags["e"]
    assert "z_step_unknown" in flags["e"]


def test_twelve_bits_in_sixteen_change_nothing(folder):
    write("twelve.ome.tif", SPHEROID.image.clip(0, 4095))
    write("sixteen.ome.tif", SPHEROID.image.clip(0, 4095) * 8)
    assert invoke("twelve.ome.tif", "sixteen.ome.tif", "-o", "out").exit_code == 0
    table = pd.read_csv("out/results.csv")
    assert table["live_voxels"].nunique() == 1
