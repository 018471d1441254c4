import gc
import json
import logging
import os
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile

import vitascope
from tests_support import blobs, make_model, save_model
from vitascope.batch import run_images as batch
from vitascope.batch.image_run import ImageProgress
from vitascope.batch.item import traceback_summary
from vitascope.batch.run_images import Job, result_table, run_images
from vitascope.core.errors import (
    IncompleteError,
    InputError,
    MemoryShortageError,
    ModelError,
    OutputError,
    ParameterError,
    ReaderError,
)
from vitascope.core.progress import Progress, run_to_end
from vitascope.core.result import ImageOutput, Provenance, Result
from vitascope.io.filenames.grouping import find_groups
from vitascope.tasks.stain import SPEC

FAST = {"model": "test-model", "precision": "f32", "tile_px": 512, "threads": 1}


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    save_model(make_model(width=0.25, object_diameter_px=18), folder)


@pytest.fixture
def images(tmp_path):
    """Four small fields, each with its own nuclei."""
    folder = tmp_path / "fields"
    folder.mkdir()
    for i in range(4):
        noise = np.random.default_rng(i).normal(0, 20, (64, 64))
        picture = (200 + 1000 * blobs((64, 64), [(20 + 8 * i, 30)], noise=0) + noise).astype(np.uint16)
        tifffile.imwrite(folder / f"field{i}.tif", picture)
    return folder


def job(images, out, spec=SPEC, **changes):
    groups = find_groups([str(images)]) if isinstance(images, Path) else images
    return Job(spec, groups, SPEC.make_params(**FAST), out, **changes)


def faked(run):
    """The task with another pipeline."""

    class Faked(type(SPEC)):
        def load(self):
            return run

    return Faked(**{name: getattr(SPEC, name) for name in SPEC.__dataclass_fields__})


def answer(image):
    output = ImageOutput("prediction", "predicted", np.zeros(image.shape_yx, np.float32), "YX", ("DNA",))
    provenance = Provenance(
        task="stain",
        model="m",
        model_sha256="0" * 64,
        params={},
        device="cpu",
        precision="f32",
        inputs=[],
        versions={},
        started="",
        seconds=0,
    )
    return Result((output,), ({"objects": 1},), "nuclei", image.place, image.name, provenance=provenance)


def failing(errors):
    """A pipeline that raises for images by name."""

    def run(inputs, params):
        yield Progress(0, 1, "faking")
        if inputs["image"].name in errors:
            raise errors[inputs["image"].name]
        return answer(inputs["image"])

    return faked(run)


def table(out):
    return pd.read_csv(out / "results.csv", keep_default_na=False).set_index("image")


def test_every_image_leaves_its_files_and_its_row(images, tmp_path):
    out = tmp_path / "out"
    report = run_to_end(run_images(job(images, out)))
    assert report.complete
    assert [o.name for o in report.outcomes] == ["field0", "field1", "field2", "field3"]
    assert {p.name for p in out.iterdir()} == {
        "labels",
        "objects.csv",
        "prediction",
        "provenance.json",
        "results.csv",
    }
    assert {p.name for p in (out / "labels").iterdir()} == {f"field{i}.ome.tif" for i in range(4)}
    rows = table(out)
    assert rows["status"].tolist() == ["OK"] * 4, rows["flags"].tolist()  # that the pixel size is unknown is a note


def test_numbers_and_pictures_are_those_of_a_run_from_python(images, tmp_path):
    """Contract "Bit for bit"."""
    run_to_end(run_images(job(images, tmp_path / "out")))
    for i in range(4):
        result = vitascope.run("stain", str(images / f"field{i}.tif"), **FAST)
        for kind in ("prediction", "labels"):
            written = tifffile.imread(tmp_path / "out" / kind / f"field{i}.ome.tif")
            np.testing.assert_array_equal(written, result.output(kind).array)
        row = table(tmp_path / "out").loc[f"field{i}"]
        for name, value in result.rows[0].items():
            if value is None or np.isnan(value):
                assert row[name] == ""
            else:
                assert float(row[name]) == pytest.approx(value, rel=1e-12)


