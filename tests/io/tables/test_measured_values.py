import openpyxl
import pytest

from vitascope.core.errors import InputError
from vitascope.io.tables.measured_values import read_amounts


def write(path, text):
    path.write_text(text)
    return path


def test_a_plates_grid_is_read_by_letter_and_number(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["ATP", "0747"])
    sheet.append([None, *range(1, 25)])
    for r in range(16):
        sheet.append([chr(65 + r), *[1000 * r + c for c in range(1, 25)]])
    sheet["D5"] = "<LOD"
    sheet["E6"] = None
    book.save(tmp_path / "ATP_0747.xlsx")
    found = read_amounts(tmp_path / "ATP_0747.xlsx")
    values = {a.well: a.value for a in found.rows}
    assert len(values) == 16 * 24 - 2
    assert (values["A01"], values["B24"], values["P12"]) == (1, 1024, 15012)
    assert not {"C03", "D04"} & set(values)
    assert len(found.problems) == 1
    assert "<LOD" in found.problems[0]
    assert "C03" in found.problems[0]


def test_a_value_in_merged_cells_is_refused(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append([None, 1, 2, 3])
    sheet.append(["A", 5, 6, 7])
    sheet.merge_cells("B2:C2")
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match=r"cells B2:C2 of 't\.xlsx' are merged"):
        read_amounts(tmp_path / "t.xlsx")


def test_a_list_of_wells_with_decimal_commas(tmp_path):
    found = read_amounts(write(tmp_path / "t.csv", "plate;well;ATP\nP1;a1;12,5\nP1;B02;1000\nP2;A01;n/a\nP2;A02;-3\n"))
    assert [(a.plate, a.well, a.value) for a in found.rows] == [("P1", "A01", 12.5), ("P1", "B02", 1000)]
    assert len(found.problems) == 2
    assert "A02" in found.problems[1]


def test_a_list_of_images_and_columns_for_groups(tmp_path):
    path = write(tmp_path / "t.csv", "image,RLU,batch\nx.tif,5,b1\ny.tif,6,b2\n")
    found = read_amounts(path, group=("batch",))
    assert [(a.image, a.value, a.group) for a in found.rows] == [("x.tif", 5, "b1"), ("y.tif", 6, "b2")]
    with pytest.raises(InputError, match="no column 'day'"):
        read_amounts(path, group=("day",))


def test_a_well_that_stands_twice_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="A01"):
        read_amounts(write(tmp_path / "t.csv", "well,atp\nA1,5\nB2,4\nA01,6\n"))


def test_a_well_that_is_none_is_named_and_left_out(tmp_path):
    found = read_amounts(write(tmp_path / "t.csv", "well,atp\nZZ99,5\nB2,4\n"))
    assert [a.well for a in found.rows] == ["B02"]
    assert "ZZ99" in found.problems[0]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "well,atp\n", "well,other\nA1,3\n"])
def test_what_is_no_table_of_amounts_is_refused(tmp_path, text):
    with pytest.raises(InputError):
        read_amounts(write(tmp_path / "t.csv", text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("well,atp\nC3,1,2\n", "Line 2 of 't.csv' has 3 cells for 2 columns"),  # a decimal comma between commas
        ('well,atp\nC3,"1,234"\nC4,"12,500"\n', "three decimals or with a mark for thousands"),
    ],
)
def test_numbers_that_can_be_read_in_two_ways_are_refused(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_amounts(tmp_path / "t.csv")


def test_one_cell_tells_what_the_comma_is(tmp_path):
    (tmp_path / "t.csv").write_text('well,atp\nC3,"1,234"\nC4,"0,5"\nC5,7\n')
    assert [a.value for a in read_amounts(tmp_path / "t.csv").rows] == [1.234, 0.5, 7.0]
