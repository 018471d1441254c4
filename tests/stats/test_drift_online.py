"""The online test: its statistic against loops, its run length against fresh draws, its file and its state."""

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest

from vitascope.core.errors import InputError, ModelError, OutputError, ParameterError, ReaderError
from vitascope.stats.drift.file_format import MAX_BYTES, pack_reference, unpack_reference
from vitascope.stats.drift.mmd import mmd2
from vitascope.stats.drift.online import Detector
from vitascope.stats.drift.reference import fit_reference
from vitascope.stats.drift.series import drift_table, false_alarms, nominal_alarms, whole_set_p
from vitascope.stats.drift.sliding import pair_sums, sliding_statistic, window_sums
from vitascope.stats.drift.thresholds import Thresholds, draw_streams, simulate_thresholds

MODEL = "5" * 64


def made(features, **settings):
    return fit_reference(features, name="good wells", model="isl", model_sha256=MODEL, **settings)


@pytest.fixture(scope="module")
def reference():
    return made(np.random.default_rng(0).normal(size=(200, 12)), window=5, erts=(32,), channels=("DNA", "actin"))


def test_sums_over_windows_are_those_of_loops():
    rng = np.random.default_rng(1)
    x, window = rng.normal(size=(3, 11, 2)), 4
    near = np.exp(-((x[:, :, None] - x[:, None]) ** 2).sum(-1))
    lags = [np.stack([near[:, t - lag, t] for t in range(lag, 11)], axis=1) for lag in range(1, window)]
    found = pair_sums(lags, 11, window)
    assert found.shape == (3, 8)
    for run in range(3):
        for t in range(8):
            part = near[run, t : t + window, t : t + window]
            assert found[run, t] == pytest.approx(part.sum() - np.trace(part))
    assert np.allclose(window_sums(x[:, :, 0], 4), [[row[t : t + 4].sum() for t in range(8)] for row in x[:, :, 0]])


def test_the_detectors_statistic_is_the_unbiased_mmd_of_its_window(reference):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(20, 12))
    scores = reference.project(rows)
    detector = Detector(reference, 5, 32)
    for t, row in enumerate(rows):
        step = detector.update(row)
        if t < 4:
            assert step == (None, None, None)
            continue
        expected = mmd2(reference.scores, scores[t - 4 : t + 1], reference.widths)
        assert step.statistic == pytest.approx(expected, abs=1e-9)
        assert step.alarm == (step.statistic > step.threshold)
        assert step.threshold == reference.thresholds[0].values[min(t - 4, 5)]


def test_many_streams_at_once_are_those_of_the_detector(reference):
    rows = np.random.default_rng(3).normal(size=(2, 15, 12))
    scores = np.stack([reference.project(part) for part in rows])
    near = np.exp(-((scores[:, :, None] - scores[:, None]) ** 2).sum(-1)[..., None] / (2 * np.square(reference.widths)))
    near = near.mean(-1)
    lags = [np.stack([near[:, t - lag, t] for t in range(lag, 15)], axis=1) for lag in range(1, 5)]
    with_reference = np.exp(
        -((scores[:, :, None] - reference.scores) ** 2).sum(-1)[..., None] / (2 * np.square(reference.widths))
    ).mean((-1, -2))
    found = sliding_statistic(lags, with_reference, reference.within, 5)
    for run in range(2):
        detector = Detector(reference, 5, 32)
        steps = [detector.update(row).statistic for row in rows[run]][4:]
        assert np.allclose(found[run], steps, atol=1e-9)


def test_streams_repeat_no_image_within_two_windows_and_use_all():
    drawn = draw_streams(50, 6, 400, 60, np.random.default_rng(0))
    for row in drawn[:50]:
        assert all(len(set(row[t : t + 11])) == 11 for t in range(50))
    counts = np.bincount(drawn.ravel(), minlength=50)
    assert np.abs(counts - 480).max() < 5 * 480**0.5
    # a reference of two windows has no images for more
    short = draw_streams(12, 6, 10, 30, np.random.default_rng(0))
    assert all(len(set(row[t : t + 6])) == 6 for row in short for t in range(25))


