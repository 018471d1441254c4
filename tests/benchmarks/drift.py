"""Run length in control of the online drift test, on fresh draws; then cost per update and false alarms per order.

``python -m tests.benchmarks drift [REFERENCES [DISTRIBUTION ...]]``; ``drift cost`` prints costs alone. Each reference is 500 images and its own
thresholds for W 2-20 and ERT 32-256; 1,000 runs a reference, of fresh images of its distribution, each as long as it
takes to the alarm. Counted from the first full window. Printed: the mean over references as a multiple of the ERT set,
its standard error, the standard deviation and the extremes between references (the 1,000 runs alone give 3 %), and the
spread that the references themselves say.
"""

import resource
import sys
import time

import numpy as np
import psutil

from vitascope.batch.drift.watch import Drift, PlateWatch
from vitascope.ops.intensity.appearance import LOOKS, appearance
from vitascope.stats.drift.online import Detector
from vitascope.stats.drift.permutation import two_sample_test
from vitascope.stats.drift.reference import fit_reference
from vitascope.stats.drift.series import false_alarms
from vitascope.stats.drift.sliding import sliding_statistic

REFERENCES, IMAGES, RUNS = 20, 500, 1000
WINDOWS, ERTS = (2, 5, 10, 20), (32, 64, 128, 256)
BLOCK, STEPS = 1000, 64
LIMIT = 0.1


def gaussian(count, rng):
    """32 independent features."""
    return rng.standard_normal((count, 32))


def features(count, rng):
    """256 features, more than the components: skewed, correlated, with decaying variance and noise of their own."""
    mixing = np.random.default_rng(7).normal(size=(40, 256)) / np.arange(1, 41)[:, None] ** 0.7
    hidden = rng.gamma(2.0, 1.0, (count, 40)) - 2
    return np.maximum(hidden @ mixing + 0.5 * rng.standard_normal((count, 256)), -1)


def isotropic(count, rng):
    """256 independent features, of which no 64 components are better than others: the worst for principal axes."""
    return rng.standard_normal((count, 256))


def clusters(count, rng):
    """Four kinds of images, one of them rare."""
    centres = 2 * np.random.default_rng(5).normal(size=(4, 16))
    return centres[rng.choice(4, count, p=(0.4, 0.3, 0.2, 0.1))] + rng.standard_normal((count, 16))


def heavy(count, rng):
    """32 features of images some of which lie far out in all: multivariate t with 4 degrees of freedom."""
    return rng.standard_normal((count, 32)) / np.sqrt(rng.chisquare(4, (count, 1)) / 4)


def looks(count, rng):
    """256 features as above, and six numbers of how an image looks that go with them: skewed, two of them nearly one."""
    table = features(count, rng)
    mixing = np.random.default_rng(8).normal(size=(4, 6)) / 2
    own = table[:, :4] @ mixing + rng.gamma(3.0, 0.3, (count, 6))
    own[:, 5] = own[:, 4] + 0.2 * rng.standard_normal(count)
    return np.concatenate([table, own], axis=1)


DISTRIBUTIONS = {d.__name__: d for d in (gaussian, features, isotropic, clusters, heavy, looks)}


def parted(table, name):
    """Features, and how images look: the last columns of the distribution that has it."""
    return (table[:, :-LOOKS], table[:, -LOOKS:]) if name == "looks" else (table, None)


def blocks(reference):
    """Columns and widths of the parts of the kernel."""
    count = reference.points.shape[1]
    found = [(slice(0, count), reference.widths)]
    return found if reference.looks is None else [*found, (slice(count, None), reference.looks.widths)]


def summed_kernel(squared, widths):
    """As the detector's kernel, in single precision; each width is half the next, so one exponential gives all."""
    assert np.allclose(np.divide(widths[1:], widths[:-1]), 2)
    squared *= np.float32(-0.5 / widths[-1] ** 2)
    power = np.exp(squared, out=squared)
    total = power.copy()
    for _ in widths[1:]:
        power *= power
        power *= power
        total += power
    return total


