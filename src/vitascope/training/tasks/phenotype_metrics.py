"""How well classes of images, of mosaics of cells and of single cells are told, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import Metric
from vitascope.stats.bootstrap import CARD_RESAMPLES, LEVEL, group_interval
from vitascope.stats.classification import (
    accuracy,
    average_precision,
    mean_average_precision,
    mean_class_accuracy,
    median_by,
)
from vitascope.stats.proportion import wilson_interval
from vitascope.training.data.samples import LabelledCorpus
from vitascope.training.samplers.crops import Pair

ACCURACY = "accuracy"
FEW_CELLS = 30
"""Classes with fewer test cells than this are left out of the mean over classes."""


def truth_of_classes(pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Return what classes images are of, (N, K), 0 or 1."""
    return np.array([p.numbers for p in pairs], np.float64)


def image_metrics(corpus: LabelledCorpus, scores: NDArray[np.float64]) -> list[Metric]:
    """Measure predictions of the test images, intervals over groups (section 4.4 of Kraus 2016)."""
    samples, truth = corpus.samples["test"], truth_of_classes(corpus.pairs["test"])
    if not samples:
        return []
    groups = [s.labelled.group for s in samples]
    on = "images of the test part"
    found = [
        _metric(ACCURACY, groups, lambda r: accuracy(truth[r], scores[r]), on),
        _metric("mean class accuracy", groups, lambda r: mean_class_accuracy(truth[r], scores[r]), on),
        _metric("mean average precision", groups, lambda r: mean_average_precision(truth[r], scores[r]), on),
    ]
    treatments = [s.labelled.treatment for s in samples]
    if all(treatments) and len(set(treatments)) < len(treatments):
        names, medians = median_by(treatments, scores)
        _, truths = median_by(treatments, truth)
        value = accuracy(truths, medians)
        found.append(
            Metric(name="accuracy, median over replicates", value=round(value, 4), on="treatments", n=len(names))
        )
    return found


def _metric(name: str, groups: Sequence[str | int], statistic: Callable[[NDArray[np.intp]], float], on: str) -> Metric:
    """Measure with an interval; that of a share of the rows by Wilson, each group being one trial.

    No interval is given where drawing again finds no spread: it would look like certainty.
    """
    interval = group_interval(groups, statistic, resamples=CARD_RESAMPLES, level=LEVEL)
    ends = interval.low, interval.high
    if name == ACCURACY and groups:
        ends = wilson_interval(interval.value, len(set(groups)), LEVEL)
    elif interval.low == interval.high:
        ends = np.nan, np.nan
    low, high = (round(v, 4) if np.isfinite(v) else None for v in ends)
    level = LEVEL if low is not None else None
    return Metric(name=name, value=round(interval.value, 4), low=low, high=high, level=level, on=on, n=len(groups))


def bag_metrics(
    truth: NDArray[np.float64], scores: NDArray[np.float64], names: Sequence[str], cells: Sequence[int]
) -> list[Metric]:
    """Measure bags of cells: mean average precision over classes with cells enough, and each class."""
    enough = [k for k, n in enumerate(cells) if n >= FEW_CELLS] or list(range(len(names)))
    rows = list(range(len(truth)))
    told = ", ".join(names[k] for k in enough)
    found = [
        _metric(
            "mean average precision",
            rows,
            lambda r: mean_average_precision(truth[r][:, enough], scores[r][:, enough]),
            f"mosaics of test cells, over {told}",
        )
    ]
    for k, name in enumerate(names):
        found.append(
            _metric(
                f"average precision {name}",
                rows,
                lambda r, k=k: average_precision(truth[r, k], scores[r, k]),  # type: ignore[misc]
                f"mosaics of test cells ({cells[k]} of this class)",
            )
        )
    return found


def cell_metrics(
    truth: NDArray[np.float64],
    scores: NDArray[np.float64],
    names: Sequence[str],
    merged: Mapping[str, Sequence[str]] | None = None,
) -> list[Metric]:
    """Measure single cells: accuracy and mean class accuracy, and the latter over classes that count as one."""
    rows = list(range(len(truth)))
    on = "test cells one by one, MIL layer"
    found = [
        _metric(ACCURACY, rows, lambda r: accuracy(truth[r], scores[r]), on),
        _metric("mean class accuracy", rows, lambda r: mean_class_accuracy(truth[r], scores[r]), on),
    ]
    if merged:
        joined, told = merge_classes(names, merged)
        own, found_scores = truth @ joined, scores @ joined
        what = f"mean class accuracy over {', '.join(told)}"
        found.append(_metric(what, rows, lambda r: mean_class_accuracy(own[r], found_scores[r]), on))
    return found


def merge_classes(names: Sequence[str], merged: Mapping[str, Sequence[str]]) -> tuple[NDArray[np.float64], list[str]]:
    """Return which classes (K,) count as which of fewer (M,), as ones in (K, M), and the names of these.

    Examples
    --------
    >>> merge_classes(["G1", "S", "G2"], {"S/G2": ("S", "G2")})[1]
    ['G1', 'S/G2']
    """
    owner = {one: group for group, each in merged.items() for one in each}
    told = list(dict.fromkeys(owner.get(name, name) for name in names))
    joined = np.zeros((len(names), len(told)))
    for k, name in enumerate(names):
        joined[k, told.index(owner.get(name, name))] = 1
    return joined, told
