"""One test for each old name that is still read. The names are spelled out: they may not change with the table."""

import hashlib
import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from plate_support import SPEC, make_plate
from tests_support import make_card, make_domain, make_recipe
from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.journal import Journal
from vitascope.batch.plate.results import open_plate_results
from vitascope.batch.plate.run import run_plate
from vitascope.cli.main import app
from vitascope.core import aliases
from vitascope.core.card import Metric, ModelCard, Normalisation
from vitascope.core.errors import InputError, ModelError, ParameterError
from vitascope.core.progress import run_to_end
from vitascope.io.images.read import read_image, read_images
from vitascope.io.plates.read import find_plates, open_plate
from vitascope.io.results.read import read_results
from vitascope.recipes.recipe import parse_recipe

CARD_KEYS = [
    ((), "distrust", "limitations"),
    ((), "settings", "default_params"),
    (("input",), "find", "crop_to"),
    (("input", "normalisation"), "spreads", "stds"),
    (("metrics", 0), "of_twin", "from_holdout_model"),
    (("domain",), "feature_spread", "feature_std"),
]
RECIPE_KEYS = [
    ((), "distrust", "limitations"),
    (("input",), "find", "crop_to"),
    (("input", "normalisation"), "spreads", "stds"),
    (("data", 0), "bags", "labelled_images"),
    (("training",), "settle_steps", "bn_stats_steps"),
]
MODULES = [
    ("vitascope.batch.image_quality", "image_quality", "vitascope.batch.plate.image_quality", "image_quality"),
    ("vitascope.batch.plate_results", "open_plate_results", "vitascope.batch.plate.results", "open_plate_results"),
    ("vitascope.core.steps", "finish", "vitascope.core.progress", "run_to_end"),
    ("vitascope.core.steps", "Steps", "vitascope.core.progress", "ProgressGenerator"),
    ("vitascope.core.steps", "retold", "vitascope.core.progress", "map_progress"),
    ("vitascope.core.steps", "Progress", "vitascope.core.progress", "Progress"),
    ("vitascope.core.training", "TrainingParams", "vitascope.core.training_params", "TrainingParams"),
    ("vitascope.io.images", "read_image", "vitascope.io.images.read", "read_image"),
    ("vitascope.io.images", "read_images", "vitascope.io.images.read", "read_images"),
    ("vitascope.io.open_plate", "open_plate", "vitascope.io.plates.read", "open_plate"),
    ("vitascope.io.open_plate", "find_plates", "vitascope.io.plates.read", "find_plates"),
    ("vitascope.io.plate_map", "read_plate_map", "vitascope.io.tables.plate_map", "read_plate_map"),
    ("vitascope.io.plate_preview", "preview_pattern", "vitascope.io.filenames.preview", "preview_pattern"),
    ("vitascope.io.plate_preview", "Preview", "vitascope.io.filenames.preview", "PatternPreview"),
    ("vitascope.io.plate_zarr_write", "export_plate", "vitascope.io.plates.ome_zarr_write", "export_plate"),
    ("vitascope.models.plain", "PlainUNet", "vitascope.networks.single_output", "PlainUNet"),
    ("vitascope.models.plain", "PlainMilCnn", "vitascope.networks.single_output", "PlainMilCnn"),
    ("vitascope.models.pooling", "noisy_and", "vitascope.networks.pooling", "noisy_and"),
    ("vitascope.ops.contour", "measure_contour", "vitascope.ops.objects.contour", "measure_contour"),
    ("vitascope.tasks.start", "start", "vitascope.tasks.run", "start"),
]


def branch(tree, path):
    for key in path:
        tree = tree[key]
    return tree


@pytest.fixture
def card():
    made = make_card(
        normalisation=Normalisation(method="dataset", means=(100.0,), stds=(12.5,)),
        domain=make_domain().model_copy(update={"feature_mean": (0.5,), "feature_std": (2.0,), "distance_99": 3.0}),
    )
    metric = Metric(name="PCC", value=0.9, on="test rows", from_holdout_model=True)
    spec = made.input.model_copy(update={"crop_to": "centre", "side_px": 64})
    changed = {"metrics": (metric,), "default_params": {"min_contrast": 0.25}, "input": spec}
    return made.model_copy(update=changed)


