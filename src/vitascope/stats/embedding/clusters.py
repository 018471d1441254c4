"""Whether kinds of images lie apart: clusters found on one half and judged on the other, beside a probe and chance.

References
----------
Pankova 2022 (seed 004), section 4.2.3.1: "F1-score: 0.76 VS 0.64" of DBSCAN, without saying of what. Ester, Kriegel,
Sander and Xu 1996, "A density-based algorithm for discovering clusters", KDD (DBSCAN, and the knee of section 4.2).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from vitascope.core.errors import InputError, ParameterError

NOISE = -1
QUANTILES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Of the distance to the min_samples-th neighbour: the eps that are tried."""

SAMPLES = (3, 5, 10, 20)
CHANCES = 200
LEAST_IMAGES = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Separation:
    """How well clusters tell kinds of images apart on the half that nothing was chosen on.

    Parameters
    ----------
    f1 : float
        Macro F1 of DBSCAN; an image that is noise counts as wrong.
    probe : float
        Macro F1 of a linear classifier (logistic regression) on the same numbers.
    chance, chance_high : float
        Macro F1 of labels in random order: mean, and 95th percentile.
    eps, min_samples : float, int
        Chosen on the first half.
    noise : float, 0 to 1
        Share of the other half that is noise.
    clusters : int
    """

    f1: float
    probe: float
    chance: float
    chance_high: float
    eps: float
    min_samples: int
    noise: float
    clusters: int


def separation(
    chosen: ArrayLike,
    chosen_kinds: Sequence[str],
    judged: ArrayLike,
    judged_kinds: Sequence[str],
    seed: int = 0,
) -> Separation:
    """Choose eps and min_samples on one half of the images, and judge on the other.

    Each cluster of the first half stands for the kind that most of its images are of. An image of the other half
    belongs to the cluster of the core image nearest to it, if that is no farther than eps, and is noise otherwise.

    Parameters
    ----------
    chosen, judged : array, shapes (M, K) and (N, K)
        Places of the images of either half, in a picture or on principal axes.
    chosen_kinds, judged_kinds : sequence of str
    seed : int
        Of the random orders.

    Raises
    ------
    InputError
        If a half has fewer than 20 images or one kind.
    ParameterError
        If scikit-learn is not installed.
    """
    x, y = _checked(chosen, chosen_kinds)
    u, v = _checked(judged, judged_kinds)
    if set(v) - set(y):
        raise InputError("The halves hold images of different kinds.", "Share each kind out to both halves.")
    best: tuple[float, float, int] = (-1.0, 0.0, 0)
    for samples in SAMPLES:
        if samples >= len(x):
            continue
        far = cKDTree(x).query(x, samples)[0][:, -1]
        for eps in np.unique(np.quantile(far, QUANTILES)):
            found = _kinds_of(x, y, x, float(eps), samples)[0] if eps > 0 else np.full(len(x), "", object)
            best = max(best, (macro_f1(y, found), float(eps), samples))
    _, eps, samples = best
    found, clusters = _kinds_of(x, y, u, eps, samples)
    rng = np.random.default_rng(seed)
    chances = [macro_f1(v, rng.permutation(v)) for _ in range(CHANCES)]
    return Separation(
        f1=macro_f1(v, found),
        probe=macro_f1(v, _probe(x, y, u)),
        chance=float(np.mean(chances)),
        chance_high=float(np.quantile(chances, 0.95)),
        eps=eps,
        min_samples=samples,
        noise=float(np.mean(found == "")),
        clusters=clusters,
    )


def macro_f1(truth: Sequence[str] | NDArray[Any], found: Sequence[str] | NDArray[Any]) -> float:
    """Return the mean over kinds of F1; what is found to be none of them counts as missed.

    Examples
    --------
    >>> macro_f1(["a", "a", "b", "b"], ["a", "", "b", "b"])  # (2/3 + 1) / 2
    0.8333333333333333
    """
    is_true, is_found = np.asarray(truth, object), np.asarray(found, object)
    scores = []
    for kind in sorted(set(is_true)):
        both = int(((is_true == kind) & (is_found == kind)).sum())
        scores.append(2 * both / int((is_true == kind).sum() + (is_found == kind).sum()))
    return float(np.mean(scores))


