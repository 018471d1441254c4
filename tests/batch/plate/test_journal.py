import errno
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitascope.batch.item import ItemResult
from vitascope.batch.plate.journal import JOURNAL, Journal, from_bytes, has_journal, to_bytes
from vitascope.core.errors import OutputError, ReaderError
from vitascope.core.well import WellPosition
from vitascope.io.atomic import output_error

IMAGES = [(f"p_A{k:02d}_1", WellPosition("p", f"A{k:02d}", "1", "")) for k in (1, 2, 3)]


def done(name, folder, status="OK", **changes):
    place = dict(IMAGES)[name]
    objects = pd.DataFrame({"image": name, "label": [1, 2], "area_um2": [1.5, np.nan]})
    rows = [
        {"image": name, "well": place.well, "status": status, "mean": np.float64(0.1), "n": np.int64(3), "none": None}
    ]
    values = {"tables": {"objects.csv": objects, "results.csv": rows}, "pictures": (folder / "prediction" / name,)}
    return ItemResult(name, place, status, **{**values, **changes})


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path) as made:
        made.expect(IMAGES)
        yield made


def test_what_was_recorded_comes_back_in_the_order_of_the_plate(journal, tmp_path):
    journal.record([done("p_A03_1", tmp_path, flags=("saturated",), message="Hm.")])
    journal.record([done("p_A01_1", tmp_path)])
    first, last = journal.entries()
    assert (first.name, last.name) == ("p_A01_1", "p_A03_1")
    assert (last.status, last.reason, last.message, last.place) == ("OK", "saturated", "Hm.", IMAGES[2][1])
    assert last.rows == [{"image": "p_A03_1", "well": "A03", "status": "OK", "mean": 0.1, "n": 3, "none": None}]
    assert last.pictures == ("prediction/p_A03_1",)
    assert journal.counts() == {"": 1, "OK": 2}
    assert set(journal.finished()) == {"p_A01_1", "p_A03_1"}
    assert [piece["image"][0] for piece in journal.pieces("objects.csv")] == ["p_A01_1", "p_A03_1"]
    assert journal.table_names() == ("objects.csv",)


@pytest.mark.fault("G22")
def test_images_are_numbered_as_they_end_whatever_the_clock_says(journal, tmp_path):
    assert journal.latest() == 0
    journal.record([done("p_A02_1", tmp_path), done("p_A01_1", tmp_path)])
    assert journal.latest() == 2


def test_all_or_none_of_what_ended_together_is_recorded(journal, tmp_path):
    broken = done("p_A02_1", tmp_path, pictures=(Path("/elsewhere/x"),))
    with pytest.raises(ValueError, match="elsewhere"):
        journal.record([done("p_A01_1", tmp_path), broken])
    assert journal.finished() == {}


def test_what_is_forgotten_is_to_be_done_again(journal, tmp_path):
    journal.record([done(name, tmp_path) for name, _ in IMAGES])
    journal.forget(["p_A02_1"])
    assert set(journal.finished()) == {"p_A01_1", "p_A03_1"}
    assert len(journal.piece("objects.csv", "p_A02_1")) == 0
    assert len(journal.piece("objects.csv", "p_A01_1")) == 2


def test_more_images_may_come_and_known_ones_stay_done(journal, tmp_path):
    journal.record([done("p_A02_1", tmp_path)])
    journal.expect([("p_A00_9", WellPosition("p", "A01", "9", "")), *IMAGES])
    assert journal.counts() == {"": 3, "OK": 1}


def test_tables_survive_without_loss():
    table = pd.DataFrame(
        {"a": [0.1, np.nan, 1e-300], "b": [1, 2**60, -3], "c": ["µ", "", "x;y"], "d": [True, False, True]}
    )
    pd.testing.assert_frame_equal(from_bytes(to_bytes(table)), table, check_dtype=False)


def test_it_can_be_read_while_a_run_writes(journal, tmp_path):
    journal.record([done("p_A01_1", tmp_path)])
    seen = []

    def read():
        with Journal(tmp_path, read_only=True) as other:
            seen.append(other.counts())

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert seen == [{"": 2, "OK": 1}]
    with Journal(tmp_path, read_only=True) as other, pytest.raises(OutputError, match="cannot be written"):
        other.set(plan={})


def test_what_a_killed_run_left_half_written_is_rolled_back_by_a_reader(journal, tmp_path):
    journal.record([done("p_A01_1", tmp_path)])
    journal._db.execute("PRAGMA cache_spill = 1")
    journal._db.execute("PRAGMA cache_size = 1")
    journal._db.execute("BEGIN")
    for i in range(200):  # more than the cache holds: pages reach the file before the commit
        journal._db.execute("INSERT INTO run VALUES (?, ?)", (f"k{i}", "x" * 2000))
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (JOURNAL, f"{JOURNAL}-journal"):
        shutil.copy(tmp_path / name, copy / name)
    journal._db.rollback()
    with Journal(copy, read_only=True) as other:
        assert other.counts() == {"": 2, "OK": 1}
        assert other.get("k0") is None


def test_a_folder_without_a_journal_is_told_and_stays_without(tmp_path):
    with pytest.raises(ReaderError, match="holds no journal"):
        Journal(tmp_path, read_only=True)
    assert not has_journal(tmp_path)


@pytest.mark.fault("J11")
def test_a_journal_of_another_version_is_refused_and_not_touched(tmp_path):
    Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / JOURNAL) as db:
        db.execute("PRAGMA user_version = 99")
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(ReaderError, match="of version 99, this vitascope reads 1"):
        Journal(tmp_path)
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_a_broken_journal_is_said(tmp_path):
    (tmp_path / JOURNAL).write_bytes(b"no database at all" * 100)
    with pytest.raises(ReaderError, match="is broken"):
        Journal(tmp_path)


@pytest.mark.fault("F13")
def test_a_full_disk_reads_as_everywhere_else(journal):
    with pytest.raises(OutputError) as caught, journal._said():
        raise sqlite3.OperationalError("database or disk is full")
    assert caught.value.message == output_error(journal.path, OSError(errno.ENOSPC, "")).message
    assert "is full" in caught.value.message


def test_a_journal_that_is_just_being_made_is_looked_at_later(tmp_path):
    (tmp_path / JOURNAL).touch()
    with pytest.raises(ReaderError, match="only just beginning"):
        Journal(tmp_path, read_only=True)
