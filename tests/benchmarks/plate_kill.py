"""kill -9 of a 96-well run at 40 random moments, of 2 of 4 workers, and a minute of chaos on a cluster.

Wells lost, done twice, and whether the tables are those of an uninterrupted run. Chaos is ``distributed.chaos``: each of
four workers falls with a segmentation fault after a random while, 20 s in the mean, and is started anew.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.benchmarks.machine import describe

from vitascope.batch.plate.journal import Journal, has_journal
from vitascope.core.errors import ReaderError

SUPPORT = Path(__file__).parent.parent / "plate_support.py"
KILLS, SECONDS = 40, 0.25


def start(*arguments: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT.parent), *sys.path])}
    return subprocess.Popen([sys.executable, str(SUPPORT), *map(str, arguments)], env=environment)


def main(arguments: list[str]) -> None:
    sys.path.insert(0, str(SUPPORT.parent))
    from plate_support import make_plate, tables

    kills = int(arguments[0]) if arguments else KILLS
    print(describe())
    folder = Path(tempfile.mkdtemp(prefix="vitascope-kill-"))
    try:
        plate = make_plate(folder / "plate", 96)
        whole = folder / "whole"
        assert start(plate, whole, folder / "log0", 0, 0).wait() == 0
        wanted = tables(whole)

        def done(out: Path) -> set[str]:
            if not has_journal(out):
                return set()
            try:
                with Journal(out, read_only=True) as journal:
                    return set(journal.finished())
            except ReaderError:  # it is just being made
                return set()

        rng = random.Random(0)
        out, log = folder / "killed", folder / "log1"
        lost = twice = made = flying = 0
        before: set[str] = set()
        counted: Counter[str] = Counter()
        while made < kills:
            run = start(plate, out, log, SECONDS, 0)
            first = len(before)
            while run.poll() is None and len(done(out)) <= first:  # killed while it computes, not while it starts
                time.sleep(0.01)
            time.sleep(rng.uniform(0, SECONDS * 2))
            if run.poll() is not None:
                shutil.rmtree(out)
                before, counted = set(), Counter()
                log.unlink()
                continue
            run.kill()
            run.wait()
            made += 1
            now, journal = Counter(log.read_text().split()), done(out)
            flying += bool(set(now) - set(counted) - journal)
            lost += len(before - journal)
            twice += sum(now[name] - counted[name] for name in before)
            before, counted = journal, now
        assert start(plate, out, log, SECONDS, 0).wait() == 0
        now = Counter(log.read_text().split())
        twice += sum(now[name] - counted[name] for name in before)
        equal = tables(out) == wanted
        print(
            f"{made} kills of the run, {flying} of them with wells in flight: {lost} wells lost, {twice} computed again after they were journalled, tables equal: {equal}"
        )

        out, log = folder / "workers", folder / "log2"
        run = start(plate, out, log, SECONDS, 4)
        killed: list[int] = []
        while run.poll() is None:
            if len(killed) < 2 and len(done(out)) >= 10 * (len(killed) + 1):
                at_work = Path(f"{log}.process").read_text()
                if at_work and int(at_work) not in (run.pid, *killed):
                    os.kill(int(at_work), signal.SIGKILL)
                    killed.append(int(at_work))
            time.sleep(0.05)
        again = sum(count - 1 for count in Counter(log.read_text().split()).values())
        print(f"{len(killed)} of 4 workers killed: exit {run.returncode}, {96 - len(done(out))} wells lost, "
              f"{again} computed again (what the workers had in hand), tables equal: {tables(out) == wanted}")  # fmt: skip
        chaos(plate, folder / "chaos", wanted)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def chaos(plate: Path, out: Path, wanted: object) -> None:
    """Run the plate on a cluster whose workers fall."""
    from distributed import Client, LocalCluster
    from distributed.chaos import KillWorker

    from plate_support import make_job, tables
    from vitascope.batch.plate.run import run_plate

    os.environ["PYTHONPATH"] = os.pathsep.join([str(SUPPORT.parent), *sys.path])
    with (
        LocalCluster(4, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=60) as c,
        Client(c) as client,
    ):
        client.register_plugin(KillWorker(delay="20 s", mode="segfault"))
        started, processes = time.monotonic(), set()
        for _ in run_plate(make_job(plate, out, seconds=2.0, scheduler=c.scheduler_address)):
            processes |= {nanny.pid for nanny in c.workers.values()}
    with Journal(out, read_only=True) as journal:
        counts = journal.counts()
    print(f"chaos for {time.monotonic() - started:.0f} s: {counts}, {len(processes - {None}) - 4} workers fell, "
          f"tables equal: {tables(out) == wanted}")  # fmt: skip
