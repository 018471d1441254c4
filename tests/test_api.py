"""The public names: frozen with their signatures, loaded when they are used, and doing what they say."""

import hashlib
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from typer.testing import CliRunner

import vitascope
from plate_support import SPEC as FAKE
from plate_support import make_plate
from tests_support import blobs, make_model, make_recipe, save_model
from vitascope.cli.main import app
from vitascope.core.errors import OutputError, ParameterError, ReaderError, VitascopeError
from vitascope.core.result import Result
from vitascope.core.well import WellPosition
from vitascope.io.models.cards import read_card
from vitascope.tasks import registry

NO = inspect.Parameter.empty
PATHS = ("paths", "VAR_POSITIONAL", NO)
HOW = [(name, "KEYWORD_ONLY", None) for name in ("pattern", "axes", "pixel_size_um")]
FROZEN = {
    "read_image": [PATHS, *HOW],
    "read_images": [PATHS, *HOW],
    "read_plate": [("path", "POSITIONAL_OR_KEYWORD", NO), *HOW],
    "read_plate_map": [("path", "POSITIONAL_OR_KEYWORD", NO)],
    "run": [(n, "POSITIONAL_OR_KEYWORD", NO) for n in ("task", "image")] + [("params", "VAR_KEYWORD", NO)],
    "fit_dose_response": [
        ("table", "POSITIONAL_OR_KEYWORD", NO),
        ("dose", "KEYWORD_ONLY", "dose"),
        ("response", "KEYWORD_ONLY", NO),
        ("by", "KEYWORD_ONLY", None),
        ("settings", "VAR_KEYWORD", NO),
    ],
    "run_plate": [(n, "POSITIONAL_OR_KEYWORD", NO) for n in ("plate", "task", "out")] + [("params", "VAR_KEYWORD", NO)],
    "train": [(n, "POSITIONAL_OR_KEYWORD", NO) for n in ("task", "recipe", "out")]
    + [("start_from", "POSITIONAL_OR_KEYWORD", None)],
    "list_tasks": [],
    "list_models": [("task", "POSITIONAL_OR_KEYWORD", None)],
    "read": [PATHS],
    "Client": [("url", "POSITIONAL_OR_KEYWORD", NO), ("token", "POSITIONAL_OR_KEYWORD", None)],
    "Client.run": [(n, "POSITIONAL_OR_KEYWORD", NO) for n in ("task", "image")] + [("params", "VAR_KEYWORD", NO)],
    "Micrograph.from_array": [("array", "POSITIONAL_OR_KEYWORD", NO)]
    + [(n, "KEYWORD_ONLY", None) for n in ("axes", "pixel_size_um", "z_step_um")],
    "Micrograph.with_pixel_size": [("pixel_size_um", "POSITIONAL_OR_KEYWORD", NO)],
    "Micrograph.select_channel": [("channel", "POSITIONAL_OR_KEYWORD", NO)],
    "Result.save": [("folder", "POSITIONAL_OR_KEYWORD", NO)],
    "Result.to_dataframe": [],
    "Result.output": [("kind", "POSITIONAL_OR_KEYWORD", NO)],
}
"""Each name with its parameters (name, kind, default), in order. Lines may be added, and parameters with a default."""


@pytest.mark.parametrize("name", FROZEN)
def test_a_public_name_keeps_its_signature(name):
    call = vitascope
    for part in name.split("."):
        call = getattr(call, part)
    found = [(p.name, p.kind.name, p.default) for p in inspect.signature(call).parameters.values() if p.name != "self"]
    wanted = FROZEN[name]
    positional = [one for one in wanted if one[1] == "POSITIONAL_OR_KEYWORD"]
    assert found[: len(positional)] == positional  # these may be given by position
    assert [one for one in found if one in wanted] == wanted
    new = [(name, kind, default) for name, kind, default in found if (name, kind, default) not in wanted]
    assert not [one for one in new if one[2] is NO and not one[1].startswith("VAR")]
    assert call.__doc__


def test_the_public_names_are_listed():
    assert {name.split(".")[0] for name in FROZEN} <= set(vitascope.__all__) <= set(dir(vitascope))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vitascope.nothing
    scope = {}
    exec("from vitascope import *", scope)
    assert set(vitascope.__all__) <= set(scope)