def test_the_provenance_holds_what_all_images_share_and_each_on_its_own(images, tmp_path):
    run_to_end(run_images(job(images, tmp_path / "out", command="vitascope run stain fields")))
    found = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert found["command"] == "vitascope run stain fields"
    assert found["params"]["tile_px"] == 512
    assert found["model"] == "test-model"
    assert [i["name"] for i in found["inputs"]] == [f"field{i}" for i in range(4)]
    assert [i["inputs"][0]["name"] for i in found["images"]] == [f"field{i}" for i in range(4)]
    again = vitascope.run("stain", str(images / "field2.tif"), **found["params"])
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "out" / "prediction" / "field2.ome.tif"), again.output("prediction").array
    )


def test_progress_says_which_image_of_how_many(images, tmp_path):
    seen = list(run_images(job(images, tmp_path / "out", spec=failing({}))))
    assert all(isinstance(p, ImageProgress) for p in seen)
    assert [(p.image, p.images, p.name, p.stage) for p in seen[:4]] == [
        (0, 4, "field0", "Reading"),
        (0, 4, "field0", "faking"),
        (0, 4, "field0", "Predict nuclei"),
        (1, 4, "field1", "Reading"),
    ]


def test_progress_hands_on_each_image_once_when_it_has_ended(images, tmp_path):
    seen = list(run_images(job(images, tmp_path / "out", spec=failing({}))))
    ended = [(p.image, done.name, done.status) for p in seen for done in p.ended]
    assert ended == [(i, f"field{i}", "OK") for i in range(4)]


@pytest.mark.fault("G01")
@pytest.mark.parametrize(
    ("error", "status", "flag", "complete"),
    [
        (ReaderError("It is cut short."), "FAILED", "unreadable", False),
        (IncompleteError("A plane is missing."), "INCOMPLETE", "incomplete", False),
        (InputError("It is empty.", flag="no_finite_pixels"), "REJECTED", "no_finite_pixels", True),
        (MemoryShortageError("Memory ran out."), "FAILED", "memory", False),
        (MemoryError(), "FAILED", "memory", False),
        (ModelError("It gives no numbers."), "FAILED", "model_refused", False),
        (ValueError("shapes differ"), "FAILED", "error", False),
    ],
)
def test_a_bad_image_never_stops_the_rest_and_keeps_its_row(images, tmp_path, error, status, flag, complete):
    report = run_to_end(run_images(job(images, tmp_path / "out", spec=failing({"field2": error}))))
    found = table(tmp_path / "out")
    assert found["status"].tolist() == ["OK", "OK", status, "OK"]
    assert found.loc["field2", "flags"] == flag
    assert found.loc["field2", "message"]
    assert found.loc["field2", "objects"] == ""
    assert found.loc["field3", "objects"] == "1"
    assert report.complete == complete
    assert {p.stem for p in (tmp_path / "out" / "prediction").iterdir()} == {
        "field0.ome",
        "field1.ome",
        "field3.ome",
    }
    assert len(json.loads((tmp_path / "out" / "provenance.json").read_text())["images"]) == 3


