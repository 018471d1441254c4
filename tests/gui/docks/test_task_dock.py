import gc
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QSpinBox, QWidget

from gui_support import at_once, fake_run, make_spec, settle
from vitascope.core.errors import VitascopeError
from vitascope.core.progress import Progress
from vitascope.gui.common.main_thread import MainThreadOnly
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks import task_dock
from vitascope.gui.layers.display import KEY, attend
from vitascope.gui.run.input_box import EMPTY
from vitascope.gui.session.autosave import autosave_of


def picture(shape=(30, 40)):
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.fixture
def notified(monkeypatch):
    found = []
    monkeypatch.setattr(task_dock, "show_error", lambda text: found.append(("error", text)))
    monkeypatch.setattr(task_dock, "show_info", lambda text: found.append(("info", text)))
    return found


@pytest.mark.fault("H01")
def test_without_a_layer_the_button_is_off_and_one_sentence_says_why(make_dock):
    dock = make_dock()
    assert not dock.run_button.isEnabled()
    said = [label.text() for label in (dock.input.note, dock.status) if label.text()]
    assert said == [EMPTY]


@pytest.mark.fault("H01")
def test_a_layer_of_another_kind_is_no_input(viewer, make_dock):
    viewer.add_points(np.zeros((3, 2)))
    viewer.add_labels(np.zeros((4, 4), int))
    assert not make_dock().run_button.isEnabled()


def test_three_clicks_at_most_from_an_open_image_to_its_result(viewer, make_dock, notified):
    layer = viewer.add_image(picture(), name="field", scale=(0.5, 0.5), translate=(3, 4), units=("um", "um"))
    dock = make_dock()
    dock.run_button.click()
    prediction, labels = viewer.layers[1:]
    np.testing.assert_allclose(prediction.data, 2 * layer.data)
    assert isinstance(labels, Labels)
    assert labels.features["label"].tolist() == [0, 1, 2]
    assert [one.name for one in viewer.layers] == [
        "field", "predicted DNA · field", "nuclei · field",
    ]  # fmt: skip
    for made in (prediction, labels):
        assert tuple(made.scale) == (0.5, 0.5)
        assert tuple(made.translate) == (3, 4)
        assert made.units == layer.units
    assert prediction.colormap.name == "bop blue, clear at 0"
    assert ">2</span>" in dock.answer.number.text()
    assert notified == [("info", "Count things: 2 nuclei in 1 s.")]
    assert dock.model.badge.trust.level == "fits"


def test_a_run_shows_its_result_although_the_first_dock_of_the_viewer_is_gone(viewer, make_dock, notified):
    held = MainThreadOnly(viewer)  # as a dock holds it, and lets it go with itself
    attend(held)
    first = autosave_of(held)
    del held
    gc.collect()
    viewer.add_image(picture(), name="field")
    dock = make_dock()
    assert autosave_of(dock._viewer) is first
    dock.run_button.click()
    assert [one.name for one in viewer.layers] == ["field", "predicted DNA · field", "nuclei · field"]
    assert "predicted DNA" in viewer.canvas.overlays[KEY].text
    assert [kind for kind, _ in notified] == ["info"]


@pytest.mark.fault("H13")
def test_running_again_makes_new_layers_and_keeps_edits(viewer, make_dock):
    viewer.add_image(picture(), name="field")
    dock = make_dock()
    dock.run_button.click()
    edited = viewer.layers[-1]
    edited.data[0, 0] = 99
    dock.run_button.click()
    assert len(viewer.layers) == 5
    assert edited.data[0, 0] == 99
    assert viewer.layers[-1].name.endswith("[1]")
    assert dock.input.main.currentText() == "field"


def test_parameters_of_the_dock_reach_the_run(viewer, make_dock):
    seen = []

    def spy(inputs, params):
        seen.append((inputs, params))
        return (yield from fake_run(inputs, params))

    viewer.add_image(picture(), name="field")
    viewer.add_image(picture(), name="stain")
    dock = make_dock(make_spec(spy))
    dock.input.main.choose(viewer.layers["field"])
    dock.input.layer_boxes["reference"].choose(viewer.layers["stain"])
    dock.settings.editors["gain"].widget.value = "3.3"
    dock.settings.editors["shift"].widget.value = "0.3225123"
    dock.model.device.setCurrentIndex(1)
    dock.run_button.click()
    ((inputs, params),) = seen
    assert (params.gain, params.shift, params.device, params.model) == (3.3, 0.3225123, "cpu", "fake-model")
    assert {role: image.name for role, image in inputs.items()} == {"image": "field", "reference": "stain"}


