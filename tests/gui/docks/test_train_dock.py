"""The dock that trains, on a viewer without a window; everything happens at once."""

import gc

import numpy as np
import pytest
import tifffile

from gui_support import at_once, now, settle
from tests_support import blobs, make_recipe
from vitascope.core.paths import training_folder
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import EpochProgress, Preview
from vitascope.gui.common.runner import Runner, drain
from vitascope.gui.docks.train_dock import TrainDock
from vitascope.gui.train.train_plots import TrainPlots, draw_curves, draw_preview, draw_training
from vitascope.gui.train.train_run import unfinished
from vitascope.io.models.cards import find_cards, read_card
from vitascope.recipes.recipe import parse_recipe
from vitascope.simulate.wells import make_well
from vitascope.training.tasks.stain import run_training


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parent")
    tree = make_recipe(folder, training={"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "precision": "f32"})
    return run_to_end(run_training(parse_recipe(tree, "recipe"), folder, folder / "models")).parent


@pytest.fixture
def dock(parent, tmp_path, monkeypatch, viewer, qtbot):
    monkeypatch.setenv("VITASCOPE_MODELS", f"{tmp_path / 'mine'}:{parent}")
    rng = np.random.default_rng(0)
    stain = (1000 * blobs((256, 96), rng.uniform(8, (248, 88), (40, 2)), 6.0)).astype(np.uint16)
    viewer.add_image((500 + 0.3 * stain + rng.normal(0, 20, stain.shape)).astype(np.uint16), name="phase")
    viewer.add_image(stain, name="stain DNA", visible=False)
    viewer.layers.selection.active = viewer.layers["phase"]
    dock = TrainDock(viewer, Runner(at_once, activity=False), now)
    dock.data.input.main.choose(viewer.layers["phase"])
    dock.model.model.setCurrentIndex(dock.model.model.findText("tiny"))
    dock.settings.setValue(dock.settings.value().changed(epochs=2, steps_per_epoch=2))
    yield dock
    if dock._open:
        dock.close_down()
    settle()


def test_a_new_model_is_trained_from_two_layers(dock, viewer):
    assert "Add a pair" in dock.problem()
    assert dock.data.truths["DNA"].currentText() == "stain DNA"
    dock.data.add_button.click()
    assert dock.data.pairs.item(0).text() == "✓ phase (256 x 96 px): nothing wrong"
    assert dock.problem() == ""
    dock.resize(420, 500)
    dock.show()
    dock.train_button.click()
    card = read_card(find_cards()["tiny-mine"])
    assert card.parent.startswith("tiny ")
    assert dock.answer.text().startswith("'tiny-mine' is ready. PCC DNA")
    assert "a guard band of 96" in dock.words.text()
    assert "the figures will hold for this image, not for others" in dock.words.text()
    settle()
    bar = dock.area.verticalScrollBar()
    assert bar.value() == min(bar.maximum(), dock.train_button.y()) > 0  # progress and answer are in view
    dock.hide()
    assert "test" in dock.status.text()  # the figure of its card stays to be read beside the headline
    assert dock.use_button.isVisibleTo(dock)
    viewer.layers.selection.active = viewer.layers["stain DNA"]
    dock.use_button.click()
    assert viewer.layers.selection.active is viewer.layers["phase"]  # a model that sees no stains is not shown one
    assert dock.model.model.findText("tiny-mine") >= 0
    assert dock.name.text() == "tiny-mine-2"


def test_a_pair_says_what_is_wrong_and_the_training_is_refused(dock, viewer):
    viewer.add_labels(np.zeros((256, 96), int), name="painted")
    box = dock.data.truths["DNA"]
    box.setCurrentIndex(box.findText("painted"))
    dock.data.add()
    assert "✗ phase (256 x 96 px): Nothing is painted" in dock.data.pairs.item(0).text()
    dock.train()
    assert "cannot be trained on: Nothing is painted" in dock.status.text()
    assert not training_folder("tiny-mine").exists()
    viewer.layers["painted"].data[::3] = 1
    viewer.layers["painted"].data[1::3] = 2
    dock.model.valueChanged.emit()  # looked at again
    assert dock.data.pairs.item(0).text().startswith("✓")


def test_the_estimate_is_told_and_nothing_is_left(dock):
    dock.data.add()
    dock.estimate_button.click()
    assert dock.answer.text().startswith("About ")
    assert "GiB of memory" in dock.answer.text()
    assert unfinished() == []
    assert "tiny-mine" not in find_cards()


def test_a_paused_training_can_be_gone_on_with_another_day(dock, viewer):
    dock.data.add()
    dock.runner.progressed.connect(lambda p, _: isinstance(p, EpochProgress) and p.done == 2 and dock.runner.cancel())
    dock.train()
    assert dock.status.text().startswith("Paused.")
    assert [f.name for f in unfinished()] == ["tiny-mine"]
    dock.close_down()
    again = TrainDock(viewer, Runner(at_once, activity=False), now)
    assert again.unfinished.currentText() == "tiny-mine"
    again.resume()
    assert "tiny-mine" in find_cards()
    assert unfinished() == []
    again.close_down()


def test_stopping_keeps_the_best_so_far(dock):
    dock.settings.setValue(dock.settings.value().changed(epochs=60))
    dock.data.add()

    def stop(progress, _):
        if isinstance(progress, EpochProgress) and progress.done == 3:
            dock.stop()

    dock.runner.progressed.connect(stop)
    dock.train()
    assert read_card(find_cards()["tiny-mine"]).training["stopped"] == "stopped"


def test_a_name_that_is_taken_is_not_offered_again(dock):
    dock.data.add()
    dock.name.setText("tiny")
    assert "take 'tiny-2'" in dock.problem()
    assert not dock.train_button.isEnabled()
    dock.name.setText("No Name")
    assert "no name for a model" in dock.problem()


@pytest.mark.parametrize("task", ["atp", "viability", "phenotype", "spheroid"])
def test_every_task_has_its_way_to_data(dock, task):
    dock.task.setCurrentIndex(dock.task.findData(task))
    settle()
    assert dock.model.card() is not None
    assert dock.data.tabs.count() == (1 if task == "spheroid" else 2)
    assert dock.problem()


def test_curves_show_the_starting_model_as_a_line_and_the_preview_beside_the_truth(qapp):
    from matplotlib.figure import Figure

    history = ({"epoch": 1, "loss": 0.5, "score": 0.2, "pcc_DNA": 0.2}, {"epoch": 2, "loss": 0.4, "pcc_DNA": 0.3})
    figure = Figure()
    draw_curves(figure, history, {"pcc_DNA": 0.25})
    loss, metric = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [0.5, 0.4])
    np.testing.assert_array_equal(metric.lines[0].get_ydata(), [0.2, 0.3])
    assert set(metric.lines[1].get_ydata()) == {0.25}
    picture = Preview("DNA", np.eye(8), np.eye(8) / 2, np.ones((8, 8)))
    figure = Figure()
    draw_preview(figure, picture, picture)
    assert [a.get_title() for a in figure.axes] == ["image", "real DNA", "starting model", "new model"]
    numbers = Preview("ATP", np.arange(3.0), np.arange(3.0) + 1)
    figure = Figure()
    draw_preview(figure, numbers, None)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [1, 2, 3])


