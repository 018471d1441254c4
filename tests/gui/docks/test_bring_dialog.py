import numpy as np
import pytest
from napari.components import ViewerModel

from graph_support import SmallUNet, seeded, to_onnx, torch_answer
from gui_support import at_once, settle
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.models_dock import ModelsDock
from vitascope.gui.docks.stain_dock import StainDock
from vitascope.gui.train.bring_dialog import BringQuestion
from vitascope.gui.train.keep_dialog import KeepQuestion
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
    assert question.tried.text().startswith("Try it on 'field'")
    assert (question.axes.text(), question.channels.text(), question.outputs.text()) == ("bcyx", "image", "y_1, y_2")
    question.pixel_size.setText("half")
    question.accept()
    assert "no pixel size" in question.fault.text()
    question.pixel_size.setText("")
    question.normalise.setEditText("percentile:99:1")
    question.accept()
    assert "no normalisation" in question.fault.text()
    question.outputs.setText("nuclei, membrane")
    question.normalise.setCurrentIndex(question.normalise.findData("minmax"))
    question.accept()
    keep = dock.findChild(KeepQuestion)
    qtbot.addWidget(keep)
    assert [e.text() for e in keep.editors] == ["nuclei", "membrane"]
    keep.editors[0].setText("membrane")
    keep.accept()
    assert "name of its own" in keep.fault.text()
    keep.editors[0].setText("nuclei")
    keep.accept()
    assert "Brought" in dock.note.text()
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
    assert dock.findChild(BringQuestion) is None
    assert "no sound ONNX" in dock.note.text()
    assert set(find_cards()) == before


def bring(dock, qtbot, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(to_onnx(seeded(SmallUNet, levels=1), (1, 1, 32, 32), free=(2, 3)))
    dock.ask_bring(path)
    question = dock.findChild(BringQuestion)
    qtbot.addWidget(question)
    question.accept()
    keep = dock.findChild(KeepQuestion)
    qtbot.addWidget(keep)
    return keep


def test_swapped_names_are_put_right_before_it_is_kept(dock, qtbot, tmp_path):
    keep = bring(dock, qtbot, tmp_path)
    for editor, name in zip(keep.editors, ("membrane", "nuclei"), strict=True):
        editor.setText(name)
    keep.accept()
    assert [t.name for t in find_model("net")[0].targets] == ["membrane", "nuclei"]
    assert any("membrane" in layer.name for layer in dock._viewer.layers)


def test_what_is_discarded_leaves_nothing(dock, qtbot, tmp_path):
    bring(dock, qtbot, tmp_path).reject()
    assert "net" not in find_cards()
    assert [layer.name for layer in dock._viewer.layers] == ["field"]
    assert "not kept" in dock.note.text()


def test_a_domain_is_fitted_on_the_selected_layers(dock, qtbot, tmp_path):
    dock._viewer.layers["field"].data = np.random.default_rng(1).integers(90, 4000, (400, 400)).astype(np.uint16)
    bring(dock, qtbot, tmp_path).accept()
    dock.list.choose("nuclei-phase")
    assert not dock.list.domain_button.isEnabled()
    dock.list.choose("net")
    dock._viewer.layers.selection = {dock._viewer.layers["field"]}
    dock.list.domain_button.click()
    assert "domain was fitted on 1 image(s) of its user: field" in dock.note.text()
    assert find_model("net")[0].domain.crops == 4


def test_a_name_that_cannot_be_is_said_before_anything_is_tried(dock, qtbot, tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(to_onnx(seeded(SmallUNet, levels=1), (1, 1, 32, 32), free=(2, 3)))
    dock.ask_bring(path)
    question = dock.findChild(BringQuestion)
    qtbot.addWidget(question)
    for name, told in (("Their Net", "is no name for a model"), ("nuclei-phase", "'nuclei-phase' already")):
        question.name.setText(name)
        question.accept()
        assert told in question.fault.text()
        assert question.result() == 0  # still open, with all that was typed
    question.name.setText("theirs")
    question.per.setCurrentIndex(question.per.findData("plate"))
    question.tried.setChecked(False)
    question.accept()
    assert find_model("theirs")[0].input.normalisation.per == "plate"


def test_what_networks_of_others_do_not_give_cannot_be_asked_for(dock, qtbot, tmp_path):
    bring(dock, qtbot, tmp_path).accept()
    stain = StainDock(dock._viewer, Runner(at_once, activity=False))
    qtbot.addWidget(stain)
    for model, enabled in (("net", False), ("nuclei-phase", True)):
        stain.model.model.setCurrentIndex(stain.model.model.findText(model))
        assert stain.settings.editors["masks"].widget.enabled is enabled
        assert stain.settings.editors["cells"].widget.enabled is enabled
    stain.close_down()


def test_only_stain_models_of_ones_own_can_be_quantised(dock, qtbot, tmp_path, monkeypatch):
    from vitascope.core.paths import BUNDLED_MODELS
    from vitascope.io.models.cards import own_models, read_card, write_card

    card = read_card(BUNDLED_MODELS / "nuclei-phase.json")
    own_models().mkdir(parents=True, exist_ok=True)
    (own_models() / card.weights.file).write_bytes((BUNDLED_MODELS / card.weights.file).read_bytes())
    write_card(card.model_copy(update={"id": "mine"}), own_models())
    bring(dock, qtbot, tmp_path).accept()
    for model, can in (("nuclei-phase", False), ("net", False), ("mine", True)):
        dock.list.choose(model)
        assert dock.list.quantise_button.isEnabled() is can
    dock._viewer.layers.selection = {dock._viewer.layers["field"]}
    dock.list.quantise_button.click()
    assert "1 image(s) are given" in dock.note.text()
