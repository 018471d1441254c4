import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

import vitascope
from tests_support import blobs, make_model, save_model
from vitascope.cli.main import app
from vitascope.cli.run import describe_parameters, parse_settings
from vitascope.core.errors import ParameterError
from vitascope.io.results.read import read_results
from vitascope.tasks.registry import find_task

FAST = {"model": "test-model", "precision": "f32", "tile_px": 512, "threads": 1, "min_contrast": 0}
SETTINGS = [
    word
    for name, value in FAST.items()
    for word in (["--model", value] if name == "model" else ["--set", f"{name}={value}"])
]


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    save_model(make_model(width=0.25, object_diameter_px=18), folder)
    save_model(make_model(model_id="stack", planes=3, targets=("DNA", "actin"), width=0.25), folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def field(tmp_path):
    tifffile.imwrite(tmp_path / "field.tif", (200 + 1000 * blobs()).astype(np.uint16))
    return "field.tif"


def invoke(*arguments, settings=SETTINGS):
    """Run ``vitascope run stain`` in this process; what it says and its exit code."""
    words = ["run", "stain", *map(str, arguments), *settings]
    sys_argv, sys.argv = sys.argv, ["vitascope", *words]
    try:
        return CliRunner().invoke(app, words)
    finally:
        sys.argv = sys_argv


def table(out="out"):
    return pd.read_csv(Path(out) / "results.csv", keep_default_na=False)


def refused(done, code=2):
    """Wrong usage: one sentence and a hint, no trace, nothing left behind."""
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    assert not Path("out").exists()
    return done.output


def test_the_files_and_columns_are_those_of_the_contract(field):
    done = invoke(field, "-o", "out", "--pixel-size-um", 0.5)
    assert done.exit_code == 0, done.output
    assert {str(p.relative_to("out")) for p in Path("out").rglob("*") if p.is_file()} == {
        "results.csv",
        "objects.csv",
        "provenance.json",
        str(Path("prediction/field.ome.tif")),
        str(Path("labels/field.ome.tif")),
    }
    columns = table().columns.tolist()
    assert columns[:7] == ["image", "plate", "well", "field", "time", "status", "flags"]
    assert columns[-5:] == ["unit", "interval_level", "model", "model_sha256", "message"]
    assert columns[7] == "objects"
    objects = pd.read_csv("out/objects.csv")
    assert objects.columns[:2].tolist() == ["image", "label"]
    assert {"area_px", "area_um2"} <= set(objects.columns)
    row = table().iloc[0]
    assert (row["image"], row["status"], row["model"], row["unit"]) == ("field", "OK", "test-model", "nuclei")
    assert int(row["objects"]) == len(objects)


def test_the_summary_on_the_screen_is_one_line_for_each_image(field):
    done = invoke(field, "-o", "out", "--pixel-size-um", 0.5)
    lines = done.stdout.splitlines()
    count = table()["objects"][0]
    assert lines == [f"OK         field  Nuclei: {count}", "Results: out"]
    assert len(done.stderr.splitlines()) == 1  # the log's


def test_without_a_terminal_every_image_is_a_line_with_its_time_and_figures(field):
    Path("late.tif").write_bytes(Path(field).read_bytes()[:200])
    done = invoke(field, "late.tif", "-o", "out", "--pixel-size-um", 0.5)
    first, second = done.stderr.splitlines()
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    count = table().loc[0, "objects"]
    assert re.fullmatch(rf"{time}  1 of 2  field  \w+  Nuclei: {count}(; \w+)*  [\d.]+ s", first)
    assert re.match(rf"{time}  2 of 2  late  (FAILED|INCOMPLETE)  \w+; .*'late.tif'.*  [\d.]+ s", second)


def test_no_warning_stands_without_its_reason(field):
    line = invoke(field, "-o", "plain").stdout.splitlines()[0]
    assert line.startswith("OK")  # that the pixel size is unknown is a note
    assert "[" not in line
    pixels = tifffile.imread(field)
    tifffile.imwrite(field, np.minimum(pixels, np.percentile(pixels, 90).astype(pixels.dtype)))
    line = invoke(field, "-o", "out").stdout.splitlines()[0]
    assert line.startswith("WARN")
    assert line.endswith("[saturated]")


def test_numbers_and_pictures_are_those_of_python_and_replay_to_the_bit(field, tmp_path):
    """Contract "Bit for bit": the resolved parameters and the command of provenance.json both repeat the run."""
    assert invoke(field, "-o", "out", settings=["--model", "test-model", "--set", "threads=1"]).exit_code == 0
    found = json.loads(Path("out/provenance.json").read_text())
    assert found["params"]["tile_px"]
    assert found["params"]["precision"] in ("f32", "bf16")
    assert shlex.split(found["command"])[:4] == ["vitascope", "run", "stain", "field.tif"]
    result = vitascope.run("stain", field, **found["params"])
    again = [word if word != "out" else "again" for word in shlex.split(found["command"])[1:]]
    assert CliRunner().invoke(app, again).exit_code == 0
    for kind in ("prediction", "labels"):
        written = tifffile.imread(f"out/{kind}/field.ome.tif")
        np.testing.assert_array_equal(written, result.output(kind).array)
        np.testing.assert_array_equal(written, tifffile.imread(f"again/{kind}/field.ome.tif"))
    for name in ("results.csv", "objects.csv"):
        assert Path("out", name).read_bytes() == Path("again", name).read_bytes()
    for name, value in result.rows[0].items():
        assert table()[name][0] == ("" if np.isnan(value) else pytest.approx(value, rel=1e-12))


@pytest.mark.fault("E07")
def test_the_same_input_twice_gives_the_same_files(field):
    for out in ("out", "twice"):
        assert invoke(field, "-o", out).exit_code == 0
    for name in ("results.csv", "objects.csv"):
        assert Path("out", name).read_bytes() == Path("twice", name).read_bytes()
    for kind in ("prediction", "labels"):
        np.testing.assert_array_equal(*(tifffile.imread(f"{o}/{kind}/field.ome.tif") for o in ("out", "twice")))


@pytest.fixture
def planes(tmp_path):
    stack = np.stack([(200 + 900 * blobs(seed=i)).astype(np.uint16) for i in range(3)])
    for z, plane in enumerate(stack):
        (tmp_path / f"phase_z{z:02}.png").write_bytes(imagecodecs.png_encode(plane))
    return stack


@pytest.mark.parametrize("given", [["phase_z*.png"], ["phase_z02.png", "phase_z00.png", "phase_z01.png"]])
def test_planes_as_a_quoted_glob_or_as_files_are_one_image(planes, given):
    done = invoke(*given, "-o", "out", "--model", "stack", settings=SETTINGS[2:])
    assert done.exit_code == 0, done.output
    assert table()["image"].tolist() == ["phase"]
    expected = vitascope.run("stain", planes, axes="ZYX", **{**FAST, "model": "stack"})
    np.testing.assert_array_equal(tifffile.imread("out/prediction/phase.ome.tif"), expected.output("prediction").array)
    with tifffile.TiffFile("out/prediction/phase.ome.tif") as file:
        assert 'Name="DNA"' in file.ome_metadata
        assert file.ome_metadata.index('Name="DNA"') < file.ome_metadata.index('Name="actin"')


def test_a_zarr_array_is_an_image(tmp_path):
    picture = (200 + 1000 * blobs()).astype(np.uint16)
    zarr.create_array(str(tmp_path / "big.zarr"), data=picture, chunks=(64, 64))
    assert invoke("big.zarr", "-o", "out").exit_code == 0
    expected = vitascope.run("stain", picture, **FAST)
    np.testing.assert_array_equal(tifffile.imread("out/prediction/big.ome.tif"), expected.output("prediction").array)


def test_wells_and_fields_stand_in_their_columns_and_name_the_files(tmp_path):
    for well, site in (("B02", 1), ("B02", 2), ("C11", 1)):
        tifffile.imwrite(tmp_path / f"Screen_{well}_s{site}_w1.tif", np.eye(40, dtype=np.uint16))
    done = invoke("Screen_*.tif", "-o", "out")
    assert done.exit_code == 0, done.output
    assert table()[["plate", "well", "field"]].to_numpy().tolist() == [
        ["Screen", "B02", 1],
        ["Screen", "B02", 2],
        ["Screen", "C11", 1],
    ]
    assert sorted(p.name for p in Path("out/labels").iterdir()) == [
        "Screen_B02_1.ome.tif",
        "Screen_B02_2.ome.tif",
        "Screen_C11_1.ome.tif",
    ]


def test_a_pattern_overrides_the_names(tmp_path):
    for name in ("07-b3", "08-b3"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.eye(40, dtype=np.uint16))
    assert invoke("0*.tif", "-o", "out", "--pattern", "{field}-{well}.tif").exit_code == 0
    assert table()[["well", "field"]].to_numpy().tolist() == [["B03", 7], ["B03", 8]]


def test_same_names_in_two_folders_get_the_folders_name(tmp_path):
    for folder in ("day1", "day2"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "field.tif", np.eye(40, dtype=np.uint16))
    assert invoke("day1/field.tif", "day2/field.tif", "-o", "out").exit_code == 0
    assert sorted(table()["image"]) == ["day1_field", "day2_field"]


def test_axes_can_be_told_where_the_file_tells_wrong(tmp_path):
    stack = np.stack([(200 + 900 * blobs(seed=i)).astype(np.uint16) for i in range(3)])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack", metadata={"axes": "TYX"})
    assert invoke("stack.tif", "-o", "out", "--axes", "ZYX", "--model", "stack", settings=SETTINGS[2:]).exit_code == 0
    expected = vitascope.run("stain", stack, axes="ZYX", **{**FAST, "model": "stack"})
    np.testing.assert_array_equal(tifffile.imread("out/prediction/stack.ome.tif"), expected.output("prediction").array)


def test_the_pixel_size_scales_areas_and_is_written_into_the_pictures(field):
    assert invoke(field, "-o", "out", "--pixel-size-um", 0.5).exit_code == 0
    objects = pd.read_csv("out/objects.csv")
    np.testing.assert_allclose(objects["area_um2"], objects["area_px"] * 0.25)
    assert table()["flags"][0] == ""
    for kind in ("prediction", "labels"):
        assert vitascope.read_images(f"out/{kind}/field.ome.tif")[0].pixel_size_um == 0.5


@pytest.mark.fault("A23")
def test_without_a_pixel_size_areas_are_in_pixels_only_and_flagged(field):
    assert invoke(field, "-o", "out").exit_code == 0
    objects = pd.read_csv("out/objects.csv")
    assert objects["area_um2"].isna().all()
    assert (objects["area_px"] > 0).all()
    assert table()["flags"][0] == "pixel_size_unknown"
    assert table()["status"][0] == "OK"


def test_a_reference_for_each_image_adds_agreement(tmp_path):
    for i in range(2):
        phase = blobs((300, 300), [(y, x) for y in range(30, 300, 60) for x in range(30 + 5 * i, 300, 60)], seed=i)
        tifffile.imwrite(tmp_path / f"a{i}_phase.tif", phase)
        tifffile.imwrite(tmp_path / f"a{i}_dna.tif", phase)
    images = [f"a{i}_phase.tif" for i in range(2)]
    references = [word for i in range(2) for word in ("--reference", f"a{i}_dna.tif")]
    done = invoke(*images, *references, "-o", "out")
    assert done.exit_code == 0, done.output
    assert (table()["pcc"] != "").all()
    assert {"ssim", "nrmse", "real_objects"} <= set(table().columns)
    assert set(pd.read_csv("out/agreement.csv")["image"]) == set(table()["image"])
    too_few = invoke(*images, *references[:2], "-o", "other")
    assert too_few.exit_code == 2
    assert "2 images were given, and 1 references" in too_few.output


def test_pictures_as_zarr(field):
    assert invoke(field, "-o", "out", "--format", "zarr").exit_code == 0
    assert sorted(p.name for p in Path("out/prediction").iterdir()) == ["field.ome.zarr"]
    expected = vitascope.run("stain", field, **FAST)
    for kind in ("prediction", "labels"):
        stored = vitascope.read_images(f"out/{kind}/field.ome.zarr")[0].array
        np.testing.assert_array_equal(np.asarray(stored).squeeze(), expected.output(kind).array)


def test_any_parameter_of_the_task_can_be_set(field):
    done = invoke(field, "-o", "out", "--set", "masks=false", "--set", "flips=true")
    assert done.exit_code == 0, done.output
    assert not Path("out/labels").exists()
    assert not Path("out/objects.csv").exists()
    expected = vitascope.run("stain", field, **FAST, masks=False, flips=True)
    np.testing.assert_array_equal(tifffile.imread("out/prediction/field.ome.tif"), expected.output("prediction").array)
    params = json.loads(Path("out/provenance.json").read_text())["params"]
    assert (params["masks"], params["flips"]) == (False, True)


def test_a_result_folder_reads_back_as_it_was(field):
    assert invoke(field, "-o", "out", "--pixel-size-um", 0.5).exit_code == 0
    saved = read_results(Path("out"))
    assert saved.results["image"].tolist() == ["field"]
    assert {p.output.kind for p in saved.pictures} == {"prediction", "labels"}


@pytest.mark.fault("G01")
@pytest.mark.fault("I11")
@pytest.mark.fault("B01")
def test_one_bad_file_among_good_ones_fails_alone(tmp_path):
    (tmp_path / "many").mkdir()
    for i in range(6):
        tifffile.imwrite(tmp_path / "many" / f"f{i}.tif", (200 + 1000 * blobs(seed=i)).astype(np.uint16))
    (tmp_path / "many" / "f3.tif").write_bytes(b"this is no picture")
    whole = (tmp_path / "many" / "f4.tif").read_bytes()
    (tmp_path / "many" / "f4.tif").write_bytes(whole[: len(whole) // 2])
    done = invoke("many", "-o", "out")
    assert done.exit_code == 3, done.output
    found = table().set_index("image")
    assert found.index.tolist() == [f"f{i}" for i in range(6)]
    assert found["status"].tolist() == ["OK"] * 3 + ["FAILED", "INCOMPLETE", "OK"]
    assert found["flags"].tolist()[3:5] == ["unreadable", "incomplete"]
    for name in ("f3", "f4"):
        assert found.loc[name, "message"]
        assert found.loc[name, "objects"] == ""
        assert not (Path("out/labels") / f"{name}.ome.tif").exists()
    assert any(line.startswith("FAILED     f3") for line in done.stdout.splitlines())


def test_an_image_that_cannot_be_judged_is_rejected_and_counts_as_done(tmp_path):
    tifffile.imwrite(tmp_path / "nan.tif", np.full((40, 40), np.nan, np.float32))
    tifffile.imwrite(tmp_path / "good.tif", (1000 * blobs()).astype(np.uint16))
    assert invoke("nan.tif", "good.tif", "-o", "out").exit_code == 0
    found = table().set_index("image")
    assert (found.loc["nan", "status"], found.loc["nan", "flags"]) == ("REJECTED", "no_finite_pixels")
    assert found.loc["nan", "objects"] == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.tif"], "'gone.tif' does not exist"),
        (["gone_*.tif"], "matches no file"),
        ([""], "empty path"),
        (["models"], "holds no image"),
        (["field.tif", "--model", "nothing"], "no model 'nothing'"),
        (["field.tif", "--model", "gone.json"], "cannot be read"),
        (["field.tif", "--device", "tpu"], "'tpu' is no device"),
        (["field.tif", "--format", "png"], "'png' is no format"),
        (["field.tif", "--pixel-size-um", "0"], "not possible"),
        (["field.tif", "--pixel-size-um", "nan"], "not possible"),
        (["field.tif", "--pixel-size-um", "inf"], "not possible"),
        (["field.tif", "--pixel-size-um", "big"], "Invalid value for '--pixel-size-um'"),
        (["field.tif", "--axes", "QX"], "axes 'QX' cannot be read"),
        (["field.tif", "--axes", "ZX"], "axes 'ZX' cannot be read"),
        (["field.tif", "--set", "tile_px"], "cannot be read"),
        (["field.tif", "--set", "tile_px=100"], "tile_px"),
        (["field.tif", "--set", "colour=red"], "colour: extra inputs are not permitted"),
        (["field.tif", "--set", "planes=[0"], "cannot be read"),
        (["field.tif", "--set", "threads=2024-13-45"], "cannot be read"),
        (["field.tif", "--set", "precision=f16"], "does not compute in f16"),
        (["field.tif", "--pattern", "{colour}"], "does not know the part 'colour'"),
        (["field.tif", "--pattern", "x{well}"], "does not fit the name"),
        (["field.tif", "--reference", "gone.tif"], "'gone.tif' does not exist"),
        (["field.tif", "--colour", "red"], "No such option"),
    ],
)
@pytest.mark.fault("I11")
def test_wrong_usage_ends_with_code_2_one_sentence_and_nothing_left(field, arguments, words):
    given = {word.partition("=")[0] for word in arguments}
    pairs = zip(SETTINGS[::2], SETTINGS[1::2], strict=True)
    others = [word for pair in pairs if not given & {pair[0], pair[1].partition("=")[0]} - {"--set"} for word in pair]
    done = invoke("-o", "out", *arguments, settings=others)
    assert words in " ".join(refused(done).split())


def test_axes_that_one_image_does_not_have_reject_that_image(field):
    assert invoke(field, "-o", "out", "--axes", "ZYX").exit_code == 0
    assert table()[["status", "flags"]].to_numpy().tolist() == [["REJECTED", "wrong_dimensions"]]


@pytest.mark.fault("B01")
@pytest.mark.fault("I11")
def test_an_unreadable_file_given_alone_ends_with_code_2(tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"")
    output = refused(invoke("bad.tif", "-o", "out"))
    assert output.startswith("Error: 'bad.tif'")
    assert "Hint: " in output


@pytest.mark.fault("D09")
def test_altered_weights_end_with_code_2(field, models):
    save_model(make_model(7, width=0.25, object_diameter_px=18), models)  # none that was loaded in this process before
    path = models / "test-model.safetensors"
    written = path.read_bytes()
    path.write_bytes(written[:-1] + bytes([written[-1] ^ 1]))
    assert "SHA-256 differs" in refused(invoke(field, "-o", "out"))


@pytest.mark.fault("I14")
def test_no_message_tells_of_folders_that_the_user_did_not_name(field, tmp_path):
    for arguments in (["gone.tif"], ["field.tif", "--model", "nothing"], ["field.tif", "--reference", "gone.tif"]):
        assert str(tmp_path) not in invoke(*arguments, "-o", "out").output


@pytest.mark.fault("C08")
def test_a_name_that_is_a_formula_is_text_in_the_tables(tmp_path):
    tifffile.imwrite(tmp_path / "=cmd' calc'!A1.tif", (1000 * blobs()).astype(np.uint16))
    assert invoke("=cmd*.tif", "-o", "out").exit_code == 0
    for name in ("results.csv", "objects.csv"):
        lines = Path("out", name).read_text().splitlines()[1:]
        assert lines
        assert all(line.lstrip('"').startswith("'=cmd") for line in lines)
    assert len(list(Path("out/labels").iterdir())) == 1


@pytest.mark.parametrize("name", ["a b µ 板 #(1).tif", "x" * 150 + ".tif", "-o.tif"])
@pytest.mark.fault("B26")
def test_odd_names_are_run_and_kept(tmp_path, name):
    tifffile.imwrite(tmp_path / name, (1000 * blobs()).astype(np.uint16))
    assert invoke(f"./{name}", "-o", "out").exit_code == 0
    stem = Path(name).stem
    assert table()["image"][0] in (stem, "'" + stem)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names elsewhere are text")
@pytest.mark.fault("B26")
def test_a_name_that_is_no_text_is_run_and_shown_as_well_as_can_be(field):
    Path(field).rename(os.fsdecode(b"bad\xff.tif"))
    assert invoke("bad*.tif", "-o", "out").exit_code == 0
    assert len(table()) == 1


@pytest.mark.fault("E11")
def test_a_folder_that_cannot_be_written_is_said_before_the_run(field):
    Path("file").write_text("")
    done = invoke(field, "-o", "file/out")
    assert done.exit_code == 2
    assert "is a file, not a folder" in done.output
    assert Path("file").read_text() == ""


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write everywhere")
@pytest.mark.fault("E11")
def test_a_read_only_folder_is_said_before_the_run(field, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    done = invoke(field, "-o", "locked/out")
    assert done.exit_code == 2
    assert "may not be written" in done.output


@pytest.mark.fault("G14")
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(field, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        output = refused(invoke(field, "-o", "out"))
    assert "The disk of" in output
    assert "is full" in output
    assert invoke(field, "-o", "out").exit_code == 0


@pytest.mark.fault("C16")
def test_a_table_that_another_program_has_open_is_said_and_stays(field, monkeypatch):
    assert invoke(field, "-o", "out").exit_code == 0
    before = Path("out/results.csv").read_bytes()
    real = Path.unlink

    def locked(self, missing_ok=False):
        if self.name == "results.csv":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        real(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", locked)
    done = invoke(field, "-o", "out")
    assert done.exit_code == 2
    assert "close the program that has the file open" in done.output
    assert Path("out/results.csv").read_bytes() == before


def test_help_shows_every_option_and_the_exit_codes():
    done = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    for option in (
        *("--out", "--model", "--reference", "--pattern", "--pixel-size-um", "--axes", "--device", "--format", "--set"),
        *("--help-parameters", "--help", "IMAGE...", "task"),
    ):
        assert option in done.output, option
    assert "Exit code: 0" in done.output


@pytest.mark.parametrize(
    "words", [["stain", "--help-parameters"], ["--help-parameters", "stain"], ["stain", "a.tif", "--help-parameters"]]
)
def test_the_parameters_are_listed_without_an_image(words):
    done = CliRunner().invoke(app, ["run", *words])
    assert done.exit_code == 0
    for name, field in find_task("stain").params.model_fields.items():
        assert f"  {name} (default {field.default})" in done.output
        assert field.description in done.output


def test_the_parameters_of_no_task_are_not():
    done = CliRunner().invoke(app, ["run", "nothing", "--help-parameters"])
    assert done.exit_code == 2
    assert "no task 'nothing'" in done.output


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("a=1", 1),
        ("a=1e-3", "1e-3"),
        ("a=[0, 2]", [0, 2]),
        ("a=true", True),
        ("a=", None),
        ("a=x=y", "x=y"),
        ("channel=01", "01"),
        ("channel=7", "7"),
        ('channel="7"', "7"),
        ("channel=GFP", "GFP"),
        ("channel=true", "true"),
        ("channel=", None),
    ],
)
def test_settings_are_read_as_yaml_and_channels_as_they_stand(setting, expected):
    assert list(parse_settings([setting]).values()) == [expected]


def test_a_number_with_an_exponent_reaches_the_parameter(field):
    assert find_task("stain").make_params(**parse_settings(["min_contrast=1e-3"])).min_contrast == 0.001


@pytest.mark.parametrize("setting", ["a", "=1", "  =1", "a=[", "a=!!python/name:os.system", "a=!!int ''"])
@pytest.mark.fault("D24")
def test_settings_that_cannot_be_read_are_refused(setting):
    with pytest.raises(ParameterError, match="cannot be read"):
        parse_settings([setting])


def test_parameters_are_described_with_their_defaults():
    text = describe_parameters(find_task("stain"))
    assert "  border_px (default 32)\n" in text


def start(arguments, tmp_path, **environment):
    """The command in a process of its own, which listens to Ctrl-C even where the tests run in the background."""
    listen = None if os.name == "nt" else partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [sys.executable, "-c", "from vitascope.cli.main import app; app()", "run", "stain", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        preexec_fn=listen,
    )


@pytest.mark.fault("I12")
def test_a_pipe_gets_clean_text(field, tmp_path):
    """No colours, no progress bar, no carriage returns, whatever the terminal's alphabet."""
    Path(field).rename(tmp_path / "µ板.tif")
    environment = {"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    out, err = start(["µ板.tif", "-o", "out", *SETTINGS], tmp_path, **environment).communicate()
    assert b"\x1b" not in out + err
    assert b"\r" not in (out + err).replace(b"\r\n", b"\n")
    assert len(err.splitlines()) == 1  # the log's
    lines = out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(b"OK ")
    assert lines[1] == b"Results: out"


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another signal there")
@pytest.mark.fault("G08")
def test_ctrl_c_ends_with_code_130_and_leaves_only_whole_files(tmp_path):
    """Many images: the signal comes while one is at work."""
    (tmp_path / "many").mkdir()
    for i in range(60):
        tifffile.imwrite(tmp_path / "many" / f"f{i:02}.tif", (1000 * blobs((300, 300), seed=i)).astype(np.uint16))
    process = start(["many", "-o", "out", *SETTINGS], tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "results.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    *log, last = err.decode().splitlines()
    assert last == "Cancelled: nothing half-done was left behind."
    assert all(" of 60  f" in line for line in log)
    done = table(tmp_path / "out")
    assert 1 <= len(done) < 60
    assert not (tmp_path / "out" / "provenance.json").exists()
    written = {p.name for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert written == {"results.csv", "objects.csv", *(f"{name}.ome.tif" for name in done["image"])}
    for path in (tmp_path / "out").rglob("*.tif"):
        assert tifffile.imread(path).shape == (300, 300)


def test_the_task_is_named_in_the_help_of_the_argument():
    assert "stain (Predict nuclei)" in CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output


def test_nothing_is_run_by_asking_for_help(monkeypatch):
    monkeypatch.setattr("vitascope.batch.run_images.run_images", lambda job: pytest.fail("a run was started"))
    assert CliRunner().invoke(app, ["run", "stain", "x.tif", "-o", "y", "--help"]).exit_code == 0