@pytest.fixture
def recipe(tmp_path):
    tree = make_recipe(tmp_path)
    del tree["data"][0]["pairs"]
    tree["data"][0] |= {"sha256": {}, "labelled_images": {"table": "images.csv"}}
    tree["input"] |= {"crop_to": "centre", "side_px": 64}
    tree["input"]["normalisation"] = {"method": "dataset", "means": [100.0], "stds": [12.5]}
    tree["training"]["bn_stats_steps"] = 20
    return tree


def test_every_alias_of_the_table_has_its_case_here():
    assert {(old, now) for keys in aliases.KEYS.values() for old, now in keys.items()} == {
        (old, now) for _, old, now in CARD_KEYS + RECIPE_KEYS
    }
    assert set(aliases.MODULES) == {module for module, *_ in MODULES}
    assert {(m, a) for m, (_, names) in aliases.MODULES.items() for a in names} <= {(m, a) for m, a, *_ in MODULES}
    assert aliases.OPTIONS == {"--group": "--pattern"}
    assert aliases.KEYWORDS == {"group": "pattern"}


@pytest.mark.parametrize(("path", "old", "now"), CARD_KEYS, ids=[old for _, old, _ in CARD_KEYS])
def test_a_card_is_read_under_an_old_key_and_written_under_the_new_one(card, path, old, now):
    tree = json.loads(card.model_dump_json())
    part = branch(tree, path)
    part[old] = part.pop(now)
    found = ModelCard.from_json(json.dumps(tree))
    assert found == card
    assert now in branch(json.loads(found.model_dump_json()), path)
    assert f'"{old}":' not in found.model_dump_json()


def test_a_card_is_read_with_all_old_keys_at_once(card):
    tree = json.loads(card.model_dump_json())
    for path, old, now in CARD_KEYS:
        branch(tree, path)[old] = branch(tree, path).pop(now)
    assert ModelCard.from_json(json.dumps(tree)) == card


@pytest.mark.parametrize(("path", "old", "now"), CARD_KEYS, ids=[old for _, old, _ in CARD_KEYS])
def test_a_card_with_both_spellings_of_one_key_is_refused(card, path, old, now):
    tree = json.loads(card.model_dump_json())
    branch(tree, path)[old] = branch(tree, path)[now]
    with pytest.raises(ModelError, match=f"'{old}' and '{now}' are two spellings of one key"):
        ModelCard.from_json(json.dumps(tree))


@pytest.mark.parametrize(("path", "old", "now"), RECIPE_KEYS, ids=[old for _, old, _ in RECIPE_KEYS])
def test_a_recipe_is_read_under_an_old_key_and_both_spellings_are_refused(recipe, path, old, now):
    expected = parse_recipe(recipe, "new")
    part = branch(recipe, path)
    part[old] = part.pop(now)
    assert parse_recipe(recipe, "old") == expected
    part[now] = part[old]
    with pytest.raises(InputError, match=f"'{old}' and '{now}' are two spellings of one key"):
        parse_recipe(recipe, "both")


def test_a_recipe_keeps_its_fingerprint_so_that_old_checkpoints_resume(recipe):
    found = parse_recipe(recipe, "new")
    tree = json.loads(found.model_dump_json())
    for path, old, now in RECIPE_KEYS:  # the order of the keys counts
        part = branch(tree, path)
        items = [(old if key == now else key, value) for key, value in part.items()]
        part.clear()
        part.update(items)
    tree["augment"].pop("whole_pixels")  # later fields, at their defaults
    for field in ("denoise", "mask", "mask_block_px"):
        tree["target_preparation"].pop(field)
    tree.pop("mix")
    for data in tree["data"]:
        for pair in data["pairs"]:
            pair.pop("left_out")
        data["bags"].pop("boxes")
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False)
    assert found.fingerprint() == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(("old", "name", "now", "name_now"), MODULES, ids=[f"{m}.{a}" for m, a, *_ in MODULES])
