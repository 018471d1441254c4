"""What must hold of the source as a whole: records by keyword, flags that are raised, declared dependencies."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from vitascope.core.flags import FLAGS
from vitascope.core.paths import SAMPLES

SOURCE = SAMPLES.parent
PROJECT = Path(__file__).parent.parent / "pyproject.toml"
MOST_BY_POSITION = 5
"""Records with more fields than this are built by keyword: nobody counts positions of a call that far."""


@cache
def trees() -> dict[str, ast.Module]:
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")}


def classes() -> dict[str, ast.ClassDef]:
    return {node.name: node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def is_record(name: str, known: dict[str, ast.ClassDef]) -> bool:
    if name in ("BaseModel", "NamedTuple"):
        return True
    node = known.get(name)
    return node is not None and (
        any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
        or any(is_record(ast.unparse(base), known) for base in node.bases)
    )


def fields(name: str, known: dict[str, ast.ClassDef]) -> list[str]:
    if name not in known:
        return []
    own = [
        part.target.id
        for part in known[name].body
        if isinstance(part, ast.AnnAssign)
        and isinstance(part.target, ast.Name)
        and "ClassVar" not in ast.unparse(part.annotation)
    ]
    return [field for base in known[name].bases for field in fields(ast.unparse(base), known)] + own


def test_records_of_many_fields_are_built_by_keyword():
    known = classes()
    large = {name for name in known if is_record(name, known) and len(fields(name, known)) > MOST_BY_POSITION}
    assert {"Result", "ImageOutput", "Provenance", "ItemResult"} <= large
    found = [
        f"{file}:{node.lineno} {node.func.id}"
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in large and node.args
    ]
    assert found == []


def handed_on(tree: ast.Module) -> set[str]:
    """Return the flags of a module that are handed on, not only compared with or looked up by."""
    nodes = list(ast.walk(tree))
    asked = {id(part) for node in nodes if isinstance(node, ast.Compare) for part in ast.walk(node)}
    asked |= {id(key) for node in nodes if isinstance(node, ast.Dict) for key in node.keys}
    texts = (node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {node.value for node in texts if node.value in FLAGS and id(node) not in asked}


def test_each_flag_is_raised_somewhere():
    rooms = ("gui/", "simulate/", "core/flags")  # these show flags, or list them
    raised = [handed_on(tree) for file, tree in trees().items() if not file.startswith(rooms)]
    assert set(FLAGS) - set().union(*raised) == set()


def imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) - {"vitascope"}


def normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()


@cache
def declared() -> dict[str, set[str]]:
    project = tomllib.loads(PROJECT.read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {group: {normal(requirement) for requirement in listed} for group, listed in groups.items()}


@cache
def known_distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def distributions(module: str) -> set[str]:
    known = known_distributions()
    return {normal(name) for name in known.get(module, [module])}


NOT_OPTIONAL = {"", "napari", "test", "docs", "dev"}


@pytest.mark.skipif(not PROJECT.is_file(), reason="The tests do not lie beside the project's pyproject.toml.")
def test_each_import_is_declared():
    """Qt and napari may be imported in the gui alone; what an extra brings, where it is wanted and not before."""
    missing = []
    for file, tree in trees().items():
        always = declared()[""] | (declared()["napari"] if file.startswith("gui/") else set())
        always |= declared()["serve"] if file.startswith("serve/") else set()  # the room is loaded by the command alone
        optional = set().union(*(found for group, found in declared().items() if group not in NOT_OPTIONAL))
        late = imported(ast.Module([n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)], []))
        for module in imported(tree):
            names = distributions(module)
            if not names & always and not (names & optional and module in late):
                missing.append(f"{file}: {module}")
    assert missing == []


@pytest.mark.skipif(not PROJECT.is_file(), reason="The tests do not lie beside the project's pyproject.toml.")
def test_each_dependency_is_wanted():
    """What is declared is imported, or named by something outside the source."""
    wanted = {name for tree in trees().values() for module in imported(tree) for name in distributions(module)}
    by_others = {
        "npe2": "reads the manifest",
        "openpyxl": "pandas reads and writes .xlsx with it",
        "imagecodecs": "tifffile reads compressed files with it",
    }
    extra = set().union(*(found for group, found in declared().items() if group in ("", "napari")))
    assert extra - wanted - set(by_others) == set()
