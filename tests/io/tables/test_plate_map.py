from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from vitascope.core.dose_unit import read_unit
from vitascope.core.errors import InputError, OutputError, ParameterError
from vitascope.core.well import Well
from vitascope.core.well_role import ROLES, read_role
from vitascope.io.plates.read import open_plate
from vitascope.io.tables.plate_map import PlateMap, read_plate_map
from vitascope.io.tables.vocabulary import COLUMNS, read_column, read_dose

LONG = "Well,Compound,Concentration (uM),Control type,Replicate,Donor,Batch\n" + "\n".join(
    ["A1,DMSO,0,neg,1,P3,x", "B02,drug X,0.5,,1,P3,x", "b3,drug X,10,sample,2,P3,y", "H12,staurosporine,1,pos,1,P3,y"]
)


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def by_well(found):
    return found.table.set_index("well")


def test_a_long_table_is_read_by_the_names_people_use(tmp_path):
    table = by_well(read_plate_map(write(tmp_path / "map.csv", LONG)))
    assert list(table.index) == ["A01", "B02", "B03", "H12"]
    assert table["treatment"].tolist() == ["DMSO", "drug X", "drug X", "staurosporine"]
    assert table["dose"].tolist() == [0, 0.5, 10, 1]
    assert set(table["dose_unit"]) == {"µM"}
    assert table["role"].tolist() == ["negative", "treated", "treated", "positive"]
    assert table["replicate"].tolist() == ["1", "1", "2", "1"]
    assert set(table["patient"]) == {"P3"}
    assert table["Batch"].tolist() == ["x", "x", "y", "y"]


@pytest.mark.fault("C06")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_semicolons_and_decimal_commas_are_the_same_map(tmp_path, encoding):
    rows = [";".join(cells) for cells in (line.split(",") for line in LONG.splitlines())]
    german = "\r\n".join(rows).replace("0.5", "0,5")
    one = read_plate_map(write(tmp_path / "one.csv", LONG)).table
    other = read_plate_map(write(tmp_path / "other.csv", german, encoding)).table
    pd.testing.assert_frame_equal(one, other)


GRIDS = """treatment;1;2;3
A;DMSO;drug X;drug X
B;DMSO;drug Y;drug Y

dose (nM)
;1;2;3
A;;0,5;1
B;;2;4,5

role;1;2;3
A;negative;;
B;negative;;
"""


def expected_of_grids():
    rows = []
    for row, drug, doses in (("A", "drug X", (0.5, 1)), ("B", "drug Y", (2, 4.5))):
        rows.append((f"{row}01", "DMSO", math.nan, "", "negative"))
        rows += [(f"{row}{n:02}", drug, dose, "nM", "treated") for n, dose in zip((2, 3), doses, strict=True)]
    return rows


def check_grids(found):
    columns = ["well", "treatment", "dose", "dose_unit", "role"]
    expected = pd.DataFrame(expected_of_grids(), columns=columns)
    pd.testing.assert_frame_equal(found.table[columns], expected, check_dtype=False)


def test_grids_in_the_shape_of_the_plate_are_put_together(tmp_path):
    check_grids(read_plate_map(write(tmp_path / "map.csv", GRIDS)))


