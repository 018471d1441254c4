"""The process that computes: it takes jobs from its input, one line each, and tells where it stands on its output.

It ends when its input does, that is when the service ends, however that ends. Models stay loaded between jobs.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from vitascope.core.progress import Progress
from vitascope.io.atomic import write_json
from vitascope.serve.job import LOCK, OUTCOME, JobRequest, JobState, Outcome
from vitascope.serve.run_job import JobPlace, run_job

TELL_EVERY_S = 0.2


class Orders:
    """What the service says, read beside the work: jobs, and the wish to cancel one."""

    def __init__(self, lines: IO[str]) -> None:
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self.cancelled: set[str] = set()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            order = json.loads(line)
            if "cancel" in order:
                self.cancelled.add(order["cancel"])
            else:
                self.jobs.put(order)
        os._exit(0)  # the service is gone: what is half done is done again by the next one


def main() -> None:
    """Work until the service ends."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, this process goes, not the service
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    orders = Orders(sys.stdin)
    answers.write(json.dumps({"ready": os.getpid()}) + "\n")
    while True:
        _work(orders.jobs.get(), orders, answers)


def _work(order: dict[str, Any], orders: Orders, answers: IO[str]) -> None:
    folder = Path(order["folder"])
    place = JobPlace(folder=folder, root=Path(order["root"]), data=Path(order["data"]), pixels=order["pixels"])
    with FileLock(folder / LOCK):  # the worker of a service that was killed may still be ending
        outcome = _outcome(order["id"], JobRequest.model_validate(order["request"]), place, orders, answers)
        write_json(folder / OUTCOME, outcome.model_dump(mode="json"))
    answers.write(json.dumps({"ended": outcome.model_dump(mode="json")}) + "\n")


def _outcome(job_id: str, request: JobRequest, place: JobPlace, orders: Orders, answers: IO[str]) -> Outcome:
    steps, told = run_job(request, place), 0.0
    try:
        while True:
            at = next(steps)
            if job_id in orders.cancelled:
                steps.close()
                return Outcome(state=JobState.CANCELLED)
            if time.monotonic() - told >= TELL_EVERY_S:
                told = time.monotonic()
                answers.write(json.dumps({"progress": describe_progress(at)}) + "\n")
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome


def describe_progress(at: Progress) -> dict[str, Any]:
    """Put progress into words and numbers; ``fraction`` is that of the whole job."""
    images, image = getattr(at, "images", 1), getattr(at, "image", 0)
    within = min(1.0, at.done / at.total) if at.total else 0.0
    told = {"stage": at.stage, "done": at.done, "total": at.total, "image": image + 1, "images": images}
    return {**told, "name": getattr(at, "name", ""), "fraction": round((image + within) / max(1, images), 4)}


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # the service is gone
        main()
    os._exit(0)
