from __future__ import annotations

import csv
import errno
import json

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from vitascope.core.errors import OutputError, ReaderError
from vitascope.core.result import ImageOutput, LabelsOutput, Provenance, Result
from vitascope.core.well import WellPosition
from vitascope.io.images.read import read_image
from vitascope.io.images.write import PictureFile, write_ome_tiff, write_ome_zarr
from vitascope.io.results.folder import ResultsFolder
from vitascope.io.results.read import is_results_folder, read_results

RNG = np.random.default_rng(8)
PREDICTION = RNG.random((2, 70, 530), "float32")
LABELS = RNG.integers(0, 5, (70, 530), "uint32")
COLUMNS = ["image", "plate", "well", "field", "time", "status", "flags"]
LAST = ["unit", "interval_level", "model", "model_sha256", "message"]


def provenance():
    return Provenance(
        task="stain", model="nuclei", model_sha256="ab" * 32, params={"tile_px": 512}, device="cpu", precision="f32",
        inputs=[{"name": "a.tif"}], versions={"numpy": "2"}, started="2026-01-01T00:00:00", seconds=1.5,
    )  # fmt: skip


def result(name="a", **changes):
    table = pd.DataFrame({"label": [1, 2, 3], "area_px": [10.5, 3.0, np.nan]})
    values = {
        "outputs": (
            ImageOutput("prediction", "stain", PREDICTION, "CYX", ("DAPI", "µ-板"), "normalised", (0.0, 0.8), "magma"),
            LabelsOutput("labels", "nuclei masks", LABELS, "YX", table),
        ),
        "rows": ({"nuclei": 3, "mean": 0.25},),
        "unit": "nuclei",
        "place": WellPosition("p1", "B02", "1", ""),
        "name": name,
        "interval_level": 0.9,
        "provenance": provenance(),
    }
    return Result(**{**values, **changes})


def rejected(name, **changes):
    return result(
        name,
        **{
            "outputs": (),
            "rows": (),
            "status": "REJECTED",
            "flags": ("no_finite_pixels",),
            "message": "No.",
            **changes,
        },
    )


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and ".zarr" not in str(p))


def test_one_result_leaves_what_the_contract_says(tmp_path):
    out = tmp_path / "out"
    with ResultsFolder(out, "stain") as folder:
        assert not out.exists()
        folder.add(result(), pixel_size_um=0.325)
        folder.close(provenance())
    assert files(out) == ["labels/a.ome.tif", "objects.csv", "prediction/a.ome.tif", "provenance.json", "results.csv"]
    (row,) = rows(out / "results.csv")
    assert list(row) == [*COLUMNS, "nuclei", "mean", *LAST]
    assert row == {
        "image": "a", "plate": "p1", "well": "B02", "field": "1", "time": "", "status": "OK", "flags": "",
        "nuclei": "3", "mean": "0.25",
        "unit": "nuclei", "interval_level": "0.9", "model": "nuclei", "model_sha256": "ab" * 32, "message": "",
    }  # fmt: skip
    objects = rows(out / "objects.csv")
    assert [list(o.values()) for o in objects] == [["a", "1", "10.5"], ["a", "2", "3.0"], ["a", "3", ""]]
    assert list(objects[0]) == ["image", "label", "area_px"]
    assert json.loads((out / "provenance.json").read_text())["model_sha256"] == "ab" * 32


@pytest.mark.parametrize("format", ["tif", "zarr"])
def test_pictures_come_back_with_scale_and_names(tmp_path, format):
    with ResultsFolder(tmp_path, "stain", format) as folder:
        prediction, labels = folder.add(result(), pixel_size_um=0.325, z_step_um=2.0)
    image = read_image(prediction)
    assert (image.name, image.axes, image.channel_names) == ("a", "CYX", ("DAPI", "µ-板"))
    assert (image.pixel_size_um, image.array.dtype) == (0.325, np.float32)
    np.testing.assert_array_equal(np.asarray(image.array), PREDICTION)
    masks = read_image(labels)
    assert (masks.axes, masks.array.dtype, masks.channel_names) == ("YX", np.uint32, ("nuclei masks",))
    np.testing.assert_array_equal(np.asarray(masks.array), LABELS)


def test_read_results_gives_back_the_run(tmp_path):
    with ResultsFolder(tmp_path, "stain") as folder:
        folder.add(result("=a"), pixel_size_um=0.325)
        folder.add(rejected("b"))
        folder.add(result("c", rows=({"nuclei": 0},)))
        folder.close({"command": "x"})
    assert is_results_folder(tmp_path)
    run = read_results(tmp_path)
    assert run.results["image"].tolist() == ["=a", "b", "c"]
    np.testing.assert_array_equal(run.results["nuclei"], [3, np.nan, 0])
    assert run.results["well"].tolist() == ["B02"] * 3
    assert run.provenance == {"task": "stain", "command": "x"}
    assert [(p.image, p.output.kind) for p in run.pictures] == [
        ("=a", "labels"), ("c", "labels"), ("=a", "prediction"), ("c", "prediction"),
    ]  # fmt: skip
    labels, prediction = run.pictures[0], run.pictures[2]
    assert isinstance(labels.output, LabelsOutput)
    assert labels.output.table.to_dict("list")["label"] == [1, 2, 3]
    output = prediction.output
    assert isinstance(output, ImageOutput)
    assert (output.title, output.unit, output.limits, output.colormap) == ("stain", "normalised", (0.0, 0.8), "magma")
    assert (output.channel_names, prediction.micrograph.pixel_size_um) == (("DAPI", "µ-板"), 0.325)
    np.testing.assert_array_equal(output.array, PREDICTION)