def test_grids_on_the_sheets_of_a_workbook(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, cells in {
        "treatment": [["DMSO", "drug X", "drug X"], ["DMSO", "drug Y", "drug Y"]],
        "dose (nM)": [[None, 0.5, 1], [None, 2, 4.5]],
        "role": [["negative", None, None], ["negative", None, None]],
    }.items():
        sheet = book.create_sheet(name)
        sheet.append([None, 1, 2, 3])
        for letter, row in zip("AB", cells, strict=True):
            sheet.append([letter, *row])
    book.save(tmp_path / "map.xlsx")
    check_grids(read_plate_map(tmp_path / "map.xlsx"))


def test_a_whole_1536_grid_reaches_the_last_well(tmp_path):
    lines = ["treatment," + ",".join(str(n) for n in range(1, 49))]
    lines += [",".join([str(Well(row, 0))[:-2], *(f"{row}-{column}" for column in range(48))]) for row in range(32)]
    table = by_well(read_plate_map(write(tmp_path / "map.csv", "\n".join(lines))))
    assert len(table) == 1536
    assert table.loc["AF48", "treatment"] == "31-47"
    assert table.loc["Z07", "treatment"] == "25-6"


def test_columns_with_other_names_can_be_told(tmp_path):
    path = write(
        tmp_path / "map.csv", "ImageNumber,Column,Row,SBS_Doses,SBS_Controls\n1,01,A,0,-1\n2,02,A,3,0\n3,12,H,0,1\n"
    )
    found = read_plate_map(path, columns={"dose": "SBS_Doses", "role": "SBS_Controls"})
    assert by_well(found)["role"].to_dict() == {"A01": "negative", "A02": "treated", "H12": "positive"}
    assert by_well(found).loc["A02", "dose"] == 3
    with pytest.raises(InputError, match="no column 'nothing'"):
        read_plate_map(path, columns={"dose": "nothing"})


def test_a_column_that_is_told_to_hold_doses_keeps_the_unit_of_its_name(tmp_path):
    path = write(tmp_path / "map.csv", "well;Stoff;Dosis [nM]\nA1;x;3,5\nA2;x;20\n")
    found = by_well(read_plate_map(path, columns={"dose": "Dosis [nM]", "treatment": "Stoff"}))
    assert found[["dose", "dose_unit"]].to_numpy().tolist() == [[3.5, "nM"], [20, "nM"]]


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("log10 dose", {}),
        ("log Dosis [nM]", {"dose": "log Dosis [nM]"}),
        ("-log10 dose", {}),
        ("-log Dosis [M]", {"dose": "-log Dosis [M]"}),
    ],
)
def test_logarithms_are_not_taken_for_doses(tmp_path, name, columns):
    path = write(tmp_path / "map.csv", f"well,treatment,{name}\nA1,x,0.5\nA2,x,2\n")
    with pytest.raises(InputError, match="holds logarithms"):
        read_plate_map(path, columns=columns)


@pytest.mark.fault("C01")
def test_wells_that_stand_twice_are_named_with_their_lines(tmp_path):
    path = write(tmp_path / "map.csv", "well,dose\nA1,1\nB2,2\na01,3\nB02,4\n")
    with pytest.raises(
        InputError, match=r"A01 stands twice, in lines 2 and 4\. The well B02 stands twice, in lines 3 and 5"
    ):
        read_plate_map(path)


def test_one_well_on_two_plates_is_no_double(tmp_path):
    found = read_plate_map(write(tmp_path / "map.csv", "plate,well,dose\np1,A1,1\np2,A1,2\n"))
    assert (found.row("p1", "A1")["dose"], found.row("p2", "A01")["dose"], found.row("p3", "A1")) == (1, 2, {})


@pytest.mark.fault("C02")
def test_wells_that_are_none_are_all_named(tmp_path):
    path = write(tmp_path / "map.csv", "well,dose\nA1,1\nZZ99,2\nA0,2\n,3\nP24,1\n")
    with pytest.raises(
        InputError, match=r"'ZZ99' in line 3 is no well\. 'A0' in line 4 is no well\. 'empty' in line 5"
    ):
        read_plate_map(path)
    path = write(tmp_path / "small.csv", "well\nA1\nP24\n")
    assert len(read_plate_map(path).table) == 2
    with pytest.raises(InputError, match="P24 lies outside a plate of 96"):
        read_plate_map(path, size=96)
    with pytest.raises(ParameterError, match="no plate of 97"):
        read_plate_map(path, size=97)


