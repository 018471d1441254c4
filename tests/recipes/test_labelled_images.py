"""Bags from lists, folders and tables."""

import pytest

from phenotype_support import cells, make_plate, write_well
from vitascope.core.errors import InputError
from vitascope.recipes.labelled_images import find_labelled_images, one_class
from vitascope.recipes.recipe import DataSet, LabelledImageSource

NAMES = ("negative", "positive")


def data(**source):
    pairs = source.pop("pairs", ())
    labelled_images = None if pairs else LabelledImageSource(**source)
    return DataSet(name="n", url="", licence="", credit="", folder="f", pairs=pairs, labelled_images=labelled_images)


@pytest.fixture
def plate(tmp_path):
    make_plate(tmp_path, {"A01": False, "A02": True, "B03": None})
    return tmp_path


SOURCE = {"table": "plate.csv", "label": "Control", "classes": {"yes": "positive", "no": "negative"}}


def test_a_table_names_wells_and_their_classes_and_treated_wells_are_left_out(plate):
    found = find_labelled_images(data(**SOURCE, treatment=("Dose",)), NAMES, plate)
    assert [(b.group, b.labels, b.treatment) for b in found] == [
        ("A01", {"negative": 1.0, "positive": 0.0}, "0"),
        ("A02", {"negative": 0.0, "positive": 1.0}, "1"),
    ]
    assert [b.images.channels for b in found] == [("Channel1", "Channel2")] * 2


def test_groups_are_the_columns_that_are_named(plate):
    found = find_labelled_images(data(**SOURCE, group=("Control", "Dose")), NAMES, plate)
    assert [b.group for b in found] == ["no 0", "yes 1"]


def test_a_table_may_name_images_or_row_and_column(plate):
    (plate / "plate.csv").write_text("image,label\nChannel2-01-A-02.tif,Positive\nnot-there.tif,negative\n")
    found = find_labelled_images(data(table="plate.csv"), NAMES, plate)
    assert [(b.images.place.well, b.labels["positive"]) for b in found] == [("A02", 1.0)]
    (plate / "plate.csv").write_text("Row,Column,label\nA,2,positive\nB,03,negative\n")
    assert [b.images.place.well for b in find_labelled_images(data(table="plate.csv"), NAMES, plate)] == ["A02", "B03"]


def test_a_table_may_hold_numbers_of_each_target(plate):
    (plate / "plate.csv").write_text("well,ATP\nA01,1200.5\nA02,\nB03,7\n")
    found = find_labelled_images(data(table="plate.csv"), ("ATP",), plate)
    assert [(b.group, b.labels) for b in found] == [("A01", {"ATP": 1200.5}), ("B03", {"ATP": 7.0})]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("well,what\nA01,x\n", "neither a column 'label' nor numbers"),
        ("well,label\nA01,other\n", "No row of plate.csv has both"),
        ("name,label\nA01,positive\n", "neither images nor wells"),
        ("well,label\nnowhere,positive\n", "names no well"),
    ],
)
def test_a_table_that_tells_nothing_is_refused(plate, text, words):
    (plate / "plate.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        find_labelled_images(data(table="plate.csv"), NAMES, plate)


def test_folders_are_classes(tmp_path):
    for name, well in (("Positive", "A01"), ("negative", "A02"), ("negative", "A03")):
        (tmp_path / name).mkdir(exist_ok=True)
        write_well(tmp_path / name, well, cells(True, (32, 32)))
    found = find_labelled_images(data(), NAMES, tmp_path)
    assert [(b.images.place.well, b.labels) for b in found] == [
        ("A02", one_class("negative", NAMES)),
        ("A03", one_class("negative", NAMES)),
        ("A01", one_class("positive", NAMES)),
    ]
    with pytest.raises(InputError, match="no folder 'third'"):
        find_labelled_images(data(), (*NAMES, "third"), tmp_path)


def test_a_listed_image_is_one_image(plate):
    pair = {"image": "Channel?-01-A-01.tif", "labels": {"negative": 1, "positive": 0}}
    (found,) = find_labelled_images(data(pairs=(pair,)), NAMES, plate)
    assert (found.group, found.labels, len(found.images.paths)) == ("A01", one_class("negative", NAMES), 2)
    with pytest.raises(InputError, match="names 3 images"):
        find_labelled_images(data(pairs=({"image": "Channel?-*.tif"},)), NAMES, plate)


def test_a_data_set_lists_its_images_or_says_where_they_are():
    with pytest.raises(ValueError, match="lists 'pairs', or says"):
        data(pairs=({"image": "a"},)).model_validate({**data(pairs=({"image": "a"},)).model_dump(), "pairs": ()})


def test_cells_that_are_no_number_are_told_and_left_out(plate, caplog):
    (plate / "plate.csv").write_text("well;ATP\nA01;1200,5\nA02;<LOD\nB03;\nC07;3,5\n")
    found = find_labelled_images(data(table="plate.csv"), ("ATP",), plate)
    assert [(b.group, b.labels) for b in found] == [("A01", {"ATP": 1200.5})]
    told = "\n".join(caplog.messages)
    assert "'<LOD' in line 3 is no number for ATP" in told
    assert "'' in line 4 is no number for ATP" in told
    assert "plate.csv, line 5: there is a number, and no image." in told
    assert "A02, B03: there is an image, and no number in plate.csv." in told


def test_a_well_that_stands_twice_is_named(plate):
    (plate / "plate.csv").write_text("well,ATP\nA1,1\nB03,2\nA01,3\n")
    with pytest.raises(InputError, match=r"lines 2 and 4 of the table are both of A01"):
        find_labelled_images(data(table="plate.csv"), ("ATP",), plate)
