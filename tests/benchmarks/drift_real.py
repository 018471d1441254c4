"""Drift on real images: false alarms in random orders, Tables 10 to 12, power, and alarms beside the true error.

``python -m tests.benchmarks drift_real [orders | tables] [CARD ...]``: the bundled viability-ldc on the 150 photographs of
its data, which are independent of each other, and other models of the task by their cards, such as one trained with
blur. Random orders also with translocation-bbbc013 on the 40 wells of its plate. Needs the folder of VITASCOPE_DATA.
Photographs whose brightness is lowered are left out: the run refuses those that turn black.

Tables: the images are parted anew for each of 20 splits into a reference (half), clean streams and corrupted streams (a
quarter each), so that no image is on two sides. A stream is the quarter in random order: drawn with return from so few
images, streams of one split would share what these have in common, and run lengths come out five times too short. Time
to the first alarm is counted from the first full window and censored at the stream's end. The AUC is that of time
between corrupted and clean streams. It counts where the mean run length in control (steps by alarms, of the exponential
law with censoring) lies within a factor of 1.5 of the ERT set.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from scipy.stats import mannwhitneyu

from vitascope.batch.drift.features import image_features
from vitascope.core.paths import BUNDLED_MODELS, training_data
from vitascope.core.progress import run_to_end
from vitascope.io.images.read import group_paths, read_image
from vitascope.ops.intensity.corruption import corrupt
from vitascope.stats.drift.kernels import kernel
from vitascope.stats.drift.permutation import power_by_size
from vitascope.stats.drift.reference import fit_reference
from vitascope.stats.drift.series import false_alarms
from vitascope.stats.drift.sliding import sliding_statistic
from vitascope.tasks.registry import find_task

SPLITS, STREAMS = 20, 10
CHAMBER, PLATE = "3_spheroid_viability/ldc_live_dead", "4_mil_hcs/bbbc013_sbs_plate"
BLUR = {f"defocus {s}": ("defocus", s) for s in (1, 2, 3, 4)}
OTHERS = {"brightness 2": ("brightness", 2), "contrast 2": ("contrast", 2), "contrast -2": ("contrast", -2)}
HARM = ("defocus 2", "defocus 4", "contrast 2")


def spoilt(image, corruption, severity):
    """As Table 9, on the grey values of the photograph as they are."""
    return np.round(255 * corrupt(image.astype(np.float32) / 255, corruption, severity)).astype(np.uint8)


def chamber():
    labels = pd.read_csv(training_data() / CHAMBER / "labels.csv").set_index("file")["viability"]
    names = sorted(path.name for path in (training_data() / CHAMBER).glob("*.png"))
    images = [np.asarray(read_image(str(training_data() / CHAMBER / name)).plane()) for name in names]
    return [im.astype(np.uint8) for im in images], labels.loc[names].to_numpy(float)


def features_of(images, card):
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(images):
            tifffile.imwrite(Path(folder) / f"i{number:03}.tif", image)
        groups, _ = group_paths([folder])
        found = run_to_end(image_features(groups, str(card)))
    assert not found.failed, found.failed[0]
    return found.table


def errors_of(images, truth, card):
    spec, found = find_task("viability"), []
    params = spec.make_params(model=str(card), maps=False, abstain=False)
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(images):
            tifffile.imwrite(Path(folder) / f"i{number:03}.tif", image)
            micrograph = read_image(str(Path(folder) / f"i{number:03}.tif"))
            found.append(run_to_end(spec.start({"image": micrograph}, params)).rows[0]["viability"])
    return np.abs(np.array(found, float) - truth)


def orders():
    print(
        "\nFalse alarms in random orders of real images, 200 orders each (10 splits x 20), window empty after each alarm"
    )
    folder = training_data() / PLATE
    groups, _ = group_paths([str(folder)])
    wells = run_to_end(image_features(groups, "translocation-bbbc013")).table
    photographs = features_of(chamber()[0], BUNDLED_MODELS / "viability-ldc.json")
    for name, table, window in (("BBBC013, 40 wells", wells, 5), ("LDC, 150 photographs", photographs, 10)):
        for ert in (16, 32):
            found = false_alarms(table, ert=ert, window=window, splits=10)
            print(
                f"  {name}, W {window}, ERT {ert}: {found.alarms:.2f} alarms per order of {found.length} "
                f"({found.low:.2f} to {found.high:.2f}), nominal {found.nominal:.2f}; {found.orders} orders",
                flush=True,
            )


def first_alarms(reference, pool, window, ert, rng):
    """Steps to the first alarm of random orders of a pool, all steps where there is none; and whether there is one."""
    scores = reference.project(pool)
    near = kernel(scores, reference.scores, reference.widths).mean(axis=1)
    gram = kernel(scores, scores, reference.widths)
    drawn = np.array([rng.permutation(len(pool)) for _ in range(STREAMS)])
    lags = [gram[drawn[:, lag:], drawn[:, :-lag]] for lag in range(1, window)]
    statistic = sliding_statistic(lags, near[drawn], reference.within, window)
    limits = np.array(reference.thresholds_for(window, ert).values)
    above = statistic > limits[np.minimum(np.arange(statistic.shape[1]), window)]
    return np.where(above.any(1), above.argmax(1) + 1, above.shape[1]), above.any(1)


def separability(clean, spoilt_features, settings):
    """AUC, run length in control and delay for each (window, ERT), over random splits."""
    found = {key: ([], [], []) for key in settings}
    for split in range(SPLITS):
        rng = np.random.default_rng(split)
        mixed = rng.permutation(len(clean))
        half, quarter = len(clean) // 2, len(clean) // 4
        # as long as each other: what never alarms is censored at its end
        kept, good, bad = mixed[:half], mixed[half : half + quarter], mixed[half + quarter : half + 2 * quarter]
        plain = fit_reference(clean[kept], name="half", model="none", model_sha256="", window=2, erts=())
        for window in sorted({w for w, _ in settings}):
            erts = [e for w, e in settings if w == window]
            reference = plain.with_thresholds(window, erts, streams=4000)
            for ert in erts:
                times, rang = first_alarms(reference, clean[good], window, ert, rng)
                late, _ = first_alarms(reference, spoilt_features[bad], window, ert, rng)
                for part, value in zip(found[window, ert], (times, rang, late), strict=True):
                    part.append(value)
    rows = {}
    for key, (times, rang, late) in found.items():
        times, rang, late = (np.concatenate(part) for part in (times, rang, late))
        auc = mannwhitneyu(times, late).statistic / (len(times) * len(late))
        rows[key] = auc, times.sum() / max(1, rang.sum()), late.mean()
    return rows


def table(title, rows, printed):
    print(f"\n{title}")
    for name, (auc, run_length, delay, ert) in rows.items():
        counts = "" if ert / 1.5 <= run_length <= ert * 1.5 else "  does not count: run length"
        thesis = printed.get(name, "")
        print(
            f"  {name:12} AUC {auc:.2f} (thesis {thesis:4})  in control {run_length:6.1f} of {ert:3}  delay {delay:6.1f}{counts}"
        )


def tables(name, clean, features):
    four = features["defocus 4"]
    windows = separability(clean, four, [(w, 128) for w in (2, 5, 10, 15, 20)])
    printed = dict(zip((2, 5, 10, 15, 20), (0.85, 0.92, 0.98, 0.90, 0.88), strict=True))
    rows = {f"W {w}": (*found, ert) for (w, ert), found in windows.items()}
    table(f"{name}. Table 10: window, ERT 128, defocus 4", rows, {f"W {w}": v for w, v in printed.items()})
    erts = separability(clean, four, [(10, e) for e in (32, 64, 128, 256)])
    printed = {"ERT 32": 0.90, "ERT 64": 0.95, "ERT 128": 0.98, "ERT 256": 0.98}
    table(f"{name}. Table 11: ERT, W 10, defocus 4", {f"ERT {e}": (*f, e) for (_, e), f in erts.items()}, printed)
    rows = {}
    for what, spoiled in features.items():
        rows[what] = (*separability(clean, spoiled, [(10, 128)])[10, 128], 128)
    printed = {"defocus 2": 0.84, "defocus 3": 0.92, "defocus 4": 0.98}
    table(f"{name}. Table 12: severity, W 10, ERT 128", rows, printed)


def main(arguments):
    start = time.process_time()
    part = arguments[0] if arguments and arguments[0] in ("orders", "tables") else ""
    if part != "tables":
        orders()
    if part == "orders":
        return
    arguments = arguments[1:] if part else arguments
    images, truth = chamber()
    for card in [BUNDLED_MODELS / "viability-ldc.json", *arguments]:
        clean = features_of(images, card)
        changed = {k: [spoilt(im, *how) for im in images] for k, how in (BLUR | OTHERS).items()}
        features = {k: features_of(some, card) for k, some in changed.items()}
        tables(Path(card).stem, clean, features)
        base = errors_of(images, truth, card)
        print(
            f"\n{Path(card).stem}. Mean absolute error of viability (training images among them): clean {base.mean():.3f}"
        )
        for what in HARM:
            some = changed[what]
            worse = errors_of(some, truth, card) - base
            half = 1.96 * worse.std(ddof=1) / len(worse) ** 0.5
            print(f"  {what:12} {worse.mean():+.3f} ({worse.mean() - half:+.3f} to {worse.mean() + half:+.3f})")
        print(
            f"\n{Path(card).stem}. Figure 58: false negatives of the offline test at 0.05, by images in each set (100 draws)"
        )
        order = np.random.default_rng(0).permutation(len(images))
        one, two = order[: len(order) // 2], order[len(order) // 2 :]
        for what, some in ({"nothing": clean} | features).items():
            power = power_by_size(clean[one], some[two], (5, 10, 20, 50), repeats=100, permutations=200)
            told = "  ".join(f"{n}: {f:.2f}" for n, f in zip(power["images"], power["false_negatives"], strict=True))
            print(f"  {what:12} {told}", flush=True)
    print(f"{time.process_time() - start:.0f} s of one core in all")
