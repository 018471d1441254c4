"""What lies beside the package: the DAG, the compose file and the batch script do what they say."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vitascope.io.models.yaml import read_yaml

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / "examples").is_dir(), reason="The examples are not here.")


class Recorder:
    """Stands for the DAG and the operators of Airflow, and records what they are given."""

    made = []

    def __init__(self, *names, **values):
        self.values, self.after = values, []
        Recorder.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def __rshift__(self, other):
        self.after.append(other)
        return other


@pytest.fixture
def dag(monkeypatch, tmp_path):
    names = {"airflow": "DAG", "airflow.providers.standard.operators.bash": "BashOperator"}
    names["airflow.providers.standard.sensors.filesystem"] = "FileSensor"
    for module, name in names.items():
        for part in (".".join(module.split(".")[: n + 1]) for n in range(module.count(".") + 1)):
            if part not in sys.modules:
                monkeypatch.setitem(sys.modules, part, ModuleType(part))
        setattr(sys.modules[module], name, Recorder)
    monkeypatch.setattr(Recorder, "made", [])
    monkeypatch.setenv("VITASCOPE_COMMAND", str(tmp_path / "vitascope"))
    monkeypatch.setenv("VITASCOPE_OUT", str(tmp_path / "out with space"))
    runpy.run_path(str(ROOT / "examples" / "airflow_plate.py"))
    return {one.values["task_id"]: one for one in Recorder.made if "task_id" in one.values}


@pytest.mark.parametrize(("code", "fails"), [(0, False), (3, False), (2, True), (130, True)])
def test_the_dag_runs_the_plate_and_fails_only_where_all_of_it_did(dag, tmp_path, code, fails):
    command = tmp_path / "vitascope"
    command.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\nexit {code}\n')
    command.chmod(0o755)
    done = subprocess.run(["bash", "-c", dag["run_plate"].values["bash_command"]], check=False)
    assert (done.returncode != 0) is fails
    words = (tmp_path / "words").read_text().splitlines()
    assert words == ["plate", "/images/plate", "--task", "stain", "-o", str(tmp_path / "out with space")]
    assert dag["wait_for_plate"].after == [dag["run_plate"]]
    assert dag["run_plate"].after == [dag["check_tables"]]


def test_the_compose_file_gives_no_rights_that_are_not_needed():
    found = read_yaml((ROOT / "compose.yml").read_text())
    for name, service in found["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"]
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))
    text = (ROOT / "Dockerfile").read_text()
    assert {"cpu", "cuda"} <= set(re.findall(r"^FROM base AS (\w+)$", text, re.MULTILINE))
    for target in text.split("FROM base AS ")[1:]:
        assert "USER 10001" in target
        assert "HEALTHCHECK" in target


def test_the_batch_script_of_the_documentation_is_one():
    page = (ROOT / "docs" / "service.md").read_text()
    (script,) = (
        block for block in re.findall(r"^```\w*\n(.*?)^```$", page, re.M | re.S) if block.startswith("#!/bin/bash")
    )
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert "vitascope plate" in script
