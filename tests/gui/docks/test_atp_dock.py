import numpy as np
import pytest
from napari.layers import Labels

from gui_support import at_once, settle
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks import task_dock
from vitascope.gui.docks.atp_dock import AtpDock
from vitascope.simulate.wells import make_well


@pytest.fixture
def dock(viewer, qtbot, monkeypatch):
    monkeypatch.setattr(task_dock, "show_info", lambda text: None)
    made = AtpDock(viewer, Runner(at_once, activity=False))
    yield made
    made.close_down()
    settle()


def test_a_well_gets_a_number_an_interval_and_maps(viewer, dock):
    viewer.add_image(make_well(9, 0, 0, 128).image, name="well")
    dock.run()
    assert "RLU" in dock.answer.number.text()
    assert dock.answer.detail.text().startswith("90% interval")
    names = [layer.name for layer in viewer.layers]
    assert "ATP map · well" in names
    assert "ATP percentile · well" in names
    assert [layer.visible for layer in viewer.layers if "percentile" in layer.name] == [False]
    labels = next(layer for layer in viewer.layers if isinstance(layer, Labels))
    assert {"contribution_rlu", "percentile"} <= set(labels.features.columns)
    assert labels.features.shape[0] == 257  # the background, and 16 x 16 instances
    shown = viewer.layers["ATP map · well"]
    assert shown.blending == "translucent_no_depth"  # added light cannot be seen on a bright field
    assert shown.opacity < 1
    assert shown.colorbar.visible
    assert dock.key.text().startswith("The map shows the ATP that each place adds; its colours run from 0 to ")
    assert dock.key.text().endswith(" RLU per pixel.")
    np.testing.assert_array_equal(labels.get_color(1), labels.get_color(200))


def test_a_stack_of_wells_has_a_line_for_each(viewer, dock):
    viewer.add_image(np.stack([make_well(9, n, 0, 96).image for n in range(6)]), name="wells")
    dock.run()
    assert dock.answer.table.rowCount() == 6
    assert dock.answer.detail.text().startswith("least and most of 6 pictures")
