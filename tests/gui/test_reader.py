import os
import time

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Layer

from vitascope.core.errors import ReaderError
from vitascope.core.result import ImageOutput, LabelsOutput, Result
from vitascope.core.well import WellPosition
from vitascope.gui.layers.snapshot import snapshot_layers
from vitascope.gui.reader import get_reader, read
from vitascope.io.results.folder import ResultsFolder


def layers(path):
    reader = get_reader(path)
    assert reader is not None
    return [Layer.create(*one) for one in reader(path)]


def pixels(shape=(8, 9), seed=0):
    return np.random.default_rng(seed).integers(0, 60000, shape, np.uint16)


def test_an_ome_tiff_opens_with_scale_units_and_channel_names(tmp_path):
    array = pixels((2, 3, 8, 9))
    metadata = {"axes": "CZYX", "Channel": {"Name": ["phase", "DAPI"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    metadata |= {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 2, "PhysicalSizeZUnit": "µm"}
    tifffile.imwrite(tmp_path / "field.ome.tif", array, ome=True, photometric="minisblack", metadata=metadata)
    found = layers(str(tmp_path / "field.ome.tif"))
    assert [one.name for one in found] == ["field phase", "field DAPI"]
    for k, layer in enumerate(found):
        np.testing.assert_array_equal(layer.data, array[k])
        assert tuple(layer.scale) == (2, 0.5, 0.5)
        assert [str(u) for u in layer.units] == ["micrometer"] * 3
        assert layer.axis_labels == ("z", "y", "x")


def write_planes(folder):
    arrays = {z: pixels(seed=z) for z in (0, 2, 10)}
    for z, array in arrays.items():
        (folder / f"phase_z{z}.png").write_bytes(imagecodecs.png_encode(array))
    return np.stack([arrays[z] for z in (0, 2, 10)])


@pytest.mark.parametrize("how", ["glob", "files", "folder"])
def test_planes_become_one_stack_in_the_order_of_their_numbers(tmp_path, how):
    stack = write_planes(tmp_path)
    files = [str(p) for p in tmp_path.iterdir()]
    (layer,) = layers({"glob": str(tmp_path / "phase_z*.png"), "files": files, "folder": str(tmp_path)}[how])
    np.testing.assert_array_equal(layer.data, stack)
    assert len(snapshot_layers([layer]).micrograph().sources) == 3


def test_a_zarr_stays_in_its_file(tmp_path):
    import zarr

    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(64, 64), chunks=(32, 32), dtype="u2")
    array[:] = pixels((64, 64))
    (layer,) = layers(str(tmp_path / "a.zarr"))
    assert type(layer.data).__module__.startswith("dask")
    np.testing.assert_array_equal(np.asarray(layer.data), array[:])


@pytest.mark.fault("A24")
def test_a_unit_that_is_none_opens_in_pixels_with_a_flag(tmp_path):
    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    xml_unit = {"PhysicalSizeYUnit": "µm"}
    path = tmp_path / "odd.ome.tif"
    tifffile.imwrite(path, pixels(), ome=True, metadata={**metadata, **xml_unit})
    data = path.read_bytes()
    path.write_bytes(data.replace("µm".encode(), b"banana"[: len("µm".encode())]))
    (layer,) = layers(str(path))
    assert [str(u) for u in layer.units] == ["pixel", "pixel"]
    assert tuple(layer.scale) == (1, 1)
    assert "unit_unknown" in snapshot_layers([layer]).micrograph().flags


@pytest.mark.fault("A23")
def test_a_scale_of_zero_never_reaches_a_layer(tmp_path):
    metadata = {"axes": "YX", "PhysicalSizeX": 0.0, "PhysicalSizeY": 0.0}
    tifffile.imwrite(tmp_path / "zero.ome.tif", pixels(), ome=True, metadata=metadata)
    (layer,) = layers(str(tmp_path / "zero.ome.tif"))
    assert tuple(layer.scale) == (1, 1)


@pytest.mark.parametrize("name", ["notes.txt", "table.csv", "movie.vsi", "image.jpg", "folder_of_nothing"])
def test_what_is_none_of_ours_is_left_to_others(tmp_path, name):
    path = tmp_path / name
    path.mkdir() if name.startswith("folder") else path.write_bytes(b"x")
    assert get_reader(str(path)) is None
    assert get_reader([str(path), str(tmp_path / "a.tif")]) is None
    assert get_reader([]) is None


@pytest.mark.fault("B34")
def test_a_large_folder_of_other_things_is_declined_fast(tmp_path):
    for i in range(10_000):
        os.close(os.open(tmp_path / f"{i}.dat", os.O_CREAT))
    start = time.perf_counter()
    assert get_reader(str(tmp_path)) is None
    assert time.perf_counter() - start < 0.2


@pytest.mark.fault("B02")
def test_a_file_that_lies_about_itself_is_an_error_in_words(tmp_path):
    (tmp_path / "text.tif").write_text("this is no picture")
    with pytest.raises(ReaderError):
        read(str(tmp_path / "text.tif"))


def test_a_result_folder_opens_with_labels_on_top_and_their_table(tmp_path):
    table = pd.DataFrame({"label": [1, 2], "time": [0, 1], "area_px": [4, 6], "area_um2": [1.0, 1.5]})
    labels = np.zeros((2, 8, 9), np.uint32)
    labels[0, 1:3, 1:3], labels[1, 4:6, 4:7] = 1, 2
    picture = np.random.default_rng(0).random((2, 8, 9)).astype(np.float32)
    outputs = (
        LabelsOutput("labels", "nuclei", labels, "TYX", table),
        ImageOutput("prediction", "predicted", picture, "TYX", ("DNA",), "share", (0.1, 0.7), "magma"),
    )
    with ResultsFolder(tmp_path / "out", "stain") as folder:
        folder.add(Result(outputs, ({"time": 0}, {"time": 1}), "nuclei", WellPosition(), "field"), pixel_size_um=0.5)
        folder.close({"images": [{"model": "a-model", "inputs": [{"name": "field"}]}]})
    shown, nuclei = layers(str(tmp_path / "out"))
    assert (shown.name, nuclei.name) == ("predicted DNA · field", "nuclei · field")
    np.testing.assert_array_equal(np.asarray(shown.data), picture)
    np.testing.assert_array_equal(np.asarray(nuclei.data), labels)
    assert (tuple(shown.contrast_limits), shown.colormap.name) == ((0.1, 0.7), "magma, clear at 0")
    assert tuple(nuclei.scale) == (1, 0.5, 0.5)
    assert nuclei.features["area_um2"].tolist()[1:] == [1.0, 1.5]
    assert nuclei.features["time"].tolist()[1:] == [0, 1]
    assert shown.metadata["provenance"]["model"] == "a-model"


def make_plate(folder, wells=("B02", "B03", "C11")):
    folder.mkdir(parents=True, exist_ok=True)
    for number, well in enumerate(wells):
        for channel in (1, 2):
            tifffile.imwrite(folder / f"P_{well}_s1_w{channel}.tif", np.full((8, 9), 10 * number + channel, np.uint16))
    return folder


@pytest.mark.parametrize("inside", ["", "Images", "TimePoint_1"])
def test_a_plate_opens_at_its_first_well_and_its_layers_know_the_plate(tmp_path, inside):
    make_plate(tmp_path / "study" / inside)
    one, two = layers(str(tmp_path / "study"))
    assert (one.data.max(), two.data.max()) == (1, 2)
    for layer in (one, two):
        own = layer.metadata["vitascope"]
        assert own["place"].well == "B02"
        assert own["plate"]["name"] == "P"
        assert own["plate"]["path"] == str(tmp_path / "study")
        assert own["plate"]["site"].startswith("P_B02_1")


def test_a_plate_whose_first_well_is_missing_opens_at_the_next(tmp_path):
    make_plate(tmp_path / "p")
    (tmp_path / "p" / "P_B02_s1_w2.tif").unlink()
    assert layers(str(tmp_path / "p"))[0].metadata["vitascope"]["place"].well == "B03"


def test_two_plates_in_a_folder_are_both_opened(tmp_path):
    make_plate(tmp_path / "both" / "one")
    make_plate(tmp_path / "both" / "two")
    (tmp_path / "both" / "Images").mkdir()
    names = [layer.metadata["vitascope"]["plate"]["name"] for layer in layers(str(tmp_path / "both"))]
    assert names == ["one_P", "one_P", "two_P", "two_P"]


def test_a_few_wells_among_other_images_are_no_plate(tmp_path):
    make_plate(tmp_path / "p", ("B02", "B03"))
    for name in ("left", "right", "top", "bottom", "far"):
        tifffile.imwrite(tmp_path / "p" / f"{name}.tif", np.zeros((8, 9), np.uint16))
    assert len(layers(str(tmp_path / "p"))) == 2 * 2 + 5
    assert len(layers(str(make_plate(tmp_path / "q", ("B02",))))) == 2


def test_a_plate_of_ome_zarr_opens_at_its_first_well(tmp_path):
    from vitascope.core.progress import run_to_end
    from vitascope.io.plates.ome_zarr_write import export_plate
    from vitascope.io.plates.read import open_plate

    run_to_end(export_plate(open_plate(make_plate(tmp_path / "p")), tmp_path / "p.zarr"))
    one, two = layers(str(tmp_path / "p.zarr"))
    assert (np.asarray(one.data).max(), np.asarray(two.data).max()) == (1, 2)
    assert one.metadata["vitascope"]["plate"]["site"] == "P_B02_1"


def test_a_stack_whose_axes_nothing_tells_is_shown_and_asked_about(tmp_path, qtbot):
    from gui_support import make_spec
    from vitascope.gui.run.input_box import InputBox

    array = pixels((3, 8, 9))
    tifffile.imwrite(tmp_path / "stack.tif", array, photometric="minisblack", metadata=None)
    (layer,) = layers(str(tmp_path / "stack.tif"))
    np.testing.assert_array_equal(layer.data, array)
    box = InputBox(make_spec())
    qtbot.addWidget(box)
    box.set_layers([layer], [], layer)
    assert "Dimensions" in box.problem()
    assert "planes of focus, times or channels" in box.note.text()
    box.axes.setCurrentIndex(box.axes.findData("TYX"))
    box.axes.activated.emit(box.axes.currentIndex())
    assert not box.problem()
    inputs, _ = box.value()
    assert next(iter(inputs.values())).axes == "TYX"
    again = InputBox(make_spec())
    qtbot.addWidget(again)
    again.set_layers([layer], [], layer)
    assert again.axes.currentData() == "TYX"


def test_place_limits_and_colours_of_a_zarr_reach_the_layer(tmp_path):
    from vitascope.io.images.write import PictureFile, write_ome_zarr

    picture = PictureFile(pixels((2, 8, 9)), "CYX", "uint16", "a", ("phase", "GFP"), pixel_size_um=0.5)
    write_ome_zarr(tmp_path / "a.ome.zarr", picture)
    found = layers(str(tmp_path / "a.ome.zarr"))
    for channel, layer in enumerate(found):
        assert tuple(layer.contrast_limits) == (picture.array[channel].min(), picture.array[channel].max())
    assert found[0].colormap.name == "gray"
    np.testing.assert_allclose(found[1].colormap.map(np.ones(1))[0, :3], [0x33 / 255, 0x66 / 255, 1], atol=1e-6)


@pytest.mark.parametrize("name", ["a.czi", "a.LIF", "a.nd2", "a.ome.btf", "a.tf8", "a.stk"])
def test_names_of_microscopes_and_large_tiffs_are_ours(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    assert get_reader(str(tmp_path / name)) is not None
