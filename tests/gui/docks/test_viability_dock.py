"""The dock "Viability" with a bundled model."""

import numpy as np
import pytest

from gui_support import at_once
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks import task_dock
from vitascope.gui.docks.viability_dock import ViabilityDock
from vitascope.simulate.spheroid_series import make_spheroid, setting_of


@pytest.fixture
def dock(viewer, make_dock, monkeypatch):
    monkeypatch.setattr(task_dock, "show_info", lambda text: None)
    dock = make_dock(kind=ViabilityDock, runner=Runner(at_once, activity=False))
    box = dock.model.model
    box.setCurrentIndex(box.findData("viability-spheroid-sim"))
    return dock


def test_a_spheroid_gets_a_number_an_interval_and_a_map(viewer, dock):
    spheroid = make_spheroid(0, setting_of(0, 0), 128)
    viewer.add_image(spheroid.image, name="day 1")
    dock.run()
    assert [layer.name for layer in viewer.layers] == ["day 1", "viability map · day 1"]
    assert np.asarray(viewer.layers[1].data).shape == (128, 128)
    assert tuple(viewer.layers[1].contrast_limits) == (-0.2, 0.2)
    assert viewer.layers[1].colorbar.visible
    assert viewer.layers[1].opacity < 1  # the spheroid is seen through it
    assert dock.key.text() == (
        "The map shows what each place adds to the viability (green) or takes from it (pink); "
        "its colours run from -0.2 to 0.2."
    )
    assert "of control" not in dock.answer.number.text()  # none was given
    assert dock.answer.detail.text().startswith("90% interval")
    assert dock.answer.detail.text().endswith("1 is untreated in the training data")
