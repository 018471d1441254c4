"""Points are read as napari saves them, or by plain names."""

import pytest

from vitascope.core.errors import InputError
from vitascope.io.tables.points import read_points


@pytest.mark.parametrize(
    "text",
    [
        "index,axis-0,axis-1\n0,3.5,4\n1,7,9.25\n",
        "index,axis-0,axis-1,axis-2\n0,0,3.5,4\n1,0,7,9.25\n",
        "y,x\n3.5,4\n7,9.25\n",
        "X;Y\n4;3.5\n9.25;7\n",
        "row,column,note\n3.5,4,a\n7,9.25,b\n",
    ],
)
def test_rows_and_columns_are_found(tmp_path, text):
    (tmp_path / "points.csv").write_text(text)
    assert read_points(tmp_path / "points.csv").tolist() == [[3.5, 4.0], [7.0, 9.25]]


def test_other_tables_and_cells_without_numbers_are_refused(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no columns of points"):
        read_points(path)
    path.write_text("y,x\n1,2\n3,-\n")
    with pytest.raises(InputError, match=r"Point 2 of points\.csv"):
        read_points(path)