def test_an_old_import_path_gives_the_same_object_and_a_warning(old, name, now, name_now):
    module = importlib.import_module(old)
    with pytest.warns(DeprecationWarning, match=f"{old}.{name} is now {now}.{name_now}"):
        found = getattr(module, name)
    assert found is getattr(importlib.import_module(now), name_now)
    assert not hasattr(module, "nothing_of_the_kind")


def test_an_old_script_runs_as_it_was_copied(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.arange(12, dtype=np.uint16).reshape(3, 4))
    script = "from vitascope.io.images import read_image\nprint(read_image('a.tif').shape_yx)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "default::DeprecationWarning", "-c", script],
        capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "(3, 4)", done.stderr[-1000:]
    assert "vitascope.io.images.read_image is now vitascope.io.images.read.read_image" in done.stderr


@pytest.fixture
def plate(tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    for name in ("x-A01", "x-A02"):
        tifffile.imwrite(folder / f"{name}.tif", np.ones((3, 4), np.uint16))
    return folder


@pytest.mark.parametrize("read", [read_images, read_image, find_plates, open_plate])
def test_the_old_keyword_is_read_and_both_are_refused(plate, read):
    path = plate if read in (find_plates, open_plate) else plate / "x-A01.tif"
    pattern = "x-{well}.tif"
    with pytest.warns(DeprecationWarning, match="'group' is now 'pattern'"):
        found = read(path, group=pattern)
    first = found if read in (read_image, open_plate) else found[0]
    assert str((first.sites[0] if hasattr(first, "sites") else first).place.well) == "A01"
    with pytest.raises(ParameterError, match="two spellings"):
        read(path, group=pattern, pattern=pattern)


@pytest.mark.parametrize("command", [["run", "stain", "x.tif"], ["plate", "plate", "--task", "stain"]])
def test_the_old_option_is_read_like_the_new_one_and_hidden(tmp_path, plate, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.tif").write_bytes((plate / "x-A01.tif").read_bytes())
    said = []
    for option in ("--pattern", "--group"):
        done = CliRunner().invoke(app, [*command, "-o", "out", option, "{well}{well}.tif"])
        assert done.exit_code == 2
        said.append(done.output)
    assert said[0] == said[1]
    assert "pattern" in said[0]
    shown = CliRunner().invoke(app, [command[0], "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert "--pattern" in shown
    assert "--group" not in shown


def test_an_old_results_folder_still_opens(tmp_path):
    (tmp_path / "results.csv").write_text("image,plate,well,field,time,status,flags,atp\nw1,p,B07,,,OK,,82000\n")
    (tmp_path / "places.csv").write_text("image,rank,y_px,x_px\nw1,1,10,20\n")
    (tmp_path / "provenance.json").write_text(json.dumps({"task": "atp", "inputs": [{"role": "image"}]}))
    found = read_results(tmp_path)
    assert found.results["atp"].tolist() == [82000]
    assert found.provenance["task"] == "atp"


def test_the_journal_of_an_earlier_version_is_resumed_and_its_plate_found_again(tmp_path):
    made = make_plate(tmp_path / "plate", 2)
    pattern = "p_{well}_s{field}_w{channel}.tif"
    job = PlateJob(SPEC, open_plate(made, pattern=pattern), SPEC.make_params(), tmp_path / "out", pattern=pattern)
    run_to_end(run_plate(job))
    with Journal(tmp_path / "out") as journal:
        journal.set(source={"path": str(made), "group": pattern})  # as it was called
    again = open_plate_results(tmp_path / "out").open_plate()
    assert [str(well) for well in again.wells] == ["A01", "A02"]
    assert run_to_end(run_plate(job)).computed == 0
