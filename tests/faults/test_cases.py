"""The cases in ``cases/``, each tried as a new user would; what ``case.md`` expects is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitascope.core.errors import InputError
from vitascope.io.tables.measured_values import read_amounts
from vitascope.io.tables.plate_map import read_plate_map
from vitascope.io.tables.plate_reader import read_reader_export

CASES = Path(__file__).parent / "cases"
TABLE_READERS = (read_plate_map, read_reader_export, read_amounts)


def _values_by_well(path: Path, *columns: str) -> list[dict[str, float]]:
    """Return what each face reads of a table: plate map, reader's export, training."""
    table = read_plate_map(path).table.set_index("well")
    column = next(column for column in columns if column in table)
    exported = read_reader_export(path).set_index("well")["signal"]
    amounts = {amount.well: amount.value for amount in read_amounts(path).rows}
    return [table[column].astype(float).to_dict(), exported.to_dict(), amounts]


def _counted(rows: str, columns: range) -> dict[str, float]:
    return {f"{letter}{c:02}": 100.0 * r + k for r, letter in enumerate(rows) for k, c in enumerate(columns)}


def test_10_grid_with_a_row_left_out(tmp_path):
    path = CASES / "10-grid-with-a-row-left-out" / "gap_row.csv"
    expected = {well: v for well, v in _counted("ABCDEFGH", range(1, 13)).items() if well[0] != "C"}
    blank = tmp_path / "blank_row.csv"
    blank.write_text(path.read_text().replace("\nD,", "\nC,,,,,,,,,,,,\nD,"))
    for found in _values_by_well(path, "signal"):
        assert found == expected
    for found in _values_by_well(blank, "signal"):
        assert {well: value for well, value in found.items() if value == value} == expected


def test_11_inner_wells_only():
    folder = CASES / "11-inner-wells-only"
    for found in _values_by_well(folder / "inner60.csv", "signal", "treatment"):
        assert found == _counted("BCDEFG", range(2, 12))
    for found in _values_by_well(folder / "inner_rows.csv", "signal", "treatment"):
        assert found == _counted("BCDEFG", range(1, 13))


@pytest.mark.parametrize(("name", "plate"), [("envision_barcode", "BC00017"), ("envision_nobarcode", "")])
def test_12_envision_barcode(name, plate):
    path = CASES / "12-envision-barcode" / f"{name}.csv"
    expected = {f"{letter}{c:02}": 1000.0 * r + c - 1 for r, letter in enumerate("ABCDEFGH") for c in range(1, 13)}
    for found in _values_by_well(path, "signal"):
        assert found == expected
    plate_map = read_plate_map(path)
    assert set(plate_map.table["plate"]) == {plate}
    assert plate_map.row("BC00017", "H12")["signal"] == 7011


@pytest.mark.parametrize("read", TABLE_READERS)
def test_13_dose_with_thousands_mark(read, tmp_path):
    text = (CASES / "13-dose-with-thousands-mark" / "dose_thousands.csv").read_text()
    path = tmp_path / "dose.csv"
    path.write_text(text if read is read_plate_map else text.replace("dose (nM)", "value"))
    with pytest.raises(InputError, match=r"'1,000' in line 2 may be .*: 1 or 1000\."):
        read(path)


@pytest.mark.parametrize("read", TABLE_READERS)
@pytest.mark.parametrize(("name", "line"), [("thousands_grid.csv", 2), ("thousands_list.csv", 1)])
def test_14_signal_with_thousands_mark(read, name, line):
    with pytest.raises(InputError, match=rf"'1,204' in line {line} may be .*: 1.204 or 1204\."):
        read(CASES / "14-signal-with-thousands-mark" / name)


def test_15_merged_cells():
    pytest.importorskip("openpyxl")
    found = read_plate_map(CASES / "15-merged-cells" / "merged.xlsx")
    table = found.table.set_index("well")
    assert table["treatment"].to_dict() == {
        **dict.fromkeys(("A01", "A02", "A03"), "drug X"),
        **dict.fromkeys(("A04", "A05", "A06"), "DMSO"),
    }
    assert table["role"].to_dict() == {
        **dict.fromkeys(("A01", "A02", "A03"), "treated"),
        **dict.fromkeys(("A04", "A05", "A06"), "negative"),
    }
