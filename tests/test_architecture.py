"""The house as a whole: every task is complete, rooms keep to themselves, importing has no effect."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import vitascope
from vitascope.tasks.registry import TASKS

PACKAGE = Path(vitascope.__file__).parent
ROOT = PACKAGE.parent.parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("spec", TASKS, ids=lambda s: s.name)
def test_a_task_is_complete(spec):
    manifest = (PACKAGE / "napari.yaml").read_text()
    dock = re.search(rf"vitascope\.gui\.docks\.(\w+):({spec.name.capitalize()}Dock)\b", manifest)
    assert (PACKAGE / "tasks" / f"{spec.name}.py").is_file()
    assert spec.pipeline == f"vitascope.pipelines.{spec.name}"
    assert (PACKAGE / "pipelines" / f"{spec.name}.py").is_file()
    assert f"class {dock[2]}(" in (PACKAGE / "gui" / "docks" / f"{dock[1]}.py").read_text()
    assert spec.title in manifest
    if (ROOT / "docs").is_dir():
        assert f"tasks/{spec.name}.md" in (ROOT / "mkdocs.yml").read_text()
        assert f"{{{{ parameters {spec.name} }}}}" in (ROOT / "docs" / "tasks" / f"{spec.name}.md").read_text()


@pytest.mark.parametrize("spec", TASKS, ids=lambda s: s.name)
def test_every_parameter_tells_a_user_what_it_is(spec):
    for name, field in spec.params.model_fields.items():
        assert field.title, name
        assert field.description.endswith(".") or field.description.endswith(")"), name
    assert spec.make_params() == spec.params.model_validate_json(spec.make_params().model_dump_json())


def test_only_one_place_imports_by_name():
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__")
    ]
    assert found == ["core/late_import.py"]


OTHER_MEANINGS = {
    "core/aliases.py": {"stain"},  # the table of old names
    "core/formatting.py": {"atp"},  # a column of results
    "core/card.py": {"spheroid"},  # what is cut out of an image: the well, the spheroid or the centre
    "engine/crop_to_object.py": {"spheroid"},
    "gui/train/annotations.py": {"phenotype"},  # a column that people name so
    "io/tables/measured_values.py": {"atp", "viability"},
    "training/tasks/spheroid.py": {"viability"},  # a loss
    "recipes/found_pairs.py": {"stain"},  # a word of a sentence
    "recipes/recipe.py": {"stain"},  # recipes know no tasks: which of their parts one has stands here
}
"""Words that are the name of a task too, and stand for something else."""


def test_only_a_task_and_its_own_files_know_its_name():
    tasks = {spec.name for spec in TASKS}
    found = {}
    for path in SOURCES:
        room = path.relative_to(PACKAGE).as_posix()
        own = {name for name in tasks if path.stem.startswith(name) and room.startswith(("pipelines/", "training/"))}
        words = string_constants(ast.parse(path.read_text(encoding="utf-8"))) & tasks - own
        if words and not room.startswith(("tasks/", "zoo/")):
            found[room] = words
    assert found == OTHER_MEANINGS


def string_constants(tree):
    """Whole strings of a module."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_no_module_has_a_name_that_says_nothing():
    assert not {p.stem for p in SOURCES} & {"utils", "helpers", "misc", "common"}


LIGHT = """
import importlib, pkgutil, sys, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=DeprecationWarning)
import vitascope
for room in {rooms!r}:
    package = importlib.import_module("vitascope." + room)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
names = ("torch", "monai", "openvino", "napari", "qtpy", "magicgui", "matplotlib.pyplot")
print(",".join(m for m in names if m in sys.modules))
"""


@pytest.mark.parametrize(
    ("rooms", "allowed"),
    [
        (("core", "ops", "stats", "io", "tasks", "batch", "cli"), set()),
        (("gui",), {"napari", "qtpy", "magicgui", "matplotlib.pyplot"}),
    ],
)
@pytest.mark.fault("H11")
def test_importing_a_room_loads_nothing_heavy(rooms, allowed):
    if rooms == ("gui",):
        pytest.importorskip("napari")
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(rooms=rooms)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(filter(None, done.stdout.strip().split(","))) <= allowed


def test_the_manifest_at_the_top_is_the_packages_own():
    root = Path(__file__).parent.parent
    top = root / "napari.yaml"
    assert not top.is_symlink()
    assert top.read_bytes() == (root / "src" / "vitascope" / "napari.yaml").read_bytes()
    assert yaml.safe_load(top.read_text(encoding="utf-8"))["name"] == "vitascope"


@pytest.mark.skipif(not (ROOT / "docs" / "flags.md").is_file(), reason="the documentation is not here")
def test_the_flags_page_is_read_from_the_code():
    assert "{{ flags }}" in (ROOT / "docs" / "flags.md").read_text()
