"""A series of images as a table, and false alarms counted over random orders of real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student

from vitascope.core.errors import InputError
from vitascope.stats.drift.cause import Cause, CauseFinder
from vitascope.stats.drift.kernels import Floats, checked_features
from vitascope.stats.drift.online import Detector
from vitascope.stats.drift.permutation import PERMUTATIONS, permuted
from vitascope.stats.drift.reference import Reference, fit_reference
from vitascope.stats.drift.thresholds import ERT, WINDOW

SPLITS = 20


@dataclass(frozen=True)
class Series:
    """A series of images tested against a reference.

    Parameters
    ----------
    table : DataFrame
        See :func:`drift_table`.
    causes : dict of str to Cause
        Of each alarm, by the image at which it began; empty where it is not known how the trusted images look.
    excess : float or None
        Largest statistic in units of its threshold.
    """

    table: pd.DataFrame
    causes: dict[str, Cause]
    excess: float | None


def drift_table(
    images: Sequence[str],
    features: ArrayLike,
    reference: Reference,
    *,
    window: int = WINDOW,
    ert: int = ERT,
    model_sha256: str | None = None,
    channels: Sequence[str] = (),
    appearances: ArrayLike | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Test a series of images against a reference.

    Parameters
    ----------
    images : sequence of str, length N
        In the order of acquisition.
    features : array, shape (N, D)
    reference : Reference
    window, ert, model_sha256, channels
        As in :class:`~vitascope.stats.drift.online.Detector`.
    appearances : array, shape (N, 6), optional
        How the images look; needed where the reference knows that of its own.
    seed : int
        Of the permutations.

    Returns
    -------
    DataFrame
        ``image, drift_statistic, drift_p, drift_alarm``, one row an image in the order given. ``drift_p`` stands in
        the last row: the p of the whole set. ``drift_alarm`` is 0 or 1, empty before the first full window.

    Raises
    ------
    InputError
        If there are fewer images than the window, or features that cannot be used.
    """
    detector = Detector(reference, window, ert, model_sha256=model_sha256, channels=channels)
    return run_series(images, features, detector, appearances=appearances, seed=seed).table


def run_series(
    images: Sequence[str],
    features: ArrayLike,
    detector: Detector,
    *,
    appearances: ArrayLike | None = None,
    seed: int = 0,
) -> Series:
    """Test a series of images with a detector that has seen none, and tell the causes of its alarms.

    Parameters
    ----------
    images, features, seed
        As in :func:`drift_table`.
    detector : Detector
    appearances : array, shape (N, 6), optional
        How the images look; needed where the reference knows that of its own.

    Returns
    -------
    Series

    Raises
    ------
    InputError
        As :func:`drift_table`.
    """
    table, reference, window = checked_features(features), detector.reference, detector.thresholds.window
    if len(images) != len(table):
        raise InputError(f"{len(images)} images are named for {len(table)} rows.", "Name the image of each row.")
    check_length(len(table), window)
    looks = [None] * len(table) if appearances is None else list(np.asarray(appearances))
    steps = [detector.update(row, look) for row, look in zip(table, looks, strict=True)]
    finder = CauseFinder(reference.usual, window)
    for image, look, step in zip(images, looks, steps, strict=True):
        finder.step(image, look, step)
    p = [math.nan] * (len(table) - 1) + [whole_set_p(table, reference, appearances, seed=seed)]
    found = pd.DataFrame(
        {
            "image": list(images),
            "drift_statistic": [math.nan if step.statistic is None else step.statistic for step in steps],
            "drift_p": p,
            "drift_alarm": pd.array([None if s.alarm is None else int(s.alarm) for s in steps], dtype="Int64"),
        }
    )
    excess = max(step.statistic / step.threshold for step in steps if step.statistic is not None and step.threshold)
    return Series(found, finder.found, excess)


def check_length(images: int, window: int) -> None:
    """Refuse a series that does not fill one window.

    Raises
    ------
    InputError
    """
    if images < window:
        raise InputError(
            f"{images} images are fewer than the window of {window}.", "Give more images, or take a smaller window."
        )


