"""Worker processes: these tests start some, and are the slow ones of plate runs."""

import dataclasses
import itertools
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import dask
import pandas as pd
import psutil
import pytest
from distributed.system import MEMORY_LIMIT

import plate_support
from plate_support import GREED_BYTES, make_job, make_plate, tables
from vitascope.batch.cluster import STARTS, ClusterWorkers
from vitascope.batch.plate.run import run_plate
from vitascope.core.errors import OutputError, ParameterError, VitascopeError
from vitascope.core.progress import run_to_end

COUNTED = itertools.count(1)

pytestmark = [
    pytest.mark.slow,
    # of distributed, which closes its event loop when the last process has gone
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def plate(tmp_path):
    return make_plate(tmp_path / "plate", 24)


@pytest.mark.fault("G02")
@pytest.mark.fault("G21")
@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
def test_two_workers_killed_cost_no_well_and_change_no_number(plate, tmp_path):
    run_to_end(run_plate(make_job(plate, tmp_path / "whole")))
    log = tmp_path / "log"
    steps = run_plate(make_job(plate, tmp_path / "out", log=str(log), seconds=0.3, workers=2))
    killed: list[int] = []
    while True:
        try:
            at = next(steps)
        except StopIteration as stop:
            report = stop.value
            break
        if at.done >= 4 * (len(killed) + 1) and len(killed) < 2:
            workers = [p for p in psutil.Process().children(recursive=True) if is_worker(p) and p.pid not in killed]
            if workers:
                os.kill(workers[0].pid, signal.SIGKILL)
                killed.append(workers[0].pid)
    assert len(killed) == 2
    assert report.counts == {"OK": 24}
    assert report.computed == 24
    assert tables(tmp_path / "out") == tables(tmp_path / "whole")
    again = sum(count - 1 for count in Counter(log.read_text().split()).values())
    assert again <= 2 * 2, "a worker's death costs what it had in hand, and no more"


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
@pytest.mark.parametrize(("kills", "ends"), [(1, True), (99, False)])
def test_a_worker_killed_while_it_starts_is_started_again_and_one_that_always_is_ends_the_run(
    plate, tmp_path, kills, ends
):
    stop, killed = threading.Event(), []

    def kill():
        while len(killed) < kills and not stop.is_set():
            for process in psutil.Process().children(recursive=True):
                if is_worker(process) and process.pid not in killed:
                    process.kill()
                    killed.append(process.pid)
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        steps = run_plate(make_job(plate, tmp_path / "out", workers=1))
        if ends:
            assert run_to_end(steps).counts == {"OK": 24}
        else:
            with pytest.raises(VitascopeError, match="ended again and again while they were starting"):
                run_to_end(steps)
            assert not (tmp_path / "out").exists()
    finally:
        stop.set()
        thread.join()
    assert len(killed) == (1 if ends else STARTS)


def size_of_a_worker():
    """Bytes that a process takes which has loaded what a worker loads."""
    code = "import distributed, psutil, plate_support; print(psutil.Process().memory_info().rss)"
    folder = Path(plate_support.__file__).parent
    return int(subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True).stdout)