def test_the_first_picture_of_a_run_is_the_starting_models(qtbot):
    plots = TrainPlots(lambda: "black", now)
    qtbot.addWidget(plots)
    first, later = (Preview("DNA", np.eye(8), np.eye(8) * k, np.ones((8, 8))) for k in (1, 2))
    plots.show_progress(EpochProgress(0, 4, "epoch 1", start={"pcc_DNA": 0.1, "score": 0.1}, picture=first))
    plots.show_progress(EpochProgress(2, 4, "epoch 1", preview=True, start={"pcc_DNA": 0.1}, picture=later))
    assert plots.start_picture is first
    plots.clear()
    assert plots.start_picture is None
    assert plots.pixmap().isNull()


def test_a_drawing_is_made_off_the_main_thread_and_the_latest_is_shown(qtbot):
    waiting = []
    plots = TrainPlots(lambda: "black", lambda work, then: waiting.append((work, then)))
    qtbot.addWidget(plots)
    for k in (1, 2, 3):
        picture = Preview("DNA", np.eye(8), np.eye(8) * k, np.ones((8, 8)))
        plots.show_progress(EpochProgress(k, 4, "epoch 1", start={"pcc_DNA": 0.1}, picture=picture))
    assert len(waiting) == 1  # the others wait, and only the last of them is drawn
    assert plots.pixmap().isNull()
    now(*waiting.pop())
    assert not plots.pixmap().isNull()
    work, _ = waiting.pop()
    assert waiting == []
    picture = Preview("DNA", np.eye(8), np.eye(8) * 3, np.ones((8, 8)))
    last = EpochProgress(3, 4, "epoch 1", start={"pcc_DNA": 0.1}, picture=picture)
    width = plots.width()
    np.testing.assert_array_equal(work(), draw_training(last, plots.start_picture, (width, 330), 1.0, "black"))


