"""Records of training runs - parameters, curves, hashes - in one SQLite file."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from vitascope.core.errors import ReaderError, describe
from vitascope.io.atomic import atomic_write, output_error
from vitascope.io.tables.csv_append import cell

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, task TEXT NOT NULL, status TEXT NOT NULL, parent TEXT NOT NULL,
    started TEXT NOT NULL, updated TEXT NOT NULL, device TEXT NOT NULL, recipe TEXT NOT NULL, versions TEXT NOT NULL,
    card_sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS curves (
    key TEXT NOT NULL, epoch INTEGER NOT NULL, name TEXT NOT NULL, value REAL, PRIMARY KEY (key, epoch, name));
"""
_COLUMNS = ("key", "model", "task", "status", "parent", "started", "updated", "device", "recipe", "card_sha256")


@dataclass(frozen=True)
class RunRecord:
    """What is known of one training run.

    Parameters
    ----------
    key : str
        Of recipe and starting model: a resumed run keeps it.
    model, task : str
    status : str
        "running", "paused", "failed", or why it ended: "finished", "early stop", "stopped", "diverged".
    parent : str
        Id and SHA-256 of the starting model; empty for none.
    started, updated : str
        ISO 8601, UTC.
    device : str
    recipe : str
        JSON.
    versions : mapping of str to str
    card_sha256 : str
        Of the card that came out; empty before.
    """

    key: str
    model: str
    task: str
    status: str
    parent: str
    started: str
    device: str
    recipe: str
    updated: str = ""
    card_sha256: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def now(self, status: str, card_sha256: str = "") -> RunRecord:
        """Return the record with another status, as of now."""
        updated = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return replace(self, status=status, updated=updated, card_sha256=card_sha256)


def put_record(path: Path, record: RunRecord, history: Sequence[Mapping[str, float]]) -> None:
    """Write a run and its curve; the time it first started at stays.

    Parameters
    ----------
    path : Path
        The SQLite file; made where there is none.
    record : RunRecord
    history : sequence of mapping
        One for every epoch: ``epoch``, ``loss``, ``learning_rate`` and what was measured.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    values = {**{name: getattr(record, name) for name in _COLUMNS}, "versions": json.dumps(dict(record.versions))}
    names = ", ".join(values)
    kept = ", ".join(f"{n} = excluded.{n}" for n in values if n not in ("key", "started"))
    marks = ", ".join("?" * len(values))
    points = [
        (record.key, int(one["epoch"]), name, value)
        for one in history
        for name, value in one.items()
        if name != "epoch"
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=10)) as db, db:
            db.executescript(_SCHEMA)
            db.execute(
                f"INSERT INTO runs ({names}) VALUES ({marks}) ON CONFLICT (key) DO UPDATE SET {kept}",
                tuple(values.values()),
            )
            db.executemany("INSERT OR REPLACE INTO curves VALUES (?, ?, ?, ?)", points)
    except (sqlite3.Error, OSError) as error:
        raise output_error(path, error) from error


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the records for reading; None where there are none yet."""
    if not path.is_file():
        yield None
        return
    try:
        # not read-only: what a killed run left unfinished is rolled back by whoever opens the file next
        with closing(sqlite3.connect(path, timeout=10)) as db:
            yield db
    except sqlite3.Error as error:
        raise ReaderError(f"The records of training runs in {path.name} cannot be read: {describe(error)}.") from error


def list_records(path: Path) -> list[RunRecord]:
    """List the training runs, the latest first.

    Raises
    ------
    ReaderError
        If the file is broken.
    """
    names = (*_COLUMNS, "versions")
    with _open(path) as db:
        if db is None:
            return []
        rows = db.execute(f"SELECT {', '.join(names)} FROM runs ORDER BY updated DESC, started DESC").fetchall()
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [RunRecord(**{**one, "versions": json.loads(one["versions"])}) for one in found]


def read_curve(path: Path, key: str) -> pd.DataFrame:
    """Return the curve of a run: one row for each epoch, one column for each figure.

    Raises
    ------
    ReaderError
        If the file is broken.
    """
    question = "SELECT epoch, name, value FROM curves WHERE key = ?"
    with _open(path) as db:
        rows = [] if db is None else db.execute(question, (key,)).fetchall()
    table = pd.DataFrame(rows, columns=["epoch", "name", "value"])
    return table.pivot(index="epoch", columns="name", values="value").rename_axis(columns=None).reset_index()


def write_records_csv(path: Path, out: Path) -> None:
    """Write all runs with the last point of their curves as CSV.

    Raises
    ------
    ReaderError
        If the records are broken.
    OutputError
        If the table cannot be written.
    """
    rows = []
    for record in list_records(path):
        curve = read_curve(path, record.key)
        last = curve.iloc[-1].to_dict() if len(curve) else {}
        told: dict[str, object] = {name: getattr(record, name) for name in _COLUMNS if name != "recipe"}
        told |= {str(name): value for name, value in last.items()}
        rows.append({name: cell(value) for name, value in told.items()})
    with atomic_write(out) as file:
        file.write(pd.DataFrame(rows, columns=None if rows else list(_COLUMNS)).to_csv(index=False).encode())
