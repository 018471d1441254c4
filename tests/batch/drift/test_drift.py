"""References, series and plates, with a small network whose features see blur."""

import json
import sqlite3
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
from matplotlib.figure import Figure
from scipy import ndimage
from typer.testing import CliRunner

from tests_support import make_domain, make_model, save_model
from vitascope.batch.drift.in_words import too_few
from vitascope.batch.drift.months import draw_months
from vitascope.batch.drift.references import (
    bundled_references,
    check_reference_name,
    find_reference,
    read_reference,
    record_of,
    register_reference,
    registered_references,
)
from vitascope.batch.drift.watch import Drift, PlateWatch, drift_columns, order_taken
from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.journal import Journal
from vitascope.batch.plate.run import run_plate
from vitascope.cli.drift import in_given_order
from vitascope.cli.main import app
from vitascope.core.errors import InputError, ModelError, ParameterError, ReaderError
from vitascope.core.paths import user_references
from vitascope.core.progress import run_to_end
from vitascope.io.images.acquired import acquired_at
from vitascope.io.images.read import group_paths
from vitascope.io.models.cards import find_model
from vitascope.io.plates.read import open_plate
from vitascope.stats.drift.reference import fit_reference
from vitascope.stats.drift.series import drift_table
from vitascope.tasks.registry import find_task

SIDE, GOOD, SERIES, CHANGED = 64, 24, 16, 7