def mean_kernel(scores, reference):
    """Mean kernel of scores (N, K) with the reference's points, in blocks that stay in the cache; (N,)."""
    parts, found = blocks(reference), np.zeros(len(scores))
    for columns, widths in parts:
        points = reference.scores[:, columns].astype(np.float32)
        norms = (points**2).sum(1)
        for at in range(0, len(scores), BLOCK):
            part = scores[at : at + BLOCK, columns].astype(np.float32)
            squared = part @ (-2 * points.T)
            squared += norms
            squared += (part**2).sum(1)[:, None]
            found[at : at + BLOCK] += summed_kernel(squared, widths).mean(1, dtype=float) / len(widths)
    return found / len(parts)


def lag_kernels(scores, reference, most):
    """Kernel between images ``lag`` steps apart, for each lag below ``most``."""
    runs, length, _ = scores.shape
    lags, parts = [np.zeros((runs, length - lag)) for lag in range(1, most)], blocks(reference)
    for columns, widths in parts:
        for at in range(0, runs, BLOCK // 10):
            part = scores[at : at + BLOCK // 10, :, columns].astype(np.float32)
            products = part @ part.transpose(0, 2, 1)
            norms = np.einsum("btt->bt", products)
            for lag, found in enumerate(lags, 1):
                squared = norms[:, lag:] + norms[:, :-lag] - 2 * np.diagonal(products, lag, 1, 2)
                found[at : at + BLOCK // 10] += summed_kernel(squared, widths) / len(widths) / len(parts)
    return lags


def run_lengths(reference, name, rng):
    """Steps from the first full window to the alarm, of every run, window and ERT."""
    most = max(t.window for t in reference.thresholds)
    lengths = {(t.window, t.ert): np.zeros(RUNS) for t in reference.thresholds}
    active, at = np.arange(RUNS), 0
    scores, near = np.empty((RUNS, 0, reference.scores.shape[1])), np.empty((RUNS, 0))
    while len(active):
        new = reference.project(*parted(DISTRIBUTIONS[name](len(active) * STEPS, rng), name))
        scores = np.concatenate([scores, new.reshape(len(active), STEPS, -1)], axis=1)
        near = np.concatenate([near, mean_kernel(new, reference).reshape(len(active), STEPS)], axis=1)
        lags = lag_kernels(scores, reference, most)
        statistics = {}
        for t in reference.thresholds:
            if t.window not in statistics:
                statistics[t.window] = sliding_statistic(lags, near, reference.within, t.window)[:, -STEPS:]
            statistic = statistics[t.window]
            steps = at + STEPS - t.window + 1 - statistic.shape[1] + np.arange(statistic.shape[1])
            above = statistic > np.array(t.values)[np.minimum(steps, t.window)]
            known = lengths[t.window, t.ert]
            now = above.any(1) & (known[active] == 0)
            known[active[now]] = steps[above[now].argmax(1)] + 1
        at += STEPS
        keep = np.any([known[active] == 0 for known in lengths.values()], axis=0)
        active, scores, near = active[keep], scores[keep, 1 - most :], near[keep, 1 - most :]
    return {key: known.mean() for key, known in lengths.items()}


def in_control(name, references, images=IMAGES):
    draw = DISTRIBUTIONS[name]
    ratios, said = {}, {}
    for seed in range(references):
        rng = np.random.default_rng([seed, 1])
        table, own = parted(draw(images, rng), name)
        reference = fit_reference(
            table, name=name, model="none", model_sha256="", appearances=own, window=WINDOWS[0], erts=ERTS
        )
        for window in WINDOWS[1:]:
            reference = reference.with_thresholds(window, ERTS)
        for t in reference.thresholds:
            said.setdefault((t.window, t.ert), []).append(t.spread)
        for key, mean in run_lengths(reference, name, rng).items():
            ratios.setdefault(key, []).append(mean / key[1])
    print(f"\n{name}: {references} references of {images} images, {RUNS} runs each")
    print("  W  ERT  mean/ERT  s.e.   sd between  lowest highest  sd said")
    worst = 0.0
    for (window, ert), found in ratios.items():
        mean, sd = np.mean(found), np.std(found, ddof=1)
        worst = max(worst, abs(mean - 1))
        print(
            f"{window:3} {ert:4}   {mean:6.3f}  {sd / len(found) ** 0.5:6.3f}  {sd:6.3f}       {min(found):5.2f}   {max(found):5.2f}   {np.mean(said[window, ert]):5.3f}"
            + ("" if abs(mean - 1) <= LIMIT else "  beyond 10 %")
        )
    print(f"  largest deviation of a mean {worst:.1%}", flush=True)


def cost():
    rng = np.random.default_rng(0)
    reference = fit_reference(features(IMAGES, rng), name="cost", model="none", model_sha256="", window=20)
    detector = Detector(reference, 20)
    rows = features(10_000, rng)
    for row in rows[:100]:
        detector.update(row)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for row in rows:
        detector.update(row)
    each = (time.process_time() - start) / len(rows)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"\nupdate: {each * 1e3:.3f} ms over 10,000 images at W 20, 500 images, 64 components; peak memory +{grown} KiB"
    )
    start = time.process_time()
    two_sample_test(rng.normal(size=(500, 32)), rng.normal(size=(500, 32)))
    print(f"permutation test: {time.process_time() - start:.2f} s for 500 permutations of 2 x 500 x 32")


def cost_of_a_well():
    """What a plate pays: its watch with all that is written of it, and how an image looks; memory over 10,000 wells."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(IMAGES, LOOKS))
    reference = fit_reference(
        features(IMAGES, rng), name="cost", model="none", model_sha256="0" * 64, appearances=own, window=10
    )
    names = [f"plate_{n:05}_f1" for n in range(10_000)]
    rows, own = features(len(names), rng).astype(np.float32), rng.normal(size=(len(names), LOOKS)).astype(np.float32)
    watch = PlateWatch(Drift(reference), names, "0" * 64)
    watch.add({names[0]: rows[0]}, {names[0]: own[0]})
    before, start = psutil.Process().memory_info().rss, time.process_time()
    for name, row, look in zip(names[1:], rows[1:], own[1:], strict=True):
        watch.add({name: row}, {name: look})
    each = (time.process_time() - start) / len(names)
    grown = psutil.Process().memory_info().rss - before
    print(f"watch of a plate: {each * 1e3:.3f} ms a well over 10,000 wells, W 10; memory +{grown / 1024:.0f} KiB")
    for side in (256, 1024, 2048):
        image = rng.integers(0, 4000, (side, side)).astype(np.uint16)
        start = time.process_time()
        for _ in range(50):
            appearance(image)
        print(f"appearance of an image of {side} px: {(time.process_time() - start) / 50 * 1e3:.2f} ms")


def orders():
    rng = np.random.default_rng(1)
    wells = features(192, rng)
    for ert in (16, 32):
        found = false_alarms(wells, ert=ert)
        print(
            f"ERT {ert}: {found.alarms:.2f} alarms per order of {found.length} ({found.low:.2f} to {found.high:.2f}), nominal {found.nominal:.2f}; {found.orders} orders"
        )


def main(arguments):
    if arguments == ["cost"]:
        cost()
        cost_of_a_well()
        return
    references = int(arguments[0]) if arguments else REFERENCES
    start = time.process_time()
    for name in arguments[1:] or ("gaussian", "features", "clusters", "looks"):
        if name not in DISTRIBUTIONS:
            sys.exit(f"{name} is none of {', '.join(DISTRIBUTIONS)}.")
        in_control(name, references)
    cost()
    cost_of_a_well()
    orders()
    print(f"{time.process_time() - start:.0f} s of one core in all")