@pytest.mark.fault("C03")
def test_a_dose_below_zero_is_refused_and_zero_is_a_control(tmp_path):
    path = write(tmp_path / "map.csv", "well,compound,dose\nA1,x,0\nA2,x,-1\n")
    with pytest.raises(InputError, match=r"dose '-1' of A02 \(line 3\)"):
        read_plate_map(path)
    assert read_plate_map(write(path, "well,compound,dose\nA1,x,0\n")).row("", "A1")["role"] == "negative"


@pytest.mark.fault("C04")
def test_units_in_cells_are_read_and_text_is_refused(tmp_path):
    table = by_well(
        read_plate_map(write(tmp_path / "map.csv", "well;drug;dose\nA1;x;10 uM\nA2;x;0,5µM\nA3;y;3 ng/mL\n"))
    )
    assert table["dose"].tolist() == [10, 0.5, 3]
    assert table["dose_unit"].tolist() == ["µM", "µM", "ng/ml"]
    for bad in ("ten", "10 parsec", "1_000", "inf"):
        with pytest.raises(InputError, match="A01"):
            read_plate_map(write(tmp_path / "bad.csv", f"well,dose\nA1,{bad}\n"))


def test_units_that_contradict_are_refused_and_mixed_ones_said(tmp_path):
    with pytest.raises(InputError, match=r"A01 .* is in nM, but its column says µM"):
        read_plate_map(write(tmp_path / "map.csv", "well,dose,unit\nA1,5 nM,uM\n"))
    found = read_plate_map(write(tmp_path / "map.csv", "well,drug,dose\nA1,x,10 uM\nA2,x,5 ng/ml\nA3,x,1\nA4,x,5 nM\n"))
    assert [(p.kind, p.well) for p in found.problems] == [("unit_mismatch", "A02"), ("unit_mismatch", "A03")]


def test_a_missing_dose_is_said_by_well(tmp_path):
    found = read_plate_map(write(tmp_path / "map.csv", "well,drug,dose\nA1,DMSO,\nA2,x,1\nA3,x,\nA4,y,NA\n"))
    assert [(p.kind, p.well, p.fatal) for p in found.problems] == [
        ("missing_dose", "A03", False),
        ("missing_dose", "A04", False),
    ]


def test_a_role_that_is_not_known_is_said(tmp_path):
    found = read_plate_map(write(tmp_path / "map.csv", "well,role\nA1,spike\nA2,other\n"))
    assert found.table["role"].tolist() == ["other", "other"]
    assert [p.well for p in found.problems] == ["A01"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x,y\n1,2\n", "names no wells"),
        (GRIDS + "\n" + GRIDS, "two grids of 'treatment'"),
        ("well\n", "no rows"),
        ("", "empty"),
    ],
)
def test_tables_that_are_no_map_are_refused_in_words(tmp_path, text, what):
    with pytest.raises(InputError, match=what):
        read_plate_map(write(tmp_path / "map.csv", text))


@pytest.mark.fault("C08")
def test_what_is_saved_reads_back_as_it_was(tmp_path):
    rows = [
        {
            "plate": "p1",
            "well": "A1",
            "treatment": "=cmd|'/c calc'!A1",
            "dose": "0.1",
            "dose_unit": "uM",
            "note": 'a; b, "c"',
        },
        {"plate": "p2", "well": "AF48", "treatment": "β-x", "dose": "", "note": "+1"},
    ]
    found = PlateMap.from_rows(rows)
    found.save(tmp_path / "map.csv")
    assert "\n=" not in (tmp_path / "map.csv").read_text()
    assert ",=" not in (tmp_path / "map.csv").read_text()
    back = read_plate_map(tmp_path / "map.csv")
    pd.testing.assert_frame_equal(back.table[found.table.columns.tolist()], found.table, check_dtype=False)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        found.save(tmp_path / "file" / "map.csv")


