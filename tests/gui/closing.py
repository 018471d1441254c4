"""A viewer whose window is closed while a run is in some stage; a program of its own, for the tests.

usage: closing.py STAGE FOLDER
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import napari
import numpy as np
import tifffile
from qtpy.QtCore import QTimer

from gui_support import make_card, make_spec
from vitascope.core.progress import Progress
from vitascope.core.training_params import EpochProgress
from vitascope.gui.docks.plate_dock import PlateDock
from vitascope.gui.docks.task_dock import TaskDock
from vitascope.gui.docks.train_dock import TrainDock
from vitascope.io.models.cards import write_card

LONG_S = 60.0
"""Longer than anyone would wait for a window that was closed."""


def predicting(inputs, params):
    for number in range(int(LONG_S / 0.05)):
        time.sleep(0.05)
        yield Progress(number, int(LONG_S / 0.05), "Predicting")


def loading(inputs, params):
    """Load a model: one step that cannot be cut short."""
    np.linalg.eigvalsh(np.eye(8))
    time.sleep(LONG_S)
    yield Progress(0, 1, "Loaded")


def writing(folder):
    for number in range(10_000):
        tifffile.imwrite(folder / f"{number}.tif", np.zeros((64, 64), np.uint16))
        yield Progress(number, 10_000, "Writing")


def training():
    for epoch in range(10_000):
        time.sleep(0.05)
        yield EpochProgress(epoch, 10_000, "Training")


def open_dock(kind, viewer):
    dock = kind(viewer)
    viewer.window.add_dock_widget(dock, name="dock")
    return dock


def task_dock(viewer, folder, run):
    os.environ["VITASCOPE_MODELS"] = str(folder / "models")
    (folder / "models").mkdir()
    write_card(make_card(), folder / "models")
    viewer.add_image(np.random.default_rng(0).normal(size=(64, 64)), name="a")
    dock = open_dock(type("FakeDock", (TaskDock,), {"spec": make_spec(run)}), viewer)
    return dock, dock.run


def plate_dock(viewer, folder):
    import plate_support
    from vitascope.gui.plate import plate_run_box

    dock = open_dock(PlateDock, viewer)
    plate_run_box.find_task = lambda name: plate_support.SPEC
    dock.input.open(plate_support.make_plate(folder / "plate", 24))
    dock.run.model.value = dict
    dock.run.settings.value = lambda: plate_support.SPEC.make_params(seconds=0.3)
    dock.run.channel.setEnabled(False)
    dock.run.out.setText(str(folder / "out"))
    return dock, dock.run.run


def start(stage, viewer, folder):
    """Return a dock, what starts it, and the stage of progress in which the window is closed."""
    if stage == "loading":
        return *task_dock(viewer, folder, loading), "Loading the model"
    if stage == "predicting":
        return *task_dock(viewer, folder, predicting), "Predicting"
    if stage == "plate":
        return *plate_dock(viewer, folder), "Scale"
    if stage == "writing":
        dock, _ = task_dock(viewer, folder, predicting)
        return dock, lambda: dock._start(lambda: writing(folder), print, print, "Save results"), "Writing"
    dock = open_dock(TrainDock, viewer)
    return dock, lambda: dock._start("Training", training, print), "Training"


def main(stage, folder):
    viewer = napari.Viewer()
    dock, run, close_at = start(stage, viewer, folder)
    closed = []

    def close():
        closed.append(time.time())
        viewer.close()

    def look(progress, left):
        if progress.stage == close_at and not closed:
            closed.append(0.0)
            QTimer.singleShot(200, close)

    dock.runner.progressed.connect(look)
    QTimer.singleShot(100, run)
    napari.run()
    sys.stdout.write(f"closed {closed[-1]}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