def test_a_wish_to_stop_waits_until_training_is_under_way():
    import threading

    from vitascope.core.progress import Progress, StopEarly

    def steps():
        yield Progress(0, 1, "reading")
        yield Progress(1, 1, "reading")
        try:
            for n in range(1, 100):
                yield EpochProgress(n, 100, "epoch 1")
        except StopEarly:
            return "best"
        return "all"

    stopped = threading.Event()
    stopped.set()
    run = drain(steps, threading.Event(), stopped)
    outcome = []

    def keep():
        outcome.append((yield from run))

    assert 0 < len(list(keep())) < 10
    assert outcome[0].value == "best"


def test_the_prepared_stain_is_shown_beside_the_stain(dock, viewer):
    dock.prepare.button.click()
    assert "Add a pair with a stain" in dock.prepare.note.text()
    viewer.layers["stain DNA"].data[:, 48:] = 0
    dock.data.add()
    dock.settings.setValue(dock.settings.value().changed(clip_percentile=50.0, exposure_filter=True))
    dock.prepare.button.click()
    before, after = dock.prepare.figure.canvas.figure.axes
    stain = viewer.layers["stain DNA"].data
    shown = after.images[0].get_array()
    assert (shown[stain < np.percentile(stain, 50)] == 0).all()
    assert shown[:, 48:].max() == 0 < shown[:, :48].max()
    assert before.images[0].get_array().shape == stain.shape
    assert dock.prepare.note.text() == "2 of 2 crops of 128 px are drawn from."


@pytest.fixture
def phenotype(dock, viewer):
    """The dock for classes of wells, and an image of two channels moved and scaled in the viewer."""
    dock.task.setCurrentIndex(dock.task.findData("phenotype"))
    settle()
    dock.model.model.setCurrentIndex(dock.model.model.findText("translocation-bbbc013"))
    pixels = np.random.default_rng(0).normal(100, 10, (2, 96, 96)).astype(np.float32)
    layer = viewer.add_image(
        pixels, name="well", scale=(1, 0.5, 0.5), translate=(0, 10, 20), metadata={"vitascope": {"axes": "CYX"}}
    )
    viewer.layers.selection.active = layer
    dock.data.input.main.choose(layer)
    dock.data.input.channels.setText("1, 0")
    return dock


def choose_truth(dock, name):
    box = dock.data.truths[""]
    box.setCurrentIndex(box.findText(name))


def test_a_column_of_points_is_the_class_of_squares_around_them(phenotype, viewer):
    centres = np.array([[20, 30], [60, 70]])  # px of the image
    features = {"size": [1, 2], "phenotype": ["Positive", "negative"]}
    viewer.add_points(centres * 0.5 + [10, 20], name="cells", features=features)
    choose_truth(phenotype, "cells")
    assert phenotype.data.annotations.column.currentText() == "phenotype"
    phenotype.data.annotations.side.setValue(9)
    phenotype.data.add()
    assert phenotype.data.pairs.item(0).text() == "✓ well (96 x 96 px): nothing wrong"
    pair = phenotype.data.layer_pairs()[0].pair()
    assert pair.channels == ("1", "0")
    painted = pair.painted
    names = [t.name for t in phenotype.model.card().targets]
    wanted = np.zeros((96, 96), int)
    wanted[16:25, 26:35] = names.index("positive") + 1
    wanted[56:65, 66:75] = names.index("negative") + 1
    np.testing.assert_array_equal(painted, wanted)
    phenotype.data.annotations.column.setCurrentText("size")
    phenotype.data.add()
    assert phenotype.data.layer_pairs()[1].pair().painted[20, 30] == 1


def test_points_of_one_class_are_the_class_of_the_whole_image(phenotype, viewer):
    names = [t.name for t in phenotype.model.card().targets]
    points = viewer.add_points([[20, 30], [30, 40]], name="cells", features={"class": ["positive", ""]})
    choose_truth(phenotype, "cells")
    phenotype.data.add()
    assert phenotype.data.pairs.item(0).text() == "✓ well (96 x 96 px): nothing wrong"
    assert (phenotype.data.layer_pairs()[0].pair().painted == names.index("positive") + 1).all()
    points.features = {"class": ["", ""]}
    phenotype.model.valueChanged.emit()
    assert "✗ well (96 x 96 px): Nothing is painted" in phenotype.data.pairs.item(0).text()


