"""A task that is added with just the files that ``docs/contributing.md`` names is everywhere that tasks are."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

import vitascope

PACKAGE = Path(vitascope.__file__).parent
ROOT = PACKAGE.parent.parent
TESTS = Path(__file__).parent

TASK = """
from pydantic import Field

from vitascope.core.params import RunParams
from vitascope.tasks.spec import Role, TaskSpec
from vitascope.tasks.training_data import TrainingData, Truth


class ToyParams(RunParams):
    gain: float = Field(1.0, title="Gain", description="Factor of the brightness.", gt=0)


SPEC = TaskSpec(
    name="toy",
    title="Measure brightness",
    verb="Measure",
    summary="Measure how bright an image is.",
    params=ToyParams,
    pipeline="vitascope.pipelines.toy",
    training="vitascope.training.tasks.toy",
    roles=(Role("image", "Image", "Any image."),),
    headline="brightness",
    headline_title="Brightness",
    trained_on=TrainingData(Truth.NUMBERS),
)
"""
PIPELINE = """
import numpy as np

from vitascope.core.progress import Progress
from vitascope.core.result import ImageOutput, Provenance, Result


def run(inputs, params):
    image = inputs["image"]
    yield Progress(0, 1, "measuring")
    picture = params.gain * np.asarray(image.plane(), np.float32)
    provenance = Provenance(
        task="toy", model="toy-one", model_sha256="0" * 64, device="cpu", precision="f32", versions={}, seconds=0.1,
        params={**params.model_dump(mode="json"), "model": "toy-one", "device": "cpu", "precision": "f32"},
        inputs=[{"role": "image", "name": image.name}], started="2026-01-01T00:00:00+00:00",
    )
    rows = ({"time": None, "z": None, "brightness": float(picture.mean())},)
    outputs = (ImageOutput("prediction", "bright", picture, "YX", ("bright",)),)
    return Result(outputs, rows, "brightness", image.place, image.name, provenance=provenance)
"""
TRAINING = """
import numpy as np
import tifffile

from vitascope.core.card import DataSource, Metric, ModelCard, Weights
from vitascope.core.progress import Progress
from vitascope.io.models.cards import write_card
from vitascope.io.models.weights import write_weights
from vitascope.recipes.recipe import find_data


def slope(recipe, recipe_folder):
    (data,) = recipe.data
    folder = find_data(data, recipe_folder)
    means = [tifffile.imread(folder / pair.image).mean() for pair in data.pairs]
    return float(np.mean([pair.labels["brightness"] / mean for pair, mean in zip(data.pairs, means)]))


def run_training(recipe, recipe_folder, out, start_from=None, device="auto"):
    yield Progress(0, 1, "training")
    value = slope(recipe, recipe_folder)
    out.mkdir(parents=True, exist_ok=True)
    sha256 = write_weights(out / f"{recipe.id}.safetensors", {"slope": np.array([value], np.float32)})
    card = ModelCard(
        id=recipe.id, task=recipe.task, title=recipe.title, summary=recipe.summary, architecture=recipe.network,
        input=recipe.input, targets=recipe.targets, split="none", limitations=recipe.limitations, licence="CC0-1.0",
        data=(DataSource(name="made-up", licence="CC0-1.0", credit="nobody"),),
        metrics=(Metric(name="slope", value=value, on="all images", n=len(recipe.data[0].pairs)),),
        weights=Weights(file=f"{recipe.id}.safetensors", sha256=sha256, dtype="float32", parameters=1),
        recipe=recipe.model_dump_json(exclude={"data", "split", "trunk", "twin_metrics", "start_from"}),
        parent=recipe.start_from,
    )
    return write_card(card, out)


def run_evaluation(model, recipe, recipe_folder, device="auto"):
    yield Progress(0, 1, "measuring")
    return [Metric(name="slope", value=slope(recipe, recipe_folder), on="all images")]
"""
DOCK = """
from vitascope.gui.docks.task_dock import TaskDock
from vitascope.tasks import toy


class ToyDock(TaskDock):
    spec = toy.SPEC
