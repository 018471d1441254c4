import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from plate_support import SPEC, FakeParams, make_job, make_plate, tables
from vitascope.batch.plate import run as module
from vitascope.batch.plate.journal import Journal
from vitascope.batch.plate.run import PlateProgress, run_plate
from vitascope.batch.workers import ThreadWorkers, WorkerDiedError
from vitascope.core.errors import ModelError, OutputError, ParameterError, ReaderError
from vitascope.core.progress import run_to_end
from vitascope.io.plates.plate import Site
from vitascope.io.plates.read import open_plate
from vitascope.io.results.images import PictureFolder
from vitascope.io.tables.plate_map import PlateMap

SUPPORT = Path(__file__).parents[2] / "plate_support.py"


@pytest.fixture
def plate(tmp_path):
    return make_plate(tmp_path / "plate")


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def computed(log):
    return Counter(log.read_text().split()) if log.exists() else Counter()


def results(out):
    return pd.read_csv(out / "results.csv", keep_default_na=False).set_index("well")


def test_every_image_has_its_row_in_the_order_of_the_plate(plate, tmp_path):
    report = run_to_end(run_plate(make_job(plate, tmp_path / "out")))
    assert report.complete
    assert report.counts == {"OK": 12}
    found = results(tmp_path / "out")
    assert found.index.tolist() == [f"A{k:02d}" for k in range(1, 13)]
    for k, mean in enumerate(found["mean"]):
        picture = np.random.default_rng((k, 0)).integers(1, 200, (16, 16))
        assert mean == pytest.approx(2 * picture.mean(), rel=1e-6)


def test_parquet_holds_what_the_csv_holds(plate, tmp_path):
    run_to_end(run_plate(make_job(plate, tmp_path / "out")))
    for name in ("results", "objects"):
        csv = pd.read_csv(tmp_path / "out" / f"{name}.csv")
        parquet = pd.read_parquet(tmp_path / "out" / f"{name}.parquet")
        assert list(csv.columns) == list(parquet.columns)
        for column in csv:
            if csv[column].notna().any() and csv[column].dtype.kind in "fi":
                np.testing.assert_array_equal(csv[column], parquet[column].astype(float))


def test_pictures_and_labels_open_as_a_plate_of_the_same_pixels(plate, tmp_path):
    run_to_end(run_plate(make_job(plate, tmp_path / "out")))
    source = open_plate(plate)
    made = open_plate(tmp_path / "out" / "prediction.ome.zarr")
    assert [s.well for s in made] == [s.well for s in source]
    assert [s.place.field for s in made] == [s.place.field for s in source]
    for one, other in zip(source, made, strict=True):
        np.testing.assert_array_equal(np.asarray(other.open().array), 2.0 * np.asarray(one.open().array))
    group = json.loads((tmp_path / "out/prediction.ome.zarr/A/1/1/labels/zarr.json").read_text())
    assert group["attributes"]["ome"]["labels"] == ["halves"]


def test_the_provenance_stands_once_for_the_run_and_whole_for_each_image(plate, tmp_path):
    run_to_end(run_plate(make_job(plate, tmp_path / "out", command="vitascope plate p")))
    found = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert found["command"] == "vitascope plate p"
    assert found["params"]["tile_px"] == 512
    assert found["counts"] == {"OK": 12}
    assert [image["inputs"][0]["name"] for image in found["images"]] == [s.id for s in open_plate(plate)]
    assert "params" not in found["images"][0]


def test_the_first_image_resolves_the_plan_for_all_and_for_later(plate, tmp_path):
    out = tmp_path / "out"
    run_to_end(run_plate(make_job(plate, out)))
    with Journal(out, read_only=True) as journal:
        plan = journal.get("plan")
    assert (plan["tile_px"], plan["precision"], plan["model"]) == (512, "f32", "fake")
    assert plan["threads"] >= 1


