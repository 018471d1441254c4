"""Boxes of cells: Pascal VOC files, and maps of cells whose sum is their number."""

import numpy as np
import pytest

from vitascope.core.errors import InputError, ReaderError
from vitascope.training.data.cell_boxes import CellBox, cells_map, read_cell_boxes

KINDS = ("Living Cell", "Dead Cell")


def voc(*cells):
    """A Pascal VOC file of cells (name, left, top, right, bottom)."""
    found = [
        f"<object><name>{name}</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for name, left, top, right, bottom in cells
    ]
    return f"<annotation>{''.join(found)}</annotation>"


def test_boxes_of_the_kinds_asked_for_are_read_beside_the_image(tmp_path):
    (tmp_path / "a.xml").write_text(voc(("Dead Cell", 1, 2, 11, 22), ("Dust", 0, 0, 5, 5), ("Living Cell", 3, 4, 5, 6)))
    assert read_cell_boxes(tmp_path / "a.png", KINDS) == [CellBox(1, 1, 2, 11, 22), CellBox(0, 3, 4, 5, 6)]


def test_a_picture_without_boxes_and_a_file_that_holds_none_are_told(tmp_path):
    with pytest.raises(ReaderError, match=r"a.png has no file of boxes, a.xml"):
        read_cell_boxes(tmp_path / "a.png", KINDS)
    for text in ("<annotation><object>", voc(("Dead Cell", "left", 2, 11, 22)), voc(("Dead Cell", "", 2, 11, 22))):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(InputError, match=r"boxes in a\.xml cannot be read"):
            read_cell_boxes(tmp_path / "a.png", KINDS)


def test_a_map_sums_to_the_cells_and_lies_where_they_are():
    boxes = [CellBox(0, 10, 20, 22, 44), CellBox(1, -8, 50, 4, 60), CellBox(1, 60, 0, 70, 10)]
    found = cells_map(boxes, 2, (80, 64))
    np.testing.assert_allclose(found.sum((1, 2)), (1, 2), rtol=1e-5)  # the cell at the edge counts whole
    y, x = np.mgrid[:80, :64] + 0.5
    assert ((found[0] * y).sum(), (found[0] * x).sum()) == pytest.approx((32, 16), abs=1e-3)
    assert found[0, 20:44, 10:22].sum() > 0.99
    assert found[1, :, 5:55].sum() < 0.1