def test_folder_without_results_is_refused(tmp_path):
    assert not is_results_folder(tmp_path)
    with pytest.raises(ReaderError, match=r"results\.csv"):
        read_results(tmp_path)


def test_refused_images_keep_their_place_with_empty_numbers(tmp_path):
    with ResultsFolder(tmp_path, "stain") as folder:
        folder.add(rejected("a", rows=({"nuclei": 7},)))
        folder.add(result("b"))
        folder.add(
            result("c", status="FAILED", flags=("memory", "saturated"), outputs=(), rows=(), message="=Not, enough")
        )
    found = rows(tmp_path / "results.csv")
    assert [(r["image"], r["status"], r["nuclei"]) for r in found] == [
        ("a", "REJECTED", ""),
        ("b", "OK", "3"),
        ("c", "FAILED", ""),
    ]
    assert (found[2]["flags"], found[2]["message"]) == ("saturated;memory", "'=Not, enough")


def test_time_series_have_a_row_for_each_time(tmp_path):
    with ResultsFolder(tmp_path, "stain") as folder:
        folder.add(result(rows=({"time": 0, "nuclei": 3}, {"time": 1, "nuclei": 4})))
    assert [(r["time"], r["nuclei"]) for r in rows(tmp_path / "results.csv")] == [("0", "3"), ("1", "4")]


def test_further_tables_and_several_outputs_of_one_kind(tmp_path):
    outputs = result().outputs
    second = LabelsOutput("labels", "neurites", LABELS, "YX", pd.DataFrame({"label": [1]}))
    agreement = {"agreement": pd.DataFrame({"target": ["DAPI"], "pcc": [0.875]})}
    with ResultsFolder(tmp_path, "stain") as folder:
        folder.add(result(outputs=(*outputs, second), tables=agreement))
    assert "labels/a_neurites.ome.tif" in files(tmp_path)
    assert rows(tmp_path / "agreement.csv") == [{"image": "a", "target": "DAPI", "pcc": "0.875"}]
    assert [r["objects"] for r in rows(tmp_path / "objects.csv")] == ["nuclei masks"] * 3 + ["neurites"]
    tables = {
        p.output.title: p.output.table for p in read_results(tmp_path).pictures if isinstance(p.output, LabelsOutput)
    }
    assert tables["neurites"]["label"].tolist() == [1]
    assert tables["nuclei masks"]["label"].tolist() == [1, 2, 3]


def test_names_that_no_file_may_have_and_names_given_twice(tmp_path):
    with ResultsFolder(tmp_path, "stain") as folder:
        for name in ("x/y: µ", "same", "SAME"):
            folder.add(result(name))
    assert [r["image"] for r in rows(tmp_path / "results.csv")] == ["x_y_ µ", "same", "SAME_2"]
    assert {"prediction/x_y_ µ.ome.tif", "prediction/SAME_2.ome.tif"} <= set(files(tmp_path))


def test_a_second_run_never_mixes_its_rows_with_the_first(tmp_path):
    with ResultsFolder(tmp_path, "stain") as folder:
        folder.add(result("old"))
        folder.close({})
    with ResultsFolder(tmp_path, "stain", "zarr") as folder:
        folder.add(rejected("new"))
    assert [r["image"] for r in rows(tmp_path / "results.csv")] == ["new"]
    assert not (tmp_path / "objects.csv").exists()
    assert not (tmp_path / "provenance.json").exists()
    assert read_results(tmp_path).pictures == ()


def test_another_format_replaces_the_picture(tmp_path):
    for format, kept in (("zarr", "a.ome.zarr"), ("tif", "a.ome.tif"), ("zarr", "a.ome.zarr")):
        with ResultsFolder(tmp_path, "stain", format) as folder:
            folder.add(result())
        assert [p.name for p in (tmp_path / "prediction").iterdir()] == [kept]


def test_large_pictures_become_zarr(tmp_path, monkeypatch):
    monkeypatch.setattr("vitascope.io.results.images.ZARR_BYTES", LABELS.nbytes)
    with ResultsFolder(tmp_path, "stain") as folder:
        paths = folder.add(result())
    assert [p.name for p in paths] == ["a.ome.zarr", "a.ome.tif"]


@pytest.mark.fault("E11")
def test_unwritable_folder_is_refused_before_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        ResultsFolder(tmp_path / "file", "stain")


class Breaking:
    """An array whose second half cannot be read."""

    shape, dtype, ndim = (2048, 40), np.dtype("float32"), 2

    def __init__(self, error):
        self.error = error

    def __getitem__(self, key):
        if key[-1].stop > 1024:
            raise self.error
        return np.zeros((key[-1].stop - key[-1].start, 40), "float32")


