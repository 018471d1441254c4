import pytest

from vitascope.core.errors import ParameterError
from vitascope.core.well import PLATE_SHAPES, Well


@pytest.mark.parametrize(("count", "shape"), PLATE_SHAPES.items())
def test_every_well_of_every_plate_reads_back_from_its_name(count, shape):
    rows, columns = shape
    assert rows * columns == count
    wells = [Well(r, c) for r in range(rows) for c in range(columns)]
    assert [Well.parse(str(w)) for w in wells] == wells
    assert len({str(w) for w in wells}) == count


@pytest.mark.parametrize("text", ["A1", "A01", "a1", "a001", " A1 "])
def test_all_spellings_are_one_well(text):
    assert str(Well.parse(text)) == "A01"


def test_rows_beyond_z_have_two_letters():
    assert str(Well(26, 0)) == "AA01"
    assert Well.parse("AF48") == Well(31, 47)


@pytest.mark.parametrize("text", ["", "A", "1", "A0", "AG1", "A49", "ZZ99", "A-1", "A1\nB2", "Ä1", "A1.5"])
@pytest.mark.fault("C02")
def test_what_is_no_well_is_refused(text):
    with pytest.raises(ParameterError, match=r"is no well|no well"):
        Well.parse(text)


@pytest.mark.parametrize(("row", "column"), [(-1, 0), (32, 0), (0, 48)])
def test_a_well_outside_the_largest_plate_is_refused(row, column):
    with pytest.raises(ParameterError, match="is no well"):
        Well(row, column)


def test_wells_sort_by_row_then_column_number():
    names = ["B01", "A10", "AA01", "A02"]
    assert sorted(names, key=Well.parse) == ["A02", "A10", "B01", "AA01"]
