"""Many stacks through the plate path: throughput, memory over time, overhead a stack, workers killed; a model of more.

``python -m tests.benchmarks scale [STACKS] [WORKERS] [KILL_S] [MINUTES]``: a plate of STACKS stacks (64 x 256 x 256 x 2, ten
files by many names) is segmented by the bundled spheroid network; every KILL_S seconds one worker is killed (0: none). After
MINUTES (0: never) the run is stopped as by Ctrl-C, and what it did is told. Whatever is called "model" is a multiplication
and no measurement.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import tifffile

from vitascope.batch.plate.journal import Entry, Journal

BAR_S = 115.2
"""1,000 stacks in 4 h on 8 GPUs: seconds a stack a GPU (seed 003, section 3.3)."""

FILES, SHAPE = 10, (64, 2, 256, 256)
STACK_MIB = np.prod(SHAPE) * 2 / 2**20
LOOK_S, TELL_S = 1.0, 60.0
COUNT = "SELECT COUNT(*) FROM images WHERE status IS NOT NULL"
MILLION_A_DAY = 1e6 / 86400
"""Wells a second."""

PLAIN = """
import sys, time, vitascope
for number, path in enumerate(sys.argv[1:]):
    clock = time.process_time()
    vitascope.run("spheroid", path, device="cpu", threads=1)
    print(time.process_time() - clock)
"""
"""The task itself on each file, without the plate path; processor seconds of each."""


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


@dataclass
class Watched:
    """What was seen of a run: a row for each look, and how it ended."""

    seconds: list[float] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    killed: int = 0
    took: float = 0.0


def main(arguments: list[str]) -> None:
    given = [*arguments, *["1000", "1", "0", "0"][len(arguments) :]]
    stacks, workers, kill_s, minutes = (int(one) for one in given)
    with tempfile.TemporaryDirectory() as made:
        plate, out = make_plate(Path(made) / "plate", stacks), Path(made) / "out"
        words = ["plate", str(plate), "--task", "spheroid", "-o", str(out), "--device", "cpu"]
        words += ["--workers", str(workers)] if workers > 1 or kill_s else []
        seen = watch(words, out, kill_s, 60 * minutes, Path(made) / "log")
        with Journal(out, read_only=True) as journal:
            entries = list(journal.entries())
        files = sorted(Path(made).glob("stack*.ome.tif"))
        plain = subprocess.run(
            [sys.executable, "-c", PLAIN, *map(str, files)], capture_output=True, text=True, check=True
        )
        tell(entries, stacks, workers, seen)
        tell_overhead(seen, [float(line) for line in plain.stdout.split()][1:])
        tell_model(seen.took / seen.done[-1] * workers)


def watch(words: list[str], out: Path, kill_s: int, stop_s: int, log_file: Path) -> Watched:
    """Run the command, look at it every second, and kill one of its workers every ``kill_s`` seconds."""
    seen, clock = Watched(), time.monotonic()
    last, told = clock, clock
    with log_file.open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from vitascope.cli.main import app; app()", *words], stdout=log, stderr=log
        )
        while process.poll() is None:
            time.sleep(LOOK_S)
            family = family_of(process.pid)
            seen.seconds.append(time.monotonic() - clock)
            seen.resident.append(sum(resident(one) for one in family))
            seen.processor.append(sum(processor(one) for one in family))
            seen.done.append(finished(out))
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                print(f"  {told - clock:5.0f} s: {seen.done[-1]} done, {seen.resident[-1] / 2**30:.2f} GiB", flush=True)
            busy = [one for one in family[1:] if "spawn_main" in " ".join(command(one))]
            if stop_s and time.monotonic() - clock > stop_s:
                process.send_signal(signal.SIGINT)
                process.wait()
                continue
            if kill_s and busy and seen.done[-1] and time.monotonic() - last > kill_s:
                with suppress(psutil.Error):  # it may have ended by itself in between
                    busy[-1].send_signal(signal.SIGKILL)
                    seen.killed, last = seen.killed + 1, time.monotonic()
    seen.took = time.monotonic() - clock
    seen.done[-1] = finished(out)
    assert process.returncode in (0, 3, 130), log_file.read_text()[-2000:]
    return seen


def tell(entries: list[Entry], stacks: int, workers: int, seen: Watched) -> None:
    done, each = seen.done[-1], seen.took / seen.done[-1] * workers
    print(
        f"{done} of {stacks} stacks, {workers} worker(s), {seen.killed} killed: {seen.took:.0f} s, {seen.took / done:.2f} s "
        "a stack"
    )
    rows = sum(len(one.rows) for one in entries)
    names = {one.name for one in entries}
    states = dict(Counter(str(one.status) for one in entries))
    print(f"  stacks {len(names)}, rows {rows}, twice: {len(entries) - len(names)}; {states}")
    gib = np.array(seen.resident) / 2**30
    quarters = [float(np.median(part)) for part in np.array_split(gib, 4)]
    print(
        f"  memory: medians of the quarters {', '.join(f'{one:.2f}' for one in quarters)} GiB, at most {gib.max():.2f} GiB"
    )
    print(f"  grows by {1024 * slope(seen.done, gib):+.2f} MiB a stack (line through all after the first tenth)")
    print(f"  bar: {BAR_S} s a stack a GPU; here {each:.2f} s a stack a worker, {BAR_S / each:.1f} times as fast")


def tell_overhead(seen: Watched, plain: list[float]) -> None:
    """Compare processor time: what other programs do at the same time does not count."""
    if not seen.killed:  # a worker that is killed takes the count of its time along
        a_stack = slope(seen.done, seen.processor)
        print(
            f"  processor time a stack: {a_stack:.2f} s by the plate path, {np.mean(plain):.2f} s by the task alone "
            f"({np.min(plain):.2f}-{np.max(plain):.2f}, {len(plain)} files): overhead {a_stack - np.mean(plain):+.2f} s"
        )


def tell_model(each: float) -> None:
    for nodes in (1, 2, 4, 8):
        day = nodes * 86400 / each
        print(
            f"  model, {nodes} node(s) like this one: {day:,.0f} stacks a day, {day * STACK_MIB / 86400:.0f} MiB/s read"
        )
    print(
        f"  model: a million wells a day need {MILLION_A_DAY * each:.0f} such workers, {MILLION_A_DAY * STACK_MIB:.0f} MiB/s "
        f"from the file system, and {MILLION_A_DAY:.1f} rows a second in the journals"
    )


def slope(done: list[int], values: object) -> float:
    """Return the growth a stack, by a line through all looks after the first tenth of the stacks."""
    x, y = np.array(done, float), np.asarray(values, float)
    kept = x >= max(1, x.max() / 10)
    return float(np.polyfit(x[kept], y[kept], 1)[0]) if len(set(x[kept])) > 1 else float("nan")


def finished(out: Path) -> int:
    """Count the images in the journal of a run under way."""
    try:
        base = sqlite3.connect(f"file:{out / 'journal.sqlite'}?mode=ro", uri=True, timeout=5)
        try:
            return int(base.execute(COUNT).fetchone()[0])
        finally:
            base.close()
    except sqlite3.Error:
        return 0


def family_of(pid: int) -> list[psutil.Process]:
    """A process and all that it started; none where it has just ended."""
    try:
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def processor(process: psutil.Process) -> float:
    try:
        return float(sum(process.cpu_times()[:2]))
    except psutil.Error:
        return 0.0


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
