"""What the plugin and its dock add to the start of napari: whole-process times, interleaved."""

import os
import statistics
import subprocess
import sys
import time

from tests.benchmarks.machine import describe

ROUNDS = 7
WARM_UP = 1
LIMIT = 0.10

OPEN = """
import napari, sys, time
from npe2 import PluginManager
if {disabled}:
    PluginManager.instance().disable("vitascope")
viewer = napari.Viewer()
if {dock}:
    start = time.perf_counter()
    viewer.window.add_plugin_dock_widget("vitascope", "Predict nuclei")
    print(time.perf_counter() - start)
heavy = [name for name in ("torch", "openvino", "monai") if name in sys.modules]
assert not heavy, heavy
from qtpy.QtWidgets import QApplication
QApplication.processEvents()
viewer.close()
"""
CASES = {
    "napari alone": OPEN.format(disabled=True, dock=False),
    "plugin registered": OPEN.format(disabled=False, dock=False),
    "dock open": OPEN.format(disabled=False, dock=True),
}


def measure(code):
    """Seconds of the whole process, seconds of processor it took, and what it printed."""
    start, before = time.perf_counter(), os.times()
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, processor, done.stdout.strip()


def startup(rounds=ROUNDS):
    """Median seconds of each case by the clock and of the processor, and of opening the dock alone."""
    clock = {name: [] for name in CASES}
    processor = {name: [] for name in CASES}
    opening = []
    for turn in range(WARM_UP + rounds):
        for name, code in CASES.items():
            taken, worked, printed = measure(code)
            if turn >= WARM_UP:
                clock[name].append(taken)
                processor[name].append(worked)
                opening += [float(printed)] if printed else []
    middle = statistics.median
    return {n: (middle(clock[n]), middle(processor[n])) for n in CASES}, middle(opening)


def main(arguments):
    rounds = int(arguments[0]) if arguments else ROUNDS
    print(describe())
    medians, opening = startup(rounds)
    alone = medians["napari alone"]
    for name, (taken, worked) in medians.items():
        ratios = f"x {taken / alone[0]:.3f}, processor {worked:.2f} s x {worked / alone[1]:.3f}"
        print(f"{name:18} {taken:.2f} s {ratios}")
    print(f"opening the dock   {opening:.2f} s (limit 0.5 s)")
    dock = medians["dock open"]
    added = " and ".join(f"{d / a - 1:+.1%}" for d, a in zip(dock, alone, strict=True))
    print(f"the dock adds {added} (by the clock and of the processor) to the start of napari (limit {LIMIT:.0%})")
    print("torch, OpenVINO and MONAI were not loaded")
