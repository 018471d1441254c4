"""Thresholds of the online test: false alarms as often as stated, whenever one looks.

Streams are drawn from the reference itself, and thresholds must hold for fresh images. Three things would put them off.
An image compared with itself looks too near: it is left out of the kernel's mean. Images drawn without return vary
less than fresh ones: with the covariance C of their embeddings, two window means share C/N too little. And the
reference's own mean is off by another C/N, the same for a whole stream. A random third of the reference, drawn for each
stream, is off from the mean of all by C (3/N - 1/N) = 2 C/N: comparing the stream with it puts both right, without
spending images on a split. The run length is then right in the mean over references; how far one reference can be off
is found from halves of it.

References
----------
Cobb, Van Looveren and Klaise 2022, "Sequential multivariate change detection with calibrated and memoryless false
detection rates", AISTATS: time-varying thresholds, each the quantile 1 - 1/ERT given no alarm before. Li, Xie, Dai and
Song 2019, "Scan B-statistic for kernel change-point detection", Sequential Analysis 38:503: MMD over a sliding window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.drift.kernels import Floats
from vitascope.stats.drift.sliding import sliding_statistic

WINDOW, ERT = 10, 128
STREAMS = 20_000
MIN_WINDOW, MAX_WINDOW = 2, 100
MIN_ERT, MAX_ERT = 8, 1024
CHUNK = 1000
"""Streams at a time, so that the arrays stay in the processor's cache."""

BISECTIONS = 30
NORMAL_95 = 1.959964
THIRDS = 200
"""Thirds of the reference drawn for each chunk of streams."""

