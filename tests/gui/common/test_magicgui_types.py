import subprocess
import sys

import pytest
from magicgui import magicgui
from magicgui.type_map import TypeMap
from magicgui.widgets import create_widget

from vitascope.core.errors import ParameterError
from vitascope.gui.common import magicgui_types
from vitascope.gui.common.magicgui_types import ParamsWidget, register_params
from vitascope.tasks.atp import AtpParams
from vitascope.tasks.registry import TASKS
from vitascope.tasks.stain import StainParams


@pytest.fixture
def registered(monkeypatch):
    """A table of types of our own, so that nothing stays registered."""
    known = TypeMap.global_instance()
    before = dict(known._type_defs)
    yield register_params
    known._type_defs.clear()
    known._type_defs.update(before)


def test_importing_registers_nothing():
    code = (
        "from magicgui.type_map import TypeMap; import vitascope.gui.common.magicgui_types as m;"
        "from vitascope.tasks.stain import StainParams; print(StainParams in TypeMap.global_instance()._type_defs)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
    assert magicgui_types.__doc__


def test_a_function_of_another_plugin_gets_our_form(qtbot, registered):
    registered(StainParams)
    seen = []

    @magicgui
    def predict(params: StainParams):
        seen.append(params)

    qtbot.addWidget(predict.native)
    assert isinstance(predict.params, ParamsWidget)
    predict()
    changes = []
    predict.params.changed.connect(changes.append)
    # what magicgui's own float box would round to 0.32
    predict.params.value = StainParams(min_contrast=0.3225123, tile_px=512)
    predict()
    assert seen == [StainParams(), StainParams(min_contrast=0.3225123, tile_px=512)]
    predict.params._form.editors["tile_px"].widget.value = "17"
    assert changes
    with pytest.raises(ParameterError, match="Tile"):
        _ = predict.params.value


def test_all_tasks_are_registered_by_default(qtbot, registered):
    registered()
    for spec in TASKS:
        widget = create_widget(annotation=spec.params, name="params")
        qtbot.addWidget(widget.native)
        assert isinstance(widget, ParamsWidget)
        assert widget.value == spec.make_params()
    assert AtpParams in [spec.params for spec in TASKS]
