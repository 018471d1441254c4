"""What a whole run touches: no network, no other process, no file but its own; and it needs no napari."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from tests_support import blobs, make_model, save_model

WATCHED = """
import json, os, socket, sys

PROCESSES = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec", "os.system")
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "socket.sendto")
CHANGES = ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.truncate", "os.chmod", "os.link", "os.symlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
seen = {"processes": [], "network": [], "files": []}

def note(event, args):
    if event in PROCESSES:
        seen["processes"].append([event, repr(args)[:200]])
    elif event in NETWORK or (event == "socket.__new__" and args[1] != getattr(socket, "AF_UNIX", None)):
        seen["network"].append([event, repr(args)[:200]])
    elif event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITING):
        if not isinstance(args[0], int):
            seen["files"].append([event, os.path.abspath(os.fsdecode(args[0]))])

GUI = {"napari", "npe2", "qtpy", "magicgui", "superqt", "vispy", "PySide6", "PyQt6", "PyQt5"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in GUI:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.addaudithook(note)
from vitascope.cli.main import app
try:
    app()
except SystemExit as stop:
    code = stop.code
import vitascope
models = [card.id for card in vitascope.list_models("stain")]
report, seen = seen, {"processes": [], "network": [], "files": []}
with open(os.environ["REPORT"], "w") as file:
    json.dump({**report, "code": code, "models": models, "modules": sorted(sys.modules)}, file)
"""


class Watched:
    """A run of the command in a process of its own, with everything it did."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("home", "temp", "work", "models"):
            (folder / name).mkdir()
        tifffile.imwrite(folder / "work" / "field.tif", (200 + 1000 * blobs()).astype(np.uint16))
        save_model(make_model(width=0.25, object_diameter_px=18), folder / "models")
        environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            "USERPROFILE": str(folder / "home"),
            "TMPDIR": str(folder / "temp"),
            "TEMP": str(folder / "temp"),
            "TMP": str(folder / "temp"),
            "XDG_CACHE_HOME": str(folder / "home" / ".cache"),
            "VITASCOPE_CACHE": str(folder / "cache"),
            "VITASCOPE_MODELS": str(folder / "models"),
            "REPORT": str(folder / "report.json"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.done = subprocess.run(
            [
                *(sys.executable, "-c", WATCHED, "run", "stain", "field.tif", "-o", "out", "--model", "test-model"),
                *("--set", "min_contrast=0"),
            ],
            cwd=folder / "work",
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert self.done.returncode == 0, self.done.stderr
        self.report = json.loads((folder / "report.json").read_text())


alone = pytest.mark.skipif(
    os.name == "nt", reason="Python itself asks a shell for the system's version there, and joins threads by sockets"
)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    return Watched(tmp_path_factory.mktemp("watched"))


@pytest.mark.fault("J03")
def test_library_and_command_work_without_napari_and_qt(watched):
    assert watched.report["code"] == 0
    assert "test-model" in watched.report["models"]
    assert len(pd.read_csv(watched.folder / "work" / "out" / "results.csv")) == 1
    loaded = {name.partition(".")[0] for name in watched.report["modules"]}
    assert not loaded & {"napari", "qtpy", "magicgui", "superqt", "PySide6", "PyQt6"}
    assert {"torch", "openvino"} <= loaded


@alone
@pytest.mark.fault("D23")
def test_no_socket_is_opened_and_no_name_looked_up(watched):
    assert watched.report["network"] == []


@alone
def test_no_process_is_started(watched):
    """OpenVINO's telemetry would start some that post to an analytics host."""
    assert watched.report["processes"] == []
    assert "openvino_telemetry.main" not in watched.report["modules"]


def test_files_are_written_to_the_results_the_cache_and_the_temporary_folder_only(watched):
    allowed = [str(watched.folder / name) for name in ("work/out", "cache", "temp")]
    outside = [
        (event, path)
        for event, path in watched.report["files"]
        if path != os.devnull and not any(os.path.commonpath([path, a]) == a for a in allowed)
    ]
    # whether the folder can be written to is tried with a file that has no name, or vanishes
    work = str(watched.folder / "work")
    assert [entry for entry in outside if work not in (entry[1], str(Path(entry[1]).parent))] == []
    assert {path.name for path in (watched.folder / "work").iterdir()} == {"field.tif", "out"}


def test_nothing_is_left_in_the_home_and_temporary_folders(watched):
    """Code that is not Python writes without being seen: the folders themselves tell."""
    assert list((watched.folder / "home").rglob("*")) == []
    assert list((watched.folder / "temp").rglob("*")) == []


@pytest.mark.fault("I12")
def test_the_pipe_got_one_line_for_the_image_and_no_warning(watched):
    (log,) = watched.done.stderr.splitlines()
    assert "1 of 1  field  OK  Nuclei: " in log
    lines = watched.done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("OK         field  Nuclei: ")
    assert lines[1] == "Results: out"


MISBEHAVING = """
import subprocess
subprocess.run([sys.executable, "-c", ""])
socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
open("here.txt", "w").close()
os.mkdir("there")
print(json.dumps(seen))
"""


def test_the_watch_sees_what_it_looks_for(tmp_path):
    code = WATCHED.partition("GUI = ")[0] + "sys.addaudithook(note)\n" + MISBEHAVING
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["processes"][0][0] == "subprocess.Popen"
    assert report["network"][0][0] == "socket.__new__"
    assert [Path(path).name for _, path in report["files"]] == ["here.txt", "there"]


IMPORTING = """
import importlib, pkgutil, sys, warnings
{hook}
import vitascope
names = []
for module in pkgutil.walk_packages(vitascope.__path__, "vitascope."):
    if not module.name.startswith("vitascope.gui"):
        importlib.import_module(module.name)
        names.append(module.name)
import json, os
print(json.dumps({{**seen, "names": names}}))
"""


@alone
def test_importing_every_module_has_no_effect(tmp_path):
    """No network, no process, no file, no word; libraries only try whether the temporary folder can be written to."""
    home, temporary = tmp_path / "home", tmp_path / "temp"
    home.mkdir()
    temporary.mkdir()
    hook = WATCHED.partition("GUI = ")[0] + "sys.addaudithook(note)"
    code = IMPORTING.format(hook=hook)
    environment = {
        **os.environ,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error:::vitascope", "-c", code],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert len(report["names"]) > 80
    assert (report["network"], report["processes"]) == ([], [])
    elsewhere = [p for _, p in report["files"] if p != os.devnull and Path(p).parent != temporary]
    assert elsewhere == []
    assert [*home.iterdir(), *temporary.iterdir()] == []
