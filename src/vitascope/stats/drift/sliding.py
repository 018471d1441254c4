"""The statistic of the online test, for many streams at once.

T_t = 1/(W(W-1)) Σ_{i≠j} k(w_i, w_j) + U - 2/W Σ_i f(w_i), over the window w_1 … w_W that ends with image t; f is the
mean kernel with the reference's points and U its mean over distinct pairs of them: the unbiased squared MMD between
window and reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitascope.stats.drift.kernels import Floats


def pair_sums(lags: Sequence[Floats], length: int, window: int) -> Floats:
    """Sum the kernel over ordered pairs of distinct images in each window.

    Parameters
    ----------
    lags : sequence of array, each shape (B, length - l) for l = 1, 2 …
        Kernel between images t - l and t, for t = l … length - 1; at least ``window`` - 1 of them.
    length : int
        Images in each stream.
    window : int, at least 2

    Returns
    -------
    array, shape (B, length - window + 1)
    """
    runs = len(lags[0])
    with_earlier, with_later = np.zeros((runs, length)), np.zeros((runs, length))
    for lag, found in enumerate(lags[: window - 1], 1):
        with_earlier[:, lag:] += found
        with_later[:, : length - lag] += found
    sums = np.cumsum(with_earlier, axis=1)[:, window - 1 :]
    # what left the window had its pairs with the images after it
    sums[:, 1:] -= np.cumsum(with_later, axis=1)[:, : length - window]
    return 2 * sums


def window_sums(values: Floats, window: int) -> Floats:
    """Return sums over each window of values, shapes (B, L) and (B, L - window + 1)."""
    sums = np.cumsum(values, axis=1)
    found = sums[:, window - 1 :].copy()
    found[:, 1:] -= sums[:, :-window]
    return found


def sliding_statistic(
    lags: Sequence[Floats], with_reference: Floats, within_reference: float | Floats, window: int
) -> Floats:
    """Squared MMD between each window and the reference.

    Parameters
    ----------
    lags : sequence of array
        As in :func:`pair_sums`.
    with_reference : array, shape (B, L)
        Mean kernel f of each image with the reference's points.
    within_reference : float, or array of shape (B, 1)
        Mean kernel U over distinct pairs of the reference's points.
    window : int

    Returns
    -------
    array, shape (B, L - window + 1)
    """
    pairs = pair_sums(lags, with_reference.shape[1], window)
    return pairs / (window * (window - 1)) + within_reference - window_sums(with_reference, window) * (2 / window)
