"""Many stacks through the plate path: throughput, memory, overhead a stack, workers killed; and a model of more nodes.

``python -m tests.benchmarks scale [STACKS] [WORKERS] [KILL_S]``: a plate of STACKS stacks (64 x 256 x 256 x 2, ten files by
many names) is segmented by the bundled spheroid network; every KILL_S seconds one worker is killed (0: none). Whatever is
called "model" is a multiplication and no measurement.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import tifffile

BAR_S = 115.2
"""1,000 stacks in 4 h on 8 GPUs: seconds a stack a GPU (seed 003, section 3.3)."""

FILES, SHAPE = 10, (64, 2, 256, 256)
STACK_MIB = np.prod(SHAPE) * 2 / 2**20


def make_plate(folder: Path, stacks: int) -> Path:
    """Write ten stacks of spheres in two dyes, and give each many names."""
    folder.mkdir(parents=True)
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[2], : SHAPE[3]]
    made = []
    for number in range(FILES):
        random = np.random.default_rng(number)
        stack = random.normal(200, 15, SHAPE)
        for channel, share in ((0, 1.0), (1, 0.5)):
            radius = 70 * share + 2 * number
            ball = ((z - 32) * 2.5) ** 2 + (y - 128) ** 2 + (x - 128) ** 2 < radius**2
            stack[:, channel] += 1500 * ball
        path = folder.parent / f"stack{number}.ome.tif"
        axes = {"axes": "ZCYX", "PhysicalSizeX": 0.8, "PhysicalSizeY": 0.8, "PhysicalSizeZ": 2.0}
        units = {f"PhysicalSize{a}Unit": "µm" for a in "XYZ"}
        names = {"Channel": {"Name": ["calcein", "propidium iodide"]}}
        tifffile.imwrite(path, stack.clip(0, 65535).astype(np.uint16), ome=True, metadata={**axes, **units, **names})
        made.append(path)
    for number in range(stacks):
        well, field = number % 384, number // 384 + 1
        os.link(
            made[number % FILES], folder / f"p_{'ABCDEFGHIJKLMNOP'[well // 24]}{well % 24 + 1:02d}_f{field}.ome.tif"
        )
    return folder


def main(arguments: list[str]) -> None:
    stacks, workers, kill_s = (int(given) for given in [*arguments, *["1000", "1", "0"][len(arguments) :]])
    with tempfile.TemporaryDirectory() as made:
        plate, out = make_plate(Path(made) / "plate", stacks), Path(made) / "out"
        words = ["plate", str(plate), "--task", "spheroid", "-o", str(out), "--device", "cpu"]
        words += ["--workers", str(workers)] if workers > 1 or kill_s else []
        code = "from vitascope.cli.main import app; app()"
        clock, memory, killed, last = time.perf_counter(), [], 0, time.monotonic()
        log = (Path(made) / "log").open("w+")
        process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=log, stderr=log)
        while process.poll() is None:
            time.sleep(0.5)
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            memory.append(sum(resident(one) for one in family))
            busy = [one for one in family[1:] if "spawn_main" in " ".join(command(one))]
            if kill_s and busy and time.monotonic() - last > kill_s:
                busy[-1].send_signal(signal.SIGKILL)
                killed, last = killed + 1, time.monotonic()
        took = time.perf_counter() - clock
        assert process.returncode in (0, 3), (Path(made) / "log").read_text()[-2000:]
        table = pd.read_csv(out / "results.csv")
    tell(table, stacks, workers, took, memory, killed)


def tell(table: pd.DataFrame, stacks: int, workers: int, took: float, memory: list[int], killed: int) -> None:
    rows = table["image"].nunique()
    early, late = (max(part) / 2**30 for part in (memory[: len(memory) // 2 + 1], memory[len(memory) // 2 :]))
    each = took / stacks * workers
    print(f"{stacks} stacks, {workers} worker(s), {killed} killed: {took:.0f} s, {took / stacks:.2f} s a stack")
    print(
        f"  rows: {len(table)} of {rows} stacks, twice: {len(table) - rows}; {table['status'].value_counts().to_dict()}"
    )
    print(f"  memory: at most {early:.2f} GiB in the first half, {late:.2f} GiB in the second")
    print(f"  bar: {BAR_S} s a stack a GPU; here {each:.2f} s a stack a worker, {BAR_S / each:.1f} times as fast")
    for nodes in (1, 2, 4, 8):
        day = nodes * 86400 / each
        print(
            f"  model, {nodes} node(s) like this one: {day:,.0f} stacks a day, {day * STACK_MIB / 86400:.0f} MiB/s read"
        )
    needed, read = 1e6 * each / 86400, 1e6 * STACK_MIB / 86400
    print(f"  model: a million wells a day need {needed:.0f} such workers, and {read:.0f} MiB/s from the file system")


def resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