def test_shapes_count_inside_and_a_word_that_is_no_class_is_told(phenotype, viewer):
    box = np.array([[10, 10], [10, 29], [39, 29], [39, 10]]) * 0.5 + [10, 20]
    other = np.array([[50, 50], [50, 89], [89, 89], [89, 50]]) * 0.5 + [10, 20]
    layer = viewer.add_shapes(
        [box, other, box[:2]], shape_type=["rectangle", "ellipse", "line"], features={"class": ["positive"] * 3}
    )
    choose_truth(phenotype, layer.name)
    phenotype.data.add()
    assert phenotype.data.pairs.item(0).text() == "✓ well (96 x 96 px): nothing wrong"
    assert set(np.unique(phenotype.data.layer_pairs()[0].pair().painted[:60, :60])) == {0, 2}  # inside shapes only
    layer.features["class"] = ["positive", "negative", ""]
    painted = phenotype.data.layer_pairs()[0].pair().painted
    assert len({painted[20, 20], painted[70, 70], painted[0, 0]}) == 3
    assert (painted[10:40, 10:30] == painted[20, 20]).all()
    assert (painted == painted[70, 70]).sum() == pytest.approx(np.pi * 39**2 / 4, rel=0.06)
    layer.features = {"class": ["positive", "alive", ""]}
    phenotype.model.valueChanged.emit()
    assert "✗ well: 'alive' is no class of this model." in phenotype.data.pairs.item(0).text()
    phenotype.train()
    assert "'alive' is no class" in phenotype.status.text()
    layer.features = {}
    choose_truth(phenotype, "choose …")
    choose_truth(phenotype, layer.name)
    assert "has no features" in phenotype.data.annotations.note.text()
    assert not phenotype.data.add_button.isEnabled()


@pytest.fixture
def wells(dock, viewer):
    """The dock for ATP, and layers of three wells, selected."""
    dock.task.setCurrentIndex(dock.task.findData("atp"))
    settle()
    dock.data.tabs.setCurrentIndex(1)
    layers = [viewer.add_image(make_well(0, k, k, 64).image, name=f"well {k}") for k in range(3)]
    viewer.layers.selection = set(layers)
    return dock


def type_in(dock, column, texts):
    for row, text in enumerate(texts):
        dock.data.values.table.item(row, column).setText(text)


def test_layers_with_typed_values_are_trained_on(wells):
    table = wells.data.values.table
    assert "select their layers" in wells.problem()
    wells.data.values.add_button.click()
    assert [table.item(row, 0).text() for row in range(3)] == ["✓ well 0", "✓ well 1", "✓ well 2"]
    assert "'well 0' has no value" in wells.problem()
    type_in(wells, 1, ["1200", "1,5e3", " 0 "])
    assert wells.problem() == ""
    type_in(wells, 2, ["A", "A", "B"])
    pairs = [layers.pair() for layers in wells.data.layer_pairs()]
    assert [pair.values["ATP"] for pair in pairs] == [1200, 1500, 0]
    assert [pair.group for pair in pairs] == ["A", "A", "B"]
    wells.train()
    assert "2 images are too few" in wells.status.text()
    type_in(wells, 1, ["7", "7", "7"])
    wells.train()
    assert "All images have the value 7" in wells.status.text()
    table.selectRow(1)
    wells.data.values.remove_button.click()
    assert [layers.name for layers in wells.data.layer_pairs()] == ["well 0", "well 2"]
    type_in(wells, 1, ["7", "many"])
    assert "'well 2' has no value" in wells.problem()


def test_an_empty_layer_is_told_in_the_table_of_values(wells, viewer):
    viewer.layers.selection = {viewer.add_image(np.zeros((64, 64), np.uint8), name="blank")}
    wells.data.values.add()
    assert wells.data.values.table.item(0, 0).text() == "✗ blank"
    assert "✗ blank: All pixels of the image are 0" in wells.data.values.note.text()


def test_while_a_model_is_trained_the_search_for_garbage_passes_over_what_was_there(dock):
    limits, frozen = gc.get_threshold(), []
    dock.runner.progressed.connect(lambda p, _: frozen.append(gc.get_freeze_count()))
    dock.data.add()
    dock.train()
    assert max(frozen[-3:]) > 10_000
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == limits


