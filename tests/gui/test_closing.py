"""The window is closed while something runs: no traceback, and the process ends."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("closing.py")
WITHIN_S = 5.0
"""Of a process with torch and napari in it, on a machine that has other things to do."""


@pytest.mark.gui
@pytest.mark.parametrize("stage", ["loading", "predicting", "writing", "plate", "training"])
def test_closing_the_window_in_the_middle_ends_the_process_without_a_traceback(stage, tmp_path):
    began = time.time()
    done = subprocess.run(
        [sys.executable, PROGRAM, stage, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    ended = time.time()
    assert done.returncode == 0, done.stderr[-3000:]
    for word in ("Traceback", "Exception ignored", "Fatal", "QThread", "Segmentation", "RuntimeError"):
        assert word not in done.stderr, done.stderr[-3000:]
    closed = float(done.stdout.split("closed ")[1].split()[0])
    opening_s = closed - began  # how busy the machine is
    assert ended - closed < max(WITHIN_S, opening_s / 2)
