"""References as files, and those that a user registered by name, with a record of what was tested against them."""

from __future__ import annotations

import datetime
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from vitascope.core.errors import OutputError, ParameterError, ReaderError, describe
from vitascope.core.paths import BUNDLED_MODELS, user_references
from vitascope.io.atomic import atomic_write
from vitascope.stats.drift.file_format import MAX_BYTES, SUFFIX, pack_reference, unpack_reference
from vitascope.stats.drift.reference import Reference

RECORD = "tests.sqlite"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tests (
    number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, at TEXT NOT NULL, source TEXT NOT NULL, images INTEGER NOT NULL,
    steps INTEGER NOT NULL, alarms INTEGER NOT NULL, first_alarm TEXT, statistic REAL, p REAL, excess REAL, cause TEXT)
"""
_LATER = {"excess": "REAL", "cause": "TEXT"}
"""Columns that records of before lack."""


@dataclass(frozen=True)
class DriftRecord:
    """What one test against a reference came to.

    Parameters
    ----------
    sha256 : str
        Of the reference.
    at : str
        When, ISO 8601 in UTC.
    source : str
        Plate or folder.
    images : int
    steps : int
        Full windows.
    alarms : int
        Steps at which the statistic lay above its threshold.
    first_alarm : str
        The image of the first; empty for none.
    statistic : float or None
        Largest of the series.
    p : float or None
        Of the whole set.
    excess : float or None
        Largest of the series in units of its threshold: above 1 in alarm. None in records of before it was noted.
    cause : str
        Of the first alarm, in words; empty for none, and where it is not known.
    """

    sha256: str
    at: str
    source: str
    images: int
    steps: int
    alarms: int
    first_alarm: str
    statistic: float | None
    p: float | None
    excess: float | None = None
    cause: str = ""


def write_reference(reference: Reference, path: Path) -> None:
    """Write a reference to a file, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written, or is not called ``….drift``.
    """
    if path.suffix.lower() != SUFFIX:
        raise OutputError(f"'{path.name}' is no name of a reference.", f"End it with {SUFFIX}.")
    data = pack_reference(reference)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(data)


def read_reference(path: Path) -> Reference:
    """Read a reference from a file, after checking all of it.

    Raises
    ------
    ReaderError
        If it is not there, or is no sound reference.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ReaderError(f"'{path}' cannot be read: {describe(error)}.", "Check the path.") from error
    return unpack_reference(data, f"'{path.name}'")


def check_reference_name(name: str) -> str:
    """Return a name that a reference can be registered by.

    Raises
    ------
    ParameterError
        If it holds what is no part of a file's name on every system.
    """
    if not _NAME.fullmatch(name) or name != name.rstrip(" ."):
        raise ParameterError(
            f"A reference cannot be called '{name}'.", "Take letters, digits, spaces, dots, - and _; 80 at most."
        )
    return name


def register_reference(reference: Reference) -> Path:
    """Keep a reference for this user, under its name; one of that name before is replaced.

    Returns
    -------
    Path
    """
    path = user_references() / f"{check_reference_name(reference.name)}{SUFFIX}"
    write_reference(reference, path)
    return path


def find_reference(given: str | Path) -> Reference:
    """Find a reference by the path of its file, by the name it is registered under, or by a bundled model's id.

    Raises
    ------
    ParameterError
        If there is none.
    ReaderError
        If it is damaged.
    """
    text = str(given)
    path = Path(text)
    if path.suffix.lower() == SUFFIX or path.is_file():
        return read_reference(path)
    listed = dict(known_references())
    if text in listed:
        return read_reference(listed[text])
    known = ", ".join(listed)
    raise ParameterError(
        f"There is no drift reference '{text}'.",
        f"Give the path of a {SUFFIX} file or a registered name ({known}); 'vitascope drift reference' makes one.",
    )


def registered_references() -> list[tuple[str, Path]]:
    """List the registered references: names and files, in alphabetical order."""
    return [(path.stem, path) for path in sorted(user_references().glob(f"*{SUFFIX}")) if path.is_file()]


def bundled_references() -> list[tuple[str, Path]]:
    """List the references that lie beside the bundled models, by the model's id: of images it was trained on."""
    return [(path.stem, path) for path in sorted(BUNDLED_MODELS.glob(f"*{SUFFIX}"))]


def known_references() -> list[tuple[str, Path]]:
    """List all references that have a name: the user's own, then the bundled ones whose names are not taken."""
    own = registered_references()
    taken = {name for name, _ in own}
    return [*own, *((name, path) for name, path in bundled_references() if name not in taken)]


def note_test(record: DriftRecord) -> None:
    """Add a test to this user's record.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    user_references().mkdir(parents=True, exist_ok=True)
    row = (
        record.sha256,
        record.at,
        record.source,
        record.images,
        record.steps,
        record.alarms,
        record.first_alarm or None,
        record.statistic,
        record.p,
        record.excess,
        record.cause or None,
    )
    with _record() as database, database:
        database.execute(
            "INSERT INTO tests (sha256, at, source, images, steps, alarms, first_alarm, statistic, p, excess, "
            "cause) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )


def record_of(sha256: str) -> list[DriftRecord]:
    """Return what was tested against a reference, the latest last.

    Parameters
    ----------
    sha256 : str
        Of the reference.
    """
    if not (user_references() / RECORD).is_file():
        return []
    columns = (
        "sha256, at, source, images, steps, alarms, coalesce(first_alarm, ''), statistic, p, excess, "
        "coalesce(cause, '')"
    )
    with _record() as database:
        rows = database.execute(f"SELECT {columns} FROM tests WHERE sha256 = ? ORDER BY number", (sha256,)).fetchall()
    names = [field.name for field in fields(DriftRecord)]
    return [DriftRecord(**dict(zip(names, row, strict=True))) for row in rows]


def now() -> str:
    """Return the time as it is recorded: ISO 8601, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@contextmanager
def _record() -> Iterator[sqlite3.Connection]:
    path = user_references() / RECORD
    try:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            database.execute(_SCHEMA)
            known = {row[1] for row in database.execute("PRAGMA table_info(tests)")}
            for name in _LATER.keys() - known:
                database.execute(f"ALTER TABLE tests ADD COLUMN {name} {_LATER[name]}")
            yield database
    except sqlite3.Error as error:
        raise OutputError(
            f"The record of drift tests '{path}' cannot be used: {describe(error)}.", "Move it away and try again."
        ) from error
