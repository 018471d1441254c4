"""The seam: mypy compares every module that is loaded late with the protocol that its callers see."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import vitascope
from vitascope.core.late_import import import_late
from vitascope.tasks import late_modules, protocols
from vitascope.tasks.protocols import ComparisonModule, TrainingModule
from vitascope.tasks.registry import TASKS

SOURCE = Path(vitascope.__file__).parent.parent
SETTINGS = SOURCE.parent / "pyproject.toml"


def seam():
    """Every module that is loaded late, and its protocol as mypy writes it."""
    found = []
    for spec in TASKS:
        name = spec.params.__name__
        found.append((spec.pipeline, f"PipelineModule[{name}]", f"from {spec.params.__module__} import {name}"))
        found.append((spec.training, "TrainingModule", ""))
        if spec.searching:
            found.append((spec.searching, "SearchModule", ""))
    for call in ast.walk(ast.parse(inspect.getsource(late_modules))):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "import_late":
            found.append((call.args[0].value, call.args[1].id, ""))
    return found


def lines(pairs):
    """Write an assignment of each module to its protocol."""
    yield "from vitascope.tasks.protocols import *"
    for number, (module, protocol, imports) in enumerate(pairs):
        room, name = module.rsplit(".", 1)
        yield from filter(None, (imports, f"from {room} import {name} as m{number}"))
        yield f"v{number}: {protocol} = m{number}"


def refused_by_mypy(folder, pairs):
    """Let mypy look at the assignments; returns the names of those that it refuses, and what it says."""
    file = folder / "seam.py"
    text = list(lines(pairs))
    file.write_text("\n".join(text) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", SETTINGS, file],
        env={**os.environ, "MYPYPATH": str(SOURCE)},
        cwd=SETTINGS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    errors = [line.split("seam.py:")[1] for line in done.stdout.splitlines() if ": error:" in line]
    return [text[int(error.split(":")[0]) - 1].split(":")[0] for error in errors], done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not SETTINGS.is_file(), reason="the source is not here")
def test_every_module_is_what_its_protocol_says_and_another_would_be_refused(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed: the seam is not looked at")
    pairs = seam()
    assert len(pairs) == 2 * len(TASKS) + sum(bool(s.searching) for s in TASKS) + 14
    first, *_, last = TASKS
    wrong = [
        (first.pipeline, f"PipelineModule[{last.params.__name__}]", f"from {last.params.__module__} import *"),
        (first.pipeline, "TrainingModule", ""),
        ("vitascope.training.finetune", "ComparisonModule", ""),
    ]
    refused, told = refused_by_mypy(tmp_path, [*pairs, *wrong])
    assert refused == [f"v{len(pairs) + k}" for k in range(len(wrong))], told


def test_no_protocol_returns_what_is_not_known():
    for name, protocol in vars(protocols).items():
        if name.endswith("Module"):
            methods = [f for f in vars(protocol).values() if inspect.isfunction(f) and not f.__name__.startswith("_")]
            assert methods, name
            assert not [m.__name__ for m in methods if "Any" in m.__annotations__["return"]]


def test_a_module_that_lacks_something_is_refused_when_it_is_loaded():
    assert isinstance(import_late("vitascope.training.compare_models", ComparisonModule), ModuleType)
    with pytest.raises(TypeError, match="compare_models lacks what a TrainingModule has"):
        import_late("vitascope.training.compare_models", TrainingModule)