def test_a_model_is_calibrated_on_a_folder_and_a_sheet(dock, tmp_path):
    dock.task.setCurrentIndex(dock.task.findData("atp"))
    box = dock.calibrate
    assert not dock.calibrate_fold.isHidden()
    assert not box.button.isEnabled()
    (tmp_path / "wells").mkdir()
    lines = ["well,atp"]
    for number in range(10):
        well = make_well(3, number, number // 4, 64)
        name = f"{'AB'[number // 5]}{number % 5 + 1:02d}"
        tifffile.imwrite(tmp_path / "wells" / f"P1_{name}.tif", well.image)
        lines += [f"{name},{well.atp_rlu / 1000:.3f}"] if number < 9 else []
    (tmp_path / "sheet.csv").write_text("\n".join(lines))
    box.images.setText(str(tmp_path / "wells"))
    box.values.setText(str(tmp_path / "sheet.csv"))
    assert box.button.isEnabled()
    dock.name.setText("calibrated")
    box.button.click()
    card = read_card(find_cards()["calibrated"])
    assert card.readout is not None
    assert [box.table.item(row, 0).text() for row in range(4)] == ["line", "features", "blend", "constant"]
    assert "Measure these next: B05" in box.note.text()
    assert dock.answer.text().startswith("'calibrated' is ready. Kept:")
    settle()
    assert dock.model.model.findText("calibrated") >= 0
    dock.task.setCurrentIndex(dock.task.findData("stain"))
    assert dock.calibrate_fold.isHidden()


def folders_of_pairs(folder, count=3):
    rng = np.random.default_rng(1)
    for number in range(count):
        stain = (1000 * blobs((256, 96), rng.uniform(8, (248, 88), (40, 2)), 6.0)).astype(np.uint16)
        image = (500 + 0.3 * stain + rng.normal(0, 20, stain.shape)).astype(np.uint16)
        for kind, pixels in (("phase", image), ("dna", stain)):
            (folder / kind).mkdir(exist_ok=True)
            tifffile.imwrite(folder / kind / f"field {number}.tif", pixels, photometric="minisblack")


def test_folders_of_images_and_stains_become_pairs_that_are_trained_on(dock, tmp_path):
    folders_of_pairs(tmp_path)
    tifffile.imwrite(tmp_path / "phase" / "lonely.tif", np.zeros((64, 64), np.uint16), photometric="minisblack")
    dialog = dock.data.ask_folders()
    assert not dialog.add_button.isEnabled()
    dialog.images.setText(str(tmp_path / "phase"))
    dialog.stains["DNA"].setText(str(tmp_path / "nowhere"))
    dialog.look()
    assert "no image in nowhere" in dialog.note.text()
    dialog.stains["DNA"].setText(str(tmp_path / "dna"))
    dialog.look()
    assert dialog.note.text() == "3 pairs. No stain for lonely.tif."
    assert [dialog.table.item(0, column).text() for column in (0, 1)] == ["field 0", "field 0.tif"]
    assert dialog.add_button.text() == "Add 3 pairs"
    dialog.accept()
    assert [dock.data.pairs.item(row).text() for row in range(3)] == [
        f"✓ field {row} (256 x 96 px): nothing wrong" for row in range(3)
    ]
    assert "lonely.tif" in dock.data.note.text()
    assert dock.problem() == ""
    dock.train_button.click()
    card = read_card(find_cards()["tiny-mine"])
    assert card.parent.startswith("tiny ")
    assert "by group" in dock.words.text()


def test_channels_of_a_folder_are_offered_by_name(dock, tmp_path):
    for number in range(2):
        planes = np.stack([np.full((64, 64), 1 + number, np.uint16), np.full((64, 64), 5, np.uint16)])
        names = {"axes": "CYX", "Channel": {"Name": ["bf", "dapi"]}}
        tifffile.imwrite(tmp_path / f"f{number}.ome.tif", planes, metadata=names, photometric="minisblack")
    dialog = dock.data.ask_folders()
    dialog.where.setCurrentIndex(1)
    dialog.images.setText(str(tmp_path))
    dialog._images_changed()
    assert dialog.channel.currentData() == "bf"
    assert dialog.stain_channels["DNA"].currentData() == "dapi"
    assert dialog.note.text() == "2 pairs."
    dialog.stain_channels["DNA"].setCurrentIndex(0)
    dialog.look()
    assert "taken twice" in dialog.note.text()
    assert not dialog.add_button.isEnabled()