@pytest.mark.fault("I14")
def test_an_error_nobody_foresaw_is_logged_with_lines_and_without_folders(images, tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        run_to_end(run_images(job(images, tmp_path / "out", spec=failing({"field1": KeyError("width")}))))
    assert "field1 failed: KeyError at item.py:" in caplog.text
    assert " > test_run_images.py:" in caplog.text
    assert str(Path(__file__).parent) not in caplog.text
    assert "('width') (KeyError)" in table(tmp_path / "out").loc["field1", "message"]


def test_a_trail_names_files_and_lines_from_outside_in():
    try:
        json.loads("{")
    except ValueError as error:
        found = traceback_summary(error)
    assert found.startswith("test_run_images.py:")
    assert "decoder.py:" in found
    assert os.sep not in found


@pytest.mark.parametrize("error", [ParameterError("No such device."), ModelError("It was altered.")])
@pytest.mark.fault("I11")
def test_what_is_wrong_for_all_images_ends_the_run_and_leaves_nothing(images, tmp_path, error):
    with pytest.raises(type(error)):
        run_to_end(run_images(job(images, tmp_path / "out", spec=failing({"field0": error}))))
    assert not (tmp_path / "out").exists()


@pytest.mark.fault("B01")
def test_an_unreadable_image_alone_leaves_nothing(images, tmp_path):
    (images / "field0.tif").write_bytes(b"")
    groups = find_groups([str(images / "field0.tif")])
    with pytest.raises(ReaderError):
        run_to_end(run_images(job(groups, tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_is_told_before_anything_is_read(images, tmp_path):
    wrong = replace(job(images, tmp_path / "out"), params=SPEC.make_params(model="nothing"))
    with pytest.raises(ParameterError, match="no model 'nothing'"):
        next(run_images(wrong))


def test_references_must_be_as_many_as_images(images, tmp_path):
    groups = find_groups([str(images)])
    with pytest.raises(InputError, match="4 images were given, and 2 references"):
        next(run_images(job(images, tmp_path / "out", references=groups[:2])))


def test_each_image_is_compared_with_its_own_reference(images, tmp_path):
    groups = find_groups([str(images)])
    run_to_end(run_images(job(images, tmp_path / "out", references=groups)))
    found = json.loads((tmp_path / "out" / "provenance.json").read_text())
    for entry in found["images"]:
        assert entry["inputs"][0]["files"] == entry["inputs"][1]["files"]
    assert (table(tmp_path / "out")["pcc"] != "").all()
    assert (tmp_path / "out" / "agreement.csv").exists()


@pytest.mark.fault("G08")
def test_closing_a_run_keeps_what_is_finished_and_nothing_half_done(images, tmp_path):
    steps = run_images(job(images, tmp_path / "out", spec=failing({})))
    while next(steps).image < 2:
        pass
    steps.close()
    assert table(tmp_path / "out").index.tolist() == ["field0", "field1"]
    assert sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file()) == [
        "field0.ome.tif",
        "field1.ome.tif",
        "results.csv",
    ]


@pytest.mark.fault("G14")
def test_a_full_disk_ends_the_run_and_what_was_finished_stays_whole(images, tmp_path, monkeypatch):
    written = []
    real = batch.ResultsFolder.add_rows

    def add(self, stem, tables, pictures):
        if len(written) == 2:
            raise OutputError("The disk is full.")
        written.append(stem)
        return real(self, stem, tables, pictures)

    monkeypatch.setattr(batch.ResultsFolder, "add_rows", add)
    with pytest.raises(OutputError, match="full"):
        run_to_end(run_images(job(images, tmp_path / "out", spec=failing({}))))
    assert table(tmp_path / "out").index.tolist() == ["field0", "field1"]
    monkeypatch.setattr(batch.ResultsFolder, "add_rows", real)
    assert run_to_end(run_images(job(images, tmp_path / "out", spec=failing({})))).complete
    assert len(table(tmp_path / "out")) == 4


@pytest.mark.fault("E11")
def test_a_folder_that_cannot_be_written_is_found_out_before_the_first_image(images, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        next(run_images(job(images, tmp_path / "file" / "out")))


def test_only_one_image_is_in_memory_at_a_time(images, tmp_path):
    alive = []

    def run(inputs, params):
        gc.collect()
        assert not [r for r in alive if r() is not None]
        result = answer(inputs["image"])
        alive.append(weakref.ref(result))
        yield Progress(0, 1, "looking")
        return result

    assert run_to_end(run_images(job(images, tmp_path / "out", spec=faked(run)))).complete


@pytest.mark.fault("E13")
def test_many_runs_in_one_process_grow_neither_memory_nor_open_files(images, tmp_path):
    process = psutil.Process()
    rss, files = [], []
    for i in range(30):
        run_to_end(run_images(job(find_groups([str(images / f"field{i % 4}.tif")]), tmp_path / f"out{i % 2}")))
        gc.collect()
        rss.append(process.memory_info().rss)
        files.append(process.num_fds() if hasattr(process, "num_fds") else process.num_handles())
    assert np.mean(rss[-5:]) < 1.05 * np.mean(rss[5:10])
    assert files[-1] <= files[5] + 5


def test_the_summary_has_a_row_for_every_row_and_for_those_without(images, tmp_path):
    report = run_to_end(run_images(job(images, tmp_path / "out", spec=failing({"field3": InputError("No.")}))))
    found = result_table(report)
    assert found["image"].tolist() == [f"field{i}" for i in range(4)]
    assert found["status"].tolist() == ["OK", "OK", "OK", "REJECTED"]
    assert found["objects"].tolist()[:3] == [1, 1, 1]
    assert np.isnan(found["objects"][3])
    assert found["message"][3] == "No."