def test_a_map_is_compared_with_the_plate(tmp_path):
    (tmp_path / "p").mkdir()
    for name in ("A01.tif", "B02.tif", "B03.tif"):
        (tmp_path / "p" / name).touch()
    plate = open_plate(tmp_path / "p")
    rows = [
        {"well": "A1", "treatment": "x"},
        {"well": "A2", "treatment": "x"},
        {"well": "A3", "role": "blank"},
        {"well": "H12"},
    ]
    found = PlateMap.from_rows(rows).check(plate)
    assert [(p.well, p.kind) for p in found] == [
        ("A02", "no_image"), ("H12", "unknown_well"), ("B02", "not_in_map"), ("B03", "not_in_map"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="says nothing of the plate 'p'; it names other"):
        PlateMap.from_rows([{"plate": "other", "well": "A1"}]).check(plate)


def test_words_are_unambiguous():
    names = [name for spelt in COLUMNS.values() for name in spelt]
    assert len(names) == len(set(names))
    assert {read_role(word) for word in ("sample", "NEG", "Pos", "blank", "T0", "cont")} == set(ROLES)
    assert read_column("Dose, mg/ml") == ("dose", "mg/ml")
    assert read_column("conc_uM") == ("dose", "µM")
    assert read_column("Dose of love") == ("", "")


@pytest.mark.parametrize(
    ("text", "kind", "factor"),
    [("M", "molar", 1), ("mM", "molar", 1e-3), ("μM", "molar", 1e-6), ("pM", "molar", 1e-12), ("mg/L", "mass", 1e-3),
     ("µg/mL", "mass", 1e-3), ("ng/µl", "mass", 1e-3), ("%", "percent", 1)],
)  # fmt: skip
def test_units_have_their_size(text, kind, factor):
    unit = read_unit(text)
    assert unit.kind == kind
    assert unit.factor == pytest.approx(factor)


def test_empty_doses_are_none():
    assert math.isnan(read_dose("", False)[0])
    assert read_dose("1,000.5", False) == (1000.5, "")
    assert read_dose("1,000.5", True) is None
    assert np.isclose(read_dose("1e-3 mM", False)[0], 0.001)


def test_columns_that_end_in_dose_or_control_are_taken_where_all_their_cells_fit(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text('well,SBS_Doses,SBS_Controls\nA1,0,-1\nA2,"1,5",0\nA3,9,1\n')
    table = read_plate_map(path).table
    assert table["dose"].tolist() == [0.0, 1.5, 9.0]
    assert table["role"].tolist() == ["negative", "treated", "positive"]
    path.write_text("well,Quality control,last dose\nA1,good,high\nA2,1,low\n")
    table = read_plate_map(path).table
    assert table["dose"].isna().all()
    assert table["Quality control"].tolist() == ["good", "1"]


@pytest.mark.parametrize(
    "names", ["Well;Verbindung;Konzentration [µM]", "Puits;Composé;Dose (µM)", "Pocillo;Tratamiento;Concentración [µM]"]
)
def test_names_in_other_languages_are_read(tmp_path, names):
    path = tmp_path / "map.csv"
    path.write_text(f"{names}\nA01;Staurosporin;0,3\nA02;Staurosporin;1\n", encoding="utf-8")
    found = read_plate_map(path).table
    assert list(found["treatment"]) == ["Staurosporin", "Staurosporin"]
    assert list(found["dose"]) == [0.3, 1.0]
    assert set(found["dose_unit"]) == {"µM"}


def test_a_map_whose_names_say_nothing_is_told(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("Well,Stoff,Stufe\nA01,Staurosporin,1\n", encoding="utf-8")
    assert [p.sentence for p in read_plate_map(path).problems] == [
        "'map.csv' tells no treatments, doses or roles by names that are known; it has Stoff, Stufe. Call them "
        "treatment, dose and role."
    ]
    path.write_text("Well,treatment,Gene\nA01,Staurosporin,TP53\n", encoding="utf-8")
    assert not read_plate_map(path).problems