"""
PAGE = "# Measure brightness\n\n{{ parameters toy }}\n"
RECIPE = {
    "task": "toy",
    "id": "toy-one",
    "title": "Brightness",
    "summary": "Made up.",
    "limitations": "Always.",
    "licence": "CC0-1.0",
    "credit": "nobody",
    "data": [{
        "name": "made-up", "url": "https://example.org/data", "licence": "CC0-1.0", "credit": "nobody", "folder": ".",
        "pairs": [{"image": f"{k}.tif", "labels": {"brightness": 20.0 * k}, "group": str(k)} for k in (1, 2, 3)],
    }],
    "split": {"by": "group", "test_groups": ["3"]},
    "input": {
        "modality": "bright-field", "channels": ["bright-field"], "normalisation": {"method": "standard"},
    },
    "targets": [{"name": "brightness"}],
    "network": {"name": "none"},
}  # fmt: skip

COMMANDS = """
import json, sys
from typer.testing import CliRunner
from vitascope.cli.main import app

def call(*words):
    done = CliRunner().invoke(app, [*words])
    return [done.exit_code, done.output]

print(json.dumps({
    "help": call("run", "--help"),
    "parameters": call("run", "toy", "--help-parameters"),
    "run": call("run", "toy", "data/2.tif", "-o", "run", "--set", "gain=3"),
    "plate": call("plate", "plate", "--task", "toy", "-o", "wells"),
    "train": call("train", "toy", "--recipe", "data/recipe.yaml", "-o", "toy-one"),
    "models": call("models", "list", "--task", "toy"),
    "evaluate": call("evaluate", "toy-one", "--recipe", "data/recipe.yaml"),
}))
"""
DOCKS = """
import json
from importlib import import_module
import numpy as np
from napari.components import ViewerModel
from npe2 import PluginManifest
from qtpy.QtWidgets import QApplication
application = QApplication([])
from gui_support import at_once, settle
from vitascope import __file__ as package
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.plate_dock import PlateDock
from vitascope.gui.docks.train_dock import TrainDock

said = {}
viewer = ViewerModel()
layers = [viewer.add_image(np.full((64, 64), 10 * k, np.uint8), name=f"image {k}") for k in (1, 2, 3)]
for layer in layers:
    layer.data[::2] += 1
manifest = PluginManifest.from_file(package.replace("__init__.py", "napari.yaml")).contributions
(widget,) = [w for w in manifest.widgets if w.display_name == "Measure brightness"]
(command,) = [c for c in manifest.commands if c.id == widget.command]
said["in a menu"] = any(item.command == command.id for items in manifest.menus.values() for item in items)
module, name = command.python_name.split(":")
dock = getattr(import_module(module), name)(viewer, Runner(at_once, activity=False))
dock.input.main.choose(layers[1])
dock.run()
said["dock"] = dock.answer.number.text()
dock.close_down()
dock = PlateDock(viewer, Runner(at_once, activity=False))
said["plate"] = dock.run.task.findText("Measure brightness") >= 0
dock.close_down()
dock = TrainDock(viewer, Runner(at_once, activity=False), lambda work, then: then(work()))
dock.task.setCurrentIndex(dock.task.findText("Measure brightness"))
settle()
said["starts from"] = dock.model.card().id
dock.data.tabs.setCurrentIndex(1)
viewer.layers.selection = set(layers)
dock.data.values.add_button.click()
for row in range(3):
    dock.data.values.table.item(row, 1).setText(str(3 * layers[row].data.mean()))
