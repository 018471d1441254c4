"""The journal of a plate run: one SQLite file that says of every image whether it is done, and what came out.

It is the truth; tables are written from it. A commit comes after the pictures of an image lie whole on the disk, so
that a run killed at any moment resumes from here: what is in the journal is done, everything else is not.
Rollback journalling, not WAL, for result folders often lie on network drives, where WAL does not work.
"""

from __future__ import annotations

import errno
import io
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from vitascope.batch.item import ItemResult
from vitascope.core.errors import ReaderError, describe
from vitascope.core.result import Provenance
from vitascope.core.well import WellPosition
from vitascope.io.atomic import output_error
from vitascope.io.results.folder import RESULTS
from vitascope.ops.intensity.appearance import LOOKS

JOURNAL = "journal.sqlite"
VERSION = 1
_SCHEMA = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE images (
    name TEXT PRIMARY KEY, position INTEGER NOT NULL,
    plate TEXT NOT NULL, well TEXT NOT NULL, field TEXT NOT NULL, time TEXT NOT NULL,
    status TEXT, reason TEXT, message TEXT, signature TEXT, seconds REAL, sequence INTEGER,
    rows TEXT, pictures TEXT, provenance TEXT);
CREATE TABLE tables (image TEXT NOT NULL, name TEXT NOT NULL, content BLOB NOT NULL, PRIMARY KEY (image, name));
CREATE INDEX by_position ON images (position);
"""
_LATER = ("features", "appearance")
"""Tables kept apart, so that journals begun before there were such are read and resumed."""


@dataclass(frozen=True)
class Entry:
    """What the journal says of one image that is done.

    Parameters
    ----------
    name : str
    place : WellPosition
    status : str
    reason : str
        The flags, joined by ``;``.
    message : str
    rows : list of dict
        Its rows of ``results.csv``.
    pictures : tuple of str
        Paths inside the results folder.
    """

    name: str
    place: WellPosition
    status: str
    reason: str
    message: str
    rows: list[dict[str, Any]]
    pictures: tuple[str, ...]


class Journal:
    """The journal of one results folder.

    Parameters
    ----------
    folder : Path
    read_only : bool
        To look at a run, also while it is running.

    Raises
    ------
    OutputError
        If it cannot be written.
    ReaderError
        If there is none to read, or it is broken or of another version.
    """

    def __init__(self, folder: Path, read_only: bool = False) -> None:
        self.folder, self.path = folder, folder / JOURNAL
        if read_only and not self.path.is_file():
            raise ReaderError(f"'{folder}' holds no journal of a plate run.", "Give the folder of a plate run.")
        # what a killed run left unfinished is rolled back by whoever opens the file next, a reader too
        mode = "rw" if read_only else "rwc"
        try:
            self._db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._error(error) from error
        with self._said():
            if read_only:
                self._db.execute("PRAGMA query_only = ON")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not read_only:
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
            elif version == 0:
                self._db.close()
                raise ReaderError(f"The run in '{folder}' is only just beginning.", "Look again in a moment.")
            elif version != VERSION:
                self._db.close()
                raise ReaderError(
                    f"The journal in '{folder}' is of version {version}, this vitascope reads {VERSION}.",
                    "Use the version of vitascope that made it, or another folder.",
                )
            if not read_only:
                with self._db:
                    for name in _LATER:
                        self._db.execute(
                            f"CREATE TABLE IF NOT EXISTS {name} (image TEXT PRIMARY KEY, content BLOB NOT NULL)"
                        )

    def __enter__(self) -> Journal:
        """Return the journal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- the run ----------------------------------------------------------------------------------------------------

    def get(self, key: str) -> Any:
        """Return what was noted of the run under a key, or None."""
        with self._said():
            found = self._db.execute("SELECT value FROM run WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def set(self, **values: Any) -> None:
        """Note something of the run.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        rows = [(key, json.dumps(value, ensure_ascii=False)) for key, value in values.items()]
        with self._said(), self._db:
            self._db.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)

    # -- the images -------------------------------------------------------------------------------------------------

    def expect(self, images: Sequence[tuple[str, WellPosition]]) -> None:
        """Note all images of the plate, in their order; what is known of them stays."""
        rows = [(n, i, p.plate, p.well, p.field, p.time) for i, (n, p) in enumerate(images)]
        with self._said(), self._db:
            self._db.executemany(
                "INSERT INTO images (name, position, plate, well, field, time) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET position = excluded.position",
                rows,
            )

    def record(self, images: Sequence[ItemResult]) -> None:
        """Note that images are done, all in one transaction.

        Raises
        ------
        OutputError
            If it cannot be written; then none of them counts as done.
        """
        with self._said(), self._db:
            (last,) = self._db.execute("SELECT coalesce(max(sequence), 0) FROM images").fetchone()
            for number, done in enumerate(images, start=last + 1):
                self._record(done, number)

    def _record(self, done: ItemResult, number: int) -> None:
        pictures = [path.relative_to(self.folder).as_posix() for path in done.pictures]
        self._db.execute(
            "UPDATE images SET status=?, reason=?, message=?, signature=?, seconds=?, sequence=?, rows=?, pictures=?, "
            "provenance=? WHERE name=?",
            (
                done.status,
                ";".join(done.flags),
                done.message,
                done.signature,
                done.seconds,
                number,
                json.dumps(done.tables.get(RESULTS, []), ensure_ascii=False, default=_plain),
                json.dumps(pictures, ensure_ascii=False),
                done.provenance.model_dump_json() if done.provenance else None,
                done.name,
            ),
        )
        self._db.execute("DELETE FROM tables WHERE image = ?", (done.name,))
        self._db.executemany(
            "INSERT INTO tables VALUES (?, ?, ?)",
            [(done.name, name, to_bytes(frame)) for name, frame in done.tables.items() if name != RESULTS],
        )
        for name, found in zip(_LATER, (done.features, done.appearance), strict=True):
            self._db.execute(f"DELETE FROM {name} WHERE image = ?", (done.name,))
            if found is not None:
                content = np.asarray(found, "<f4").tobytes()
                self._db.execute(f"INSERT INTO {name} VALUES (?, ?)", (done.name, content))

    def forget(self, names: Sequence[str]) -> None:
        """Note that images are to be run again."""
        with self._said(), self._db:
            self._db.executemany(
                "UPDATE images SET status=NULL, rows=NULL, pictures=NULL, provenance=NULL WHERE name = ?",
                [(name,) for name in names],
            )
            for table in ("tables", *_LATER):
                self._db.executemany(f"DELETE FROM {table} WHERE image = ?", [(name,) for name in names])

    def finished(self) -> dict[str, tuple[str, str]]:
        """Return status and signature of the images that are done, by name."""
        with self._said():
            found = self._db.execute("SELECT name, status, signature FROM images WHERE status IS NOT NULL").fetchall()
        return {name: (status, signature) for name, status, signature in found}

    def counts(self) -> dict[str, int]:
        """Return how many images have each status; the empty text stands for those that are not done."""
        with self._said():
            found = self._db.execute("SELECT coalesce(status, ''), count(*) FROM images GROUP BY 1").fetchall()
        return {str(status): int(count) for status, count in found}

    def latest(self) -> int:
        """Return the number of the image that was done last, to notice that there are new ones."""
        with self._said():
            (last,) = self._db.execute("SELECT coalesce(max(sequence), 0) FROM images").fetchone()
        return int(last)

    def entries(self) -> Iterator[Entry]:
        """Give the images that are done, in the order of the plate."""
        query = (
            "SELECT name, plate, well, field, time, status, reason, message, rows, pictures FROM images "
            "WHERE status IS NOT NULL ORDER BY position"
        )
        for name, plate, well, field, time, status, reason, message, rows, pictures in self._each(query):
            place = WellPosition(plate, well, field, time)
            yield Entry(
                name=name,
                place=place,
                status=status,
                reason=reason,
                message=message,
                rows=json.loads(rows),
                pictures=tuple(json.loads(pictures)),
            )

    def features(self) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
        """Give the images that are done, in the order of the plate, with their features, shape (F,), or None."""
        yield from self._arrays("features")

    def appearances(self) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
        """Give the images that are done, in the order of the plate, with their appearance, shape (6,), or None.

        Runs of before hold four of the numbers; the others are NaN then.
        """
        for name, look in self._arrays("appearance"):
            missing = 0 if look is None else LOOKS - len(look)
            yield name, np.pad(look, (0, missing), constant_values=np.nan) if look is not None and missing > 0 else look

    def _arrays(self, table: str) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
        with self._said():
            known = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        column, join = ("content", f"LEFT JOIN {table} ON image = images.name") if known else ("NULL", "")
        query = f"SELECT images.name, {column} FROM images {join} WHERE status IS NOT NULL ORDER BY position"
        for name, content in self._each(query):
            yield name, None if content is None else np.frombuffer(content, "<f4")

    def provenances(self) -> Iterator[Provenance]:
        """Give the provenance of each image that has one, in the order of the plate."""
        query = "SELECT provenance FROM images WHERE provenance IS NOT NULL ORDER BY position"
        for (text,) in self._each(query):
            yield Provenance.model_validate_json(text)

    def provenance_of(self, image: str) -> Provenance | None:
        """Return the provenance of one image; None where it has none."""
        text = self._one_cell("provenance", image)
        return None if text is None else Provenance.model_validate_json(text)

    def pictures_of(self, image: str) -> tuple[str, ...]:
        """Return the pictures of one image, as paths inside the results folder."""
        return tuple(json.loads(self._one_cell("pictures", image) or "[]"))

    def _one_cell(self, column: str, image: str) -> str | None:
        with self._said():
            found = self._db.execute(f"SELECT {column} FROM images WHERE name = ?", (image,)).fetchone()
        return None if found is None else found[0]

    def table_names(self) -> tuple[str, ...]:
        """Return the names of the further tables."""
        with self._said():
            return tuple(name for (name,) in self._db.execute("SELECT DISTINCT name FROM tables ORDER BY name"))

    def pieces(self, table: str) -> Iterator[pd.DataFrame]:
        """Give one table image by image, in the order of the plate."""
        query = "SELECT content FROM tables JOIN images ON image = images.name WHERE tables.name = ? ORDER BY position"
        for (content,) in self._each(query, (table,)):
            yield from_bytes(content)

    def piece(self, table: str, image: str) -> pd.DataFrame:
        """Return one image's part of a table; empty where it has none."""
        with self._said():
            found = self._db.execute(
                "SELECT content FROM tables WHERE name = ? AND image = ?", (table, image)
            ).fetchone()
        return from_bytes(found[0]) if found else pd.DataFrame()

    def _each(self, query: str, values: tuple[str, ...] = ()) -> Iterator[Any]:
        with self._said(), closing(self._db.execute(query, values)) as cursor:
            yield from cursor

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> Exception:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return ReaderError(
                f"The journal '{self.path}' is broken: {describe(error)}.", "Move it away, and start the run again."
            )
        if "full" in str(error):
            return output_error(self.path, OSError(errno.ENOSPC, str(error)))
        return output_error(self.path, error)


def has_journal(folder: Path) -> bool:
    """Tell whether a folder holds a plate run."""
    return (folder / JOURNAL).is_file()


def to_bytes(frame: pd.DataFrame) -> bytes:
    """Put a table into bytes without loss."""
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return sink.getvalue()


def from_bytes(content: bytes) -> pd.DataFrame:
    """Undo :func:`to_bytes`."""
    frame: pd.DataFrame = pa.ipc.open_stream(content).read_all().to_pandas()
    return frame


def _plain(value: Any) -> Any:
    convert: Callable[[], Any] | None = getattr(value, "tolist", None)
    return convert() if convert is not None else str(value)
