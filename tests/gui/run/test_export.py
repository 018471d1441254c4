import json
import shlex

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Layer
from qtpy.QtGui import QGuiApplication

from gui_support import at_once, make_spec, settle
from tests_support import make_model, save_model
from vitascope.cli.run import parse_settings
from vitascope.core.errors import InputError, OutputError
from vitascope.core.progress import run_to_end
from vitascope.gui.common.runner import Runner
from vitascope.gui.docks.stain_dock import StainDock
from vitascope.gui.reader import read
from vitascope.gui.run.export import FinishedRun, as_command, as_python, find_files, save
from vitascope.io.images.read import read_image
from vitascope.io.results.read import read_results


@pytest.fixture
def folder(tmp_path):
    """A phase stack of two time points with a size, and three stains of which the first two could be meant."""
    rng = np.random.default_rng(0)
    phase = rng.integers(0, 4000, (2, 3, 48, 64), np.uint16)
    stains = rng.integers(0, 4000, (3, 48, 64), np.uint16)
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(tmp_path / "phase.ome.tif", phase, ome=True, metadata={"axes": "TZYX", **sizes})
    names = {"Channel": {"Name": ["MAP2", "DNA", "DNA again"]}}
    tifffile.imwrite(
        tmp_path / "stains.ome.tif", stains, ome=True, photometric="minisblack", metadata={"axes": "CYX", **names}
    )
    return tmp_path


@pytest.fixture
def dock(viewer, folder, monkeypatch, qtbot):
    """The dock of the task ``stain`` with a small network of random weights, and the files open."""
    models = folder / "models"
    models.mkdir()
    monkeypatch.setenv("VITASCOPE_MODELS", str(models))
    save_model(make_model(model_id="tiny", planes=1, object_diameter_px=12.0), models)
    for name in ("phase.ome.tif", "stains.ome.tif"):
        for one in read(str(folder / name)):
            viewer.add_layer(Layer.create(*one))
    found = StainDock(viewer, Runner(at_once, activity=False))
    found.model.model.setCurrentIndex(found.model.model.findData("tiny"))
    # all that is measured on a machine is given, so that nothing is measured here
    for name, value in {"precision": "f32", "tile_px": "320", "threads": "1"}.items():
        found.settings.editors[name].widget.value = value
    found.input.main.choose(viewer.layers["phase"])
    yield found
    found.close_down()
    settle()


def done(dock):
    dock.run_button.click()
    run = dock.export_box._run
    assert run is not None, dock.answer.number.text()
    return run


def equal(a, b):
    """Compare results bit by bit, in all but times."""
    for one, other in zip(a.outputs, b.outputs, strict=True):
        np.testing.assert_array_equal(np.asarray(one.array), np.asarray(other.array))
        assert one.axes == other.axes
        if hasattr(one, "table"):
            pd.testing.assert_frame_equal(one.table, other.table)
    pd.testing.assert_frame_equal(pd.DataFrame(a.rows), pd.DataFrame(b.rows))
    assert (a.flags, a.name, a.place, a.trust) == (b.flags, b.name, b.place, b.trust)


def execute(code):
    scope = {}
    exec(code, scope)
    return scope["result"]


def test_the_copied_python_gives_the_same_bits(dock, viewer, capsys):
    dock.input.planes.setText("0, 2")
    dock.settings.editors["min_contrast"].widget.value = "0.3225123"
    dock.settings.editors["flips"].widget.value = True
    dock.export_box.hide()
    run = done(dock)
    dock.export_box.copy_python()
    code = QGuiApplication.clipboard().text()
    assert dock.export_box.said.text() == "Copied."
    assert "min_contrast=0.3225123" in code
    assert {part.split("(")[0] for part in code.split("vitascope.")[1:]} == {"read_image", "run"}
    assert [line for line in code.splitlines() if "import" in line] == ["import vitascope"]
    assert "'auto'" not in code
    equal(execute(code), run.result)


@pytest.mark.fault("A29")
def test_a_series_of_stacks_runs_plane_by_plane_and_keeps_its_axes(dock, viewer):
    run = done(dock)
    shown = [layer for layer in viewer.layers if "provenance" in layer.metadata]
    assert [layer.data.shape for layer in shown] == [(2, 3, 48, 64)] * 2
    assert [layer.axis_labels for layer in shown] == [("t", "z", "y", "x")] * 2
    assert [tuple(layer.scale) for layer in shown] == [(1, 1, 0.5, 0.5)] * 2
    assert len(run.result.rows) == 6
    assert "of 6 pictures" in dock.answer.detail.text()


def test_the_copied_command_names_the_same_run(dock, folder):
    dock.input.planes.setText("0, 2")
    run = done(dock)
    dock.export_box.copy_command()
    words = shlex.split(QGuiApplication.clipboard().text())
    assert words[:6] == ["vitascope", "run", "stain", str(folder / "phase.ome.tif"), "-o", "results"]
    settings = parse_settings([words[i + 1] for i, word in enumerate(words) if word == "--set"])
    model, device = (words[words.index(option) + 1] for option in ("--model", "--device"))
    params = run.spec.make_params(model=model, device=device, **settings)
    assert params == run.spec.make_params(**run.result.provenance.params)


def test_one_channel_of_a_file_is_taken_in_python_and_in_a_command(dock, viewer, folder):
    dock.input.main.choose(viewer.layers["stains MAP2"])
    dock.input.layer_boxes["reference"].choose(viewer.layers["stains DNA"])
    run = done(dock)
    equal(execute(as_python(run)), run.result)
    command = shlex.split(as_command(run))
    assert "channel=MAP2" in command
    assert command[command.index("--reference") + 1] == str(folder / "stains.ome.tif")


