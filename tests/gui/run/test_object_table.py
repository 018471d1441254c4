"""The table of objects: one line for each object, and none for the background."""

import numpy as np
import pandas as pd
import pytest
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt

from gui_support import at_once, settle
from vitascope.gui.common.runner import Runner
from vitascope.gui.layers.add import label_features
from vitascope.gui.layers.display import OUTLINE_COLOUR, one_colour
from vitascope.gui.run.object_table import ObjectTable, objects_of

MEASURED = pd.DataFrame(
    {
        "label": [1, 3],
        "centroid_y_px": [3.0, 16.0],
        "area_um2": [1234567.8, 6.0],
        "class": ["a", "b"],
        "area_px": [np.nan] * 2,
    }
)


@pytest.fixture
def layer(viewer):
    labels = np.zeros((20, 20), np.uint32)
    labels[2:5, 2:5], labels[8:12, 8:12], labels[15:18, 2:5] = 1, 2, 3
    return viewer.add_labels(
        labels, name="nuclei · A05", features=label_features(MEASURED), colormap=one_colour(OUTLINE_COLOUR)
    )


@pytest.fixture
def table(viewer, layer, qtbot):
    made = ObjectTable(viewer, layer, Runner(at_once, activity=False))
    qtbot.addWidget(made)
    yield made
    if made.is_open:
        made.close_down()
    settle()


def texts(table):
    model = table.view.model()
    return [
        [model.data(model.index(row, column)) for column in range(model.columnCount())]
        for row in range(model.rowCount())
    ]


def header(table):
    model = table.view.model()
    return [model.headerData(column, Qt.Orientation.Horizontal) for column in range(model.columnCount())]


def test_it_holds_objects_only_with_units_and_plain_numbers(table):
    assert header(table) == ["Number", "Area (µm²)", "Class", "Centroid y (px)"]
    assert texts(table) == [["1", "1,234,568", "a", "3"], ["3", "6", "b", "16"]]
    assert table.title.text().startswith("nuclei · A05: 2 objects.")


def test_features_without_labels_or_objects_are_shown_as_far_as_they_go():
    assert objects_of(label_features(pd.DataFrame({"label": np.zeros(0, int), "area_px": np.zeros(0)}))).empty
    assert objects_of(pd.DataFrame({"label": [0, 1, 2]}))["label"].tolist() == [1, 2]
    assert objects_of(pd.DataFrame({"class": ["", "a"]}))["class"].tolist() == ["a"]


def test_a_line_leads_to_its_object_and_an_object_to_its_line(table, layer):
    layer.visible = False
    table.view.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    table.view.selectRow(0)
    assert (layer.selected_label, layer.visible) == (3, True)
    assert isinstance(layer.colormap, DirectLabelColormap)
    colours = layer.colormap.color_dict
    assert tuple(colours[3]) != tuple(colours[None])
    np.testing.assert_allclose(colours[None], OUTLINE_COLOUR)
    layer.selected_label = 1
    assert table.current() == 1
    assert 3 not in layer.colormap.color_dict
    layer.selected_label = 2  # was not measured
    assert table.current() is None


def test_colours_that_the_user_gave_are_left_alone(table, layer):
    layer.new_colormap(7)
    before = layer.colormap
    table.choose(1)
    assert layer.colormap is before


def test_it_follows_new_numbers_other_results_and_goes_with_its_layer(table, layer, viewer):
    layer.features = label_features(MEASURED.assign(area_um2=[1.0, 2.0]))
    assert [line[1] for line in texts(table)] == ["1", "2"]
    other = viewer.add_labels(np.eye(5, dtype=np.uint32), features=label_features(MEASURED[:1]), name="nuclei · A06")
    assert table.layer is other
    assert len(texts(table)) == 1
    painted = viewer.add_labels(np.zeros((5, 5), int), name="mine")
    assert table.layer is other  # these have no numbers
    viewer.layers.remove(other)
    viewer.layers.remove(painted)
    viewer.layers.remove(layer)
    assert texts(table) == []
    assert not table.save_button.isEnabled()


def test_closing_it_takes_the_mark_away(table, layer):
    table.choose(3)
    table.close_down()
    np.testing.assert_allclose(layer.colormap.colors[1], OUTLINE_COLOUR)
    layer.selected_label = 1  # nobody listens any more


def test_what_is_saved_are_the_columns_of_the_files(table, tmp_path):
    table.save_to(tmp_path / "objects.csv")
    assert table.said.text() == f"Saved to {tmp_path / 'objects.csv'}."
    saved = pd.read_csv(tmp_path / "objects.csv")
    assert saved["label"].tolist() == [1, 3]
    assert saved["area_um2"].tolist() == [1234567.8, 6.0]
    table.save_to(tmp_path / "objects.doc")
    assert "End it in .csv, .xlsx or .parquet" in table.said.text()