def find_clusters(places: ArrayLike, min_samples: int = 5, eps: float | None = None) -> NDArray[np.int64]:
    """Return the cluster of each image, shape (N,), -1 for noise, of places (N, K).

    Parameters
    ----------
    places : array, shape (N, K)
    min_samples : int
    eps : float, optional
        By default at the knee of the sorted distances to the ``min_samples``-th neighbour.

    Raises
    ------
    InputError
        If there are fewer images than ``min_samples``.
    ParameterError
        If scikit-learn is not installed.
    """
    at = np.asarray(places, np.float64)
    if at.ndim != 2 or len(at) <= min_samples:
        raise InputError(f"{len(at)} images make no clusters.", f"Give more than {min_samples}.")
    far = np.sort(cKDTree(at).query(at, min_samples)[0][:, -1])
    chord = far[0] + (far[-1] - far[0]) * np.linspace(0, 1, len(far))
    knee = float(far[int(np.argmax(chord - far))]) if eps is None else eps
    if knee <= 0:
        return np.zeros(len(at), np.int64)
    return np.asarray(_dbscan(at, knee, min_samples).labels_, np.int64)


def followed_by_clusters(clusters: ArrayLike, numbers: ArrayLike) -> dict[int, Floats]:
    """Return the rank correlation of belonging to each cluster with each number of the images, shape (M,).

    Parameters
    ----------
    clusters : array of int, shape (N,)
        Noise has no entry.
    numbers : array, shape (N, M)
        Such as how the images look; NaN where one is not known.
    """
    labels, told = np.asarray(clusters), np.asarray(numbers, np.float64)
    found = {}
    for label in sorted(set(labels.tolist()) - {NOISE}):
        row = np.full(told.shape[1], np.nan)
        for m, values in enumerate(told.T):
            known = np.isfinite(values)
            inside = labels[known] == label
            if inside.any() and not inside.all() and np.ptp(values[known]) > 0:
                row[m] = spearmanr(inside, values[known]).statistic
        found[label] = row
    return found


def _checked(places: ArrayLike, kinds: Sequence[str]) -> tuple[Floats, NDArray[Any]]:
    at, names = np.asarray(places, np.float64), np.asarray([str(kind) for kind in kinds], object)
    if at.ndim != 2 or len(at) != len(names) or not np.isfinite(at).all():
        raise InputError(f"Places of the shape {at.shape} do not go with {len(names)} kinds.", "Give one row each.")
    if len(at) < LEAST_IMAGES or len(set(names)) < 2:
        raise InputError(
            f"{len(at)} images of {len(set(names))} kinds cannot be told apart.",
            f"Give at least {LEAST_IMAGES} of two kinds in each half.",
        )
    return at, names


def _kinds_of(x: Floats, y: NDArray[Any], u: Floats, eps: float, samples: int) -> tuple[NDArray[Any], int]:
    """Return the kind of each of ``u`` by the clusters of ``x``; the empty text for noise; and how many clusters."""
    fitted = _dbscan(x, eps, samples)
    core = fitted.core_sample_indices_
    if not len(core):
        return np.full(len(u), "", object), 0
    labels = fitted.labels_
    kind = {}
    for label in set(labels.tolist()) - {NOISE}:
        names, counts = np.unique(y[labels == label].astype(str), return_counts=True)
        kind[label] = str(names[int(counts.argmax())])
    far, nearest = cKDTree(x[core]).query(u)
    found = [kind[int(labels[core[n]])] if d <= eps else "" for d, n in zip(far, nearest, strict=True)]
    return np.array(found, object), len(kind)


def _dbscan(places: Floats, eps: float, samples: int) -> Any:
    _check_installed()
    from sklearn.cluster import DBSCAN  # of the extra

    return DBSCAN(eps=eps, min_samples=samples).fit(places)


def _probe(x: Floats, y: NDArray[Any], u: Floats) -> NDArray[Any]:
    _check_installed()
    from sklearn.linear_model import LogisticRegression  # of the extra

    scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    model = LogisticRegression(max_iter=1000).fit((x - x.mean(axis=0)) / scale, y.astype(str))
    return np.asarray(model.predict((u - x.mean(axis=0)) / scale), object)


def _check_installed() -> None:
    if importlib.util.find_spec("sklearn") is None:
        raise ParameterError(
            "Clusters need 'scikit-learn', which is not installed.", "Run: pip install 'vitascope[embedding]'."
        )