@pytest.mark.slow
@pytest.mark.parametrize("window", [2, 10])
def test_the_run_length_in_control_is_the_one_set(window):
    rng = np.random.default_rng(4)
    ert, ratios = 16, []
    for _ in range(6):
        known = made(rng.normal(size=(300, 6)), window=window, erts=(ert,))
        lengths = []
        for _ in range(50):
            detector = Detector(known, window, ert)
            step = 0
            while not detector.update(rng.normal(size=6)).alarm:
                step += 1
            lengths.append(step - window + 2)
        ratios.append(np.mean(lengths) / ert)
    # 300 geometric runs: 5.8 % standard error, and the spread between references
    assert np.mean(ratios) == pytest.approx(1, abs=0.25)


def test_thresholds_hold_step_by_step_on_a_statistic_of_independent_images():
    # one image alarms alone: a kernel so narrow that only far points count; the rate after the first windows is 1 / ERT
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 3))
    gram = np.exp(-((x[:, None] - x[None]) ** 2).sum(-1) / 2)
    one, two = simulate_thresholds(gram, 3, (16, 64), streams=4000)
    assert two.values[-1] > one.values[-1]
    assert one.values[0] >= one.values[1] - 0.02
    assert len(one.values) == 4
    assert one.run_length_range[0] <= 16 <= one.run_length_range[1]
    assert simulate_thresholds(gram, 3, (16, 64), streams=4000) == [one, two]


def test_a_change_is_found_soon_and_the_alarm_lasts(reference):
    rng = np.random.default_rng(6)
    rows = np.concatenate([rng.normal(size=(5, 12)), rng.normal(1.5, 1, size=(20, 12))])
    table = drift_table([f"{i}.tif" for i in range(25)], rows, reference, window=5, ert=32)
    assert table.columns.tolist() == ["image", "drift_statistic", "drift_p", "drift_alarm"]
    assert table["drift_alarm"][:4].isna().all()
    assert table["drift_statistic"][:4].isna().all()
    assert (table["drift_alarm"][10:] == 1).all()
    assert table["drift_p"][:-1].isna().all()
    assert table["drift_p"].iloc[-1] == 1 / 501
    lines = table.to_csv(index=False).splitlines()
    assert lines[1] == "0.tif,,,"
    assert lines[-1].endswith(",1")


@pytest.mark.parametrize(("images", "spare"), [(100, 0), (300, 0), (100, 200)])
def test_fresh_images_are_spread_as_the_references(images, spare):
    # 200 features alike: axes fitted to the reference's own images would hold far more of those than of fresh ones
    rng = np.random.default_rng(7)
    axes = {"axes_features": rng.normal(size=(spare, 200))} if spare else {}
    known = made(rng.normal(size=(images, 200)), window=2, erts=(32,), **axes)
    fresh = known.project(rng.normal(size=(2000, 200)))
    assert known.scores.var(axis=0).sum() == pytest.approx(fresh.var(axis=0).sum(), rel=0.04)
    between = [np.median(((part[:50, None] - part[None, 50:100]) ** 2).sum(-1)) for part in (known.scores, fresh)]
    assert between[0] == pytest.approx(between[1], rel=0.05)
    assert len(known.points) == (200 if images == 300 else images)


def test_a_silent_feature_and_the_unit_change_nothing():
    rows = np.random.default_rng(23).normal(size=(60, 8))
    rows[:, 3] = 0.0
    fresh = np.random.default_rng(24).normal(size=(10, 8))
    fresh[:, 3] = 0.0
    plain, small = made(rows, window=2, erts=(32,)), made(rows * 2.0**-20, window=2, erts=(32,))
    assert np.allclose(small.project(fresh * 2.0**-20), plain.project(fresh), atol=1e-4)
    assert small.points.tolist() == plain.points.tolist()
    assert small.thresholds == plain.thresholds