def test_a_setting_that_cannot_be_used_switches_the_button_off_and_says_why(viewer, make_dock):
    viewer.add_image(picture())
    dock = make_dock()
    assert dock.run_button.isEnabled()
    dock.settings.editors["gain"].widget.value = "12"
    assert not dock.run_button.isEnabled()
    assert "Gain: '12' cannot be used" in dock.status.text()
    dock.settings.editors["gain"].widget.value = "2"
    assert dock.run_button.isEnabled()
    assert dock.status.text() == ""


def test_a_typed_pixel_size_counts_though_it_is_not_confirmed(viewer, make_dock):
    seen = []

    def spy(inputs, params):
        seen.append(inputs["image"].pixel_size_um)
        return (yield from fake_run(inputs, params))

    viewer.add_image(picture())
    dock = make_dock(make_spec(spy))
    dock.input.pixel_size.setText("0.65")
    dock.input.pixel_size.setModified(True)
    dock.run_button.click()
    assert seen == [0.65]


def test_the_card_is_compared_before_the_run(viewer, make_dock, fake_card):
    dock = make_dock()
    assert dock.model.badge.isHidden()
    viewer.add_image(picture())
    assert dock.model.badge.trust.level == "unknown"
    assert "12 px wide" in dock.model.reason.text()


def test_the_judgement_of_the_run_stays_until_the_input_changes(viewer, make_dock):
    viewer.add_image(picture(), name="a")
    dock = make_dock()
    dock.run_button.click()
    viewer.layers.selection.active = viewer.layers[-1]
    viewer.layers[0].name = "renamed"
    assert dock.model.badge.trust.level == "fits"
    viewer.add_image(picture(), name="b")
    dock.input.main.choose(viewer.layers["b"])
    assert dock.model.badge.trust.level == "unknown"


@pytest.mark.fault("H07")
def test_a_failure_is_said_once_and_the_dock_is_ready_again(viewer, make_dock, notified):
    viewer.add_image(picture((3, 3)))
    dock = make_dock()
    dock.run_button.click()
    assert notified == [("error", "Count things: The image is too small. Take a larger one.")]
    assert "The image is too small." in dock.answer.number.text()
    assert dock.answer.detail.text() == "Take a larger one."
    assert dock.run_button.isEnabled()
    assert dock.run_button.text().startswith("Count things · ")
    assert dock.input.isEnabled()
    assert len(viewer.layers) == 1
    viewer.layers.clear()
    viewer.add_image(picture())
    dock.run_button.click()
    assert ">2</span>" in dock.answer.number.text()


@pytest.mark.fault("H07")
def test_an_unexpected_error_is_a_sentence_too(viewer, make_dock, notified):
    def broken(inputs, params):
        raise RuntimeError("out of memory")
        yield

    viewer.add_image(picture())
    make_dock(make_spec(broken)).run_button.click()
    ((kind, text),) = notified
    assert kind == "error"
    assert "out of memory (RuntimeError)" in text
    assert "log" in text


class Waiting:
    """A run that goes on until it is told to end; steps often."""

    def __init__(self):
        self.end, self.closed, self.started = threading.Event(), threading.Event(), 0

    def __call__(self, inputs, params):
        self.started += 1
        try:
            while not self.end.is_set():
                time.sleep(0.005)
                yield Progress(3, 10, "Working")
            return (yield from fake_run(inputs, params))
        finally:
            self.closed.set()


@pytest.fixture
def waiting():
    run = Waiting()
    yield run
    run.end.set()


@pytest.fixture
def going(viewer, make_dock, waiting, qtbot):
    """A dock whose run is going in a thread."""
    viewer.add_image(picture(), name="field", scale=(0.5, 0.5))
    dock = make_dock(make_spec(waiting), Runner(activity=False))
    with qtbot.waitSignal(dock.runner.progressed, timeout=5000):
        dock.run_button.click()
    yield dock
    waiting.end.set()
    qtbot.waitUntil(lambda: Runner.busy is None, timeout=5000)


@pytest.mark.fault("H08")
def test_five_fast_clicks_start_one_run(going, waiting, qtbot):
    for _ in range(4):
        qtbot.mouseClick(going.run_button, Qt.MouseButton.LeftButton)
    assert going.runner.running
    assert not going.runner.cancelling
    assert going.run_button.text() == "Cancel"
    with qtbot.waitSignal(going.runner.ended, timeout=5000) as caught:
        waiting.end.set()
    assert caught.args[0].kind == "done"
    assert waiting.started == 1


