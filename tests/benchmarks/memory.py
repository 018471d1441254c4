"""20,000 x 20,000 px uint16 zarr in; prediction, masks and table out: peak resident memory of the whole command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from tests.benchmarks.machine import describe

LIMIT_GIB = 1.5


def make_image(path: Path, side: int) -> None:
    """A field repeated with changing light, so that there is something to find everywhere."""
    from vitascope.core.paths import SAMPLES
    from vitascope.io.images.read import read_image

    sample = np.asarray(read_image(str(SAMPLES / "isl_phase.ome.tif")).plane(z=3)).astype(np.float32)
    array = zarr.create_array(str(path), shape=(side, side), chunks=(1024, 1024), dtype="u2")
    repeats = -(-1024 // min(sample.shape)) + 1
    tile = np.tile(sample, (repeats, repeats))[:1024, :1024]
    for y in range(0, side, 1024):
        for x in range(0, side, 1024):
            block = np.roll(tile, (y // 7, x // 11), (0, 1))
            h, w = min(1024, side - y), min(1024, side - x)
            array[y : y + h, x : x + w] = np.clip(block[:h, :w], 0, 65535).astype(np.uint16)


def main(arguments: list[str]) -> None:
    side = int(arguments[0]) if arguments else 20_000
    folder = Path(tempfile.mkdtemp(prefix="vitascope-memory-"))
    try:
        make_image(folder / "large.zarr", side)
        print(describe())
        command = [sys.executable, "-c", "from vitascope.cli.main import app; app()", "run", "stain"]
        command += [
            str(folder / "large.zarr"),
            "-o",
            str(folder / "out"),
            "--model",
            "nuclei-phase",
            "--format",
            "zarr",
        ]
        start = time.perf_counter()
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        peak = usage.ru_maxrss / 2**20
        objects = pd.read_csv(folder / "out" / "objects.csv")
        labels = zarr.open(str(folder / "out" / "labels" / "large.ome.zarr"), mode="r")["0"]
        top = max(int(labels[y : y + 2048].max()) for y in range(0, side, 2048))
        print(
            f"exit {os.waitstatus_to_exitcode(status)}, {time.perf_counter() - start:.0f} s, {len(objects)} objects, labels to {top}"
        )
        print(f"peak resident memory {peak:.2f} GiB (limit {LIMIT_GIB})")
        print(describe())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