def texture(seed, blur=0.0):
    """A picture of grain; blurred ones have other features in any network."""
    rng = np.random.default_rng(seed)
    picture = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 1.0 + blur)
    return (2000 + 3000 * picture / picture.std()).clip(0, 60000).astype(np.uint16)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model, good images, a series that blurs on the way, and a reference of the good ones."""
    folder = tmp_path_factory.mktemp("drift")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITASCOPE_MODELS", str(folder / "models"))
        save_model(make_model(width=0.25, object_diameter_px=18, domain=make_domain(64)), folder / "models")
        other = make_model(2, model_id="other-model", width=0.25, object_diameter_px=18, domain=make_domain(64))
        save_model(other, folder / "models")
        for name in ("good", "series"):
            (folder / name).mkdir()
        for i in range(GOOD):
            tifffile.imwrite(folder / "good" / f"g{i:02}.tif", texture(i))
        for i in range(SERIES):
            tifffile.imwrite(folder / "series" / f"A{i + 1:02}.tif", texture(100 + i, 3.0 if i >= CHANGED else 0))
        patch.chdir(folder)
        done = call("reference", "good", "--model", "test-model", "--name", "good wells", "-o", "good.drift", *SMALL)
        assert done.exit_code == 0, done.output
    return folder


SMALL = ("--window", "4", "--ert", "32")


@pytest.fixture(autouse=True)
def here(made, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(made / "models"))
    monkeypatch.chdir(made)


def call(*arguments):
    return CliRunner().invoke(app, ["drift", *map(str, arguments)])


def test_a_series_is_tested_in_the_order_given_and_the_change_is_noticed(tmp_path):
    done = call("test", "series", "--reference", "good wells", "-o", tmp_path / "out", *SMALL)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "drift.csv")
    assert list(table.columns) == ["image", "drift_statistic", "drift_p", "drift_alarm"]
    assert table["image"].tolist() == [f"A{i + 1:02}" for i in range(SERIES)]
    assert table["drift_alarm"].isna().tolist() == [i < 3 for i in range(SERIES)]
    assert table["drift_alarm"].iloc[3:CHANGED].sum() == 0
    assert table["drift_alarm"].iloc[CHANGED + 3 :].all()
    assert table["drift_p"].notna().tolist() == [i == SERIES - 1 for i in range(SERIES)]
    assert table["drift_p"].iloc[-1] < 0.05
    assert "Drift since A" in done.output
    text = (tmp_path / "out" / "drift.csv").read_text()
    assert text.splitlines()[-1].endswith(",1")  # whole numbers, not 1.0
    back = [f"series/A{i + 1:02}.tif" for i in reversed(range(SERIES))]
    call("test", *back, "--reference", "good.drift", "-o", tmp_path / "back", *SMALL)
    turned = pd.read_csv(tmp_path / "back" / "drift.csv")
    assert turned["image"].tolist() == table["image"].tolist()[::-1]
    assert turned["drift_alarm"].iloc[3] == 1


def test_images_of_a_pattern_keep_their_order_though_some_are_called_after_their_folder(tmp_path):
    for name in ("first/i1.tif", "later/i0.tif", "later/i1.tif", "later/i10.tif", "later/i2.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / name, texture(0))
    given = [str(tmp_path / "first" / "i1.tif"), str(tmp_path / "later" / "i*.tif")]
    groups, _ = group_paths(given)
    found = [group.paths[0].relative_to(tmp_path).as_posix() for group in in_given_order(groups, given)]
    assert found == ["first/i1.tif", "later/i0.tif", "later/i1.tif", "later/i2.tif", "later/i10.tif"]


def test_trusted_images_raise_no_alarm_and_exit_0(tmp_path):
    done = call("test", "good", "--reference", "good wells", "-o", tmp_path / "out", "--window", 4, "--ert", 256)
    assert done.exit_code == 0
    assert "No alarm" in done.output


def test_the_months_are_drawn_by_day_and_the_cause_is_told(made, tmp_path):
    done = call("test", "series", "--reference", "good wells", "-o", tmp_path / "out", *SMALL)
    assert "blurred" in done.output
    record = record_of(find_reference("good wells").sha256)[-1]
    assert record.cause == "blurred"
    assert record.excess > 1
    assert "blurred" in call("status").output
    assert call("status", "--plot", tmp_path / "months.png", "--reference", "good wells").exit_code == 0
    assert (tmp_path / "months.png").read_bytes().startswith(b"\x89PNG")
    figure = Figure()
    later = replace(record, at="2026-11-30T10:00:00+00:00", excess=0.4, alarms=0, cause="")
    assert draw_months(figure, [record, later, replace(record, excess=None)]) == 1
    drawn = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in drawn] == [1, 1]
    assert [text.get_text() for text in figure.axes[0].texts] == ["blurred"]
    fresh = call("status", "--plot", tmp_path / "no.png", "--reference", "nothing")
    assert fresh.exit_code == 2
    assert "nothing" in fresh.output
    wrong = call("status", "--plot", tmp_path / "no.txt", "--reference", "good wells")
    assert "no name of a picture" in wrong.output


def test_a_record_of_before_gets_its_new_columns(made):
    path = user_references() / "tests.sqlite"
    kept = path.read_bytes() if path.is_file() else None
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE tests (number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, at TEXT NOT NULL, source TEXT NOT NULL, "
        "images INTEGER NOT NULL, steps INTEGER NOT NULL, alarms INTEGER NOT NULL, first_alarm TEXT, "
        "statistic REAL, p REAL)"
    )
    database.execute("INSERT INTO tests VALUES (1, 'x', '2026-01-01T00:00:00+00:00', 's', 3, 2, 0, NULL, 0.1, 0.5)")
    database.commit()
    database.close()
    (old,) = record_of("x")
    assert (old.excess, old.cause, old.p) == (None, "", 0.5)
    path.write_bytes(kept) if kept is not None else path.unlink()


def test_status_lists_references_with_their_last_alarm(made, tmp_path):
    call("test", "series", "--reference", "good wells", "-o", tmp_path / "out", *SMALL)
    done = call("status")
    assert "good wells: 24 images, model test-model" in done.output
    assert "since A" in done.output
    records = record_of(find_reference("good wells").sha256)
    assert records[-1].source == "series"
    assert records[-1].images == SERIES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("test", "series", "--reference", "nothing", "-o", "no"), "no drift reference 'nothing'"),
        (("test", "series/A01.tif", "--reference", "good wells", "-o", "no", *SMALL), "fewer than the window"),
        (("test", "series", "--reference", "good wells", "-o", "no", "--ert", 3), "run time of 3"),
        (("test", "series", "--reference", "good wells", "-o", "no", "--window", 1), "window"),
        (("reference", "series", "--model", "test-model", "--name", "x", "-o", "x.drift", *SMALL), "16 images are too"),
        (("reference", "good", "--model", "gone", "--name", "x", "-o", "x.drift"), "gone"),
        (("reference", "good", "--model", "test-model", "--name", "../x", "-o", "x.drift"), "cannot be called"),
        (("reference", "good", "--model", "test-model", "--name", "x", "-o", "x.txt", *SMALL), ".drift"),
    ],
)
def test_wrong_usage_is_a_sentence_and_leaves_nothing(made, arguments, said):
    done = call(*arguments)
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output
    assert not (made / "no").exists()
    assert not (made / "x.drift").exists()


def test_an_image_that_cannot_be_read_keeps_its_row_and_is_no_step(made, tmp_path):
    paths = [f"series/A{i + 1:02}.tif" for i in range(6)]
    (tmp_path / "bad.tif").write_bytes(b"no picture")
    done = call(
        "test", *paths[:2], tmp_path / "bad.tif", *paths[2:], "--reference", "good wells", "-o", tmp_path / "o", *SMALL
    )
    assert done.exit_code == 3
    assert "bad was left out" in done.output
    table = pd.read_csv(tmp_path / "o" / "drift.csv")
    assert len(table) == 7
    assert table[table["image"] == "bad"][["drift_statistic", "drift_alarm"]].isna().all().all()
    assert table["drift_statistic"].notna().sum() == 3


def test_black_images_have_no_features_and_say_why_and_p_stands_in_the_last_row(tmp_path):
    tifffile.imwrite(tmp_path / "black.tif", np.zeros((SIDE, SIDE), np.uint16))
    paths = [f"series/A{i + 1:02}.tif" for i in range(6)]
    done = call("test", *paths, tmp_path / "black.tif", "--reference", "good wells", "-o", tmp_path / "o", *SMALL)
    assert done.exit_code == 3
    assert "black was left out: The image has one single value" in done.output
    table = pd.read_csv(tmp_path / "o" / "drift.csv")
    assert table["drift_p"].notna().tolist() == [False] * 6 + [True]


def test_a_reference_of_another_model_or_a_damaged_one_is_refused(made, tmp_path):
    data = bytearray((made / "good.drift").read_bytes())
    data[-3] ^= 1
    (tmp_path / "bent.drift").write_bytes(data)
    with pytest.raises(ReaderError, match="altered"):
        read_reference(tmp_path / "bent.drift")
    with pytest.raises(ParameterError):
        check_reference_name("a/b")
    plate = open_plate(made / "series")
    spec = find_task("stain")
    job = PlateJob(
        spec=spec,
        plate=plate,
        params=spec.make_params(model="other-model", threads=1),
        out=tmp_path / "out",
        drift=Drift(find_reference("good wells"), 4, 32),
    )
    with pytest.raises(ModelError, match="other weights"):
        run_to_end(run_plate(job))
    assert not (tmp_path / "out").exists()


def run(made, out, stop=False, **changes):
    spec = find_task("stain")
    settings = {"model": "test-model", "threads": 1, "precision": "f32", **changes}
    return run_to_end(
        run_plate(
            PlateJob(
                spec=spec,
                plate=open_plate(made / "series"),
                params=spec.make_params(**settings),
                out=out,
                drift=Drift(find_reference("good wells"), 4, 32, stop=stop),
            )
        )
    )


def columns(out):
    table = pd.read_csv(out / "results.csv")
    return table[["image", "drift_statistic", "drift_p", "drift_alarm"]]


def test_a_plate_stopped_at_an_alarm_resumes_to_the_same_table(made, tmp_path):
    whole = run(made, tmp_path / "whole")
    assert whole.drift_alarms
    assert not whole.stopped_by_drift
    assert not whole.drift_timed  # these files tell no time
    stopped = run(made, tmp_path / "stopped", stop=True)
    assert stopped.stopped_by_drift
    assert not stopped.complete
    assert stopped.counts.get("")  # some are not done
    again = run(made, tmp_path / "stopped", stop=True)  # the alarm was seen: it stops no run again
    assert again.complete
    assert not again.stopped_by_drift
    assert again.drift_alarms == whole.drift_alarms
    pd.testing.assert_frame_equal(columns(tmp_path / "whole"), columns(tmp_path / "stopped"))
    series = columns(tmp_path / "whole")
    assert series["drift_p"].notna().tolist() == [False] * (SERIES - 1) + [True]
    with Journal(tmp_path / "whole", read_only=True) as journal:
        kept, looks = dict(journal.features()), dict(journal.appearances())
    reference, looks = find_reference("good wells"), np.stack(list(looks.values()))
    table = drift_table(list(kept), np.stack(list(kept.values())), reference, window=4, ert=32, appearances=looks)
    np.testing.assert_array_equal(table["drift_statistic"], series["drift_statistic"])


def test_a_plate_of_fewer_images_than_the_window_says_that_nothing_could_be_told(made, tmp_path):
    (tmp_path / "small").mkdir()
    for i in range(3):
        tifffile.imwrite(tmp_path / "small" / f"A{i + 1:02}.tif", texture(300 + i))
    spec = find_task("stain")
    report = run_to_end(
        run_plate(
            PlateJob(
                spec=spec,
                plate=open_plate(tmp_path / "small"),
                params=spec.make_params(model="test-model", threads=1),
                out=tmp_path / "out",
                drift=Drift(find_reference("good wells"), 4, 32),
            )
        )
    )
    assert report.drift_tested == (3, 4)
    assert "3 images are fewer than the window of 4" in too_few(*report.drift_tested)
    assert too_few(4, 4) == ""


def test_features_that_are_no_numbers_are_no_step_of_a_plate():
    rows = np.random.default_rng(0).normal(size=(40, 6))
    trusted = fit_reference(rows[:30], name="x", model="m", model_sha256="0" * 64, window=4, erts=(32,))
    names = [f"i{n}" for n in range(10)]
    watch = PlateWatch(Drift(trusted, 4, 32), names, "0" * 64)
    given = dict(zip(names, rows[30:].astype(np.float32), strict=True))
    given["i3"] = np.full(6, np.nan, np.float32)
    watch.add(given)
    assert list(watch.steps) == [name for name in names if name != "i3"]


def test_the_order_in_which_images_end_changes_nothing():
    rng = np.random.default_rng(0)
    reference = fit_reference(
        rng.normal(size=(60, 8)), name="r", model="m", model_sha256="0" * 64, window=4, erts=(32,)
    )
    names = [f"i{n}" for n in range(30)]
    features = {name: rng.normal(size=8).astype(np.float32) + (2.0 if n > 14 else 0) for n, name in enumerate(names)}
    features["i7"] = None  # refused: no step
    drift = Drift(reference, 4, 32)
    one, other = (PlateWatch(drift, names, "0" * 64) for _ in range(2))
    one.add(features)
    for name in rng.permutation(names):
        other.add({str(name): features[str(name)]})
    assert one.summary() == other.summary()
    assert "i7" not in one.steps
    assert one.alarms
    assert json.loads(json.dumps(one.summary())) == one.summary()
    given = drift_columns(one.summary())
    assert given("i7") == {"drift_statistic": None, "drift_p": None, "drift_alarm": None}
    assert given("i29")["drift_p"] == one.p()
    with pytest.raises(InputError, match="features"):
        PlateWatch(drift, ["a"], "0" * 64).add({"a": np.zeros(5, np.float32)})


def test_images_count_in_the_order_that_their_files_tell(tmp_path):
    clock = ["2026:03:01 10:00:05", "2026:03:01 09:00:00", "2026:03:01 12:00:00"]
    for well, time in zip(("A01", "A02", "A03"), clock, strict=True):
        tifffile.imwrite(tmp_path / f"{well}.tif", texture(1), datetime=time)
    assert [name.rsplit("_", 1)[1] for name in order_taken(open_plate(tmp_path)).images] == ["A02", "A01", "A03"]
    assert order_taken(open_plate(tmp_path)).timed
    tifffile.imwrite(tmp_path / "A02.tif", texture(1))
    assert acquired_at(tmp_path / "A02.tif") is None
    assert [name.rsplit("_", 1)[1] for name in order_taken(open_plate(tmp_path)).images] == ["A01", "A02", "A03"]
    assert not order_taken(open_plate(tmp_path)).timed
    xml = "<OME><Image><AcquisitionDate>2026-03-01T10:00:00</AcquisitionDate></Image></OME>"
    tifffile.imwrite(tmp_path / "a.ome.tif", texture(1), description=xml, metadata=None)
    assert acquired_at(tmp_path / "a.ome.tif") == "2026-03-01T10:00:00"


def test_a_journal_from_before_there_were_features_opens_and_resumes(made, tmp_path):
    out = tmp_path / "old"
    run(made, out)
    database = sqlite3.connect(out / "journal.sqlite")
    database.execute("DROP TABLE features")
    database.commit()
    database.close()
    with Journal(out, read_only=True) as journal:
        assert {feature for _, feature in journal.features()} == {None}
    assert run(made, out).computed == 0


def test_references_are_listed_by_name(made):
    reference = find_reference("good wells")
    register_reference(reference)
    assert "good wells" in dict(registered_references())


def test_two_sets_of_wells_are_compared_and_the_unlike_ones_named(made, tmp_path):
    run(made, tmp_path / "run")
    wells = [f"A{n:02}" for n in range(1, SERIES + 1)]
    done = call("compare", tmp_path / "run", tmp_path / "run", "-o", tmp_path / "out",
                "--trusted-wells", ",".join(wells[:CHANGED]), "--other-wells", ",".join(wells[CHANGED:]))  # fmt: skip
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "drift_wells.csv")
    assert list(table) == ["well", "images", "distance", "p", "p_adjusted"]
    assert set(table["well"]) == set(wells[CHANGED:])
    assert "told apart in 100 of 100 pairs" in done.output
    both = call("compare", tmp_path / "run", tmp_path / "run", "-o", tmp_path / "no")
    assert both.exit_code == 2
    assert "both sides" in both.output
    gone = call("compare", tmp_path / "run", tmp_path / "run", "-o", tmp_path / "no", "--other-wells", "H12")
    assert "Well H12" in gone.output
    assert not (tmp_path / "no").exists()


def test_features_that_cannot_be_used_are_a_sentence_each():
    rng = np.random.default_rng(0)
    about = {"name": "r", "model": "m", "model_sha256": "0" * 64, "window": 4, "erts": (32,)}
    features = rng.normal(size=(40, 8))
    reference = fit_reference(features, channels=[("phase",)] * 40, **about)
    names = [f"i{n}" for n in range(40)]
    with pytest.raises(InputError, match="fewer than the window"):
        drift_table(names[:3], features[:3], reference, window=4, ert=32)
    with pytest.raises(InputError, match="constant"):
        fit_reference(np.ones((40, 8)), **about)
    with pytest.raises(InputError, match="NaN or infinite in 1 of 40"):
        drift_table(names, np.where(np.arange(40)[:, None] == 3, np.nan, features), reference, window=4, ert=32)
    with pytest.raises(ModelError, match="other weights"):
        drift_table(names, features, reference, window=4, ert=32, model_sha256="1" * 64)
    with pytest.raises(InputError, match="mixed channels"):
        fit_reference(features, channels=[("phase",)] * 39 + [("DIC",)], **about)
    with pytest.raises(InputError, match="have the channels DIC"):
        drift_table(names, features, reference, window=4, ert=32, channels=("DIC",))
    constant = drift_table(names, np.repeat(features[:1], 40, axis=0), reference, window=4, ert=32)
    assert np.isfinite(constant["drift_statistic"].iloc[4:]).all()


def test_bundled_references_are_of_the_bundled_models_and_small():
    listed = bundled_references()
    assert listed
    for name, path in listed:
        reference = find_reference(name)
        assert path.stat().st_size <= 200_000
        assert reference.model_sha256 == find_model(name)[0].weights.sha256
        assert reference.usual is not None


def test_a_reference_of_images_that_the_model_does_not_know_is_warned_of(made, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        tifffile.imwrite(tmp_path / f"n{number:02d}.tif", rng.integers(0, 65535, (SIDE, SIDE), np.uint16))
    words = ["drift", "reference", str(tmp_path / "*.tif"), "--model", "viability-spheroid-sim", "--name", "noise"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "n.drift")])
    assert done.exit_code == 0, done.output
    assert "20 of 20 images lie outside what the model was trained on" in done.stderr
