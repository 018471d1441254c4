"""What a command costs before its first number: processor seconds over those of ``import torch``, interleaved."""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from tests.benchmarks.machine import describe

from vitascope.core.paths import SAMPLES

ROUNDS = 7
SIDE_PX = 512
LIMITS = {"help": 0.3, "warm run": 2.0, "first run": 3.5}
COMMAND = [sys.executable, "-c", "from vitascope.cli.main import app; app()"]
TORCH = [sys.executable, "-c", "import torch"]


def processor_seconds(command, **environment):
    """Processor seconds, user and system, of a process and all it started."""
    before = os.times()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def measure(folder, rounds=ROUNDS):
    """Processor seconds of each case, round by round, and of importing torch beside them."""
    image = folder / "field.tif"
    tifffile.imwrite(image, np.ascontiguousarray(tifffile.imread(SAMPLES / "isl_phase.ome.tif")[3, :SIDE_PX, :SIDE_PX]))
    seconds = {name: [] for name in ("import torch", *LIMITS)}
    turns = iter(range(10_000))

    def run(cache):
        out = folder / f"out{next(turns)}"
        return processor_seconds([*COMMAND, "run", "stain", str(image), "-o", str(out)], VITASCOPE_CACHE=str(cache))

    warm = folder / "warm"
    run(warm)
    for _ in range(rounds):
        seconds["import torch"].append(processor_seconds(TORCH))
        seconds["help"].append(processor_seconds([*COMMAND, "--help"]))
        seconds["warm run"].append(run(warm))
        seconds["first run"].append(run(folder / f"first{next(turns)}"))
    return seconds


def main(arguments):
    rounds = int(arguments[0]) if arguments else ROUNDS
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(Path(folder), rounds)
    torch = statistics.median(seconds["import torch"])
    print(f"import torch: {torch:.2f} s of processor, median of {rounds}")
    for name, limit in LIMITS.items():
        middle = statistics.median(seconds[name])
        each = statistics.median(a / b for a, b in zip(seconds[name], seconds["import torch"], strict=True))
        print(
            f"{name:10} {middle:.2f} s, x {middle / torch:.2f} (limit {limit}), median of the rounds' own x {each:.2f}"
        )
