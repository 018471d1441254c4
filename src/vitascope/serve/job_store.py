"""The queue of jobs, in SQLite: what was answered with 202 stands on the disk, and is run once.

Rollback journalling with full synchronisation, as for plates: it works on network drives, and survives a kill.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitascope.core.errors import OutputError, describe
from vitascope.serve.job import JobRecord, JobRequest, JobState, Outcome

JOURNAL = "jobs.sqlite"
MOST_ATTEMPTS = 20
"""A job during which the service itself was killed so often is not tried again: it may be what ends it. Jobs run in
processes of their own, so that this is rare, and a machine that is switched off now and then must not use it up."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, client TEXT NOT NULL, key TEXT, fingerprint TEXT NOT NULL, request TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, started REAL, ended REAL,
    error TEXT, counts TEXT, cancelled INTEGER NOT NULL DEFAULT 0, UNIQUE (client, key)
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, created);
CREATE TABLE IF NOT EXISTS turns (client TEXT PRIMARY KEY, last REAL NOT NULL);
"""
_COLUMNS = "id, client, request, state, attempts, created, started, ended, error, counts, fingerprint"
_OF_KEY = f"SELECT {_COLUMNS} FROM jobs WHERE client = ? AND key = ?"
_NEXT = """
SELECT jobs.id, jobs.client FROM jobs LEFT JOIN turns ON turns.client = jobs.client
WHERE jobs.state = 'queued' ORDER BY COALESCE(turns.last, 0), jobs.created, jobs.rowid LIMIT 1
"""
"""Fair: the next job is the oldest of the user whose last turn is longest ago."""


class JobStore:
    """The queue.

    Parameters
    ----------
    data : Path
        Folder of the service's data.

    Raises
    ------
    OutputError
        If the queue cannot be opened.
    """

    def __init__(self, data: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(data / JOURNAL, timeout=30, check_same_thread=False, isolation_level=None)
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OutputError(f"The queue in '{data}' cannot be opened: {describe(error)}.") from error

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def add(self, job: JobRecord, key: str | None = None) -> JobRecord:
        """Put a job into the queue; with a key that its sender has used before, return the job of that time."""
        with self._change() as base:
            if key is not None and (row := base.execute(_OF_KEY, (job.client, key)).fetchone()) is not None:
                return _record(row)
            base.execute(
                "INSERT INTO jobs (id, client, key, fingerprint, request, state, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (job.id, job.client, key, job.fingerprint, job.request.model_dump_json(), job.state, job.created),
            )
        return job

    def of_key(self, client: str, key: str) -> JobRecord | None:
        """Return the job that someone has put in with a key, or None."""
        with self._lock:
            row = self._base.execute(_OF_KEY, (client, key)).fetchone()
        return None if row is None else _record(row)

    def find(self, job_id: str) -> JobRecord | None:
        """Return a job, or None."""
        with self._lock:
            row = self._base.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else _record(row)

    def of_client(self, client: str, most: int = 100) -> list[JobRecord]:
        """Return someone's last jobs, the newest first."""
        query = f"SELECT {_COLUMNS} FROM jobs WHERE client = ? ORDER BY created DESC, rowid DESC LIMIT ?"
        with self._lock:
            return [_record(row) for row in self._base.execute(query, (client, most))]

    def count(self, state: JobState, client: str | None = None) -> int:
        """Count the jobs in a state, of one user or of all."""
        query, values = "SELECT COUNT(*) FROM jobs WHERE state = ?", [str(state)]
        if client is not None:
            query, values = f"{query} AND client = ?", [*values, client]
        with self._lock:
            return int(self._base.execute(query, values).fetchone()[0])

    def take(self) -> JobRecord | None:
        """Mark the next job as running and return it; None where none waits."""
        with self._change() as base:
            row = base.execute(_NEXT).fetchone()
            if row is None:
                return None
            now = time.time()
            base.execute(
                "UPDATE jobs SET state = 'running', attempts = attempts + 1, started = ? WHERE id = ?", (now, row[0])
            )
            base.execute("INSERT OR REPLACE INTO turns (client, last) VALUES (?, ?)", (row[1], now))
            return _record(base.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (row[0],)).fetchone())

    def end(self, job_id: str, outcome: Outcome) -> None:
        """Write down how a running job ended; one that has ended stays as it is."""
        error = None if outcome.error is None else json.dumps(outcome.error)
        with self._change() as base:
            base.execute(
                "UPDATE jobs SET state = ?, error = ?, counts = ?, ended = ? WHERE id = ? AND state = 'running'",
                (str(outcome.state), error, json.dumps(outcome.counts), time.time(), job_id),
            )

    def hand_back(self, job_id: str) -> None:
        """Put a running job back into the queue, as if it had not been started."""
        with self._change() as base:
            base.execute(
                "UPDATE jobs SET state = 'queued', attempts = attempts - 1, started = NULL "
                "WHERE id = ? AND state = 'running'",
                (job_id,),
            )

    def cancel(self, job_id: str) -> JobState | None:
        """Cancel a job: one that waits at once, one that runs as soon as its worker lets go; return what it was."""
        with self._change() as base:
            row = base.execute("SELECT state FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if row is None:
                return None
            base.execute("UPDATE jobs SET cancelled = 1 WHERE id = ?", (job_id,))
            base.execute(
                "UPDATE jobs SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'queued'",
                (time.time(), job_id),
            )
            return JobState(row[0])

    def is_cancelled(self, job_id: str) -> bool:
        """Tell whether someone has cancelled a job."""
        with self._lock:
            row = self._base.execute("SELECT cancelled FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return bool(row and row[0])

    def remove(self, job_id: str) -> None:
        """Forget a job that ended."""
        with self._change() as base:
            base.execute("DELETE FROM jobs WHERE id = ? AND state NOT IN ('queued', 'running')", (job_id,))

    def running(self) -> list[JobRecord]:
        """Return the jobs that are marked as running: after a start, those that the last service left."""
        with self._lock:
            return [_record(row) for row in self._base.execute(f"SELECT {_COLUMNS} FROM jobs WHERE state = 'running'")]

    def ended_before(self, when: float) -> list[str]:
        """Return the ids of jobs that ended before a time."""
        with self._lock:
            return [row[0] for row in self._base.execute("SELECT id FROM jobs WHERE ended < ?", (when,))]

    def requeue(self, job: JobRecord) -> None:
        """Put a job back that the service left when it was killed; the attempt counts."""
        if self.is_cancelled(job.id):
            self.end(job.id, Outcome(state=JobState.CANCELLED))
        elif job.attempts >= MOST_ATTEMPTS:
            told = {
                "message": f"The service ended {job.attempts} times while this job ran.",
                "hint": "Try it with fewer or smaller images.",
                "flag": "error",
            }
            self.end(job.id, Outcome(state=JobState.FAILED, error=told))
        else:
            with self._change() as base:
                base.execute("UPDATE jobs SET state = 'queued', started = NULL WHERE id = ?", (job.id,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()


def _record(row: tuple[object, ...]) -> JobRecord:
    job_id, client, request, state, attempts, created, started, ended, error, counts, fingerprint = row
    return JobRecord(
        id=str(job_id),
        client=str(client),
        request=JobRequest.model_validate_json(str(request)),
        state=JobState(str(state)),
        attempts=int(str(attempts)),
        created=float(str(created)),
        started=None if started is None else float(str(started)),
        ended=None if ended is None else float(str(ended)),
        error=None if error is None else json.loads(str(error)),
        counts=None if counts is None else json.loads(str(counts)),
        fingerprint=str(fingerprint),
    )