HALVINGS, HALF_STREAMS = 4, 1500

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of the squared MMD for one window and expected run time (ERT).

    Parameters
    ----------
    window : int
        Images in the window, W.
    ert : int
        Expected run time: the mean number of windows until a false alarm, the first full one counted.
    values : tuple of float, length W + 1
        Of the first, second … W-th full window; the last holds for all later ones.
    spread : float
        Standard deviation between references of the logarithm of the true run length, found from halves of this one;
        it errs on the wide side, up to twofold.
    """

    window: int
    ert: int
    values: tuple[float, ...]
    spread: float

    def at(self, step: int) -> float:
        """Return the threshold of full window number ``step``, counted from 0."""
        return self.values[min(step, len(self.values) - 1)]

    @property
    def run_length_range(self) -> tuple[float, float]:
        """Where the true mean run length lies, at about 95 %."""
        factor = math.exp(NORMAL_95 * self.spread)
        return self.ert / factor, self.ert * factor


def check_settings(window: int, ert: int, images: int) -> None:
    """Check window, ERT and the number of the reference's images.

    Raises
    ------
    ParameterError
        If window or ERT lie outside the range.
    InputError
        If the reference has fewer than two windows.
    """
    if not MIN_WINDOW <= window <= MAX_WINDOW:
        raise ParameterError(f"A window of {window} images cannot be had.", f"Take {MIN_WINDOW} to {MAX_WINDOW}.")
    if not MIN_ERT <= ert <= MAX_ERT:
        raise ParameterError(f"An expected run time of {ert} cannot be had.", f"Take {MIN_ERT} to {MAX_ERT}.")
    if images < 2 * window:
        raise InputError(
            f"A reference of {images} images is too small for a window of {window}.",
            f"Add images, {2 * window} at least, or take a smaller window.",
        )


def simulate_thresholds(
    gram: Floats, window: int, erts: Sequence[int], *, streams: int = STREAMS, seed: int = 0
) -> list[Thresholds]:
    """Find thresholds from the reference's own kernel matrix.

    Parameters
    ----------
    gram : array, shape (N, N)
        Kernel among the reference's images.
    window : int
    erts : sequence of int
        All are found from the same streams.
    streams : int
        Streams drawn; with 20,000 the simulation itself adds about 1 % to the error of the run length.
    seed : int

    Returns
    -------
    list of Thresholds
        One for each of ``erts``.

    Raises
    ------
    ParameterError, InputError
        As :func:`check_settings`.
    """
    for ert in erts:
        check_settings(window, ert, len(gram))
    rng = np.random.default_rng(seed)
    statistic = _simulate(gram, window, streams, rng)
    spreads = _spreads(gram, window, erts, rng)
    return [
        Thresholds(window, ert, _settle(statistic, window, ert), spread)
        for ert, spread in zip(erts, spreads, strict=True)
    ]


def draw_streams(images: int, window: int, streams: int, length: int, rng: np.random.Generator) -> Indices:
    """Draw streams of image numbers, shape (streams, length), none twice within two windows where they suffice."""
    apart = max(window - 1, min(2 * window - 2, images // 2))
    drawn = np.empty((streams, length), np.int64)
    for step in range(length):
        new = rng.integers(0, images, streams)
        before = drawn[:, max(0, step - apart) : step]
        again = np.flatnonzero((before == new[:, None]).any(axis=1))
        while len(again):
            new[again] = rng.integers(0, images, len(again))
            again = again[(before[again] == new[again, None]).any(axis=1)]
        drawn[:, step] = new
    return drawn


def stream_statistic(gram: Floats, drawn: Indices, window: int, rng: np.random.Generator) -> Floats:
    """Squared MMD between each window of streams and a third of the reference, drawn for each of some streams.

    Parameters
    ----------
    gram : array, shape (N, N)
    drawn : array of int, shape (B, L)
        Image numbers, distinct within each window.
    window : int
    rng : Generator

    Returns
    -------
    array, shape (B, L - window + 1)
    """
    n, streams = len(gram), len(drawn)
    third = n // 3
    chosen = np.zeros((min(THIRDS, streams), n))
    chosen[:, :third] = 1
    chosen = rng.permuted(chosen, axis=1)
    own = np.diag(gram)
    near = (chosen @ gram - chosen * own) / (third - chosen)
    # of the third's mean kernel only the part linear in its images: the rest has the variance of few images
    apart = (gram.sum(axis=1) - own) / (n - 1)
    within = 2 * (chosen @ apart) / third - apart.mean()
    which = np.arange(streams) % len(chosen)
    flat = gram.ravel()
    lags = [flat[drawn[:, :-lag] * n + drawn[:, lag:]] for lag in range(1, window)]
    return sliding_statistic(lags, near[which[:, None], drawn], within[which, None], window)


def _stream_length(window: int) -> int:
    # thresholds settle within a window; the steps after it are pooled
    return 2 * window - 1 + max(5 * window, 60)


def _simulate(gram: Floats, window: int, streams: int, rng: np.random.Generator) -> Floats:
    """Return the statistic of streams, shape (streams, steps)."""
    length = _stream_length(window)
    return np.concatenate(
        [
            stream_statistic(gram, draw_streams(len(gram), window, min(CHUNK, streams - at), length, rng), window, rng)
            for at in range(0, streams, CHUNK)
        ]
    )


def _settle(statistic: Floats, window: int, ert: int) -> tuple[float, ...]:
    """Find thresholds step by step, then one for all steps after the first ``window``."""
    values = []
    for step in range(window):
        now = statistic[:, step]
        values.append(float(np.quantile(now, 1 - 1 / ert)))
        statistic = statistic[now <= values[-1]]
    later = statistic[:, window:]
    low, high = float(later.min()), float(later.max())
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if alarm_rate(later, middle)[0] > 1 / ert:
            low = middle
        else:
            high = middle
    return (*values, high)


def alarm_rate(statistic: Floats, threshold: float) -> tuple[float, int]:
    """Return first alarms by step at risk of one, and how many there are, of streams (B, steps)."""
    above: NDArray[np.bool_] = np.greater(statistic, threshold)
    alarmed = above.any(axis=1)
    count = int(alarmed.sum())
    return count / int(np.where(alarmed, above.argmax(axis=1) + 1, above.shape[1]).sum()), count


def _spreads(gram: Floats, window: int, erts: Sequence[int], rng: np.random.Generator) -> list[float]:
    """Estimate the error of log run length: one half of the reference as reference, the other as fresh images.

    A half errs with twice the variance of the whole, and so do the images of the other half as a sample of all there
    are: of the mean squared logarithm, a quarter is the whole's. What chance in the counts of alarms adds is taken off.
    """
    # where halves are too small for the window, a smaller one, and the error of a mean of more images
    used = min(window, max(MIN_WINDOW, len(gram) // 4))
    squares: Floats = np.zeros(len(erts))
    for _ in range(HALVINGS):
        mixed = rng.permutation(len(gram))
        halves = [mixed[: len(gram) // 2], mixed[len(gram) // 2 :]]
        for known, fresh in (halves, halves[::-1]):
            fitted = _simulate(gram[np.ix_(known, known)], used, HALF_STREAMS, rng)
            tried = _as_fresh(gram, known, fresh, used, rng)
            squares += [_squared_error(fitted, tried, used, ert) for ert in erts]
    scale = window / used / (2 * HALVINGS) / 4
    return [math.sqrt(max(0.0, float(square) * scale)) for square in squares]


def _as_fresh(gram: Floats, known: Indices, fresh: Indices, window: int, rng: np.random.Generator) -> Floats:
    """Return the statistic of streams of some images, the others being the reference."""
    own, length = gram[np.ix_(known, known)], _stream_length(window)
    within = float(own.sum() - np.trace(own)) / (len(known) * (len(known) - 1))
    drawn = fresh[draw_streams(len(fresh), window, HALF_STREAMS, length, rng)]
    near = gram[:, known].mean(axis=1)
    lags = [gram[drawn[:, :-lag], drawn[:, lag:]] for lag in range(1, window)]
    return sliding_statistic(lags, near[drawn], within, window)


def _squared_error(fitted: Floats, tried: Floats, window: int, ert: int) -> float:
    threshold = _settle(fitted, window, ert)[-1]
    later = tried[:, window:]
    (rate, count), (_, own) = alarm_rate(later, threshold), alarm_rate(fitted[:, window:], threshold)
    # no alarm at all counts as half a one, lest the run be infinite
    noise = 1 / (count + 0.5) + 1 / (own + 0.5)
    return math.log(max(rate, 0.5 / later.size) * ert) ** 2 - noise
