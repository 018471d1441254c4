"""384 wells with 1 and 4 worker processes: CPU time; and 96 to 10,000 simulated wells: overhead a well, and memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import tifffile
from tests.benchmarks.machine import describe

HERE = Path(__file__).parent
WORKERS = (1, 4)
SIMULATED = (96, 10_000)


def cpu_of(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def busy(before: dict[tuple[int, int], float], seconds: float) -> tuple[int, dict[tuple[int, int], float]]:
    """How many threads of all our processes computed since the last look: more than half of the time."""
    now: dict[tuple[int, int], float] = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            now |= {(process.pid, t.id): t.user_time + t.system_time for t in process.threads()}
    return sum(now[key] - before.get(key, now[key]) > 0.5 * seconds for key in now), now


def one_run(plate: str, out: str, count: str, model: str) -> None:
    """Run stain on a plate; start-up ends when the first image of each worker is done."""
    from vitascope.batch.plate.job import PlateJob
    from vitascope.batch.plate.run import run_plate
    from vitascope.io.plates.read import open_plate
    from vitascope.tasks.stain import SPEC

    opened, workers = open_plate(plate), int(count)
    params = SPEC.make_params(model=model, precision="f32", tile_px=512)
    began, warm, cpu = time.perf_counter(), None, 0.0
    most, seen, looked = 0, {}, time.perf_counter()
    steps = run_plate(PlateJob(SPEC, opened, params, Path(out), workers=workers))
    last: list[psutil.Process] = []
    spent = 0.0
    while True:
        try:
            at = next(steps)
        except StopIteration:
            break
        if at.stage.startswith("Writing"):
            continue
        last = [psutil.Process(), *psutil.Process().children(recursive=True)]
        spent = cpu_of(last)
        if warm is None and at.done >= 16:
            warm, cpu, first = time.perf_counter(), spent, at.done
        if warm is not None and time.perf_counter() - looked > 1:
            count, seen = busy(seen, time.perf_counter() - looked)
            most, looked = max(most, count), time.perf_counter()
    assert warm is not None
    print(json.dumps({
        "workers": workers, "startup_s": warm - began, "startup_cpu_s": cpu, "wall_s": time.perf_counter() - warm,
        "cpu_s": spent - cpu, "images": len(opened) - first, "most_busy_threads": most,
    }))  # fmt: skip


def simulated(count: str, mode: str) -> None:
    """Run a task that takes no time on simulated wells, and tell time a well and memory."""
    sys.path.insert(0, str(HERE.parent))
    from plate_support import SPEC
    from vitascope.batch.plate.job import PlateJob
    from vitascope.batch.plate.run import run_plate
    from vitascope.core.well import Well, WellPosition
    from vitascope.io.filenames.grouping import ImageGroup
    from vitascope.io.plates.plate import Plate

    wells = int(count)
    with tempfile.TemporaryDirectory(prefix="vitascope-wells-") as folder:
        sites = tuple(
            SimulatedSite(f"p_{Well(k // 48 % 32, k % 48)}_{k // 1536}", Well(k // 48 % 32, k % 48),
                          ImageGroup("", (), place=WellPosition("p", str(Well(k // 48 % 32, k % 48)), str(k // 1536))))
            for k in range(wells)
        )  # fmt: skip
        plate = Plate("p", Path(folder), "simulated", 32, 48, sites)
        job = PlateJob(
            TableSpec(*(getattr(SPEC, f.name) for f in dataclasses.fields(SPEC))),
            plate,
            SPEC.make_params(),
            Path(folder) / "out",
            workers=int(mode) or None,
        )
        process = psutil.Process()
        started, rss = None, []
        for at in run_plate(job):
            if at.stage.startswith("Writing"):
                ended = time.perf_counter()
            elif started is None and at.done >= 40:
                started, first = time.perf_counter(), at.done
                rss.append(process.memory_info().rss)
            elif started is not None:
                rss.append(process.memory_info().rss)
        grown = max(rss) - rss[0]
        print(json.dumps({"wells": wells, "workers": mode, "ms_a_well": 1000 * (ended - started) / (wells - first),
                          "rss_mib": max(rss) / 2**20, "grown_mib": grown / 2**20}))  # fmt: skip


from vitascope.io.plates.plate import Site  # noqa: E402
from vitascope.tasks.spec import TaskSpec  # noqa: E402


class SimulatedSite(Site):
    """An image that is made, not read."""

    def open(self, pixel_size_um=None, axes=None):
        from vitascope.core.micrograph import Micrograph

        return Micrograph(np.ones((8, 8), np.uint16), "YX", name=self.id, place=self.place)


def count_only(inputs, params):
    from vitascope.core.progress import Progress
    from vitascope.core.result import Provenance, Result

    image = inputs["image"]
    yield Progress(0, 1, "Counting")
    provenance = Provenance(task="fake", model="fake", model_sha256="0" * 64, params=params.model_dump(mode="json"),
                            device="cpu", precision="f32", inputs=[{"name": image.name}], versions={}, started="",
                            seconds=0.0)  # fmt: skip
    return Result(
        (), ({"mean": float(np.asarray(image.array).mean())},), "", image.place, image.name, provenance=provenance
    )


class TableSpec(TaskSpec):
    """A task without pictures and without a model."""

    def load(self):
        return count_only


def fresh(*arguments: object) -> dict[str, float]:
    """Run a part in a process of its own."""
    code = "import sys; from tests.benchmarks import plate_scaling as p; getattr(p, sys.argv[1])(*sys.argv[2:])"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main(arguments: list[str]) -> None:
    print(describe())
    size, wells = (int(arguments[0]) if arguments else 256), (int(arguments[1]) if len(arguments) > 1 else 384)
    sys.path.insert(0, str(HERE.parent))
    from tests_support import blobs
    from vitascope.core.well import Well

    for count in SIMULATED:
        for mode in ("0", "2"):
            found = fresh("simulated", count, mode)
            where = "threads" if mode == "0" else f"{mode} processes"
            print(f"{count:6} simulated wells, {where}: {found['ms_a_well']:.2f} ms a well, "
                  f"memory {found['rss_mib']:.0f} MiB, grown by {found['grown_mib']:.0f} MiB", flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="vitascope-scaling-") as folder:
        plate = Path(folder) / "plate"
        plate.mkdir()
        for k in range(wells):
            centres = np.random.default_rng(k).uniform(10, size - 10, (12, 2))
            picture = (200 + 1000 * blobs((size, size), centres, seed=k)).astype(np.uint16)
            tifffile.imwrite(plate / f"p_{Well(k // 24, k % 24)}_s1_w1.tif", picture)
        spent = {}
        for workers in WORKERS:
            found = fresh("one_run", plate, Path(folder) / f"out{workers}", workers, "dna-brightfield")
            spent[workers] = found["cpu_s"] / found["images"]
            print(f"{wells} wells of {size} px, {workers} worker(s), {os.cpu_count()} cores: start-up "
                  f"{found['startup_s']:.1f} s ({found['startup_cpu_s']:.1f} s CPU), then {found['wall_s']:.1f} s, "
                  f"{1000 * spent[workers]:.0f} ms CPU a well, at most {found['most_busy_threads']:.0f} threads busy", flush=True)  # fmt: skip
        print(f"4 workers take {100 * (spent[4] / spent[1] - 1):+.1f} % CPU time of 1")