@pytest.mark.fault("G01")
def test_one_bad_well_leaves_its_reason_and_stops_nothing(plate, tmp_path):
    (plate / "p_A03_s1_w1.tif").write_bytes(b"")
    good = (plate / "p_A05_s1_w1.tif").read_bytes()
    (plate / "p_A05_s1_w1.tif").write_bytes(good[: len(good) // 2])
    tifffile.imwrite(plate / "p_A07_s1_w1.tif", np.zeros((16, 16), np.uint16))
    report = run_to_end(run_plate(make_job(plate, tmp_path / "out")))
    assert not report.complete
    found = results(tmp_path / "out")
    assert found.loc["A03", ["status", "flags", "mean"]].tolist() == ["FAILED", "unreadable", ""]
    assert found.loc["A05", "status"] in ("FAILED", "INCOMPLETE")
    assert found.loc["A07", ["status", "flags"]].tolist() == ["REJECTED", "constant"]
    assert (found["status"] == "OK").sum() == 9
    assert (found["message"] != "").sum() == 3


def test_results_never_lie_among_the_images(plate):
    before = sorted(plate.iterdir())
    with pytest.raises(ParameterError, match="among the images"):
        run_to_end(run_plate(make_job(plate, plate)))
    assert sorted(plate.iterdir()) == before


@pytest.mark.fault("B28")
def test_a_file_that_is_still_being_written_is_read_again_in_the_same_run(plate, tmp_path, log, monkeypatch):
    monkeypatch.setattr(module, "LOOK_AGAIN_S", (0.01,))
    path = plate / "p_A02_s1_w1.tif"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    steps = run_plate(make_job(plate, tmp_path / "out", log=str(log), seconds=0.3))
    for at in steps:
        if at.done == 6 and path.stat().st_size < len(whole):
            path.write_bytes(whole)
    found = results(tmp_path / "out")
    assert set(found["status"]) == {"OK"}
    picture = np.random.default_rng((1, 0)).integers(1, 200, (16, 16))
    assert found.loc["A02", "mean"] == pytest.approx(2 * picture.mean(), rel=1e-6)
    assert set(computed(log).values()) == {1}


@pytest.mark.fault("B28")
def test_a_file_that_never_stops_growing_is_left_and_read_at_the_next_start(plate, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOOK_AGAIN_S", (0.01, 0.01))
    path = plate / "p_A02_s1_w1.tif"
    whole = path.read_bytes()
    read = Site.open

    def growing(site, *settings):
        if str(site.well) == "A02":
            with path.open("ab") as file:
                file.write(b"more")
        return read(site, *settings)

    with monkeypatch.context() as patch:
        patch.setattr(Site, "open", growing)
        report = run_to_end(run_plate(make_job(plate, tmp_path / "out")))
    assert report.counts == {"INCOMPLETE": 1, "OK": 11}
    assert results(tmp_path / "out").loc["A02", ["flags", "mean"]].tolist() == ["being_written", ""]
    assert path.stat().st_size == len(whole) + 3 * len(b"more")
    path.write_bytes(whole)
    report = run_to_end(run_plate(make_job(plate, tmp_path / "out")))
    assert (report.counts, report.computed) == ({"OK": 12}, 1)


def test_a_finished_plate_is_not_computed_again(plate, tmp_path, log):
    out = tmp_path / "out"
    run_to_end(run_plate(make_job(plate, out, log=str(log))))
    before = tables(out)
    report = run_to_end(run_plate(make_job(plate, out, log=str(log))))
    assert report.computed == 0
    assert set(computed(log).values()) == {1}
    assert tables(out) == before


@pytest.mark.fault("G12")
def test_only_the_well_whose_file_changed_is_computed_again(plate, tmp_path, log):
    out = tmp_path / "out"
    run_to_end(run_plate(make_job(plate, out, log=str(log))))
    tifffile.imwrite(plate / "p_A04_s1_w1.tif", np.full((16, 17), 7, np.uint16))
    report = run_to_end(run_plate(make_job(plate, out, log=str(log))))
    assert report.computed == 1
    assert {name for name, count in computed(log).items() if count == 2} == {open_plate(plate).in_well("A04")[0].id}
    assert results(out).loc["A04", "mean"] == 14


def test_what_failed_is_run_again_on_demand_only(plate, tmp_path, log):
    path = plate / "p_A03_s1_w1.tif"
    good = path.read_bytes()
    path.write_bytes(b"")
    stamp = path.stat()
    out = tmp_path / "out"
    assert not run_to_end(run_plate(make_job(plate, out, log=str(log)))).complete
    assert run_to_end(run_plate(make_job(plate, out, log=str(log)))).computed == 0
    assert run_to_end(run_plate(make_job(plate, out, log=str(log), redo=True))).computed == 1
    path.write_bytes(good)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert run_to_end(run_plate(make_job(plate, out, log=str(log)))).complete


@pytest.mark.fault("G13")
def test_a_folder_never_mixes_runs_of_two_kinds(plate, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run_to_end(run_plate(make_job(plate, out)))
    before = tables(out)
    with pytest.raises(ParameterError, match=r"gain was 2\.0 and is 3\.0"):
        run_to_end(run_plate(make_job(plate, out, gain=3.0)))
    tifffile.imwrite(plate / "p_A04_s1_w1.tif", np.full((16, 17), 7, np.uint16))
    monkeypatch.setenv("FAKE_SHA", "1" * 64)
    with pytest.raises(ModelError, match="was changed since this run began"):
        run_to_end(run_plate(make_job(plate, out)))
    assert tables(out) == before


def test_a_wrong_parameter_is_said_and_leaves_nothing(plate, tmp_path):
    job = make_job(plate, tmp_path / "out", model="nothing")
    with pytest.raises(ParameterError, match="nothing"):
        run_to_end(run_plate(job))
    assert not (tmp_path / "out").exists()


def test_an_error_of_all_images_shows_with_the_first_and_leaves_nothing(plate, tmp_path, monkeypatch):
    def run(inputs, params):
        raise ParameterError("No such device.")
        yield

    monkeypatch.setattr("plate_support.fake_run", run)
    with pytest.raises(ParameterError, match="No such device"):
        run_to_end(run_plate(make_job(plate, tmp_path / "out")))
    assert not (tmp_path / "out").exists()


@pytest.mark.fault("G08")
def test_cancelling_keeps_what_is_done_and_the_next_start_goes_on(plate, tmp_path, log):
    out = tmp_path / "out"
    steps = run_plate(make_job(plate, out, log=str(log), seconds=0.05))
    while not (isinstance(at := next(steps), PlateProgress) and at.done >= 3):
        pass
    started = time.monotonic()
    steps.close()
    assert time.monotonic() - started < 2
    with Journal(out, read_only=True) as journal:
        done = set(journal.finished())
    assert 3 <= len(done) < 12
    report = run_to_end(run_plate(make_job(plate, out, log=str(log), seconds=0.05)))
    assert report.computed == 12 - len(done)
    assert all(computed(log)[name] == 1 for name in done)
    assert report.complete


@pytest.mark.fault("G14")
def test_a_full_disk_ends_the_run_and_the_next_start_gives_the_same_tables(plate, tmp_path, monkeypatch):
    run_to_end(run_plate(make_job(plate, tmp_path / "whole")))
    out, real, calls = tmp_path / "out", module.PlatePictures.write, []

    def write(self, *args):
        calls.append(1)
        if len(calls) > 4:
            raise OutputError("The disk is full.")
        return real(self, *args)

    monkeypatch.setattr(module.PlatePictures, "write", write)
    with pytest.raises(OutputError, match="full"):
        run_to_end(run_plate(make_job(plate, out)))
    monkeypatch.setattr(module.PlatePictures, "write", real)
    assert run_to_end(run_plate(make_job(plate, out))).complete
    assert tables(out) == tables(tmp_path / "whole")


def test_a_plate_that_goes_away_stops_the_run_without_failing_its_wells(plate, tmp_path):
    out, away = tmp_path / "out", tmp_path / "away"
    steps = run_plate(make_job(plate, out, seconds=0.05))
    while next(steps).done < 3:
        pass
    plate.rename(away)
    with pytest.raises(ReaderError, match="went away"):
        run_to_end(steps)
    with Journal(out, read_only=True) as journal:
        assert {status for status, _ in journal.finished().values()} == {"OK"}
    away.rename(plate)
    assert run_to_end(run_plate(make_job(plate, out, seconds=0.05))).counts == {"OK": 12}


def test_the_map_is_put_into_the_tables_and_judged(plate, tmp_path):
    rows = [{"well": f"A{k:02d}", "treatment": "DMSO", "role": "negative"} for k in range(1, 4)]
    tox = {"treatment": "Tox", "dose": "10", "dose_unit": "µM", "role": "positive"}
    rows += [{"well": f"A{k:02d}", **tox} for k in range(4, 7)]
    run_to_end(run_plate(make_job(plate, tmp_path / "out", plate_map=PlateMap.from_rows(rows))))
    found = results(tmp_path / "out")
    assert found.loc["A05", ["treatment", "dose", "dose_unit"]].tolist() == ["Tox", "10.0", "µM"]
    assert found.loc["A09", "treatment"] == ""
    quality = pd.read_csv(tmp_path / "out" / "plate_quality.csv").set_index("value")
    negative, positive = (found["mean"].iloc[s].to_numpy() for s in (slice(0, 3), slice(3, 6)))
    wells = pd.read_csv(tmp_path / "out" / "wells.csv").set_index("well")
    np.testing.assert_allclose(wells["mean"], found["mean"])
    np.testing.assert_allclose(wells["mean_percent_of_control"], 100 * found["mean"] / np.median(negative))
    spread = 3 * (negative.std(ddof=1) + positive.std(ddof=1))
    assert quality.loc["mean", "z_prime"] == pytest.approx(1 - spread / abs(negative.mean() - positive.mean()))


# -- workers that die -------------------------------------------------------------------------------------------------


class Dying(ThreadWorkers):
    """Threads, of which those that take certain wells "die"."""

    deadly: dict[str, int]

    def submit(self, chunk):
        for item in chunk.items:
            if self.deadly.get(item.name[2:5], 0) > 0:
                self.deadly[item.name[2:5]] -= 1
                self._ended.put((chunk, _Dead()))
                return
        super().submit(chunk)


class _Dead:
    def result(self, timeout_s=None):
        raise WorkerDiedError


def dying(**deadly):
    def open_with(*args):
        workers = Dying()
        workers.deadly = deadly
        return workers

    return open_with


@pytest.mark.fault("G03")
def test_a_well_that_kills_its_worker_twice_fails_alone(plate, tmp_path):
    report = run_to_end(run_plate(make_job(plate, tmp_path / "out"), dying(A05=9, A07=1)))
    found = results(tmp_path / "out")
    assert report.counts == {"FAILED": 1, "OK": 11}
    assert found.loc["A05", ["status", "flags"]].tolist() == ["FAILED", "worker_died"]


@pytest.mark.parametrize(("seconds", "expected"), [(1e9, [1, 32, 32, 31]), (0, [1] * 96)])
def test_only_images_that_take_no_time_share_a_task(plate, tmp_path, monkeypatch, seconds, expected):
    sizes = []

    class Counting(ThreadWorkers):
        def submit(self, chunk):
            sizes.append(len(chunk.items))
            super().submit(chunk)

    monkeypatch.setattr(module, "CHUNK_S", seconds)
    run_to_end(run_plate(make_job(make_plate(plate, 96), tmp_path / "out"), lambda *_: Counting()))
    assert sizes == expected


# -- kill -9 ----------------------------------------------------------------------------------------------------------


def program(plate, out, log, seconds, workers=0):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT.parent), *sys.path])}
    args = [sys.executable, str(SUPPORT), str(plate), str(out), str(log), str(seconds), str(workers)]
    return subprocess.Popen(args, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def journalled(out):
    try:
        with Journal(out, read_only=True) as journal:
            return set(journal.finished())
    except ReaderError:
        return set()


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
@pytest.mark.fault("G06")
@pytest.mark.fault("G07")
def test_killed_and_started_again_gives_the_same_tables_and_computes_nothing_twice(plate, tmp_path, log):
    make_plate(plate, 40)
    whole, out = tmp_path / "whole", tmp_path / "out"
    run_to_end(run_plate(make_job(plate, whole, log=str(tmp_path / "other"), seconds=0.1)))
    done_before: set[str] = set()
    counted = Counter()
    rng = random.Random(3)
    for _ in range(3):
        run = program(plate, out, log, 0.1)
        while len(journalled(out)) < len(done_before) + 4 and run.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.2))
        run.kill()
        run.wait()
        now = computed(log)
        assert all(now[name] == counted[name] for name in done_before), "computed again after it was journalled"
        assert done_before <= journalled(out), "lost"
        done_before, counted = journalled(out), now
    assert program(plate, out, log, 0.1).wait(60) == 0
    assert all(computed(log)[name] == counted[name] for name in done_before)
    ours, theirs = tables(out), tables(whole)
    assert ours == theirs
    assert not list(out.rglob(".vitascope-*"))