def test_principal_axes_are_those_of_the_images_set_apart():
    rng = np.random.default_rng(22)
    mixing = rng.normal(size=(3, 100))

    def draw(count):
        return rng.normal(size=(count, 3)) @ mixing + 0.01 * rng.normal(size=(count, 100))

    known = made(draw(240), window=2, erts=(32,), components=3)
    rows = draw(50)
    scaled = (rows - known.centre) / known.scale
    lost = scaled - known.project(rows) @ known.axes.T.astype(float)
    assert (lost**2).sum() < 1e-3 * (scaled**2).sum()
    with pytest.raises(InputError, match="Axes cannot be fitted"):
        made(draw(30), window=2, erts=(32,), axes_features=draw(30)[:, :50])


def test_the_whole_sets_p_is_uniform_in_control():
    rng = np.random.default_rng(8)
    p = []
    for seed in range(5):
        known = made(rng.normal(size=(80, 100)), window=2, erts=(32,))
        p += [whole_set_p(rng.normal(size=(30, 100)), known, permutations=99, seed=seed) for _ in range(12)]
    assert np.mean(np.array(p) <= 0.05) <= 0.15
    assert 0.3 < np.mean(p) < 0.7
    assert whole_set_p(rng.normal(0.5, 1, size=(30, 100)), known) < 0.01


def test_a_restart_changes_no_bit(reference):
    rows = np.random.default_rng(9).normal(size=(30, 12))
    through = Detector(reference, 5, 32)
    expected = [through.update(row) for row in rows]
    for cut in (0, 2, 5, 17):
        detector = Detector(reference, 5, 32)
        found = [detector.update(row) for row in rows[:cut]]
        again = unpack_reference(pack_reference(reference))
        detector = Detector.resume(again, json.loads(json.dumps(detector.state())))
        found += [detector.update(row) for row in rows[cut:]]
        assert found == expected
        assert detector.seen == 30
    assert len(json.dumps(through.state())) < 3000


def test_an_emptied_window_fills_again(reference):
    rows = np.random.default_rng(10).normal(size=(12, 12))
    detector = Detector(reference, 5, 32)
    for row in rows[:6]:
        detector.update(row)
    detector.restart()
    found = [detector.update(row) for row in rows[6:]]
    fresh = Detector(reference, 5, 32)
    assert found == [fresh.update(row) for row in rows[6:]]
    assert detector.seen == 12


@pytest.mark.parametrize(
    "damage",
    [
        {"scores": [[1.0]]},
        {"scores": [[1.0], [1.0, 2.0]]},
        {"with_reference": []},
        {"seen": 1},
        {"seen": -1},
        {"window": 6},
        {"extra": 1},
        {"with_reference": [math.nan] * 5},
    ],
)
def test_a_damaged_state_is_refused(reference, damage):
    detector = Detector(reference, 5, 32)
    for row in np.random.default_rng(11).normal(size=(8, 12)):
        detector.update(row)
    with pytest.raises(ReaderError, match="damaged"):
        Detector.resume(reference, {**detector.state(), **damage})


def test_a_state_of_another_reference_is_refused(reference):
    state = Detector(reference, 5, 32).state()
    other = made(np.random.default_rng(12).normal(size=(200, 12)), window=5, erts=(32,))
    with pytest.raises(InputError, match="not of the reference"):
        Detector.resume(other, state)


def test_a_reference_comes_back_from_its_file_as_it_was(reference):
    again = unpack_reference(pack_reference(reference))
    assert again.sha256 == reference.sha256
    assert again.thresholds == reference.thresholds
    assert (again.name, again.model, again.channels) == ("good wells", "isl", ("DNA", "actin"))
    assert again.thresholds_for(3, 16) == reference.thresholds_for(3, 16)
    assert pack_reference(again) == pack_reference(reference)


