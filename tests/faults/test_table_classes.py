"""Members of the classes of faults in tables, made at random: each filled value comes back at its well, or the file is
refused, and the refusal names the line.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping

import openpyxl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from vitascope.core.errors import InputError
from vitascope.core.well import Well
from vitascope.io.tables.measured_values import read_amounts
from vitascope.io.tables.plate_map import read_plate_map
from vitascope.io.tables.plate_reader import read_reader_export

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
SHAPES = {96: (8, 12), 384: (16, 24), 1536: (32, 48)}
WORDS = ("OVER", "<LOD", "---", "n/a", "OVRFLW", "#SAT", "MISSED", ">5000", "?????")


def letters(row: int) -> str:
    return str(Well(row, 0))[:-2]


def write(path, rows, mark=",", encoding="utf-8"):
    text = io.StringIO()
    csv.writer(text, delimiter=mark, lineterminator="\n").writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def read_all(path) -> list[Mapping[str, float]]:
    """Read the values of a file through every face; all must agree."""
    exported = read_reader_export(path)
    kinds = exported.attrs["measured"]
    assert kinds == ["signal"]
    mapped = read_plate_map(path).table
    column = next(c for c in ("signal", "RLU", "treatment") if c in mapped and mapped[c].astype(str).any())
    from_map = {w: float(v) for w, v in zip(mapped["well"], mapped[column], strict=True) if v not in ("", *WORDS)}
    amounts = {amount.well: amount.value for amount in read_amounts(path).rows}
    return [dict(zip(exported["well"], exported["signal"], strict=True)), from_map, amounts]


def or_refused_by_line(read, path):
    """Return what is read, or None where the file is refused; a refusal names the line."""
    refusals = []
    try:
        return read(path)
    except InputError as error:
        refusals.append(error.message)
    assert re.search(r"line \d+", refusals[0])
    return None


def filled(values: Mapping[str, float]) -> dict[str, float]:
    return {well: value for well, value in values.items() if not math.isnan(value)}


@st.composite
def sparse_grids(draw):
    """Make a grid of any of the plate's rows and columns, blank cells among them, and all that may stand around it."""
    rows, columns = SHAPES[draw(st.sampled_from(sorted(SHAPES)))]
    some_rows = sorted(draw(st.sets(st.integers(0, rows - 1), min_size=1, max_size=10)))
    some_columns = sorted(draw(st.sets(st.integers(0, columns - 1), min_size=2, max_size=10)))
    empty = draw(st.sets(st.tuples(st.sampled_from(some_rows), st.sampled_from(some_columns)), max_size=6))
    cells = {(r, c): 100 * r + c + 1 for r in some_rows for c in some_columns if (r, c) not in empty}
    assume(cells)
    pad = "{:02}" if draw(st.booleans()) else "{}"
    lower = draw(st.booleans()) and columns <= 24
    corner = draw(st.sampled_from(["", "RLU", "<>"]))
    beside = draw(st.lists(st.sampled_from(["Mean", "SD", "% CV", "Average"]), max_size=2, unique=True))
    lines = [[corner, *(pad.format(c + 1) for c in some_columns), *beside]]
    for r in some_rows:
        if draw(st.integers(0, 4)) == 0:
            lines.append([""] * len(lines[0]))
        label = letters(r).lower() if lower else letters(r)
        lines.append([label, *(str(cells.get((r, c), "")) for c in some_columns), *(["7.5"] * len(beside))])
    for name in draw(st.lists(st.sampled_from(["Mean", "SD", "Median:", "CV (%)"]), max_size=2, unique=True)):
        lines.append([name, *(["3.25"] * len(some_columns))])
    if draw(st.booleans()):
        lines += [[], ["Settings"], ["Number of flashes", "12"], ["Assay ID: ", "", "3134"], ["Exported with X 1.2"]]
    above = draw(
        st.sampled_from([[], [["Results"]], [["User: A", "Path: b"], ["Date: 1/2/2024"], [], ["Raw Data (450)"], []]])
    )
    return [*above, *lines], {str(Well(r, c)): float(v) for (r, c), v in cells.items()}


@SETTINGS
@given(
    made=sparse_grids(), mark=st.sampled_from([",", ";", "\t"]), encoding=st.sampled_from(["utf-8", "utf-16", "cp1252"])
)
def test_b_each_value_of_a_grid_comes_back_at_its_well(tmp_path, made, mark, encoding):
    lines, expected = made
    path = write(tmp_path / "g.csv", lines, mark, encoding)
    for found in read_all(path):
        assert filled(found) == expected