@pytest.mark.fault("G04")
def test_a_well_that_takes_more_memory_than_its_worker_may_fails_and_the_others_are_done(plate, tmp_path):
    most = size_of_a_worker() + GREED_BYTES // 2
    share = most / (MEMORY_LIMIT // 2)
    with dask.config.set({"distributed.worker.memory.terminate": share}):
        report = run_to_end(run_plate(make_job(plate, tmp_path / "out", greedy="A05", workers=2)))
    assert report.counts == {"FAILED": 1, "OK": 23}
    found = pd.read_csv(tmp_path / "out" / "results.csv").set_index("well")
    assert found.loc["A05", "flags"] == "worker_died"
    assert "Memory may have run out" in found.loc["A05", "message"]


def is_worker(process):
    try:
        return "spawn_main" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.fault("G19")
def test_local_workers_listen_on_this_machine_only_and_leave_nothing(plate, tmp_path):
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    seen = set()
    steps = run_plate(make_job(plate, tmp_path / "out", seconds=0.05, workers=2))
    for at in steps:
        if at.done >= 2 and not seen:
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                for connection in process.net_connections("inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        seen.add(connection.laddr.ip)
    assert seen == {"127.0.0.1"}
    assert {p.pid for p in psutil.Process().children(recursive=True) if is_worker(p)} <= before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in another way")
def test_a_worker_keeps_the_memory_of_an_image_for_the_next_one():
    def take_and_let_go(size):  # a worker does not see this module
        import resource

        import numpy as np

        np.ones(size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(2):
            np.ones(size)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    workers = ClusterWorkers(None, 1)
    try:
        (fetched,) = workers._client.run(take_and_let_go, 4_000_000).values()
    finally:
        workers.stop()
    assert fetched < 4_000_000 * 8 / 4096 / 10


def test_an_address_without_a_scheduler_is_said(plate, tmp_path, monkeypatch):
    monkeypatch.setattr("vitascope.batch.cluster.CONNECT_S", 0.5)
    with pytest.raises(ParameterError, match="no dask scheduler at"):
        run_to_end(run_plate(make_job(plate, tmp_path / "out", scheduler="tcp://127.0.0.1:9")))
    assert not (tmp_path / "out").exists()


@pytest.mark.fault("G18")
def test_a_cluster_by_address_gives_the_same_and_is_checked_first(plate, tmp_path, monkeypatch):
    from distributed import LocalCluster

    run_to_end(run_plate(make_job(plate, tmp_path / "whole")))
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp"
    ) as cluster:
        address = cluster.scheduler_address
        assert run_to_end(run_plate(make_job(plate, tmp_path / "out", scheduler=address))).complete
        assert tables(tmp_path / "out") == tables(tmp_path / "whole")
        with pytest.raises(OutputError, match="does not see"):
            ClusterWorkers(address, None, [str(tmp_path / "nowhere")])
        monkeypatch.setattr("vitascope.batch.cluster.versions", other_versions)
        with pytest.raises(ParameterError, match=r"other versions: numpy 0\.2"):
            run_to_end(run_plate(make_job(plate, tmp_path / "other", scheduler=address)))


@pytest.mark.fault("G09")
def test_a_scheduler_that_goes_away_is_said_and_the_run_can_be_gone_on_with(plate, tmp_path):
    from distributed import LocalCluster

    cluster = LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp"
    )
    job = make_job(plate, tmp_path / "out", scheduler=cluster.scheduler_address, seconds=0.1)
    steps = run_plate(job)
    while next(steps).done < 3:
        pass
    cluster.close()
    with pytest.raises(VitascopeError, match="scheduler is gone"):
        run_to_end(steps)
    report = run_to_end(run_plate(dataclasses.replace(job, scheduler=None)))
    assert report.complete
    assert 0 < report.computed <= 21


def test_a_cluster_that_loses_its_workers_with_what_they_had_done_is_said_and_hangs_nothing(
    plate, tmp_path, monkeypatch
):
    from distributed import LocalCluster

    monkeypatch.setattr("vitascope.batch.cluster.WITHOUT_S", 1.0)
    monkeypatch.setattr("vitascope.batch.cluster.FETCH_S", 1.0)
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp"
    ) as cluster:
        job = make_job(plate, tmp_path / "out", scheduler=cluster.scheduler_address, seconds=0.1)
        steps = run_plate(job)
        while next(steps).done < 3:
            pass
        cluster.scale(0)
        with pytest.raises(VitascopeError, match="has had no workers"):
            run_to_end(steps)
    assert run_to_end(run_plate(dataclasses.replace(job, scheduler=None))).complete


def test_a_worker_that_joins_late_gets_work(plate, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp"
    ) as cluster:
        workers = ClusterWorkers(cluster.scheduler_address, None)
        try:
            workers.limit(1)
            before = workers.slots
            cluster.scale(2)
            cluster.wait_for_workers(2)
            workers._next_look_s = 0.0
            workers.wait(0.1)
            workers.limit(1)
            assert workers.slots == 2 * before
        finally:
            workers.stop()


def other_versions():
    """What this process has: another numpy each time that it is asked, so that no two agree."""
    from vitascope.core.versions import _found

    return {**_found(), "numpy": f"0.{next(COUNTED)}"}
