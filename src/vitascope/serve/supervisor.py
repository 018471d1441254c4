"""Keeps worker processes at work: hands them jobs, watches time and memory, and starts a new one where one dies."""

from __future__ import annotations

import json
import logging
import queue
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from pydantic import ValidationError

from vitascope.serve.job import OUTCOME, RESULTS_FOLDER, UPLOADS, JobRecord, JobState, Outcome, job_folder
from vitascope.serve.job_store import JobStore
from vitascope.serve.settings import ServiceSettings

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
LET_GO_S = 5.0
"""How long a worker may take to cancel before it is ended."""

CLEAN_EVERY_S = 3600.0


class Supervisor:
    """Runs the jobs of a queue, each in a worker process.

    Parameters
    ----------
    settings : ServiceSettings
    store : JobStore
    """

    def __init__(self, settings: ServiceSettings, store: JobStore) -> None:
        self.settings, self.store = settings, store
        self.progress: dict[str, dict[str, Any]] = {}
        self._wake, self._stopping, self._deadline = threading.Event(), threading.Event(), 0.0
        self._slots = [_Slot(self) for _ in range(settings.workers)]
        self._cleaned = 0.0

    def start(self) -> None:
        """Take up what the last service left, and go to work."""
        for job in self.store.running():
            outcome = read_outcome(job_folder(self.settings.data, job.id))
            if outcome is None:
                self.store.requeue(job)
            else:
                self.store.end(job.id, outcome)
        for folder in (self.settings.data / "jobs").glob("*"):
            if self.store.find(folder.name) is None:  # its request was cut short before it was answered
                shutil.rmtree(folder, ignore_errors=True)
        for slot in self._slots:
            slot.thread.start()

    def wake(self) -> None:
        """Say that there is a job."""
        self._wake.set()

    def begin_to_stop(self, grace_s: float) -> None:
        """Take up nothing more, and let what runs finish for a while, counted from when this was said first."""
        if not self.stopping:
            self._deadline = time.monotonic() + grace_s
            self._stopping.set()
            self._wake.set()

    def stop(self, grace_s: float) -> None:
        """Let what runs finish for a while, and hand back what did not."""
        self.begin_to_stop(grace_s)
        for slot in self._slots:
            slot.thread.join(grace_s + LET_GO_S)

    @property
    def stopping(self) -> bool:
        """Whether the service ends."""
        return self._stopping.is_set()

    @property
    def out_of_time(self) -> bool:
        """Whether the service ends now."""
        return self.stopping and time.monotonic() > self._deadline

    def next_job(self) -> JobRecord | None:
        """Wait for a job; None where there is none yet."""
        self._clean()
        job = self.store.take()
        if job is None:
            self._wake.wait(1.0)
            self._wake.clear()
        return job

    def _clean(self) -> None:
        """Remove jobs that ended long ago."""
        if self.settings.keep_days and time.monotonic() - self._cleaned > CLEAN_EVERY_S:
            self._cleaned = time.monotonic()
            for job_id in self.store.ended_before(time.time() - 86400 * self.settings.keep_days):
                self.remove(job_id)

    def remove(self, job_id: str) -> None:
        """Forget a job that ended, with all its files."""
        self.store.remove(job_id)
        shutil.rmtree(job_folder(self.settings.data, job_id), ignore_errors=True)