@SETTINGS
@given(
    rows=st.sets(st.integers(0, 31), min_size=1),
    data=st.data(),
)
def test_b_rows_of_1536_wells_in_lower_case_are_read_or_refused(tmp_path, rows, data):
    some = sorted(rows)
    lines = [["", *range(1, 49)]]
    lines += [[letters(r) if r < 26 else "abcdef"[r - 26], *(100 * r + c for c in range(48))] for r in some]
    path = write(tmp_path / "g.csv", lines)
    expected = {str(Well(r, c)): 100.0 * r + c for r in some for c in range(48)}
    found = or_refused_by_line(read_reader_export, path)
    if found is None:
        return
    assert dict(zip(found["well"], found["signal"], strict=True)) == expected


STRANGE = {
    "a row without a letter": lambda row: ["", *row[1:]],
    "a row with another label": lambda row: ["R3", *row[1:]],
    "a row with another label and small whole numbers": lambda row: ["Bb", *range(3, 3 + len(row) - 1)],
    "a row with a number for its letter": lambda row: ["5", *row[1:]],
    "a value beyond the last column": lambda row: [*row, "42"],
    "a row that stands twice": lambda row: row,
}


@SETTINGS
@given(kind=st.sampled_from(sorted(STRANGE)), at=st.integers(1, 7))
def test_b_what_belongs_to_no_well_is_refused_by_its_line(tmp_path, kind, at):
    rows = [["signal", *range(1, 13)], *([letters(r), *(10 * r + c + 0.5 for c in range(12))] for r in range(8))]
    strange = STRANGE[kind](rows[at])
    rows = (
        [*rows[: at + 1], strange, *rows[at + 1 :]]
        if kind == "a row that stands twice"
        else [*rows[:at], strange, *rows[at + 1 :]]
    )
    path = write(tmp_path / "g.csv", rows)
    line = at + 2 if kind == "a row that stands twice" else at + 1
    for read in (read_plate_map, read_reader_export, read_amounts):
        with pytest.raises(InputError, match=rf"\b{line}\b"):
            read(path)


@SETTINGS
@given(
    numbers=st.lists(st.integers(1, 9_999_999), min_size=2, max_size=12),
    thousands=st.sampled_from([",", ".", " ", "'", "\u202f", ""]),
    layout=st.sampled_from(["grid", "list", "table"]),
)
def test_c_thousands_are_read_or_refused_with_both_readings_and_never_a_decimal(tmp_path, numbers, thousands, layout):
    cells = [f"{number:,}".replace(",", thousands) for number in numbers]
    expected = {str(Well(0, column)): float(number) for column, number in enumerate(numbers)}
    if thousands == "." and all("." in cell for cell in cells):
        cells.append("7")  # of whole numbers with thousands some have no mark
        expected[str(Well(0, len(numbers)))] = 7.0
    wells = list(expected)
    lines = {
        "grid": [["RLU", *range(1, len(cells) + 1)], ["A", *cells]],
        "list": [["P1", well, cell] for well, cell in zip(wells, cells, strict=True)],
        "table": [["Wells", "RLU"], *([well, cell] for well, cell in zip(wells, cells, strict=True))],
    }[layout]
    path = write(tmp_path / "t.csv", lines, "\t")
    for read in (read_plate_map, read_reader_export, read_amounts):
        try:
            found = read(path)
        except InputError as error:
            unclear = re.search(r"'([^']+)' in line \d+ may be .*: (\S+) or (\d+)\.", error.message)
            assert unclear is not None
            assert unclear[1] in cells
            assert float(unclear[2]) * 1000 == pytest.approx(float(unclear[3]))
            assert thousands in ".,"
            continue
        if read is read_amounts:
            values = {amount.well: amount.value for amount in found.rows}
        else:
            table = found.table if read is read_plate_map else found
            column = "signal" if "signal" in table else "RLU"
            values = dict(zip(table["well"], table[column], strict=True))
        assert values == expected


