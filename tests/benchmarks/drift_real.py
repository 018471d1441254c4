"""Drift on real images: false alarms in random orders, Tables 10 to 12, a real loss of focus, power, alarms beside errors.

``python -m tests.benchmarks drift_real orders | tables [SET ...] | focus | power | error [CARD ...]``; nothing runs all.
Sets: ``chamber`` (viability-ldc on 150 photographs), ``jurkat`` (dna-brightfield on pieces of mosaics of single cells);
``bright-field`` and ``plate`` are those it was developed on. Needs the folder of VITASCOPE_DATA. Photographs whose
brightness is lowered are left out: the run refuses those that turn black.

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
import tifffile
from scipy.stats import mannwhitneyu
from tests.benchmarks.drift_sets import SETS, chamber, features_of, focus_stack, plate, spoilt, truth

from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.io.images.read import read_image
from vitascope.stats.drift.permutation import power_by_size
from vitascope.stats.drift.reference import fit_reference
from vitascope.stats.drift.series import false_alarms
from vitascope.stats.drift.sliding import sliding_statistic
from vitascope.tasks.registry import find_task

SPLITS, STREAMS = 20, 10
BLUR = {f"defocus {s}": ("defocus", s) for s in (1, 2, 3, 4)}
OTHERS = {"brightness 2": ("brightness", 2), "contrast 2": ("contrast", 2), "contrast -2": ("contrast", -2)}
HARM = ("defocus 2", "defocus 4", "contrast 2")
PARTS = ("orders", "tables", "focus", "power", "error")


def errors_of(images, card):
    spec, found = find_task("viability"), []
    params = spec.make_params(model=str(card), maps=False, abstain=False)
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(images):
            tifffile.imwrite(Path(folder) / f"i{number:03}.tif", image)
            micrograph = read_image(str(Path(folder) / f"i{number:03}.tif"))
            found.append(run_to_end(spec.start({"image": micrograph}, params)).rows[0]["viability"])
    return np.abs(np.array(found, float) - truth())


def orders():
    print(
        "\nFalse alarms in random orders of real images, 200 orders each (10 splits x 20), window empty after each alarm"
    )
    wells, photographs = features_of(plate(), "translocation-bbbc013"), features_of(chamber(), "viability-ldc")
    for name, (table, looks), window in (("BBBC013, 40 wells", wells, 5), ("LDC, 150 photographs", photographs, 10)):
        for ert in (16, 32):
            found = false_alarms(table, ert=ert, appearances=looks, window=window, splits=10)
            print(
                f"  {name}, W {window}, ERT {ert}: {found.alarms:.2f} alarms per order of {found.length} "
                f"({found.low:.2f} to {found.high:.2f}), nominal {found.nominal:.2f}; {found.orders} orders",
                flush=True,
            )


def first_alarms(reference, pool, window, ert, rng):
    """Steps to the first alarm of random orders of a pool, all steps where there is none; and whether there is one."""
    scores = reference.project(*pool)
    near, gram = reference.kernel(scores, reference.scores).mean(axis=1), reference.kernel(scores, scores)
    drawn = np.array([rng.permutation(len(scores)) for _ in range(STREAMS)])
    lags = [gram[drawn[:, lag:], drawn[:, :-lag]] for lag in range(1, window)]
    statistic = sliding_statistic(lags, near[drawn], reference.within, window)
    limits = np.array(reference.thresholds_for(window, ert).values)
    above = statistic > limits[np.minimum(np.arange(statistic.shape[1]), window)]
    return np.where(above.any(1), above.argmax(1) + 1, above.shape[1]), above.any(1)


def some(found, which):
    return found[0][which], found[1][which]


def separability(clean, spoilt_features, settings):
    """AUC, run length in control and delay for each (window, ERT), over random splits."""
    count = len(clean[0])
    found = {key: ([], [], []) for key in settings}
    for split in range(SPLITS):
        rng = np.random.default_rng(split)
        mixed = rng.permutation(count)
        half, quarter = count // 2, count // 4
        # as long as each other: what never alarms is censored at its end
        kept, good, bad = mixed[:half], mixed[half : half + quarter], mixed[half + quarter : half + 2 * quarter]
        trusted, looks = some(clean, kept)
        plain = fit_reference(trusted, name="half", model="none", model_sha256="", appearances=looks, window=2, erts=())
        for window in sorted({w for w, _ in settings}):
            erts = [e for w, e in settings if w == window]
            reference = plain.with_thresholds(window, erts, streams=4000)
            for ert in erts:
                times, rang = first_alarms(reference, some(clean, good), window, ert, rng)
                late, _ = first_alarms(reference, some(spoilt_features, bad), window, ert, rng)
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
    quarter = len(clean[0]) // 4
    usual = 10 if quarter >= 20 else 5  # a window has to fit the stream a few times
    four = features["defocus 4"]
    windows = separability(clean, four, [(w, 128) for w in (2, 5, 10, 15, 20) if w <= quarter // 2 or w == usual])
    printed = dict(zip((2, 5, 10, 15, 20), (0.85, 0.92, 0.98, 0.90, 0.88), strict=True))
    rows = {f"W {w}": (*found, ert) for (w, ert), found in windows.items()}
    table(f"{name}. Table 10: window, ERT 128, defocus 4", rows, {f"W {w}": v for w, v in printed.items()})
    erts = separability(clean, four, [(usual, e) for e in (32, 64, 128, 256)])
    printed = {"ERT 32": 0.90, "ERT 64": 0.95, "ERT 128": 0.98, "ERT 256": 0.98}
    table(f"{name}. Table 11: ERT, W {usual}, defocus 4", {f"ERT {e}": (*f, e) for (_, e), f in erts.items()}, printed)
    rows = {}
    for what, spoiled in features.items():
        rows[what] = (*separability(clean, spoiled, [(usual, 128)])[usual, 128], 128)
    printed = {"defocus 2": 0.84, "defocus 3": 0.92, "defocus 4": 0.98}
    table(f"{name}. Table 12: severity, W {usual}, ERT 128", rows, printed)


def real_focus():
    """One plane of a stack against the others: places of the field parted, W 5, for a quarter holds 41 pieces."""
    print("\nReal loss of focus, nuclei-phase on pieces of a phase-contrast stack, reference and clean: plane 6 of 12")
    found = {z: features_of(focus_stack(z), "nuclei-phase") for z in (0, 2, 4, 6, 8, 10, 12)}
    rows = {f"plane {z}": (*separability(found[6], far, [(5, 128)])[5, 128], 128) for z, far in found.items() if z != 6}
    table("Plane of the stream, W 5, ERT 128 (pieces of one field: the run length is of this field)", rows, {})


def all_features(name):
    images, card = SETS[name][0](), BUNDLED_MODELS / f"{SETS[name][1]}.json"
    changed = {k: features_of(spoilt(images, *how), card) for k, how in (BLUR | OTHERS).items()}
    return features_of(images, card), changed


def power(name):
    print(
        f"\n{name}. Figure 58: power of the offline test at 0.05 and false negatives, by images in each set (100 draws)"
    )
    clean, features = all_features(name)
    order = np.random.default_rng(0).permutation(len(clean[0]))
    one, two = order[: len(order) // 2], order[len(order) // 2 :]
    for what, bad in ({"nothing": clean} | features).items():
        (x, seen), (y, other) = some(clean, one), some(bad, two)
        told = power_by_size(x, y, (5, 10, 20, 50), looks=(seen, other), repeats=100, permutations=200)
        rows = zip(told["images"], told["power"], told["low"], told["high"], told["false_negatives"], strict=True)
        print(
            f"  {what:12} " + "  ".join(f"{n}: {p:.2f} ({a:.2f}-{b:.2f}), {f:.2f}" for n, p, a, b, f in rows),
            flush=True,
        )


def error(cards):
    images = chamber()
    for card in [BUNDLED_MODELS / "viability-ldc.json", *cards]:
        base = errors_of(images, card)
        print(
            f"\n{Path(card).stem}. Mean absolute error of viability (training images among them): clean {base.mean():.3f}"
        )
        for what in HARM:
            worse = errors_of(spoilt(images, *(BLUR | OTHERS)[what]), card) - base
            half = 1.96 * worse.std(ddof=1) / len(worse) ** 0.5
            print(f"  {what:12} {worse.mean():+.3f} ({worse.mean() - half:+.3f} to {worse.mean() + half:+.3f})")


def main(arguments):
    start = time.process_time()
    part = arguments[0] if arguments and arguments[0] in PARTS else ""
    rest = arguments[1:] if part else []
    if part in ("", "orders"):
        orders()
    if part in ("", "tables"):
        for name in rest or ("chamber", "jurkat"):
            tables(name, *all_features(name))
    if part in ("", "focus"):
        real_focus()
    if part in ("", "power"):
        for name in rest or ("chamber", "jurkat"):
            power(name)
    if part in ("", "error"):
        error(rest)
    print(f"{time.process_time() - start:.0f} s of one core in all")