def test_importing_loads_nothing_heavy_and_names_are_loaded_when_used():
    code = "import sys, vitascope; print(sorted({m.split('.')[0] for m in sys.modules} & {*sys.argv[1:]}))"
    heavy = ["numpy", "pandas", "pydantic", "torch", "dask", "tifffile", "napari", "yaml", "scipy"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    code = code.replace("import sys, vitascope;", "import sys, vitascope; vitascope.list_models(); vitascope.Result;")
    done = subprocess.run([sys.executable, "-c", code, "torch"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def planes(tmp_path):
    stack = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    for z in range(2):
        tifffile.imwrite(tmp_path / f"scan_z{z}.tif", stack[z])
    return sorted(str(path) for path in tmp_path.glob("*.tif")), stack


def test_one_image_is_read_from_the_files_of_its_planes(planes):
    paths, stack = planes
    image = vitascope.read_image(*paths, pixel_size_um=0.5)
    assert isinstance(image, vitascope.Micrograph)
    np.testing.assert_array_equal(image.array, stack)
    assert (image.axes, image.pixel_size_um, image.flags) == ("ZYX", 0.5, ())
    assert "pixel_size_unknown" in vitascope.read_image(Path(paths[0])).flags


def test_more_than_one_image_is_refused_by_read_image_and_listed_by_read_images(planes, tmp_path):
    paths, _ = planes
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((3, 4), np.uint8))
    with pytest.raises(ReaderError, match="2 images, not one"):
        vitascope.read_image(*paths, tmp_path / "other.tif")
    assert [one.name for one in vitascope.read_images(tmp_path)] == ["other", "scan"]


@pytest.mark.parametrize("read", ["read_image", "read_images"])
def test_what_is_no_path_is_refused_with_what_to_do(planes, read):
    call = getattr(vitascope, read)
    with pytest.raises(ParameterError, match="No path"):
        call()
    with pytest.raises(ParameterError, match="star"):
        call(planes[0])
    with pytest.raises(ParameterError, match="int is no path"):
        call(3)


def test_read_is_an_alias_with_a_warning(planes):
    with pytest.warns(DeprecationWarning, match="read_images"):
        (image,) = vitascope.read(*planes[0], pixel_size_um=0.5)
    assert image.axes == "ZYX"


def test_a_channel_is_selected_by_number_and_by_name():
    array = np.arange(48).reshape(2, 2, 3, 4)
    image = vitascope.Micrograph.from_array(array, axes="TCYX", channel_names=("Phase", "DNA"))
    for channel in (1, "DNA", "dna"):
        one = image.select_channel(channel)
        np.testing.assert_array_equal(one.array, array[:, 1])
        assert (one.axes, one.channel_names) == ("TYX", ("DNA",))
    assert one.select_channel(0) is one
    for wrong in (2, -1, "actin"):
        with pytest.raises(ParameterError, match="Phase, DNA"):
            image.select_channel(wrong)


# -- plates -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def plate(tmp_path):
    return make_plate(tmp_path / "plate", 4)


def test_a_plate_gives_its_images_each_with_its_problem(plate):
    found = vitascope.read_plate(plate, pixel_size_um=0.7)
    images = list(found)
    assert [image.problem for image in images] == [None] * 4
    assert all(isinstance(sentence, str) for sentence in found.warnings)
    assert [image.open().pixel_size_um for image in images] == [0.7] * 4
    assert images[0].open(pixel_size_um=0.3).pixel_size_um == 0.3
    with pytest.raises(ParameterError, match="no length"):
        vitascope.read_plate(plate, pixel_size_um=-1)


def test_the_axes_given_to_a_plate_hold_for_its_images(tmp_path):
    tifffile.imwrite(tmp_path / "p_A01.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    (image,) = vitascope.read_plate(tmp_path, axes="CYX")
    assert image.open().axes == "CYX"


def test_a_folder_of_several_plates_is_refused_and_they_are_named(tmp_path):
    names = [f"plate{number}" for number in range(8)]
    for name in names:
        make_plate(tmp_path / "all" / name, 2)
    with pytest.raises(ReaderError, match="holds 8 plates") as caught:
        vitascope.read_plate(tmp_path / "all", pattern="{plate}/p_{well}_s{field}_w{channel}.tif")
    assert all(f"'{name}'" in caught.value.message for name in names)
    options = {"pattern": "{plate}/p_{well}_s{field}_w{channel}.tif", "plate": "plate3"}
    assert vitascope.read_plate(tmp_path / "all", **options).name == "plate3"


def test_a_plate_map_has_a_table_with_wells_and_problems(tmp_path):
    (tmp_path / "map.csv").write_text("well,treatment,dose (µM)\nA1,DMSO,\nA2,X,0.5\n", encoding="utf-8")
    found = vitascope.read_plate_map(str(tmp_path / "map.csv"))
    assert found.table["well"].tolist() == ["A01", "A02"]
    assert isinstance(found.problems, tuple)


@pytest.fixture
def fake_task(monkeypatch):
    monkeypatch.setattr(registry, "TASKS", (*registry.TASKS, FAKE))


def test_a_plate_is_run_like_the_command_does(plate, tmp_path, fake_task):
    (tmp_path / "map.csv").write_text("well,treatment\nA1,DMSO\nA2,X\nA3,X\nA4,X\n")
    mapped = vitascope.read_plate_map(tmp_path / "map.csv")
    found = vitascope.read_plate(plate)
    report = vitascope.run_plate(found, "fake", tmp_path / "a", plate_map=mapped, gain=3.0)
    assert (report.counts, report.computed, report.complete) == ({"OK": 4}, 4, True)
    again = vitascope.run_plate(str(plate), "fake", str(tmp_path / "a"), plate_map=tmp_path / "map.csv", gain=3.0)
    assert again.computed == 0
    words = ["plate", plate, "--task", "fake", "-o", tmp_path / "b", "--map", tmp_path / "map.csv", "--set", "gain=3.0"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    tables = [pd.read_csv(tmp_path / folder / "results.csv") for folder in "ab"]
    pd.testing.assert_frame_equal(*tables)
    with pytest.raises(ParameterError, match="another run"):
        vitascope.run_plate(plate, "fake", tmp_path / "a", plate_map=mapped, gain=4.0)
    with pytest.raises(ParameterError, match="leave one out"):
        vitascope.run_plate(plate, "fake", tmp_path / "c", workers=1, scheduler="tcp://x:1")


def test_pixel_size_and_axes_of_a_plate_are_those_of_the_run(plate, tmp_path, fake_task):
    for number, (index, how) in enumerate(
        [(vitascope.read_plate(plate, pixel_size_um=0.7), {}), (plate, {"pixel_size_um": 0.7})]
    ):
        out = tmp_path / f"out{number}"
        vitascope.run_plate(index, "fake", out, **how)
        made = vitascope.read_plate(out / "prediction.ome.zarr")
        assert [image.open().pixel_size_um for image in made] == [0.7] * 4


# -- runs and results -------------------------------------------------------------------------------------------------

FAST = {"model": "test-model", "precision": "f32", "tile_px": 512, "threads": 1, "min_contrast": 0, "device": "cpu"}


@pytest.fixture
def field(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    save_model(make_model(width=0.25, object_diameter_px=18), tmp_path / "models")
    sizes = {f"PhysicalSize{a}": s for a, s in (("X", 0.5), ("Y", 0.5))}
    units = {f"PhysicalSize{a}Unit": "µm" for a in "XY"}
    picture = (200 + 1000 * blobs()).astype(np.uint16)
    tifffile.imwrite(tmp_path / "field.ome.tif", picture, ome=True, metadata={"axes": "YX", **sizes, **units})
    return tmp_path / "field.ome.tif"


def files_of(folder):
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_saved_result_is_what_the_command_writes(field, tmp_path):
    result = vitascope.run("stain", field, **FAST)
    assert result.save(tmp_path / "python") == tmp_path / "python"
    settings = [w for k, v in FAST.items() if k not in ("model", "device") for w in ("--set", f"{k}={v}")]
    words = ["run", "stain", str(field), "-o", str(tmp_path / "command"), "--model", "test-model", "--device", "cpu"]
    assert CliRunner().invoke(app, words + settings).exit_code == 0
    ours, theirs = files_of(tmp_path / "python"), files_of(tmp_path / "command")
    assert list(ours) == list(theirs)
    for name in ours:
        if name.endswith(".csv"):
            assert ours[name].read_bytes() == theirs[name].read_bytes()
        elif name.endswith(".tif"):
            images = [vitascope.read_image(one[name]) for one in (ours, theirs)]
            np.testing.assert_array_equal(images[0].array, images[1].array)
            assert [image.pixel_size_um for image in images] == [0.5, 0.5]
    with pytest.raises(OutputError, match="already holds"):
        result.save(tmp_path / "python")


def test_a_volume_is_saved_with_its_pixel_size_and_z_step(field, tmp_path):
    stack = np.stack([np.asarray(vitascope.read_image(field).array)] * 2)
    image = vitascope.Micrograph.from_array(stack, axes="ZYX", pixel_size_um=0.5, z_step_um=2.0, name="stack")
    vitascope.run("stain", image, **FAST).save(tmp_path / "out")
    saved = vitascope.read_image(tmp_path / "out" / "prediction" / "stack.ome.tif")
    assert (saved.pixel_size_um, saved.z_step_um) == (0.5, 2.0)


def test_a_result_as_a_table_is_its_rows_of_the_file(field, tmp_path):
    result = vitascope.run("stain", field, **FAST)
    result.save(tmp_path / "out")
    written = pd.read_csv(tmp_path / "out" / "results.csv")
    table = result.to_dataframe()
    assert list(table.columns) == list(written.columns)
    for name in written.select_dtypes("number"):
        np.testing.assert_allclose(pd.to_numeric(table[name], errors="coerce"), written[name])


def test_a_result_shows_itself_in_a_few_lines(field):
    text = repr(vitascope.run("stain", field, **FAST))
    assert 2 <= len(text.splitlines()) <= 6
    assert "field" in text.splitlines()[0]
    assert "test-model" in text
    assert "objects" in text
    assert "trust" in text
    refused = Result((), (), "", WellPosition(), "x", "REJECTED", ("constant",), "It is black.")
    assert repr(refused).splitlines()[0] == "Result of 'x' (nothing was run): REJECTED"
    assert "It is black." in repr(refused)


def test_an_image_of_a_plate_is_run_as_it_is(field, tmp_path):
    plate = tmp_path / "plate"
    plate.mkdir()
    (plate / "p_B02.ome.tif").write_bytes(field.read_bytes())
    (image,) = vitascope.read_plate(plate)
    result = vitascope.run("stain", image, **FAST)
    assert str(result.place.well) == "B02"
    other = vitascope.run("stain", image.open(), **{**FAST, "model": tmp_path / "models" / "test-model.json"})
    assert result.rows == other.rows


def test_what_can_be_run_is_listed(field):
    names = [task.name for task in vitascope.list_tasks()]
    assert names == ["stain", "atp", "viability", "phenotype", "spheroid"]
    assert "test-model" in [card.id for card in vitascope.list_models("stain")]
    assert {card.task for card in vitascope.list_models()} == set(names)
    with pytest.raises(VitascopeError, match="no task"):
        vitascope.list_models("nothing")


def test_a_model_is_trained_from_a_recipe_and_never_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("VITASCOPE_DATA", raising=False)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(make_recipe(tmp_path)))
    path = vitascope.train("stain", tmp_path / "recipe.yaml", "mine")
    card = read_card(path)
    assert (path.parent, card.id) == (tmp_path / "models", "mine")
    weights = (path.parent / card.weights.file).read_bytes()
    assert hashlib.sha256(weights).hexdigest() == card.weights.sha256
    with pytest.raises(ParameterError, match="There is a model 'mine' already"):
        vitascope.train("stain", tmp_path / "recipe.yaml", "mine")
    with pytest.raises(ParameterError, match="for the task 'stain', not 'atp'"):
        vitascope.train("atp", tmp_path / "recipe.yaml", "other")
    second = vitascope.train("stain", tmp_path / "recipe.yaml", tmp_path / "here" / "second", start_from="mine")
    assert read_card(second).parent.startswith("mine")
