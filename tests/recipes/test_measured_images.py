import numpy as np
import openpyxl
import pytest
import tifffile

from vitascope.core.errors import InputError, ReaderError
from vitascope.recipes.measured_images import find_amounts
from vitascope.recipes.recipe import AmountSource


def batch(folder, name, wells, values):
    """A folder as the authors of Ins-ATP lay it out."""
    home = folder / name
    home.mkdir(parents=True)
    for well in wells:
        row, column = well[0], int(well[1:])
        tifffile.imwrite(home / f"ZProj[Stitched[Bright Field]]_{row}{column}_1_001.tif", np.zeros((4, 4), np.uint16))
    book = openpyxl.Workbook()
    book.active.append([None, *range(1, 25)])
    for letter in "ABC":
        book.active.append([letter, *[values.get(f"{letter}{c}") for c in range(1, 25)]])
    book.save(home / f"ATP_{name[:4]}.xlsx")


def test_the_layout_of_ins_atp_is_matched_well_by_well(tmp_path):
    batch(tmp_path, "0747-2", ["C3", "A1", "B12"], {"C3": 5.0, "A1": 7.5, "A2": 9.0})
    batch(tmp_path, "0811-1", ["C3"], {"C3": 11.0, "B1": "<LOD"})
    found = find_amounts(AmountSource(table="*/ATP_*.xlsx"), "ATP", tmp_path)
    got = {(b.group, b.images.place.well): b.labels["ATP"] for b in found.labelled_images}
    assert got == {("0747-2", "C03"): 5.0, ("0747-2", "A01"): 7.5, ("0811-1", "C03"): 11.0}
    told = " ".join(found.problems)
    assert "A02 of 0747-2" in told  # a value without an image
    assert "B12" in told  # an image without a value
    assert "<LOD" in told


def test_a_list_names_images(tmp_path):
    for name in ("x.tif", "y.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((4, 4), np.uint8))
    (tmp_path / "t.csv").write_text("image,atp,donor\nx.tif,5,d1\nz.tif,6,d2\n")
    found = find_amounts(AmountSource(table="t.csv", group=("donor",)), "ATP", tmp_path)
    assert [(b.images.name, b.labels, b.group) for b in found.labelled_images] == [("x", {"ATP": 5.0}, "d1")]
    assert len(found.problems) == 2


def test_nothing_that_matches_is_said(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((4, 4), np.uint8))
    (tmp_path / "t.csv").write_text("well,atp\nA1,5\n")
    with pytest.raises(InputError, match="No image"):
        find_amounts(AmountSource(table="t.csv"), "ATP", tmp_path)
    with pytest.raises(ReaderError):
        find_amounts(AmountSource(table="*/t.csv"), "ATP", tmp_path)


def test_an_image_is_never_given_the_amounts_of_two_plates(tmp_path):
    tifffile.imwrite(tmp_path / "C03_1.tif", np.zeros((4, 4), np.uint8))
    (tmp_path / "t.csv").write_text("plate,well,atp\nP1,C3,5\nP2,C3,6\n")
    with pytest.raises(InputError, match="more than one amount for the image of C03_1"):
        find_amounts(AmountSource(table="t.csv"), "ATP", tmp_path)