@SETTINGS
@given(
    values=st.lists(st.decimals("0.001", "99999", places=2, allow_nan=False), min_size=2, max_size=12),
    words=st.dictionaries(st.integers(0, 11), st.sampled_from(WORDS), max_size=4),
    comma=st.booleans(),
)
def test_c_decimals_are_numbers_with_either_mark_and_words_are_none(tmp_path, values, words, comma):
    cells = [words.get(at, str(value).replace(".", ",") if comma else str(value)) for at, value in enumerate(values)]
    expected = {str(Well(0, at)): float(value) for at, value in enumerate(values) if at not in words}
    assume(expected)
    path = write(tmp_path / "g.csv", [["RLU", *range(1, len(cells) + 1)], ["A", *cells]], ";" if comma else ",")
    for found in read_all(path):
        assert filled(found) == pytest.approx(expected)
    said = {word.well: word.text for word in read_reader_export(path).attrs["no_number"]}
    assert said == {str(Well(0, at)): word for at, word in words.items() if at < len(values)}
    assert {p.well for p in read_plate_map(path).problems if p.kind == "no_number"} == set(said)


@SETTINGS
@given(
    doses=st.lists(
        st.sampled_from(["0", "10", "100", "1,000", "12,500", "1,250,000", "2,5", "0.5"]), min_size=1, max_size=8
    )
)
def test_c_no_dose_is_wrong_by_a_thousand(tmp_path, doses):
    lines = [["well", "compound", "dose (nM)"], *([str(Well(0, n)), "x", dose] for n, dose in enumerate(doses))]
    found = or_refused_by_line(read_plate_map, write(tmp_path / "m.csv", lines, ";"))
    if found is None:
        return
    table = found.table
    assert not {"1,000", "12,500"} & set(doses) or {"0.5", "1,250,000", "2,5"} & set(doses)
    mark = "," if "2,5" in doses else "."
    plain = [dose.replace("," if mark == "." else ".", "").replace(mark, ".") for dose in doses]
    assert table["dose"].tolist() == [float(dose) for dose in plain]


@SETTINGS
@given(
    blocks=st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["X", "Y", "DMSO"])), min_size=1, max_size=4),
    across=st.booleans(),
)
def test_c_merged_cells_fill_all_their_wells(tmp_path, blocks, across):
    book = openpyxl.Workbook()
    sheet = book.active
    names = [name for size, name in blocks for _ in range(size)][:12]
    if across:
        sheet.append(["compound", *range(1, len(names) + 1)])
        sheet.append(["A"])
    else:
        sheet.append(["well", "compound", "note"])
        for n in range(len(names)):
            sheet.append([str(Well(0, n)), None, "n"])
    at = 0
    for size, name in blocks:
        size = min(size, len(names) - at)
        if size < 1:
            break
        place = {"row": 2, "column": 2 + at} if across else {"row": 2 + at, "column": 2}
        sheet.cell(**place, value=name)
        end = {"end_row": 2, "end_column": 1 + at + size} if across else {"end_row": 1 + at + size, "end_column": 2}
        sheet.merge_cells(start_row=place["row"], start_column=place["column"], **end)
        at += size
    book.save(tmp_path / "m.xlsx")
    table = read_plate_map(tmp_path / "m.xlsx").table.set_index("well")
    assert table["treatment"].to_dict() == {str(Well(0, n)): name for n, name in enumerate(names)}


@SETTINGS
@given(barcode=st.from_regex(r"[A-Z]{2}[0-9]{3,8}", fullmatch=True), excel=st.booleans(), number=st.integers(1, 9))
def test_f_a_barcode_is_its_text_and_an_empty_one_names_no_plate(tmp_path, barcode, excel, number):
    for code in (barcode, ""):
        shown = f'="{code}"' if excel else code
        lines = [["Plate information"], ["Plate", "Repeat", "Barcode", "Measured height"], [number, 1, shown, 6.5], []]
        lines += [["Results for LUM (CPS)"], ["", *(f"{c:02}" for c in range(1, 13)), ""]]
        lines += [[letters(r), *(10 * r + c for c in range(12)), ""] for r in range(8)]
        lines += [[], ["Platemap:"], ["Plate", "", "", "", number], ["Group", "", "", "", 1], []]
        lines += [["", *range(1, 13)], *([letters(r), *(["- "] * 12)] for r in range(8))]
        plate_map = read_plate_map(write(tmp_path / "e.csv", lines))
        assert set(plate_map.table["plate"]) == {code}
        assert plate_map.row(barcode, "H12")["signal"] == 81
        assert len(plate_map.table) == 96