@pytest.mark.fault("G14")
@pytest.mark.parametrize("format", ["tif", "zarr"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("stopped")])
def test_failure_leaves_nothing_half_written_and_the_next_goes_on(tmp_path, monkeypatch, format, error):
    monkeypatch.setattr("vitascope.io.images.lazy.BAND_BYTES", 2**17)
    good = ImageOutput("maps", "m", PREDICTION[0], "YX", ("m",))
    bad = ImageOutput("prediction", "p", Breaking(error), "YX", ("p",))
    with ResultsFolder(tmp_path, "stain", format) as folder:
        folder.add(result("a"))
        before = files(tmp_path), rows(tmp_path / "results.csv"), rows(tmp_path / "objects.csv")
        with pytest.raises(OutputError if isinstance(error, OSError) else RuntimeError):
            folder.add(result("b", outputs=(good, bad)))
        assert (files(tmp_path), rows(tmp_path / "results.csv"), rows(tmp_path / "objects.csv")) == before
        assert not [p for p in tmp_path.rglob("*") if p.name.startswith((".vitascope", "b."))]
        folder.add(result("b"))
    assert [r["image"] for r in rows(tmp_path / "results.csv")] == ["a", "b"]


def test_first_result_that_fails_leaves_no_folder(tmp_path):
    bad = ImageOutput("prediction", "p", Breaking(OSError(errno.ENOSPC, "No space left on device")), "YX", ("p",))
    folder = ResultsFolder(tmp_path / "out", "stain")
    with pytest.raises(OutputError):
        folder.add(result(outputs=(bad,)))
    assert not (tmp_path / "out").exists()


@pytest.mark.fault("G14")
def test_table_that_cannot_be_written_takes_back_the_rest(tmp_path, monkeypatch):
    folder = ResultsFolder(tmp_path, "stain")
    folder.add(result("a"))
    objects = rows(tmp_path / "objects.csv")

    def full(*args):
        raise OutputError("The disk is full.")

    monkeypatch.setattr(folder._results, "append", full)
    with pytest.raises(OutputError):
        folder.add(result("b"))
    assert rows(tmp_path / "objects.csv") == objects
    assert not (tmp_path / "prediction" / "b.ome.tif").exists()


@pytest.mark.parametrize("write", [write_ome_tiff, write_ome_zarr])
@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "float64"])
def test_every_kind_of_array_and_all_axes(tmp_path, monkeypatch, write, kind):
    monkeypatch.setattr("vitascope.io.images.lazy.BAND_BYTES", 2**12)
    truth = RNG.random((2, 3, 4, 33, 70)).astype("float32")
    array = {"numpy": truth, "dask": da.from_array(truth, chunks=(1, 1, 2, 20, 70)), "float64": truth.astype("f8")}.get(
        kind
    )
    if kind == "zarr":
        array = zarr.create_array(
            str(tmp_path / "in.zarr"), shape=truth.shape, chunks=(1, 1, 1, 16, 16), dtype="float32"
        )
        array[...] = truth
    path = tmp_path / ("a.ome.tif" if write is write_ome_tiff else "a.ome.zarr")
    write(path, PictureFile(array, "TCZYX", "float32", "a", ("x", "y", "z"), 0.5, 3.0))
    image = read_image(path)
    assert (image.axes, image.pixel_size_um, image.z_step_um) == ("TCZYX", 0.5, 3.0)
    np.testing.assert_array_equal(np.asarray(image.array), truth)


def test_empty_chunks_are_written_too(tmp_path):
    write_ome_zarr(tmp_path / "a.ome.zarr", PictureFile(np.zeros((1100, 1100)), "YX", "float32", "a"))
    assert len(list((tmp_path / "a.ome.zarr/0/c").glob("*/*"))) == 4


def test_same_picture_gives_the_same_file(tmp_path):
    for name in ("a", "b"):
        write_ome_tiff(tmp_path / name, PictureFile(PREDICTION, "CYX", "float32", "p", ("x", "y"), 0.5))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_ome_tiff_is_read_by_others(tmp_path):
    write_ome_tiff(tmp_path / "a.ome.tif", PictureFile(PREDICTION, "CYX", "float32", "p", ("x", "µ"), 0.5))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert (tif.series[0].axes, tif.pages[0].compression.name) == ("CYX", "ADOBE_DEFLATE")
        assert 'PhysicalSizeXUnit="µm"' in tif.ome_metadata


def test_ome_zarr_conforms_to_the_published_model(tmp_path):
    models = pytest.importorskip("ome_zarr_models.v05")
    write_ome_zarr(tmp_path / "a.ome.zarr", PictureFile(PREDICTION, "CYX", "float32", "p", ("x", "y"), 0.5))
    image = models.Image.from_zarr(zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r"))
    (dataset,) = image.attributes.ome.multiscales[0].datasets
    assert dataset.coordinateTransformations[0].scale == [1, 0.5, 0.5]