said["problem"] = dock.problem()
dock.train()
said["trained"] = dock.answer.text()
dock.close_down()
settle()
print(json.dumps(said))
"""


def edit(path, *changes):
    text = path.read_text(encoding="utf-8")
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")


def add_task(root):
    """Add the task ``toy`` to a copy of the source."""
    package = root / "src" / "vitascope"
    for name, text in {
        "tasks/toy.py": TASK,
        "pipelines/toy.py": PIPELINE,
        "training/tasks/toy.py": TRAINING,
        "gui/docks/toy_dock.py": DOCK,
    }.items():
        (package / name).write_text(text, encoding="utf-8")
    edit(
        package / "tasks" / "registry.py",
        ("spheroid, stain,", "spheroid, stain, toy,"),
        ("spheroid.SPEC)", "spheroid.SPEC, toy.SPEC)"),
    )
    title = "      title: Measure brightness\n"
    command = f"    - id: vitascope.toy\n{title}      python_name: vitascope.gui.docks.toy_dock:ToyDock\n"
    widget = "    - command: vitascope.toy\n      display_name: Measure brightness\n"
    edit(
        package / "napari.yaml",
        ("  commands:\n", f"  commands:\n{command}"),
        ("  widgets:\n", f"  widgets:\n{widget}"),
        ("    napari/layers/measure:\n", "    napari/layers/measure:\n      - command: vitascope.toy\n"),
    )
    if (root / "docs").is_dir():
        (root / "docs" / "tasks" / "toy.md").write_text(PAGE)
        edit(root / "mkdocs.yml", ("  - Tasks:\n", "  - Tasks:\n      - Measure brightness: tasks/toy.md\n"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the source with the task, some images, and the files that the task took."""
    root = tmp_path_factory.mktemp("source")
    package = root / "src" / "vitascope"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    if (ROOT / "docs").is_dir():
        shutil.copytree(ROOT / "docs", root / "docs")
        shutil.copy(ROOT / "mkdocs.yml", root)
    before = contents(root)
    add_task(root)
    after = contents(root)
    changed = {path for path, text in after.items() if before.get(path) != text}
    data = root / "data"
    data.mkdir()
    for k in (1, 2, 3):
        tifffile.imwrite(data / f"{k}.tif", np.full((64, 64), 10 * k, np.uint8))
    (data / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    (root / "plate").mkdir()
    for k in (1, 2):
        tifffile.imwrite(root / "plate" / f"p_A{k:02d}_s1_w1.tif", np.full((16, 16), k, np.uint16))
    return root, changed


def contents(root):
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in root.rglob("*")
        if p.suffix in (".py", ".yaml", ".yml", ".md")
    }


def python(root, *arguments, folder=None):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder or root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root / "src"), str(TESTS)]),
            "VITASCOPE_MODELS": str(root / "models"),
            "VITASCOPE_CACHE": str(root / "cache"),
            "QT_QPA_PLATFORM": "offscreen",
            "NO_COLOR": "1",
            "COLUMNS": "200",
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def said(source):
    """What the commands say, by name: exit code and text."""
    return json.loads(python(source[0], "-c", COMMANDS).splitlines()[-1])


@pytest.mark.skipif(not (ROOT / "docs" / "contributing.md").is_file(), reason="the documentation is not here")
def test_the_page_names_the_files_that_were_written_and_no_others(source):
    page = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    section = page.split("## Adding a task\n")[1].split("\n## ")[0]
    named = re.findall(r"^\d+\. `([^`]+)`", section, re.MULTILINE)
    assert sorted(re.sub(r"\bx(?=[._])", "toy", name) for name in named) == sorted(source[1])


def test_the_checks_of_every_task_hold_for_it(source):
    files = [str(TESTS / "test_architecture.py"), str(TESTS / "tasks" / "test_registry.py")]
    chosen = "toy and not package_that_is_missing"  # it needs none
    text = python(source[0], "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *files, folder=TESTS.parent)
    assert re.search(r"\b7 passed", text), text


def test_the_command_line_runs_it_on_images_and_plates(said, source):
    assert "toy (Measure brightness)" in " ".join(said["help"][1].split())
    assert "Factor of the brightness." in said["parameters"][1]
    assert said["run"][0] == said["plate"][0] == 0, said
    assert "Brightness: 60" in said["run"][1]
    assert "2 wells, 2 images: 2 OK" in said["plate"][1]
    assert (source[0] / "wells" / "results.csv").is_file()


def test_the_command_line_trains_it(said):
    assert said["train"][0] == 0, said["train"][1]
    assert said["models"][1].split()[:2] == ["toy-one", "toy"]
    assert said["evaluate"] == [0, "slope: 2.0000, all images\n"]


def test_it_has_a_dock_and_is_offered_where_plates_are_run_and_models_trained(said, source):
    pytest.importorskip("napari")
    shown = json.loads(python(source[0], "-c", DOCKS).splitlines()[-1])
    assert shown["in a menu"]
    assert shown["plate"]
    assert ">20.5</span>" in shown["dock"]
    assert (shown["starts from"], shown["problem"]) == ("toy-one", "")
    assert shown["trained"].startswith("'toy-one-mine' is ready. slope 3")