@pytest.mark.parametrize("read", [read_plate_map, read_reader_export, read_amounts])
@pytest.mark.parametrize("rows", ["C2,DMSO,,\nD,DMSO,,\n", "Note,hello\nB,DMSO,,\n", "C2,DMSO,,\n"])
def test_a_row_of_one_word_in_a_grid_of_words_is_refused(tmp_path, read, rows):
    path = tmp_path / "grid.csv"
    path.write_text(f"treatment,1,2,3\nA,DMSO,x,y\n{rows}")
    with pytest.raises(InputError, match="Line 3 "):
        read(path)


def test_a_word_below_numbers_is_said_and_the_row_behind_it_counts(tmp_path):
    path = tmp_path / "grid.csv"
    path.write_text("signal,1,2\nA,1,2\nOperator,Eva\nB,OVER,\n")
    found = read_reader_export(path)
    assert found["well"].tolist() == ["A01", "A02", "B01", "B02"]
    assert [word.well for word in found.attrs["no_number"]] == ["B01"]
    assert any("'Operator', 'Eva'" in note for note in found.attrs["notes"])
    assert any("'Operator', 'Eva'" in problem for problem in read_amounts(path).problems)


@pytest.mark.parametrize("head", ["well,value\n", ""])
@pytest.mark.parametrize("first", ["A1-A3", "A1 & A2", "1-Jan", "A:1", "X99"])
def test_a_first_line_without_a_well_is_refused_not_passed_over(tmp_path, head, first):
    path = tmp_path / "list.csv"
    path.write_text(f"{head}{first},5\nB1,6\n")
    with pytest.raises(InputError, match=re.escape(first)):
        read_reader_export(path)


@pytest.mark.parametrize("read", [read_plate_map, read_reader_export, read_amounts])
@pytest.mark.parametrize("rows", [["A1,1.5", 'A2,"1,5"'], ['A1,"1.234,5"', "A2,1.5"]])
def test_two_decimal_marks_in_one_column_are_refused_by_every_reader(tmp_path, read, rows):
    path = tmp_path / "list.csv"
    path.write_text("\n".join(["well,value", *rows]))
    with pytest.raises(InputError, match="line "):
        read(path)


@pytest.mark.parametrize("read", [read_plate_map, read_reader_export, read_amounts])
def test_a_column_that_stands_twice_is_refused_by_every_reader(tmp_path, read):
    path = tmp_path / "list.csv"
    path.write_text("Well,Value,Value\nA1,5,6\n")
    with pytest.raises(InputError, match="'Value' twice"):
        read(path)


@pytest.mark.parametrize("label", ["Col {}", "column {}", "{}.0", "Col.{}", "{:02}"])
def test_columns_are_told_by_the_number_in_their_label(tmp_path, label):
    columns = range(2, 12)
    rows = [["", *(label.format(c) for c in columns)], *[[r, *(f"{c}.5" for c in columns)] for r in "BCG"]]
    path = write(tmp_path / "grid.csv", rows)
    found = read_reader_export(path).set_index("well")["signal"].to_dict()
    assert found == {f"{r}{c:02}": c + 0.5 for r in "BCG" for c in columns}
    assert {amount.well: amount.value for amount in read_amounts(path).rows} == found


@pytest.mark.parametrize("read", [read_plate_map, read_reader_export, read_amounts])
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "Excel before 2007"),
        (b"<html><table><tr><td>A1</td></tr></table></html>", "web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<Workbook/>", "XML"),
    ],
)
def test_what_instruments_save_as_xls_is_refused_by_name(tmp_path, read, data, what):
    path = tmp_path / "export.xls"
    path.write_bytes(data)
    with pytest.raises(InputError, match=what):
        read(path)


def test_a_workbook_is_one_whatever_its_name_ends_in(tmp_path):
    book = openpyxl.Workbook()
    for row in (["well", "value"], ["A1", 5]):
        book.active.append(row)
    book.save(tmp_path / "book.xlsx")
    path = (tmp_path / "book.xlsx").rename(tmp_path / "book.csv")
    assert read_reader_export(path)["signal"].tolist() == [5]


@pytest.mark.parametrize("cell", ["12%", "5 nM", "~5"])
def test_a_grid_without_numbers_says_which_cell_is_none(tmp_path, cell):
    path = write(tmp_path / "grid.csv", [["", "1", "2"], ["A", cell, cell]])
    with pytest.raises(InputError, match=rf"'{re.escape(cell)}' of A01 \(line 2\)"):
        read_reader_export(path)