@pytest.mark.parametrize(("images", "width"), [(500, 512), (1500, 1024), (20, 8192), (60, 3)])
def test_a_file_is_small_whatever_the_features(images, width):
    known = made(np.random.default_rng(13).normal(size=(images, width)), window=10, erts=(32, 128))
    data = pack_reference(known)
    assert len(data) <= MAX_BYTES
    assert known.points.dtype == known.axes.dtype == np.float16
    assert known.points.shape[1] <= 64
    assert unpack_reference(data).sha256 == known.sha256


def test_a_file_that_is_not_as_written_is_refused(reference):
    data = pack_reference(reference)
    length = int.from_bytes(data[:8], "little")
    twice = b'{"points":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},' + data[9 : 8 + length]
    wrong = {
        "empty": b"",
        "cut": data[:-7],
        "cut in the header": data[: length // 2],
        "longer": data + b"\0\0",
        "a long header": (2**60).to_bytes(8, "little") + data[8:],
        "a flipped number": data[:-5] + bytes([data[-5] ^ 64]) + data[-4:],
        "another threshold": data.replace(b'\\"ert\\":32', b'\\"ert\\":64'),
        "a pickle": b"\x80\x04\x95" + data[3:],
        "a tensor twice": len(twice).to_bytes(8, "little") + twice + data[8 + length :],
        "nested": (5000).to_bytes(8, "little") + b"[" * 5000,
        "too long": data + bytes(MAX_BYTES),
    }
    assert wrong["another threshold"] != data
    for damaged in wrong.values():
        with pytest.raises(ReaderError, match=r"x\.drift") as refused:
            unpack_reference(damaged, "x.drift")
        assert refused.value.hint


def test_no_single_flipped_byte_gets_through_unless_it_says_the_same(reference):
    data = pack_reference(reference)
    rng = np.random.default_rng(14)
    for at in rng.choice(len(data), 300, replace=False):
        damaged = data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
        try:
            found = unpack_reference(damaged)
        except ReaderError:
            continue
        assert found.sha256 == reference.sha256
        assert found.thresholds == reference.thresholds


def test_sound_hashes_do_not_excuse_nonsense(reference):
    from dataclasses import replace

    bad = [
        replace(reference, scale=-reference.scale),
        replace(reference, centre=reference.centre * np.float32(np.nan)),
        replace(reference, points=reference.points[:5]),
        replace(reference, points=reference.points[:, :3]),
        replace(reference, centre=reference.centre[:3]),
        replace(reference, widths=(0.0,)),
        replace(reference, thresholds=(replace(reference.thresholds[0], values=(1.0,)),)),
    ]
    for one in bad:
        with pytest.raises(ReaderError):
            unpack_reference(pack_reference(one))
    with pytest.raises(OutputError, match="model_sha256"):
        pack_reference(replace(reference, model_sha256="unknown"))
    with pytest.raises(OutputError, match="200 are allowed"):
        pack_reference(replace(reference, axes=np.zeros((9000, 12), np.float16)))


@pytest.mark.parametrize(
    ("features", "settings", "said"),
    [
        (np.ones((30, 4)), {}, "constant"),
        (np.r_[np.zeros((25, 4)), np.eye(4)], {}, "constant"),
        (np.full((30, 4), np.nan), {}, "NaN or infinite in 30 of 30"),
        (np.eye(19), {}, "19 images are too few"),
        (np.random.default_rng(0).normal(size=(30, 4)), {"window": 16}, "30 images is too small for a window of 16"),
        (np.random.default_rng(0).normal(size=(30, 4)), {"channels": [("DNA",)] * 29 + [("actin",)]}, "mixed channels"),
        (np.random.default_rng(0).normal(size=(30, 90_000)), {}, "too many"),
    ],
)
def test_images_that_make_no_reference_are_refused(features, settings, said):
    with pytest.raises(InputError, match=said) as refused:
        made(features, **settings)
    assert refused.value.hint


def told(images, seed, shift=0.0):
    """Features that know nothing of blur, and appearances that do: the fifth number falls by ``shift`` spreads."""
    rng = np.random.default_rng(seed)
    looks = rng.normal(3.0, 0.2, (images, 6))
    looks[:, 4] -= 0.2 * shift
    return rng.normal(size=(images, 40)), looks


def test_what_features_do_not_mind_is_noticed_by_how_images_look():
    rows, looks = told(200, 31)
    blind, seeing = made(rows, window=10, erts=(128,)), made(rows, appearances=looks, window=10, erts=(128,))
    fresh, blurred = told(60, 32, shift=3.0)
    names = [str(i) for i in range(60)]
    assert drift_table(names, fresh, blind)["drift_alarm"].fillna(0).sum() <= 3
    table = drift_table(names, fresh, seeing, appearances=blurred)
    assert table["drift_alarm"].iloc[9:].all()
    assert table["drift_p"].iloc[-1] < 0.01
    with pytest.raises(InputError, match="knows how its images look"):
        drift_table(names, fresh, seeing)
    with pytest.raises(InputError, match="Appearances have the shape"):
        drift_table(names, fresh, seeing, appearances=blurred[:, :4])


def test_the_kernel_is_the_mean_of_both_parts_and_the_file_keeps_them():
    rows, looks = told(60, 33)
    known = made(rows, appearances=looks, window=5, erts=(32,))
    alone = made(rows, window=5, erts=(32,))
    part = (known.looks.points[3].astype(float) - known.looks.points[7].astype(float)) ** 2
    near = np.mean([math.exp(-part.sum() / (2 * width**2)) for width in known.looks.widths])
    assert known.gram[3, 7] == pytest.approx((alone.gram[3, 7] + near) / 2)
    again = unpack_reference(pack_reference(known))
    assert again.sha256 == known.sha256 != alone.sha256
    np.testing.assert_array_equal(again.project(rows, looks), known.project(rows, looks))
    state = Detector(known, 5, 32)
    for row, look in zip(rows[:8], looks[:8], strict=True):
        state.update(row, look)
    other = Detector.resume(again, json.loads(json.dumps(state.state())))
    assert other.update(rows[8], looks[8]) == state.update(rows[8], looks[8])


def test_a_number_that_is_not_known_neither_adds_nor_takes():
    rows, looks = told(60, 34)
    holed = looks.copy()
    holed[:, 1], holed[5, 2] = np.nan, np.inf
    known = made(rows, appearances=holed, window=5, erts=(32,))
    assert (known.looks.points[:, 1] == 0).all()
    assert known.looks.points[5, 2] == 0
    assert np.isfinite(known.project(rows, np.full_like(looks, np.nan))).all()
    assert made(rows, appearances=np.full_like(looks, np.nan), window=5, erts=(32,)).looks is None
    assert made(rows, appearances=np.ones_like(looks), window=5, erts=(32,)).looks is None
    with pytest.raises(InputError, match="59 appearances are given for 60 images"):
        made(rows, appearances=looks[1:], window=5, erts=(32,))


@pytest.mark.parametrize(("number", "age"), [(1, "an older"), (3, "a newer")])
def test_a_file_of_another_format_is_refused_with_a_sentence(reference, number, age):
    data = pack_reference(reference).replace(b'\\"format\\":2', b'\\"format\\":%d' % number)
    with pytest.raises(ReaderError, match=f"'x.drift' is a reference of {age} version") as refused:
        unpack_reference(data, "'x.drift'")
    assert refused.value.hint


@pytest.mark.parametrize(
    "change",
    [{"points": np.zeros((5, 6), np.float16)}, {"scale": np.zeros(6, np.float32)}, {"widths": (0.0,)}],
)
def test_looks_that_cannot_be_are_refused(change):
    from dataclasses import replace

    rows, looks = told(40, 35)
    known = made(rows, appearances=looks, window=5, erts=(32,))
    with pytest.raises(ReaderError, match="no sound reference"):
        unpack_reference(pack_reference(replace(known, looks=replace(known.looks, **change))))


def test_settings_out_of_range_are_refused(reference):
    rows = np.random.default_rng(0).normal(size=(30, 4))
    for settings in ({"window": 1}, {"window": 101}, {"erts": (1,)}, {"erts": (5000,)}, {"components": 65}):
        with pytest.raises(ParameterError) as refused:
            made(rows, **settings)
        assert refused.value.hint
    with pytest.raises(ParameterError):
        Detector(reference, 0, 32)


def test_series_that_cannot_be_judged_are_refused(reference):
    rows = np.random.default_rng(15).normal(size=(8, 12))
    names = [str(i) for i in range(8)]
    with pytest.raises(InputError, match="8 images are fewer than the window of 10"):
        drift_table(names, rows, reference, window=10, ert=32)
    with pytest.raises(InputError, match="11 for each image"):
        drift_table(names, rows[:, :11], reference, window=5, ert=32)
    with pytest.raises(ModelError, match="other weights"):
        drift_table(names, rows, reference, window=5, ert=32, model_sha256="6" * 64)
    with pytest.raises(InputError, match="channels actin, DNA"):
        drift_table(names, rows, reference, window=5, ert=32, channels=("actin", "DNA"))
    with pytest.raises(InputError, match="7 images are named"):
        drift_table(names[:7], rows, reference, window=5, ert=32)


def test_an_image_of_nan_does_not_count(reference):
    rows = np.random.default_rng(16).normal(size=(8, 12))
    plain, hit = Detector(reference, 5, 32), Detector(reference, 5, 32)
    expected = [plain.update(row) for row in rows]
    found = []
    for row in rows:
        with pytest.raises(InputError, match="features of image"):
            hit.update(np.full(12, np.nan))
        found.append(hit.update(row))
    assert found == expected
    assert hit.update(np.full(12, 1e300)).alarm is not None


def test_nominal_alarms_are_those_of_many_games():
    rng = np.random.default_rng(17)
    length, window, ert = 40, 5, 8
    counts = []
    for _ in range(4000):
        filled = count = 0
        for _ in range(length):
            filled += 1
            if filled >= window and rng.random() < 1 / ert:
                count, filled = count + 1, 0
        counts.append(count)
    assert nominal_alarms(length, window, ert) == pytest.approx(np.mean(counts), abs=4 * np.std(counts) / 4000**0.5)


@pytest.mark.slow
def test_false_alarms_in_random_orders_are_about_as_many_as_stated():
    wells = np.random.default_rng(18).normal(size=(200, 6))
    found = false_alarms(wells, ert=16, window=5, orders=40, splits=10)
    assert (found.orders, found.length) == (40, 100)
    assert found.low <= found.nominal * 1.15
    assert found.high >= found.nominal / 1.15
    with pytest.raises(InputError, match="fewer than the window"):
        false_alarms(wells[:40], ert=16, window=21)


def test_few_images_say_how_far_the_run_length_can_be_off(reference):
    few = made(np.random.default_rng(19).normal(size=(30, 12)), window=5, erts=(32,))
    low, high = few.thresholds_for(5, 32).run_length_range
    assert low < 32 < high
    assert high / low > 1.2
    assert few.accuracy(5, 32) == (
        f"With 30 images in the reference, a false alarm comes every {low:.0f} to {high:.0f} images where 32 are set."
    )


def test_what_cannot_be_told_of_the_run_length_is_not_told_as_numbers(reference):
    vague = replace(reference, thresholds=(Thresholds(5, 32, (0.1,) * 6, 2.5),))
    said = vague.accuracy(5, 32)
    assert "cannot be told" in said
    assert "add images" in said


def test_an_update_is_quick(reference):
    known = made(np.random.default_rng(20).normal(size=(500, 128)), window=20, erts=(128,))
    detector = Detector(known, 20, 128)
    rows = np.random.default_rng(21).normal(size=(300, 128))
    start = time.process_time()
    for row in rows:
        detector.update(row)
    assert (time.process_time() - start) / 300 < 0.002
