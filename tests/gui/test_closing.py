"""The window is closed while something runs: no traceback, and the process ends."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("closing.py")
WITHIN_S = 5.0
"""Of a process with torch and napari in it, on a machine that has other things to do."""


QUIT = """
import os, sys, time
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from napari.qt import get_qapp
from qtpy.QtCore import QTimer
from vitascope.core.progress import Progress
from vitascope.gui.common.runner import Runner
app = get_qapp()
def loading():
    yield Progress(0, 1, "begun")
    time.sleep(120)  # as a library or a model that is being loaded: it cannot be cut short
def steps():
    try:
        while True:
            time.sleep(0.02)
            yield Progress(0, 1, "begun")
    finally:
        print("cleared up", flush=True)
runner = Runner(activity=False)
runner.progressed.connect(lambda *_: QTimer.singleShot(100, app.quit))
QTimer.singleShot(0, lambda: runner.start("a run", {"loading": loading, "steps": steps}[sys.argv[1]]))
app.exec_()
print("left", time.time(), flush=True)
"""


@pytest.mark.parametrize(("run", "said"), [("loading", []), ("steps", ["cleared up"])])
def test_a_run_does_not_keep_the_program_from_ending_and_clears_up_where_it_can(run, said):
    began = time.time()
    done = subprocess.run([sys.executable, "-c", QUIT, run], capture_output=True, text=True, timeout=300, check=False)
    ended = time.time()
    assert (done.returncode, done.stderr) == (0, "")
    left, *after = done.stdout.splitlines()
    assert after == said
    assert ended - float(left.split()[1]) < max(WITHIN_S, (ended - began) / 2)


@pytest.mark.gui
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", ["loading", "predicting", "writing", "plate", "training"])
def test_closing_the_window_in_the_middle_ends_the_process_without_a_traceback(stage, tmp_path):
    began = time.time()
    done = subprocess.run(
        [sys.executable, PROGRAM, stage, tmp_path], capture_output=True, text=True, timeout=500, check=False
    )
    ended = time.time()
    assert done.returncode == 0, done.stderr[-3000:]
    for word in ("Traceback", "Exception ignored", "Fatal", "QThread", "Segmentation", "RuntimeError"):
        assert word not in done.stderr, done.stderr[-3000:]
    closed = float(done.stdout.split("closed ")[1].split()[0])
    opening_s = closed - began  # how busy the machine is
    assert ended - closed < max(WITHIN_S, opening_s / 2)
