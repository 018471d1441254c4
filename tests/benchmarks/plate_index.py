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
from tests.benchmarks.machine import describe, interleaved

from vitascope.core.plate import Well
from vitascope.core.steps import finish
from vitascope.io.open_plate import open_plate
from vitascope.io.plate_zarr_write import export_plate

FIELDS, CHANNELS, ROUNDS, LIMIT = 4, 3, 7, 0.3

READER = """
import sys, time, logging
logging.disable(logging.CRITICAL)
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
times = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    nodes = list(Reader(parse_url(sys.argv[1]))())
    times.append(time.perf_counter() - start)
    assert nodes
print(" ".join(str(one) for one in times))
"""


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


def reference(path, rounds):
    """Seconds that ome-zarr's reader takes, or None where there is none."""
    python = os.environ.get("OME_ZARR_PYTHON", sys.executable)
    done = subprocess.run([python, "-c", READER, str(path), str(rounds)], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"ome-zarr cannot be run: {done.stderr.strip().splitlines()[-1]}")
        return None
    return [float(one) for one in done.stdout.split()]


def line(name, seconds):
    print(f"{name:34} median {statistics.median(seconds):.3f} s, {min(seconds):.3f} to {max(seconds):.3f} s")


def main(arguments):
    print(describe())
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(arguments[0]) if arguments else Path(scratch)
        folder, zarr = home / "plate", home / "plate.zarr"
        if not folder.is_dir():
            write_plate(folder)
        if not zarr.is_dir():
            finish(export_plate(open_plate(folder), zarr))
        for path in (folder, zarr):
            plate = open_plate(path)
            assert (len(plate.wells), len(plate)) == (384, 384 * FIELDS)
        other = []
        ours = {"folder": [], "zarr": []}
        for _ in range(ROUNDS):  # in turn, so that what else the machine does hits all alike
            found = interleaved({"folder": lambda: open_plate(folder), "zarr": lambda: open_plate(zarr)}, 1)
            for name, seconds in found.items():
                ours[name] += seconds
            other += reference(zarr, 1) or []
        line(f"folder of {384 * FIELDS * CHANNELS} files", ours["folder"])
        line("the same as OME-Zarr", ours["zarr"])
        if other:
            line("ome-zarr's reader on the latter", other)
            for name, seconds in ours.items():
                share = statistics.median(seconds) / statistics.median(other)
                print(f"{name}: {share:.3f} of ome-zarr's time ({'within' if share <= LIMIT else 'ABOVE'} {LIMIT})")
