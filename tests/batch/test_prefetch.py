"""Images that are run side by side: the same rows in the same order, few in hand, nothing left on cancel."""

import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile

from vitascope.batch import image_run
from vitascope.batch import prefetch as ahead
from vitascope.batch.run_images import Job, run_images
from vitascope.batch.workers import MOST_SIDE_BY_SIDE, ThreadWorkers
from vitascope.core.errors import InputError, OutputError
from vitascope.core.progress import Progress, run_to_end
from vitascope.core.result import ImageOutput, Result
from vitascope.io.filenames.grouping import find_groups
from vitascope.simulate.wells import make_well
from vitascope.tasks.atp import SPEC

COUNT, CORES = 16, 3


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(COUNT):
        tifffile.imwrite(folder / f"P_A{n + 1:02d}.tif", np.full((32, 32), n, np.uint16))
    return folder


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    monkeypatch.setattr(image_run, "ThreadWorkers", lambda side_by_side: ThreadWorkers(CORES, side_by_side))


def faked(run):
    class Faked(type(SPEC)):
        def load(self):
            return run

    return Faked(**{name: getattr(SPEC, name) for name in SPEC.__dataclass_fields__})


def job(images, out, run):
    return Job(faked(run), find_groups([str(images)]), SPEC.make_params(), out)


def answer(image):
    value = float(image.array.mean())
    output = ImageOutput("maps", "map", np.full(image.shape_yx, value, np.float32), "YX", ("",))
    return Result((output,), ({"atp": value},), "RLU", image.place, image.name)


def test_images_come_in_their_order_whoever_ends_first_and_few_are_in_hand(images, tmp_path):
    lock, in_hand, most = threading.Lock(), set(), []

    def run(inputs, params):
        image = inputs["image"]
        with lock:
            in_hand.add(image.name)
            most.append(len(in_hand))
        yield Progress(0, 1, "faking")
        time.sleep(0.02 * (COUNT - float(image.array.mean())) / COUNT)  # later ones are done earlier
        with lock:
            in_hand.remove(image.name)
        if image.name == "P_A04":
            raise InputError("No.", flag="constant")
        if image.name == "P_A05":
            raise KeyError("broken")
        return answer(image)

    report = run_to_end(run_images(job(images, tmp_path / "out", run)))
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert table["image"].tolist() == [o.name for o in report.outcomes] == [f"P_A{n + 1:02d}" for n in range(COUNT)]
    assert table["status"].tolist() == [{3: "REJECTED", 4: "FAILED"}.get(n, "OK") for n in range(COUNT)]
    assert table["atp"].dropna().tolist() == [n for n in range(COUNT) if n not in (3, 4)]
    assert max(most) == CORES
    assert len(list((tmp_path / "out" / "maps").iterdir())) == COUNT - 2


def test_large_images_are_not_held_side_by_side(images, tmp_path, monkeypatch):
    monkeypatch.setattr(ahead, "IN_HAND_BYTES", 3000)  # a file takes about 2,300
    in_hand, most = [], []

    def run(inputs, params):
        in_hand.append(1)
        most.append(len(in_hand))
        yield Progress(0, 1, "faking")
        time.sleep(0.01)
        in_hand.pop()
        return answer(inputs["image"])

    report = run_to_end(run_images(job(images, tmp_path / "out", run)))
    assert len(report.outcomes) == COUNT
    assert max(most) == 1


@pytest.mark.parametrize("how", ["cancelled", "disk full"])
def test_what_was_not_taken_leaves_no_picture(images, tmp_path, how, monkeypatch):
    started = []

    def run(inputs, params):
        yield Progress(0, 1, "faking")
        started.append(inputs["image"].name)
        if how == "disk full" and inputs["image"].name == "P_A03":
            time.sleep(0.2)  # those behind it have written their pictures meanwhile
            raise OutputError("The disk is full.")
        return answer(inputs["image"])

    steps = run_images(job(images, tmp_path / "out", run))
    if how == "cancelled":
        while len(started) < 4:
            next(steps)
        steps.close()
    else:
        with pytest.raises(OutputError):
            run_to_end(steps)
    rows = pd.read_csv(tmp_path / "out" / "results.csv")["image"].tolist()
    pictures = sorted(path.name.split(".")[0] for path in (tmp_path / "out" / "maps").iterdir())
    assert pictures == rows
    assert len(started) < COUNT


def test_wells_run_side_by_side_have_the_numbers_they_have_alone(tmp_path):
    folder = tmp_path / "wells"
    folder.mkdir()
    for n in range(5):
        tifffile.imwrite(folder / f"P_A{n + 1:02d}.tif", make_well(5, n, n, 96 + 16 * n).image)
    groups, params = find_groups([str(folder)]), SPEC.make_params(device="cpu", abstain=False, threads=1)
    run_to_end(run_images(Job(SPEC, groups, params, tmp_path / "together")))
    alone = replace(SPEC, side_by_side=False)
    for n, group in enumerate(groups):
        run_to_end(run_images(Job(alone, [group], params, tmp_path / f"alone{n}")))
    tables = [pd.read_csv(tmp_path / f"alone{n}" / "results.csv") for n in range(5)]
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "together" / "results.csv"), pd.concat(tables, ignore_index=True)
    )
    for n, group in enumerate(groups):
        both = [tifffile.imread(tmp_path / f / "maps" / f"{group.name}.ome.tif") for f in ("together", f"alone{n}")]
        np.testing.assert_array_equal(*both)


def test_never_more_threads_than_cores():
    for cores in (1, 2, 4, 64):
        for threads in (1, 2, 8):
            workers = ThreadWorkers(cores, side_by_side=True)
            workers.limit(threads)
            assert workers.slots == 1 or workers.slots * threads <= cores
            assert workers.slots <= MOST_SIDE_BY_SIDE
            workers.stop()
