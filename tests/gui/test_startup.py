"""Menus and docks open without what computes."""

import subprocess
import sys

import pytest

OPEN = """
import os, sys, time
if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
import importlib, pkgutil
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
app = QApplication([])
viewer = ViewerModel()
import vitascope.gui
for module in pkgutil.iter_modules(vitascope.gui.__path__, "vitascope.gui."):
    importlib.import_module(module.name)
from vitascope.gui.docks.stain_dock import StainDock
import numpy as np
viewer.add_image(np.zeros((8, 8)))
dock = StainDock(viewer)
dock.show()
app.processEvents()
print(sorted(n for n in ("torch", "monai", "openvino", "matplotlib.pyplot") if n in sys.modules))
dock.close_down()
app.processEvents()
"""


@pytest.mark.fault("H11")
def test_importing_all_of_the_gui_and_building_the_dock_loads_nothing_that_computes():
    done = subprocess.run([sys.executable, "-c", OPEN], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[]"


ONLY = """
import sys
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
app = QApplication([])
viewer = ViewerModel()
before = set(sys.modules)
from vitascope.gui.docks.stain_dock import StainDock
dock = StainDock(viewer)
dock.show()
app.processEvents()
print(sorted({"pandas", "zarr", "skimage", "scipy.ndimage", "scipy.sparse", "vitascope.gui.docks.wells_dock"}
             & (set(sys.modules) - before)))
dock.close_down()
app.processEvents()
"""


def test_a_dock_loads_neither_tables_nor_the_docks_of_other_tasks():
    """They would add a fifth to the start of the viewer."""
    done = subprocess.run([sys.executable, "-c", ONLY], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[]"


CHECK = """
import sys
import numpy as np
from vitascope.core.micrograph import Micrograph
from vitascope.io.models.cards import find_model
from vitascope.recipes.finetune import TrainingPair
from vitascope.tasks.late_modules import load_pair_checks
image = np.random.default_rng(0).normal(100, 10, (64, 64)).astype(np.float32)
pair = TrainingPair("a", Micrograph.from_array(image), {"DAPI": image[::-1]})
found = load_pair_checks().check(pair, find_model("nuclei-phase")[0].input)
print(found.refused, "torch" in sys.modules)
"""


def test_looking_at_a_pair_to_train_on_does_not_load_torch():
    """Loading it in a thread holds up the viewer for half a second all the same."""
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "False False"
