"""The viewer of docks, used where it must not be."""

import threading
import time

import numpy as np
import pytest
from napari.components import ViewerModel

from gui_support import settle
from vitascope.core.progress import Progress
from vitascope.gui.common.dock import Dock
from vitascope.gui.common.main_thread import MainThreadOnly, OffMainThreadError
from vitascope.gui.common.runner import Runner, in_background

PICTURE = np.zeros((4, 4))


def set_theme(viewer):
    viewer.theme = "light"


def set_active(viewer):
    viewer.layers.selection.active = viewer.layers[0]


def drop_title(viewer):
    del viewer.title


def drop_layer(viewer):
    del viewer.layers[0]


USES = {
    "add": lambda viewer: viewer.add_image(PICTURE),
    "list": lambda viewer: viewer.layers,
    "theme": set_theme,
    "active": set_active,
    "title": drop_title,
    "remove": drop_layer,
    "dims": lambda viewer: viewer.dims.set_point(0, 1),
    "camera": lambda viewer: viewer.scene.camera.zoom,
    "reset": lambda viewer: viewer.reset_view(),
    "connect": lambda viewer: viewer.events.theme.connect(print),
}
PARTS = {
    "append": lambda viewer: (viewer.layers, lambda layers: layers.clear()),
    "iterate": lambda viewer: (viewer.layers, list),
    "backwards": lambda viewer: (viewer.layers, lambda layers: list(reversed(layers))),
    "count": lambda viewer: (viewer.layers, len),
    "within": lambda viewer: (viewer.layers, lambda layers: PICTURE in layers),
    "first": lambda viewer: (viewer.layers, lambda layers: layers[0]),
    "selected": lambda viewer: (viewer.layers.selection, list),
    "method": lambda viewer: (viewer.add_image, lambda add: add(PICTURE)),
    "method of a part": lambda viewer: (viewer.layers.remove, lambda remove: remove("a")),
    "emitter": lambda viewer: (viewer.layers.events.inserted, lambda event: event.connect(print)),
    "zoom": lambda viewer: (viewer.scene.camera, lambda camera: setattr(camera, "zoom", 2.0)),
}


def in_a_thread(work):
    """Return what the work raises in another thread."""
    raised = []

    def safely():
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=safely, name="elsewhere")
    thread.start()
    thread.join()
    return raised[0] if raised else None


@pytest.fixture
def guarded(viewer):
    viewer.add_image(PICTURE, name="a")
    return MainThreadOnly(viewer)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_the_viewer_cannot_be_used_in_another_thread(guarded, viewer, use):
    theme = viewer.theme
    error = in_a_thread(lambda: use(guarded))
    assert isinstance(error, OffMainThreadError)
    assert "'elsewhere'" in str(error)
    assert ([layer.name for layer in viewer.layers], viewer.theme) == (["a"], theme)


@pytest.mark.parametrize("take", PARTS.values(), ids=PARTS)
def test_nor_can_what_was_taken_out_of_it_before(guarded, viewer, take):
    part, use = take(guarded)
    zoom = viewer.scene.camera.zoom
    assert isinstance(in_a_thread(lambda: use(part)), OffMainThreadError)
    assert ([layer.name for layer in viewer.layers], viewer.scene.camera.zoom) == (["a"], zoom)


def test_on_the_main_thread_it_is_the_viewer(guarded, viewer):
    assert isinstance(guarded, ViewerModel)
    made = guarded.add_image(PICTURE, name="b")
    assert guarded.layers[1] is made is viewer.layers[1]
    guarded.layers.selection.active = viewer.layers[0]
    assert viewer.layers.selection.active is viewer.layers[0]
    assert made in guarded.layers
    assert list(guarded.layers) == list(viewer.layers) == list(reversed(list(reversed(guarded.layers))))
    guarded.theme = "light"
    assert viewer.theme == "light"
    guarded.layers.remove(made)
    assert len(viewer.layers) == len(guarded.layers) == 1


@pytest.fixture
def dock(viewer, qtbot):
    made = Dock(viewer, Runner(activity=False))
    yield made
    made.close_down()
    settle()


def test_a_run_that_touches_the_viewer_fails_in_a_sentence_and_changes_nothing(dock, viewer, qtbot):
    def steps():
        yield Progress(0, 1, "a")
        dock._viewer.add_image(PICTURE)

    with qtbot.waitSignal(dock.runner.ended, timeout=5000) as caught:
        dock.runner.start("a run", steps)
    assert caught.args[0].kind == "failed"
    assert isinstance(caught.args[0].value, OffMainThreadError)
    assert len(viewer.layers) == 0


def test_work_in_the_background_cannot_touch_it_and_its_value_arrives_on_the_main_thread(dock, viewer, qtbot):
    arrived = []

    def then(value):
        arrived.append(value)
        dock._viewer.add_image(PICTURE, name="here")

    in_background(lambda: dock._viewer.layers, then)
    end = time.monotonic() + 5
    while not arrived and time.monotonic() < end:
        qtbot.wait(10)
    assert isinstance(arrived[0].value, OffMainThreadError)
    assert [layer.name for layer in viewer.layers] == ["here"]
