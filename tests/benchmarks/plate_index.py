"""Time to index a plate: a folder of 384 wells x 4 fields x 3 channels, and the same plate as OME-Zarr, by ome-zarr too.

``python -m tests.benchmarks plate_index [FOLDER]``. Start-up is left out of all times. ome-zarr is run by the Python
that ``OME_ZARR_PYTHON`` names (default: this one); without it its line is missing.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from tests.benchmarks.machine import describe

from vitascope.core.progress import run_to_end
from vitascope.core.well import Well
from vitascope.io.plates.ome_zarr_write import export_plate
from vitascope.io.plates.read import open_plate

FIELDS, CHANNELS, ROUNDS, LIMIT = 4, 3, 7, 0.3

TIMED = """
import sys, time
{imports}
start, before = time.perf_counter(), time.process_time()
found = {call}
print(time.perf_counter() - start, time.process_time() - before)
assert found
"""
OURS = TIMED.format(
    imports="from vitascope.io.plates.read import open_plate",
    call="len(open_plate(sys.argv[1]))",
)
THEIRS = TIMED.format(
    imports="import logging; logging.disable(logging.CRITICAL)\n"
    "from ome_zarr.io import parse_url\nfrom ome_zarr.reader import Reader",
    call="list(Reader(parse_url(sys.argv[1]))())",
)


def write_plate(folder, rows=16, columns=24):
    """One small TIFF for each channel of each field of each well."""
    folder.mkdir(parents=True)
    image = np.zeros((16, 16), np.uint16)
    for row in range(rows):
        for column in range(columns):
            for field in range(1, FIELDS + 1):
                for channel in range(1, CHANNELS + 1):
                    tifffile.imwrite(folder / f"Plate_{Well(row, column)}_s{field}_w{channel}.tif", image)
    return folder


def timed(python, code, path):
    """Seconds by the clock and of the processor in a process of its own, or None where it cannot be run."""
    done = subprocess.run([python, "-c", code, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"cannot be run: {done.stderr.strip().splitlines()[-1]}")
        return None
    return tuple(float(one) for one in done.stdout.split())


def columns(rows):
    """Clock and processor times of all rounds."""
    return list(zip(*rows, strict=True))


def main(arguments):
    print(describe())
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(arguments[0]) if arguments else Path(scratch)
        folder, zarr = home / "plate", home / "plate.zarr"
        if not folder.is_dir():
            write_plate(folder)
        if not zarr.is_dir():
            run_to_end(export_plate(open_plate(folder), zarr))
        names = {f"folder of {384 * FIELDS * CHANNELS} files": folder, "the same as OME-Zarr": zarr}
        for path in names.values():
            plate = open_plate(path)
            assert (len(plate.wells), len(plate)) == (384, 384 * FIELDS)
        found = {name: [] for name in names}
        other = []
        theirs = os.environ.get("OME_ZARR_PYTHON", sys.executable)
        for _ in range(ROUNDS):  # in turn, so that what else the machine does hits all alike
            for name, path in names.items():
                found[name].append(timed(sys.executable, OURS, path))
            if (one := timed(theirs, THEIRS, zarr)) is not None:
                other.append(one)
        for name, seconds in [*found.items(), *([("ome-zarr's reader", other)] if other else [])]:
            clock, processor = (statistics.median(column) for column in columns(seconds))
            print(f"{name:24} median {clock:.3f} s by the clock, {processor:.3f} s of the processor")
        for name, seconds in found.items() if other else ():
            shares = [
                statistics.median(a) / statistics.median(b)
                for a, b in zip(columns(seconds), columns(other), strict=True)
            ]
            print(f"{name}: {shares[0]:.3f} of ome-zarr's clock, {shares[1]:.3f} of its processor time (limit {LIMIT})")
