from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from vitascope.core.errors import InputError, ReaderError
from vitascope.io.tables.read import read_table, to_numbers

EXPECTED = pd.DataFrame({"well": ["A1", "B02"], "dose (µM)": ["0,5", "10"], "compound": ["x; y", "DMSO"]}, dtype=object)
SEMICOLONS = 'well;dose (µM);compound\nA1;0,5;"x; y"\nB02;10;DMSO\n'
COMMAS = 'well,dose (µM),compound\nA1,"0,5",x; y\nB02,10,DMSO\n'
TABS = SEMICOLONS.replace('"x; y"', "x; y").replace("x; y", "x\x00y").replace(";", "\t").replace("x\x00y", "x; y")


@pytest.mark.fault("C06")
@pytest.mark.parametrize(
    "text",
    [
        SEMICOLONS,
        COMMAS,
        TABS,
        SEMICOLONS.replace("\n", "\r\n"),
        SEMICOLONS.replace("\n", "  \n\n"),
        "sep=;\r\n" + SEMICOLONS,
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_every_way_to_save_gives_the_same_table(tmp_path, text, encoding):
    path = tmp_path / "map.csv"
    path.write_bytes(text.encode(encoding))
    pd.testing.assert_frame_equal(read_table(path), EXPECTED)


def test_spaces_short_lines_and_empty_columns_at_the_end(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text(" well , dose ,,\n A1 , 1 ,,\n\n,,,\nB1\n")
    assert read_table(path).to_dict("records") == [{"well": "A1", "dose": "1"}, {"well": "B1", "dose": ""}]


@pytest.mark.fault("C07")
@pytest.mark.parametrize("text", ["", "\n \n", "well,dose\n", "\ufeffwell;dose\r\n\r\n"])
def test_empty_table_or_header_only(tmp_path, text):
    path = tmp_path / "map.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"empty|no rows"):
        read_table(path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a,,b\n1,2,3\n", "without a name"),
        ("a,a\n1,2\n", "twice"),
        ("a,b\n1,2,3\n", "Line 2"),
        ("a\0\0\0b,c\n1,2\n", "zero"),
    ],
)
def test_broken_tables_say_what_is_wrong(tmp_path, text, what):
    path = tmp_path / "map.csv"
    path.write_text(text + "x" * 400)
    with pytest.raises(InputError, match=what):
        read_table(path)


def test_numbers_with_decimal_comma_or_point():
    table = pd.DataFrame({"comma": ["0,5", "-1e3", " 2 ", "NA"], "point": ["0.5", "", "-", "1e-3"]})
    np.testing.assert_array_equal(to_numbers(table, "comma"), [0.5, -1000, 2, np.nan])
    np.testing.assert_array_equal(to_numbers(table, "point"), [0.5, np.nan, np.nan, 1e-3])


@pytest.mark.fault("C04")
def test_cells_that_are_no_numbers_are_named():
    table = pd.DataFrame({"dose": ["1", "10 uM", "inf", "1_000", "0.5", "1,5"]})
    with pytest.raises(InputError) as caught:
        to_numbers(table, "dose")
    for bad in ("'10 uM' in line 3", "'inf' in line 4", "'1_000' in line 5", "'1,5' in line 7"):
        assert bad in caught.value.message
    with pytest.raises(InputError, match="line 2"):
        to_numbers(pd.DataFrame({"dose": [""]}), "dose", required=True)
    with pytest.raises(InputError, match="no column 'x'"):
        to_numbers(table, "x")


def test_bad_cells_are_named_by_their_line_in_the_file(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("\nwell,dose\n\nA1,1\n\nA2,x\n")
    with pytest.raises(InputError, match="'x' in line 6"):
        to_numbers(read_table(path), "dose")


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(ReaderError, match="gone"):
        read_table(tmp_path / "no.csv")


@pytest.mark.fault("J07")
def test_excel_without_openpyxl_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "map.xlsx").touch()
    with pytest.raises(ReaderError, match="pip install openpyxl"):
        read_table(tmp_path / "map.xlsx")


def test_text_that_excel_shall_not_change_is_its_text(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text('well,plate,"=""dose"""\nA1,"=""0017""",=""\n')
    assert read_table(path).to_dict("records") == [{"well": "A1", "plate": "0017", "dose": ""}]


def test_formulas_count_by_the_value_that_was_saved_and_are_refused_without_one(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["well", "dose"], ["A1", '="0,5"'], ["A2", "=B2*2"]):
        book.active.append(row)
    book.save(tmp_path / "map.xlsx")
    with pytest.raises(InputError, match=r"cell B3 of 'map\.xlsx' holds the formula '=B2\*2' without its value"):
        read_table(tmp_path / "map.xlsx")
    book.active["B3"] = 1.125
    book.save(tmp_path / "map.xlsx")
    assert read_table(tmp_path / "map.xlsx")["dose"].tolist() == ["0,5", "1.1250"]  # four decimals are no thousands


def test_excel_equals_csv(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["well", "dose", "n"], ["A1", 0.5, 3.0], ["B2", None, "x"]):
        book.active.append(row)
    book.save(tmp_path / "map.xlsx")
    assert read_table(tmp_path / "map.xlsx").to_numpy().tolist() == [["A1", "0.5", "3"], ["B2", "", "x"]]
