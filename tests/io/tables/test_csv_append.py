from __future__ import annotations

import csv
import errno
import io

import numpy as np
import pandas as pd
import pytest

from vitascope.core.errors import OutputError
from vitascope.io.tables.csv_append import CsvAppender, cell, uncell, write_xlsx


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_are_there_after_every_append(tmp_path):
    table = CsvAppender(tmp_path / "t.csv", ("image",), ("unit",))
    for i in range(4):
        table.append([{"image": f"a{i}", "count": i, "mean": i / 3, "unit": "µm"}])
        rows = read(tmp_path / "t.csv")
        assert [row["count"] for row in rows] == [str(k) for k in range(i + 1)]
        assert list(rows[0]) == ["image", "count", "mean", "unit"]
    assert float(rows[1]["mean"]) == 1 / 3


def test_new_columns_come_in_the_order_they_are_first_seen(tmp_path):
    table = CsvAppender(tmp_path / "t.csv", ("image",), ("unit",))
    table.append([{"image": "a", "x": 1, "unit": "u"}])
    table.append([{"image": "b", "y": 2, "x": None}])
    table.append([{"image": "c", "z": 3}])
    rows = read(tmp_path / "t.csv")
    assert list(rows[0]) == ["image", "x", "y", "z", "unit"]
    assert [list(row.values()) for row in rows] == [
        ["a", "1", "", "", "u"],
        ["b", "", "2", "", ""],
        ["c", "", "", "3", ""],
    ]


def test_frames_and_mappings_write_the_same(tmp_path):
    rows = [{"label": 1, "area_px": 2.5, "name": '=x, "y"\nz'}, {"label": 2, "area_px": float("nan"), "name": ""}]
    for name, given in (("a.csv", rows), ("b.csv", pd.DataFrame(rows))):
        CsvAppender(tmp_path / name).append(given)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert read(tmp_path / "a.csv")[0]["name"] == '\'=x, "y"\nz'


@pytest.mark.fault("C08")
@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-x", "@SUM(A1)", "\tx", "plain", "'quoted", ""])
def test_text_is_never_a_formula_and_comes_back(text):
    written = cell(text)
    assert written[:1] not in tuple("=+-@\t\r")
    assert uncell(written) == text


def test_numbers_are_not_escaped_and_what_is_no_number_is_empty():
    assert cell(-0.5) == -0.5
    assert [cell(v) for v in (None, np.nan, np.inf, -np.inf, np.float32("nan"), pd.NA)] == [""] * 6
    frame = pd.DataFrame({"a": [-0.5, np.inf], "b": [-1, 2]})
    text = io.StringIO()
    frame.replace(np.inf, np.nan).to_csv(text, index=False)
    assert "'" not in text.getvalue()


@pytest.mark.fault("G14")
def test_full_disk_leaves_the_table_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    table = CsvAppender(path)
    table.append([{"a": 1}])
    before = path.read_bytes()
    real = type(path).open

    class Full:
        def __init__(self, file):
            self.file, self.calls = file, 0

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            self.calls += 1
            if self.calls > 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data[:1])

    monkeypatch.setattr(type(path), "open", lambda self, *a, **k: Full(real(self, *a, **k)))
    with pytest.raises(OutputError, match="full"):
        table.append([{"a": 22}])
    monkeypatch.undo()
    assert path.read_bytes() == before
    table.append([{"a": 3}])
    assert [row["a"] for row in read(path)] == ["1", "3"]


def test_rolling_back_takes_the_last_rows_only(tmp_path):
    table = CsvAppender(tmp_path / "t.csv")
    table.append([{"a": 1}])
    table.append([{"a": 2, "b": 3}])
    table.roll_back()
    table.roll_back()
    assert read(tmp_path / "t.csv") == [{"a": "1", "b": ""}]
    table.append([{"a": 4}])
    assert [row["a"] for row in read(tmp_path / "t.csv")] == ["1", "4"]


def test_rows_are_appended_and_the_file_is_not_written_anew(tmp_path, monkeypatch):
    table = CsvAppender(tmp_path / "t.csv", ("image",))
    anew = []
    write_anew = table._write_anew
    monkeypatch.setattr(table, "_write_anew", lambda new: (anew.append(list(new)), write_anew(new)))
    for i in range(300):
        table.append([{"image": f"a{i}", "x": i} if i < 200 else {"image": f"a{i}", "y": i}])
    assert anew == [["x"], ["y"]]
    assert [row["image"] for row in read(tmp_path / "t.csv")] == [f"a{i}" for i in range(300)]


def test_names_of_columns_are_no_formulas_in_excel_either(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    write_xlsx(tmp_path / "a.xlsx", pd.DataFrame({"=1+1": [1], "@x": ["=2"], "area_px": [3]}))
    rows = list(openpyxl.load_workbook(tmp_path / "a.xlsx").active.iter_rows(values_only=True))
    assert rows == [("'=1+1", "'@x", "area_px"), (1, "'=2", 3)]
