"""The dock Denoise on a viewer without a window; everything happens at once."""

import shlex

import numpy as np
import pytest
import tifffile
from qtpy.QtGui import QGuiApplication
from typer.testing import CliRunner

from gui_support import at_once, settle
from tests_support import blobs
from vitascope.batch.denoise import denoise_image
from vitascope.cli.main import app
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.denoise_dock import COLOURFUL, DenoiseDock
from vitascope.gui.layers.snapshot import PROVENANCE
from vitascope.gui.reader import get_reader

SHAPE = (96, 112)


def noisy(smooth=False):
    noise = np.random.default_rng(3).normal(0, 60, SHAPE)
    if smooth:
        noise = (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 0)) * 0.8
    return (1000 + 1000 * blobs(SHAPE) + noise).astype(np.float32)


@pytest.fixture
def dock(viewer, qtbot):
    made = DenoiseDock(viewer, Runner(at_once, activity=False))
    qtbot.addWidget(made)
    made.settings.setValue(made.settings.value().changed(steps=50))
    yield made
    if made.is_open:
        made.close_down()
    settle()


def test_a_layer_is_denoised_beside_itself_and_looks_like_it(dock, viewer):
    source = viewer.add_image(noisy(), name="stain", scale=(0.5, 0.5), colormap="green", contrast_limits=(900, 2100))
    before = source.data.copy()
    assert dock.run_button.isEnabled()
    dock.run()
    clean = next(layer for layer in viewer.layers if PROVENANCE in layer.metadata)
    assert clean.name == "denoised · stain"
    assert tuple(clean.scale) == (0.5, 0.5)
    assert clean.colormap.name == source.colormap.name
    assert tuple(clean.contrast_limits) == (900, 2100)
    assert clean.visible
    np.testing.assert_array_equal(source.data, before)
    image = Micrograph.from_array(before, axes="YX")
    alone = run_to_end(denoise_image(image, dock.settings.value())).output("denoised").array
    np.testing.assert_array_equal(clean.data, alone)
    assert "Correlation of neighbouring pixels" in dock.answer.text()
    assert viewer.layers.selection.active is source


def test_shared_noise_is_refused_in_the_dock_unless_it_is_wanted(dock, viewer):
    viewer.add_image(noisy(smooth=True), name="smoothed")
    dock.run()
    assert len(viewer.layers) == 1
    assert "Neighbouring pixels share their noise" in dock.status.text()
    assert dock.foot.isHidden()
    dock.settings.setValue(dock.settings.value().changed(despite_correlation=True))
    dock.run()
    assert len(viewer.layers) == 2
    assert "part of it stays" in dock.answer.text()


def test_what_cannot_be_denoised_is_said_before_a_run(dock, viewer):
    assert not dock.run_button.isEnabled()
    assert "Open an image" in dock.status.text()
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8), rgb=True)
    assert dock.status.text() == COLOURFUL
    assert not dock.run_button.isEnabled()


def test_the_active_layer_is_taken_and_a_result_can_be(dock, viewer):
    first, second = (viewer.add_image(noisy(), name=name) for name in ("first", "second"))
    assert dock.layer.choice().layers == (second,)
    viewer.layers.selection.active = first
    assert dock.layer.choice().layers == (first,)
    dock.run()
    made = viewer.layers[-1]
    assert dock.layer.choice().layers == (first,)
    viewer.layers.selection.active = made
    assert dock.layer.choice().layers == (made,)


def test_the_copied_command_gives_the_same_pixels_and_saving_the_same_files(dock, viewer, tmp_path, monkeypatch):
    sizes = {f"PhysicalSize{a}": 0.5 for a in "XY"} | {f"PhysicalSize{a}Unit": "µm" for a in "XY"}
    path = tmp_path / "dim field.ome.tif"
    tifffile.imwrite(path, noisy(), ome=True, metadata={"axes": "YX", **sizes})
    for data, options, _ in get_reader(str(path))(str(path)):
        viewer.add_image(data, **options)
    dock.run()
    dock.copy_button.click()
    words = shlex.split(QGuiApplication.clipboard().text())
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, done.output
    by_command = next((tmp_path / "results" / "denoised").iterdir())
    np.testing.assert_array_equal(tifffile.imread(by_command), viewer.layers[-1].data)
    dock.save_to(tmp_path / "saved")
    assert "Saved in" in dock.status.text()
    assert {p.name for p in (tmp_path / "saved").rglob("*") if p.is_file()} >= {by_command.name, "results.csv"}
    dock.save_to(tmp_path / "saved")
    assert "already holds the results" in dock.status.text()