class _Slot:
    """One worker process and the thread that looks after it."""

    def __init__(self, parent: Supervisor) -> None:
        self.parent = parent
        self.thread = threading.Thread(target=self._work, daemon=True)
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()

    def _work(self) -> None:
        parent = self.parent
        try:
            while not parent.stopping:
                job = parent.next_job()
                if job is None:
                    continue
                if parent.stopping:
                    parent.store.hand_back(job.id)
                    break
                try:
                    self._run(job)
                except Exception:
                    logger.exception("job %s", job.id)
                    self._end()
                    parent.store.end(job.id, _failed("Something unexpected went wrong.", "Try it again."))
                parent.progress.pop(job.id, None)
        finally:
            self._end()

    def _run(self, job: JobRecord) -> None:
        """Give a job to the worker, and see it through."""
        parent, folder = self.parent, job_folder(self.parent.settings.data, job.id)
        (folder / OUTCOME).unlink(missing_ok=True)
        settings = parent.settings
        order = {
            "id": job.id,
            "folder": str(folder),
            "root": str(settings.root),
            "data": str(settings.data),
            "pixels": settings.limits.pixels,
            "request": job.request.model_dump(mode="json"),
        }
        self._send(order)
        outcome = self._watch(job)
        if outcome is None:
            parent.store.hand_back(job.id)
            return
        if outcome.state == JobState.CANCELLED:
            shutil.rmtree(folder / RESULTS_FOLDER, ignore_errors=True)
        parent.store.end(job.id, outcome)
        if outcome.state == JobState.DONE or outcome.state == JobState.CANCELLED:
            shutil.rmtree(folder / UPLOADS, ignore_errors=True)  # results stay, images are the sender's

    def _watch(self, job: JobRecord) -> Outcome | None:
        """Follow a job until it ended; None where it is to be handed back."""
        limits, started, asked = self.parent.settings.limits, time.monotonic(), 0.0
        while True:
            with suppress(queue.Empty):
                said = self._lines.get(timeout=LOOK_EVERY_S)
                if "ended" in said:
                    return Outcome.model_validate(said["ended"])
                if "progress" in said:
                    self.parent.progress[job.id] = said["progress"]
                if "gone" in said:
                    return self._after_death(job)
            now = time.monotonic()
            if self.parent.out_of_time:
                self._end()
                return None
            if now - started > limits.job_seconds:
                self._end()
                return _failed(f"It took longer than {limits.job_seconds:g} s.", "Send it in several jobs.")
            if limits.memory_bytes and self._memory() > limits.memory_bytes:
                self._end()
                return _out_of_memory(limits.memory_bytes)
            if not asked and self.parent.store.is_cancelled(job.id):
                asked = now
                self._send({"cancel": job.id})
            if asked and now - asked > LET_GO_S:
                self._end()
                return Outcome(state=JobState.CANCELLED)

    def _after_death(self, job: JobRecord) -> Outcome:
        """Say how a job ended whose worker died."""
        self._end()
        found = read_outcome(job_folder(self.parent.settings.data, job.id))
        return found or _failed(
            "The process that computed it was ended by the system, most likely because memory ran out.",
            "Send fewer or smaller images, or set a smaller tile.",
            "memory",
        )

    def _send(self, order: dict[str, Any]) -> None:
        if self._process is None or self._process.poll() is not None:
            self._start()
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):  # a worker that died says so by the end of its output
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()

    def _start(self) -> None:
        self._end()
        self._lines = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vitascope.serve.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C at the service is not for its workers
        )
        threading.Thread(target=_listen, args=(self._process, self._lines), daemon=True).start()

    def _memory(self) -> int:
        """Return what the worker holds, in bytes."""
        with suppress(psutil.Error):
            if self._process is not None:
                return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()


def _listen(process: subprocess.Popen[str], lines: queue.Queue[dict[str, Any]]) -> None:
    if process.stdout is not None:
        with process.stdout as answers:
            for line in answers:
                with suppress(ValueError):  # a line that was cut short by death
                    lines.put(json.loads(line))
    lines.put({"gone": True})


def read_outcome(folder: Path) -> Outcome | None:
    """Read how a job ended, as its worker wrote it down; None where it did not."""
    try:
        return Outcome.model_validate_json((folder / OUTCOME).read_text("utf-8"))
    except (OSError, ValidationError):
        return None


def _failed(message: str, hint: str, flag: str = "error") -> Outcome:
    return Outcome(state=JobState.FAILED, error={"message": message, "hint": hint, "flag": flag})


def _out_of_memory(limit: int) -> Outcome:
    return _failed(
        f"It needed more than the {limit / 2**30:.3g} GiB of memory that a job may have.",
        "Send fewer or smaller images, or set a smaller tile.",
        "memory",
    )