def whole_set_p(
    features: ArrayLike,
    reference: Reference,
    appearances: ArrayLike | None = None,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    """Return the p of the permutation test of all images, shape (N, D), against the reference's; N at least 2."""
    return scores_p(reference.project(features, appearances), reference, permutations=permutations, seed=seed)


def scores_p(scores: Floats, reference: Reference, *, permutations: int = PERMUTATIONS, seed: int = 0) -> float:
    """Return what :func:`whole_set_p` does, of scores on the reference's axes, shape (N, K + L)."""
    if len(scores) < 2:
        raise InputError("One image alone cannot be compared with a reference.", "Give at least 2.")
    both = np.concatenate([reference.scores, scores])
    gram = reference.kernel(both, both)
    return permuted(gram, len(reference.scores), permutations, np.random.default_rng(seed))[1]


@dataclass(frozen=True)
class FalseAlarms:
    """False alarms in random orders of images among which nothing changed.

    Parameters
    ----------
    ert, window : int
    orders, length : int
        Orders tried, and images in each.
    alarms : float
        Alarms per order; after each the window begins empty.
    low, high : float
        Interval of ``alarms`` at 95 %, over the splits into reference and stream.
    nominal : float
        Alarms per order that the ERT allows.
    """

    ert: int
    window: int
    orders: int
    length: int
    alarms: float
    low: float
    high: float
    nominal: float


def nominal_alarms(length: int, window: int, ert: float) -> float:
    """Return the mean number of false alarms in a series, the window beginning empty after each.

    With ``window`` - 1 images to fill it and an alarm at each later step with probability 1 / ERT, the mean m of n
    images obeys m(n) = Σ_{k ≥ 1} 1/ERT (1 - 1/ERT)^(k-1) (1 + m(n - window + 1 - k)).

    Examples
    --------
    >>> nominal_alarms(5, 5, 10)
    0.1
    >>> round(nominal_alarms(12, 2, 4), 6) < 11 / 4
    True
    """
    rate = 1 / ert
    means = np.zeros(max(length, window) + 1)
    for n in range(window, length + 1):
        # of one more image: the window is filling, or an alarm comes at the first full one, or one image passes
        ahead = np.arange(1, n - window + 2)
        means[n] = float((rate * (1 - rate) ** (ahead - 1) * (1 + means[n - window + 1 - ahead])).sum())
    return float(means[length])


def false_alarms(
    features: ArrayLike,
    *,
    ert: int,
    appearances: ArrayLike | None = None,
    window: int = WINDOW,
    orders: int = 200,
    splits: int = SPLITS,
    share: float = 0.5,
    seed: int = 0,
) -> FalseAlarms:
    """Count false alarms in random orders of images that differ in nothing but chance.

    Parameters
    ----------
    features : array, shape (N, D)
        One row for each image or well.
    appearances : array, shape (N, 6), optional
        How these look.
    ert, window : int
    orders : int
        Random orders in all, shared out evenly among the splits.
    splits : int, at least 2
        Random splits of the images into a reference and the stream; an image is never in both.
    share : float, between 0 and 1
        Of the images that are reference.
    seed : int

    Returns
    -------
    FalseAlarms
    """
    table = checked_features(features)
    looks = None if appearances is None else np.asarray(appearances, np.float64)
    rng = np.random.default_rng(seed)
    kept = round(share * len(table))
    if len(table) - kept < window:
        raise InputError(f"{len(table) - kept} images are fewer than the window of {window}.", "Give more images.")
    each = math.ceil(orders / splits)
    means = []
    for _ in range(splits):
        mixed = rng.permutation(len(table))
        reference = fit_reference(
            table[mixed[:kept]],
            name="half",
            model="none",
            model_sha256="",
            appearances=None if looks is None else looks[mixed[:kept]],
            window=window,
            erts=(ert,),
        )
        stream = reference.project(table[mixed[kept:]], None if looks is None else looks[mixed[kept:]])
        means.append(
            np.mean([_count(reference, stream[rng.permutation(len(stream))], window, ert) for _ in range(each)])
        )
    mean, error = float(np.mean(means)), float(np.std(means, ddof=1)) / math.sqrt(splits)
    half = float(student.ppf(0.975, splits - 1)) * error
    length = len(table) - kept
    return FalseAlarms(
        ert=ert,
        window=window,
        orders=each * splits,
        length=length,
        alarms=mean,
        low=max(0.0, mean - half),
        high=mean + half,
        nominal=nominal_alarms(length, window, ert),
    )


def _count(reference: Reference, stream: Floats, window: int, ert: int) -> int:
    detector, alarms = Detector(reference, window, ert), 0
    for score in stream:
        if detector.step(score[None]).alarm:
            alarms += 1
            detector.restart()
    return alarms
