"""The dock "Phenotype": channels of one image, maps and regions, sliders without a new run."""

import numpy as np
import pytest
from napari.layers import Labels, Layer

from gui_support import at_once, settle
from phenotype_support import cells, make_model
from tests_support import save_model
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.gui.common.plots import draw_phenotype
from vitascope.gui.common.runner import Runner, RunOutcome
from vitascope.gui.docks.phenotype_dock import PhenotypeDock
from vitascope.gui.layers.add import image_layers
from vitascope.gui.run.map_box import with_new_regions
from vitascope.ops.objects.map_regions import RegionParams
from vitascope.tasks.run import start


@pytest.fixture
def card(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return save_model(make_model(), tmp_path / "models")


@pytest.fixture
def open_dock(viewer, card, qtbot):
    docks = []

    def make():
        dock = PhenotypeDock(viewer, Runner(at_once, activity=False))
        dock.model.model.setCurrentIndex(dock.model.model.findData("tiny-phenotype"))
        dock.settings.setValue(dock.settings.value().changed(precision="f32", tile_px=512, threads=1))
        docks.append(dock)
        return dock

    yield make
    for dock in docks:
        if dock._open:
            dock.close_down()
    docks.clear()
    settle()


def add_image(viewer, names=("GFP", "DNA")):
    image = Micrograph.from_array(cells(True), axes="CYX", channel_names=names, name="A01", sources=("a.tif",))
    for one in image_layers(image):
        viewer.add_layer(Layer.create(*one))
    return image


def test_the_channels_of_one_image_are_one_choice_and_are_found_by_name(viewer, open_dock):
    image = add_image(viewer)
    dock = open_dock()
    assert dock.input.main.currentText() == "A01, 2 channels"
    assert dock.run_button.isEnabled()
    assert dock.input.channels.placeholderText() == "by name, out of GFP, DNA"
    dock.run()
    expected = run_to_end(
        start("phenotype", image, model="tiny-phenotype", device="cpu", precision="f32", tile_px=512, threads=1)
    )
    shown = dock._shown.result
    assert shown.rows == expected.rows
    assert np.array_equal(shown.output("maps").array, expected.output("maps").array)
    assert expected.rows[0]["predicted"] in dock.answer.number.text()


def test_the_answer_is_a_class_and_only_its_map_shows(viewer, open_dock):
    add_image(viewer)
    dock = open_dock()
    dock.run()
    predicted = dock._shown.result.rows[0]["predicted"]
    visible = [layer.name for layer in viewer.layers if layer.visible]
    assert visible == ["A01 GFP", "A01 DNA", f"{predicted} map · A01"]
    hidden = [layer.name for layer in viewer.layers if not layer.visible]
    assert len(hidden) == 4
    assert sum("probability ·" in name for name in hidden) == 2


def test_sliders_change_regions_and_opacity_without_a_new_run(viewer, open_dock):
    add_image(viewer)
    dock = open_dock()
    dock.run()
    labels = next(layer for layer in viewer.layers if isinstance(layer, Labels))
    first, count = labels.data.copy(), len(viewer.layers)
    used = dock._shown.result.provenance.params["threshold"]
    assert dock.maps.threshold.value() == pytest.approx(used, rel=0.05)
    total = dock._shown.result.output("maps").array.sum(0)
    dock.maps.threshold.setValue(float(np.quantile(total, 0.6)))
    dock.maps.smoothing.setValue(0.3)
    dock.find_regions()
    assert len(viewer.layers) == count
    assert not np.array_equal(labels.data, first)
    result = dock._shown.result
    assert result.provenance.params["threshold"] == pytest.approx(dock.maps.threshold.value())
    repeated = run_to_end(
        start("phenotype", dock._shown.images["image"], **{**result.provenance.params, "model": "tiny-phenotype"})
    )
    assert np.array_equal(repeated.output("labels").array, labels.data)
    assert len(labels.features) == labels.data.max() + 1
    assert dock.export_box._run.result is result
    dock.maps.opacity.setValue(30)
    maps = [layer for layer in viewer.layers if "map" in layer.name]
    assert {round(layer.opacity, 2) for layer in maps} == {0.3}


def test_moving_a_slider_finds_regions_a_moment_later(viewer, open_dock, qtbot):
    add_image(viewer)
    dock = open_dock()
    dock.run()
    with qtbot.waitSignal(dock.maps.regionsWanted, timeout=3000):
        dock.maps.threshold.slider.setValue(dock.maps.threshold.slider.value() + 20)


def test_named_channels_are_taken_in_the_models_order(viewer, open_dock):
    add_image(viewer, ("x", "y"))
    dock = open_dock()
    dock.run()
    assert "do not tell which is which" in dock.answer.number.text()
    assert not dock.maps.isVisibleTo(dock)
    dock.input.channels.setText("y, x")
    dock.run()
    assert dock._shown.result.provenance.params["channels"] == ["y", "x"]


def test_without_maps_there_is_nothing_to_slide(viewer, open_dock):
    add_image(viewer)
    dock = open_dock()
    dock.settings.setValue(dock.settings.value().changed(maps=False))
    dock.run()
    assert not dock.maps.isVisibleTo(dock)
    dock.find_regions()
    assert len(viewer.layers) == 2


def test_regions_of_every_time_point_are_found_anew(card):
    array = np.random.default_rng(0).integers(0, 255, (2, 2, 64, 64), np.uint8)
    image = Micrograph.from_array(array, axes="TCYX", channel_names=("GFP", "DNA"))
    values = {"model": str(card), "device": "cpu", "precision": "f32", "tile_px": 512, "threads": 1}
    result = run_to_end(start("phenotype", image, **values))
    params = RegionParams(0.08, 1.5, "messages", 5.0)
    new = run_to_end(with_new_regions(result, params, None))
    wanted = run_to_end(
        start("phenotype", image, **values, threshold=0.08, smoothing=1.5, denoise="messages", min_region_px=5.0)
    )
    assert np.array_equal(new.output("labels").array, wanted.output("labels").array)
    assert new.output("labels").table.equals(wanted.output("labels").table)
    assert [r["regions"] for r in new.rows] == [r["regions"] for r in wanted.rows]


def test_the_plot_shows_the_probability_of_each_class(card):
    from matplotlib.figure import Figure

    image = Micrograph.from_array(cells(True), axes="CYX", channel_names=("GFP", "DNA"))
    result = run_to_end(
        start("phenotype", image, model=str(card), device="cpu", precision="f32", maps=False, threads=1)
    )
    figure = Figure()
    assert draw_phenotype(figure, result) == 1
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == pytest.approx([result.rows[0]["prob_negative"], result.rows[0]["prob_positive"]])
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["negative", "positive"]


def test_sliders_moved_while_another_dock_runs_wait_for_it_and_keep_the_answer(viewer, open_dock):
    add_image(viewer)
    dock = open_dock()
    dock.run()
    number = dock.answer.number.text()
    other = Runner(lambda runner, work: None, activity=False)
    other.start("another run", lambda: iter(()))
    dock.find_regions()
    assert dock.answer.number.text() == number
    assert dock.maps._wait.isActive()
    other.on_end(RunOutcome("cancelled"))
    dock.maps._wait.stop()
