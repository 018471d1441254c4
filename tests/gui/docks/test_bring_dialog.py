import numpy as np
import pytest
from napari.components import ViewerModel

from graph_support import SmallUNet, seeded, to_onnx, torch_answer
from gui_support import at_once, settle
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.models_dock import ModelsDock
from vitascope.gui.train.bring_dialog import BringQuestion
from vitascope.io.models.cards import find_cards, find_model

pytest.importorskip("onnx")
pytestmark = pytest.mark.gui


@pytest.fixture
def dock(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).integers(90, 4000, (64, 72)).astype(np.uint16), name="field")
    dock = ModelsDock(viewer, Runner(at_once, activity=False))
    yield dock
    if dock._open:
        dock.close_down()
    settle()


def test_a_network_is_asked_about_tried_on_the_open_image_and_shown(dock, qtbot, tmp_path):
    network = seeded(SmallUNet, levels=1)
    path = tmp_path / "Their net.onnx"
    path.write_bytes(to_onnx(network, (1, 1, 32, 32), free=(2, 3)))
    dock.ask_bring(path)
    question = dock.findChild(BringQuestion)
    qtbot.addWidget(question)
    assert question.tried.text() == "Try it on 'field'"
    question.pixel_size.setText("half")
    question.accept()
    assert "no pixel size" in question.fault.text()
    question.pixel_size.setText("")
    question.outputs.setText("nuclei, membrane")
    question.normalise.setCurrentIndex(question.normalise.findData("minmax"))
    question.accept()
    assert "Look at each picture" in dock.note.text()
    card = find_model("their-net")[0]
    assert [t.name for t in card.targets] == ["nuclei", "membrane"]
    shown = [layer for layer in dock._viewer.layers if layer.name != "field"]
    assert len(shown) == 2
    image = np.asarray(dock._viewer.layers["field"].data, float)
    wanted = torch_answer(network, ((image - image.min()) / np.ptp(image))[None])
    by_name = {layer.name.split(" · ")[0]: np.asarray(layer.data) for layer in shown}
    for k, name in enumerate(("nuclei", "membrane")):
        found = next(data for title, data in by_name.items() if name in title)
        np.testing.assert_allclose(found, wanted[k], atol=2e-5 * np.ptp(wanted))


def test_a_file_that_is_no_network_says_so_and_leaves_nothing(dock, qtbot, tmp_path):
    (tmp_path / "none.onnx").write_bytes(b"none")
    before = set(find_cards())
    dock.ask_bring(tmp_path / "none.onnx")
    question = dock.findChild(BringQuestion)
    qtbot.addWidget(question)
    question.accept()
    assert "no sound ONNX" in dock.note.text()
    assert set(find_cards()) == before
