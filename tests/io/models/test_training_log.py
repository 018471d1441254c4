import csv
import sqlite3

import pytest

from vitascope.core.errors import OutputError, ReaderError
from vitascope.io.models.training_log import RunRecord, list_records, put_record, read_curve, write_records_csv

HISTORY = [
    {"epoch": 1, "loss": 0.5, "learning_rate": 0.1, "score": 0.2},
    {"epoch": 2, "loss": 0.25, "learning_rate": 0.05, "score": 0.4},
]


def record(key="a", model="mine"):
    return RunRecord(
        key, model, "stain", "running", "parent 00", "2026-01-01T00:00:00", "cpu", "{}", versions={"x": "1"}
    )


def test_there_are_no_runs_before_the_first(tmp_path):
    assert list_records(tmp_path / "runs.sqlite") == []
    assert read_curve(tmp_path / "runs.sqlite", "a").empty


def test_a_run_is_put_down_epoch_by_epoch(tmp_path):
    path = tmp_path / "new" / "runs.sqlite"
    put_record(path, record().now("running"), HISTORY[:1])
    put_record(path, record().now("finished", "abc"), HISTORY)
    put_record(path, record("b", "=other").now("paused"), HISTORY[:1])
    found = {r.key: r for r in list_records(path)}
    assert (found["a"].status, found["a"].card_sha256, found["a"].versions) == ("finished", "abc", {"x": "1"})
    curve = read_curve(path, "a")
    assert curve["epoch"].tolist() == [1, 2]
    assert curve["loss"].tolist() == [0.5, 0.25]
    write_records_csv(path, tmp_path / "runs.csv")
    rows = {r["key"]: r for r in csv.DictReader((tmp_path / "runs.csv").read_text().splitlines())}
    assert (rows["a"]["score"], rows["b"]["score"]) == ("0.4", "0.2")
    assert rows["b"]["model"] == "'=other"


def test_broken_records_are_a_sentence(tmp_path):
    path = tmp_path / "runs.sqlite"
    path.write_text("this is no database, and long enough to be looked at as one")
    with pytest.raises(ReaderError, match="cannot be read"):
        list_records(path)
    with pytest.raises(OutputError, match="cannot be written"):
        put_record(path, record().now("running"), HISTORY)


def test_a_run_that_is_killed_while_it_writes_leaves_what_was_there(tmp_path):
    path = tmp_path / "runs.sqlite"
    put_record(path, record().now("running"), HISTORY[:1])
    db = sqlite3.connect(path)
    db.execute("UPDATE runs SET status = 'half'")
    db.close()  # without a commit
    assert list_records(path)[0].status == "running"