@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
@pytest.mark.fault("G11")
def test_a_second_run_is_refused_by_name_and_process_until_the_first_is_dead(plate, tmp_path, log):
    out = tmp_path / "out"
    run = program(plate, out, log, 5)
    try:
        while not (out / ".vitascope.owner.json").exists():
            time.sleep(0.02)
        with pytest.raises(OutputError, match=rf"fake on p \(process {run.pid} on "):
            run_to_end(run_plate(make_job(plate, out)))
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    steps = run_plate(make_job(plate, out, log=str(log), seconds=5))
    assert next(steps).total == 12
    steps.close()


def test_pictures_of_a_plain_run_and_of_a_plate_hold_the_same(plate, tmp_path):
    run_to_end(run_plate(make_job(plate, tmp_path / "out")))
    image = open_plate(plate).sites[0].open()
    result = run_to_end(SPEC.start({"image": image}, FakeParams()))
    PictureFolder(tmp_path / "plain", "fake").write(result, image.name)
    plain = tifffile.imread(tmp_path / "plain" / "prediction" / f"{image.name}.ome.tif")
    made = open_plate(tmp_path / "out" / "prediction.ome.zarr").sites[0].open()
    np.testing.assert_array_equal(np.asarray(made.array), plain)


def test_a_pixel_size_that_was_given_is_known_when_the_results_are_opened_again(tmp_path):
    from vitascope.batch.plate.results import open_plate_results

    folder = make_plate(tmp_path / "plate", 6)
    run_to_end(run_plate(make_job(folder, tmp_path / "out", pixel_size_um=2.0)))
    image = next(iter(open_plate_results(tmp_path / "out").open_plate())).open()
    assert image.pixel_size_um == 2.0