def test_what_the_command_line_cannot_say_is_refused(dock, viewer):
    dock.input.main.choose(viewer.layers["stains MAP2"])
    dock.input.layer_boxes["reference"].choose(viewer.layers["stains DNA again"])
    run = done(dock)
    with pytest.raises(InputError, match="cannot name one channel"):
        as_command(run)
    equal(execute(as_python(run)), run.result)


def test_a_pixel_size_of_the_user_goes_along(dock):
    dock.input.pixel_size.setText("0.65")
    dock.input.pixel_size.setModified(True)
    run = done(dock)
    assert run.images["image"].pixel_size_um == 0.65
    equal(execute(as_python(run)), run.result)
    command = shlex.split(as_command(run))
    assert command[command.index("--pixel-size-um") + 1] == "0.65"


def test_a_pixel_size_that_was_left_out_stays_out(dock):
    dock.input.pixel_size.setText("")
    dock.input.pixel_size.setModified(True)
    run = done(dock)
    assert run.images["image"].pixel_size_um is None
    equal(execute(as_python(run)), run.result)
    with pytest.raises(InputError, match="pixel size of the file"):
        as_command(run)


def test_dimensions_read_in_another_way_go_along(dock):
    dock.input.axes.setCurrentIndex(dock.input.axes.findData("ZTYX"))
    dock.input.axes.activated.emit(0)
    run = done(dock)
    assert run.images["image"].sizes["T"] == 3
    equal(execute(as_python(run)), run.result)


def test_a_changed_layer_must_be_saved_first(dock, viewer):
    viewer.layers["phase"].data[0, 0, 0, 0] += 1
    run = done(dock)
    with pytest.raises(InputError, match=r"not a file, or was changed.*Save the layer"):
        as_python(run)
    dock.export_box.copy_python()
    assert "Save the layer" in dock.export_box.said.text()
    assert not dock.answer.isHidden()
    assert "pixels_sha256" in run.result.provenance.inputs[0]


def test_an_array_must_be_saved_first(dock, viewer):
    viewer.add_image(np.zeros((32, 32), np.uint16), name="made here")
    dock.input.main.choose(viewer.layers["made here"])
    with pytest.raises(InputError, match="'made here' is not a file"):
        find_files(done(dock), "image")


def test_a_file_that_another_reader_opened_is_found_by_its_pixels(dock, viewer, folder):
    run = done(dock)
    bare = FinishedRun(run.spec, run.snapshots, {"image": read_image(folder / "phase.ome.tif")}, run.result)
    foreign = {role: image.__class__.from_array(image.array, axes=image.axes) for role, image in bare.images.items()}
    with pytest.raises(InputError):
        find_files(FinishedRun(run.spec, run.snapshots, foreign, run.result), "image")
    told = FinishedRun(run.spec, run.snapshots, foreign, run.result, {"image": (str(folder / "phase.ome.tif"),)})
    given = find_files(told, "image")
    assert given.forget_size
    other = {"image": foreign["image"].__class__.from_array(np.asarray(foreign["image"].array) + 1, axes="TZYX")}
    with pytest.raises(InputError, match="does not hold the pixels"):
        find_files(FinishedRun(run.spec, run.snapshots, other, run.result, told.opened_from), "image")


def test_one_channel_is_what_the_code_says(folder):
    image = read_image(folder / "stains.ome.tif")
    one = image.select_channel(1)
    np.testing.assert_array_equal(one.array, image.array[1])
    assert (one.axes, one.channel_names) == ("YX", ("DNA",))


@pytest.mark.fault("H24")
def test_what_is_saved_opens_as_it_was(dock, viewer, tmp_path):
    done(dock)
    shown = {layer.name: layer for layer in viewer.layers if "provenance" in layer.metadata}
    dock.export_box.save_to(tmp_path / "out")
    assert dock.export_box.said.text() == f"Saved to {tmp_path / 'out'}."
    for one in read(str(tmp_path / "out")):
        layer = Layer.create(*one)
        before = shown.pop(layer.name)
        np.testing.assert_array_equal(np.asarray(layer.data), np.asarray(before.data))
        assert layer.units == before.units
        assert layer.axis_labels == before.axis_labels
        np.testing.assert_allclose(layer.scale, before.scale)
        assert layer.metadata["provenance"] == json.loads(json.dumps(before.metadata["provenance"]))
        if hasattr(before, "features"):
            pd.testing.assert_frame_equal(layer.features, before.features, check_dtype=False)
    assert not shown


def test_the_saved_folder_is_that_of_the_command_line(dock, tmp_path):
    run = done(dock)
    run_to_end(save(run, tmp_path / "out"))
    saved = read_results(tmp_path / "out")
    assert saved.provenance["command"] == as_command(run)
    assert saved.provenance["params"] == run.result.provenance.model_dump(mode="json")["params"]
    assert {"started", "versions", "inputs", "images", "model_sha256", "device"} <= set(saved.provenance)
    assert saved.results["image"].tolist() == ["phase"] * len(run.result.rows)


def test_a_folder_with_results_is_not_written_over(dock, tmp_path):
    run = done(dock)
    run_to_end(save(run, tmp_path / "out"))
    with pytest.raises(OutputError, match="already holds"):
        run_to_end(save(run, tmp_path / "out"))


def test_settings_are_those_that_differ_from_the_defaults(dock):
    run = done(dock)
    found = {"model": "tiny", "device": "cpu", "precision": "f32", "tile_px": 320, "threads": 1, "invert": "no"}
    assert run.settings == found
    assert FinishedRun(make_spec(), {}, {}, run.result.__class__((), (), "", run.result.place, "a")).settings == {}
