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
def make_dag(monkeypatch, tmp_path):
    """Read the DAG with what the environment says; a stand-in for the command notes what it is asked for."""
    names = {"airflow": "DAG", "airflow.providers.standard.operators.bash": "BashOperator"}
    names["airflow.providers.standard.sensors.bash"] = "BashSensor"
    for module, name in names.items():
        for part in (".".join(module.split(".")[: n + 1]) for n in range(module.count(".") + 1)):
            if part not in sys.modules:
                monkeypatch.setitem(sys.modules, part, ModuleType(part))
        setattr(sys.modules[module], name, Recorder)
    monkeypatch.setenv("VITASCOPE_COMMAND", str(tmp_path / "vitascope"))
    monkeypatch.setenv("VITASCOPE_OUT", str(tmp_path / "out with space"))

    def make(code=0, **environment):
        (tmp_path / "vitascope").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\nexit {code}\n')
        (tmp_path / "vitascope").chmod(0o755)
        for name, value in environment.items():
            monkeypatch.setenv(f"VITASCOPE_{name}", value)
        monkeypatch.setattr(Recorder, "made", [])
        runpy.run_path(str(ROOT / "examples" / "airflow_plate.py"))
        return {one.values["task_id"]: one for one in Recorder.made if "task_id" in one.values}

    return make


def done(task, folder):
    """Run the command of a task; return its exit code and what was asked for."""
    ran = subprocess.run(["bash", "-c", task.values["bash_command"]], check=False)
    return ran.returncode, (folder / "words").read_text().splitlines()


@pytest.mark.parametrize(("code", "fails"), [(0, False), (3, False), (2, True), (130, True)])
def test_the_dag_runs_the_plate_and_fails_only_where_all_of_it_did(make_dag, tmp_path, code, fails):
    dag = make_dag(code)
    failed, words = done(dag["run_plate"], tmp_path)
    assert (failed != 0) is fails
    assert words == ["plate", "/images/plate", "--task", "stain", "-o", str(tmp_path / "out with space")]
    assert dag["wait_for_plate"].after == [dag["run_plate"]]
    assert dag["run_plate"].after == [dag["write_report"]]
    assert "fit_curves" not in dag


def test_with_a_plate_map_the_dag_fits_curves_and_reports_them(make_dag, tmp_path):
    dag = make_dag(MAP="/maps/a map.csv", VALUE="viability", SCHEDULER="http://node17:8765")
    out = str(tmp_path / "out with space")
    assert done(dag["run_plate"], tmp_path)[1][-4:] == ["--map", "/maps/a map.csv", "--scheduler", "http://node17:8765"]
    (tmp_path / "out with space_response").mkdir()
    assert done(dag["fit_curves"], tmp_path) == (0, ["response", out, "-o", f"{out}_response", "--value", "viability"])
    assert not (tmp_path / "out with space_response").exists()
    assert done(dag["write_report"], tmp_path) == (0, ["report", f"{out}_response", "-o", f"{out}_report.html"])
    assert dag["run_plate"].after == [dag["fit_curves"]]
    assert dag["fit_curves"].after == [dag["write_report"]]


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