@pytest.mark.fault("H09")
def test_run_becomes_cancel_becomes_cancelling_and_nothing_is_added(going, waiting, viewer, qtbot, monkeypatch):
    monkeypatch.setattr(task_dock, "GRACE_S", 0.0)
    before = list(viewer.layers)
    assert going.run_button.text() == "Cancel"
    with qtbot.waitSignal(going.runner.ended, timeout=2000) as caught:
        going.run_button.click()
        assert going.run_button.text() == "Cancelling …"
        assert going.status.text().startswith("Cancelling: the step under way is ended first")
        assert not going.run_button.isEnabled()
    assert caught.args[0].kind == "cancelled"
    assert waiting.closed.is_set()
    assert list(viewer.layers) == before
    assert going.status.text() == "Cancelled. Nothing was changed."
    assert going.run_button.text().startswith("Count things · field")
    waiting.end.set()
    with qtbot.waitSignal(going.runner.ended, timeout=5000):
        going.run_button.click()
    assert len(viewer.layers) == 3


def test_progress_is_shown_with_numbers(going, waiting, qtbot):
    qtbot.waitUntil(lambda: "Working: 3 of 10" in going.status.text(), timeout=2000)
    assert (going.bar.value(), going.bar.maximum()) == (255, 1000)  # 0.3 of the 0.85 for what computes
    assert not going.bar.isHidden()
    assert not going.input.isEnabled()
    with qtbot.waitSignal(going.runner.ended, timeout=5000):
        waiting.end.set()
    assert going.bar.isHidden()


@pytest.mark.fault("H02")
def test_a_layer_removed_during_the_run_does_no_harm(going, waiting, viewer, qtbot):
    viewer.layers.clear()
    with qtbot.waitSignal(going.runner.ended, timeout=5000) as caught:
        waiting.end.set()
    assert caught.args[0].kind == "done"
    assert [type(one) for one in viewer.layers] == [Image, Labels]


@pytest.mark.fault("H03")
def test_the_result_belongs_to_the_layer_as_it_was(going, waiting, viewer, qtbot):
    layer = viewer.layers["field"]
    before = layer.data
    layer.data, layer.name, layer.scale = np.zeros((9, 9)), "after", (7, 7)
    with qtbot.waitSignal(going.runner.ended, timeout=5000):
        waiting.end.set()
    made = viewer.layers[1]
    np.testing.assert_allclose(made.data, 2 * before)
    assert made.name.endswith(" · field")
    assert tuple(made.scale) == (0.5, 0.5)


@pytest.mark.fault("H04")
def test_a_dock_closed_during_the_run_stops_it(going, waiting, viewer, qtbot):
    count = len(viewer.layers)
    runner = going.runner
    with qtbot.waitSignal(runner.ended, timeout=2000):
        going.close_down()
        settle()
    assert waiting.closed.is_set()
    viewer.add_image(picture())
    assert len(viewer.layers) == count + 1


@pytest.mark.fault("H04")
def test_taking_the_dock_out_of_its_window_closes_it(viewer, make_dock, qtbot):
    window = QWidget()
    qtbot.addWidget(window)
    dock = make_dock()
    dock.setParent(window)
    assert dock._open
    dock.setParent(None)
    assert not dock._open
    settle()
    viewer.add_image(picture())


@pytest.mark.fault("E12")
def test_a_second_dock_waits_its_turn_and_says_so_until_it_comes(going, waiting, make_dock, notified, qtbot):
    other = make_dock(make_spec(), Runner(at_once, activity=False))
    other.run_button.click()
    other.run_button.click()
    assert "'Count things: field' is still running." in other.status.text()
    assert "still running" in notified[-1][1]
    assert other.run_button.text().startswith("Count things · field")
    assert waiting.started == 1
    waiting.end.set()
    qtbot.waitUntil(lambda: Runner.busy is None, timeout=5000)
    qtbot.waitUntil(lambda: other.status.text() == "", timeout=5000)


@pytest.mark.fault("E12")
def test_a_click_while_another_dock_runs_costs_no_answer(viewer, waiting, make_dock, notified, qtbot):
    viewer.add_image(picture(), name="field")
    answered = make_dock(make_spec(), Runner(at_once, activity=False))
    answered.run_button.click()
    other = make_dock(make_spec(waiting), Runner(activity=False))
    with qtbot.waitSignal(other.runner.progressed, timeout=5000):
        other.run_button.click()
    answered.run_button.click()
    assert ">2</span>" in answered.answer.number.text()
    assert answered.export_box.buttons["save"].isEnabled()
    answered.close_down()
    waiting.end.set()
    qtbot.waitUntil(lambda: Runner.busy is None, timeout=5000)


def test_the_word_of_trust_stands_at_the_number_it_belongs_to(viewer, make_dock):
    viewer.add_image(picture(), name="a")
    dock = make_dock()
    assert not dock.answer.badge.isVisibleTo(dock)
    dock.run_button.click()
    assert dock.answer.badge.isVisibleTo(dock)
    assert dock.answer.badge.trust.level == "fits"
    viewer.add_image(picture(), name="b")
    dock.input.main.choose(viewer.layers["b"])
    assert dock.model.badge.trust.level == "unknown"  # of b, above the run
    assert dock.answer.badge.trust.level == "fits"  # of a, whose number is still shown
    assert not dock.answer.badge.isEnabled()
    viewer.add_image(picture((3, 3)), name="tiny")
    dock.input.main.choose(viewer.layers["tiny"])
    dock.run_button.click()
    assert not dock.answer.badge.isVisibleTo(dock)


