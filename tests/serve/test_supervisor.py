"""What a supervisor does with workers that take too long, grow too large, or stop answering; workers are stand-ins."""

import subprocess
import sys
import time

import psutil
import pytest

from vitascope.serve import supervisor as supervising
from vitascope.serve.job import JobRecord, JobRequest, JobState, job_folder
from vitascope.serve.job_store import JobStore
from vitascope.serve.settings import Limits, ServiceSettings
from vitascope.serve.supervisor import Supervisor

STAND_IN = """
import json, sys, time
for line in sys.stdin:
    order = json.loads(line)
    if "cancel" in order:
        continue
    what = order["request"]["files"][0]
    if what == "long":
        while True:
            print(json.dumps({"progress": {"fraction": 0.5, "stage": "Working"}}), flush=True)
            time.sleep(0.05)
    held = bytearray(200 << 20) if what == "large" else b""
    if what == "large":
        time.sleep(60)
    print(json.dumps({"ended": {"state": "done", "counts": {"OK": 1}}}), flush=True)
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    started, start = [], subprocess.Popen

    def stand_in(words, **values):
        process = start([sys.executable, "-c", STAND_IN], **values)
        started.append(process)
        return process

    monkeypatch.setattr(supervising.subprocess, "Popen", stand_in)
    made = []

    def make_one(*jobs, **limits):
        settings = ServiceSettings(root=tmp_path, data=tmp_path / "data", limits=Limits(**limits))
        store = JobStore(settings.data)
        for number, name in enumerate(jobs):
            job = JobRecord(
                id=f"{number:032x}",
                client="ann",
                created=float(number),
                request=JobRequest(task="stain", files=(name,)),
            )
            job_folder(settings.data, job.id).mkdir(parents=True)
            store.add(job)
        supervisor = Supervisor(settings, store)
        supervisor.start()
        made.append(supervisor)
        return supervisor, store, started

    yield make_one
    for one in made:
        one.stop(0.0)
        one.store.close()


def ended(store, number, seconds=60):
    end = time.monotonic() + seconds
    while not (found := store.find(f"{number:032x}")).state.ended and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_a_job_that_takes_longer_than_the_limit_is_failed_its_worker_ended_and_the_next_one_done(make):
    supervisor, store, started = make("short", "long", "short", job_seconds=5.0)
    assert ended(store, 0).state is JobState.DONE
    long = ended(store, 1)
    assert long.state is JobState.FAILED
    assert long.error["message"] == "It took longer than 5 s."
    assert 5.0 <= long.ended - long.started < 15.0
    assert ended(store, 2).state is JobState.DONE
    assert len(started) == 2
    assert started[0].poll() is not None
    assert not psutil.pid_exists(started[0].pid)
    assert supervisor.progress == {}


def test_a_job_that_takes_more_memory_than_the_limit_is_failed_alone(make):
    _, store, started = make("large", "short", memory_bytes=100 << 20)
    large = ended(store, 0)
    assert (large.state, large.error["flag"]) == (JobState.FAILED, "memory")
    assert ended(store, 1).state is JobState.DONE
    assert started[0].poll() is not None


def test_a_worker_that_does_not_let_go_of_a_cancelled_job_is_ended(make, monkeypatch):
    monkeypatch.setattr(supervising, "LET_GO_S", 0.5)
    supervisor, store, started = make("long", "short")
    end = time.monotonic() + 60
    while not supervisor.progress and time.monotonic() < end:
        time.sleep(0.02)
    store.cancel(f"{0:032x}")
    assert ended(store, 0).state is JobState.CANCELLED
    assert ended(store, 1).state is JobState.DONE
    assert len(started) == 2