@pytest.mark.fault("H26")
def test_fifty_docks_come_and_go_without_a_trace(viewer, make_dock):
    viewer.add_image(picture())
    make_dock().close_down()
    settle()
    widgets = len(QApplication.allWidgets())
    listeners = len(viewer.layers.events.inserted.callbacks)
    for _ in range(50):
        dock = make_dock()
        dock.run_button.click()
        dock.close_down()
        del dock
        settle()
    assert len(QApplication.allWidgets()) <= widgets
    assert len(viewer.layers.events.inserted.callbacks) == listeners


@pytest.mark.fault("H23")
def test_every_control_can_be_reached_by_key_and_explains_itself(viewer, make_dock, qtbot):
    viewer.add_image(picture((2, 3, 30, 40)))
    dock = make_dock()
    dock.input.channel.setCurrentIndex(1)
    dock.run_button.click()
    dock.settings.fold.expand()
    dock.resize(360, 700)
    dock.show()
    kinds = (QAbstractButton, QComboBox, QLineEdit, QSpinBox)
    controls = [w for w in dock.findChildren(QWidget) if isinstance(w, kinds) and w.isVisibleTo(dock) and w.isEnabled()]
    controls = [w for w in controls if not w.objectName().startswith("qt_")]  # parts of a spin box, a tab bar, a table
    reached, widget = set(), dock.input.main
    for _ in range(500):
        reached.add(widget)
        widget = widget.nextInFocusChain()
    assert len(controls) > 12
    for control in controls:
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, control
        assert control in reached, control
        assert control.toolTip() or control.parentWidget().toolTip() or control.text(), control


FOLD_PX = 700
"""Height of a dock in a window of 1366 x 768."""


def in_view(widget):
    """Whether all of a widget is seen."""
    seen = widget.visibleRegion().boundingRect()
    return widget.isVisible() and (seen.width(), seen.height()) == (widget.width(), widget.height())


@pytest.mark.parametrize("height", [FOLD_PX, 500])
def test_the_answer_and_what_can_be_taken_away_are_in_view_after_a_run(viewer, make_dock, height):
    viewer.add_image(picture((2, 3, 30, 40)), name="field")

    def warned(inputs, params):
        result = yield from fake_run(inputs, params)
        return replace(result, flags=("saturated", "low_contrast", "unit_unknown"))

    dock = make_dock(spec=make_spec(warned))
    dock.input.channel.setCurrentIndex(1)
    dock.resize(360, height)
    dock.show()
    settle()
    dock.settings.fold.expand()
    dock.run_button.click()
    settle()
    for part in (dock.run_button, dock.answer.number, *dock.export_box.buttons.values()):
        assert in_view(part), part.text()
    dock.area.verticalScrollBar().setValue(0)
    assert all(in_view(button) for button in dock.export_box.buttons.values())
    dock.export_box.say("Saved to a folder.")
    settle()
    assert in_view(dock.export_box.said)


@pytest.mark.fault("H22")
@pytest.mark.parametrize("width", [350, 360])
def test_nothing_is_cut_off_in_a_narrow_window(viewer, make_dock, width):
    viewer.add_image(picture((2, 3, 30, 40)), name="an image with a name that is much too long for a narrow dock")
    dock = make_dock()
    dock.input.channel.setCurrentIndex(1)
    dock.run_button.click()
    dock.settings.fold.expand()
    dock.resize(width, 600)
    dock.show()
    settle()
    inside = dock.area.widget()
    assert inside.width() <= dock.area.viewport().width()
    assert inside.height() > dock.area.viewport().height()  # so it scrolls
    for button in dock.findChildren(QAbstractButton):
        if button.isVisible() and button.text():
            right = button.mapTo(dock, QPoint(button.width(), 0)).x()
            assert right <= dock.width(), button.text()
            assert button.width() >= button.minimumSizeHint().width(), button.text()


def test_where_there_are_no_models_it_says_so(viewer, make_dock, tmp_path):
    (tmp_path / "models" / "fake-model.json").unlink()
    viewer.add_image(picture())
    dock = make_dock()
    assert not dock.run_button.isEnabled()
    assert dock.model.line.text() == dock.problem() == "There are no models for this task."
    assert dock.status.isHidden()  # it is said once


def test_what_is_said_at_the_wrong_moment_is_said_not_raised(viewer, make_dock):
    dock = make_dock()
    dock.run()
    assert EMPTY in dock.answer.number.text()
    with pytest.raises(VitascopeError):
        dock.params()
