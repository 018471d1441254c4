"""A reference: the images one trusts, as features small enough to travel with a model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import InputError, ModelError, ParameterError
from vitascope.stats.drift.kernels import Floats, checked_features, choose_widths, kernel, median_width
from vitascope.stats.drift.thresholds import ERT, STREAMS, WINDOW, Thresholds, check_settings, simulate_thresholds

MAX_COMPONENTS = 64
MIN_IMAGES, MAX_IMAGES = 20, 1000
FULL_IMAGES = 500
"""With fewer, a reference says how far its run length can be off."""

MAX_ARRAY_BYTES = 180_000
"""Of points and axes together, so that the file with thresholds stays below 200 kB."""

FOLDS = 20
MAX_SCORE = 3e4
"""Scores beyond are cut to it: float16 ends at 65,504, and no image so far out is any nearer for it."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Images one trusts, in principal components of their features.

    Parameters
    ----------
    name : str
    model, model_sha256 : str
        Identity and weights of the network whose features these are; no others can be compared.
    channels : tuple of str
        Channels of the images, in order; empty where unnamed.
    centre, scale : array of float32, shape (D,)
        Mean and standard deviation of each feature; 1 where it does not vary.
    axes : array of float16, shape (D, K)
        Principal axes of the scaled features.
    points : array of float16, shape (N, K)
        Scores of the reference's images.
    widths : tuple of float
        Of the kernel.
    thresholds : tuple of Thresholds
        Those found so far.
    """

    name: str
    model: str
    model_sha256: str
    channels: tuple[str, ...]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    axes: NDArray[np.float16]
    points: NDArray[np.float16]
    widths: tuple[float, ...]
    thresholds: tuple[Thresholds, ...] = ()

    @cached_property
    def scores(self) -> Floats:
        """Scores of the reference's images as float64, shape (N, K)."""
        return self.points.astype(np.float64)

    @cached_property
    def gram(self) -> Floats:
        """Kernel among the reference's images, shape (N, N)."""
        return kernel(self.scores, self.scores, self.widths)

    @cached_property
    def within(self) -> float:
        """Mean kernel over distinct pairs of the reference's images."""
        n = len(self.points)
        return float(self.gram.sum() - np.trace(self.gram)) / (n * (n - 1))

    @cached_property
    def sha256(self) -> str:
        """Hash of all that the statistic depends on, 64 hex digits."""
        parts = (self.centre, self.scale, self.axes, self.points, np.asarray(self.widths, np.float64))
        digest = hashlib.sha256(self.model_sha256.encode())
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def project(self, features: ArrayLike, what: str = "The features") -> Floats:
        """Return scores, shape (N, K), of features, shape (N, D).

        Raises
        ------
        InputError
            If they are not finite, or of another number than the reference's.
        """
        table = checked_features(features, what)
        if table.shape[1] != len(self.centre):
            raise InputError(
                f"{what} are {table.shape[1]} for each image, those of the reference {self.name} {len(self.centre)}.",
                "Take both from one network and one layer.",
            )
        return np.asarray(_scaled(table, self.centre, self.scale) @ self.axes.astype(np.float64)).clip(
            -MAX_SCORE, MAX_SCORE
        )

    def check_origin(self, model_sha256: str, channels: Sequence[str] = ()) -> None:
        """Refuse features of another network or of other channels.

        Raises
        ------
        ModelError
            If the hash of the network's weights differs.
        InputError
            If both name channels, and not the same in the same order.
        """
        if model_sha256 != self.model_sha256:
            raise ModelError(
                f"The reference {self.name} was made with other weights of {self.model} or with another model.",
                "Make a reference with the model you use now, or use the model of the reference.",
            )
        if channels and self.channels and tuple(channels) != self.channels:
            raise InputError(
                f"The images have the channels {', '.join(channels)}, those of the reference {self.name} "
                f"{', '.join(self.channels)}.",
                "Choose the same channels in the same order.",
            )

    def thresholds_for(self, window: int = WINDOW, ert: int = ERT) -> Thresholds:
        """Return saved thresholds, or find them; those found anew are the same each time.

        Raises
        ------
        ParameterError, InputError
            If window or ERT cannot be had, or the reference is too small.
        """
        for found in self.thresholds:
            if (found.window, found.ert) == (window, ert):
                return found
        return simulate_thresholds(self.gram, window, [ert])[0]

    def with_thresholds(self, window: int = WINDOW, erts: Sequence[int] = (ERT,), streams: int = STREAMS) -> Reference:
        """Return this reference with the thresholds of one window added."""
        new = simulate_thresholds(self.gram, window, erts, streams=streams)
        kept = [old for old in self.thresholds if old.window != window or old.ert not in erts]
        return replace(self, thresholds=(*kept, *new))

    def accuracy(self, window: int = WINDOW, ert: int = ERT) -> str:
        """Say in one sentence how far the run length can be off."""
        low, high = self.thresholds_for(window, ert).run_length_range
        said = (
            f"With {len(self.points)} images in the reference, a false alarm comes every {low:.0f} to {high:.0f} images"
        )
        return f"{said} where {ert} are set."


def fit_reference(
    features: ArrayLike,
    *,
    name: str,
    model: str,
    model_sha256: str,
    channels: Sequence[str] | Sequence[Sequence[str]] = (),
    components: int = MAX_COMPONENTS,
    window: int = WINDOW,
    erts: Sequence[int] = (ERT,),
    seed: int = 0,
) -> Reference:
    """Make a reference of images one trusts, with thresholds.

    Parameters
    ----------
    features : array, shape (N, D)
        Pooled features, one row for each image. Of more than 1000 images as many are drawn.
    name, model, model_sha256 : str
    channels : sequence of str, or of one such sequence for each image
        Channels of the images.
    components : int, 1 to 64
        Principal components kept, at most; fewer where features, images or the size of the file allow no more.
    window : int
    erts : sequence of int
        Expected run times to find thresholds for.
    seed : int

    Returns
    -------
    Reference

    Raises
    ------
    InputError
        If there are fewer than 20 images or two windows, if features are NaN or constant, or channels are mixed.
    ParameterError
        If a setting is out of range.
    """
    table = checked_features(features, "The reference's features")
    if not 1 <= components <= MAX_COMPONENTS:
        raise ParameterError(f"{components} components cannot be kept.", f"Take 1 to {MAX_COMPONENTS}.")
    if len(table) < MIN_IMAGES:
        raise InputError(
            f"{len(table)} images are too few for a reference.", f"Give at least {MIN_IMAGES}; {FULL_IMAGES} are good."
        )
    for ert in erts:
        check_settings(window, ert, min(len(table), MAX_IMAGES))
    if len(table) > MAX_IMAGES:
        table = table[np.sort(np.random.default_rng(seed).choice(len(table), MAX_IMAGES, replace=False))]
    images, width = table.shape
    # no more than the images left when a fold is held out can tell
    told = images - math.ceil(images / min(FOLDS, images)) - 1
    count = min(components, width, told, (MAX_ARRAY_BYTES - 8 * width) // (2 * (images + width)))
    if count < 1:
        raise InputError(f"{width} features for each image are too many.", "Pool them over the image first.")
    centre = table.mean(axis=0).astype(np.float32)
    scale, axes = _principal_axes(table, count)
    # refuses images most of which are the same; those scored apart would differ by rounding
    median_width(_scaled(table, centre, scale))
    points = (
        _held_out_scores(table, centre, axes, np.random.default_rng(seed))
        .clip(-MAX_SCORE, MAX_SCORE)
        .astype(np.float16)
    )
    plain = Reference(
        name, model, model_sha256, _one_set(channels), centre, scale, axes, points, choose_widths(points.astype(float))
    )
    return plain.with_thresholds(window, erts)


def _one_set(channels: Sequence[str] | Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the channels that all images have."""
    sets = {(c,) if isinstance(c, str) else tuple(c) for c in channels}
    if all(isinstance(c, str) for c in channels):
        return tuple(str(c) for c in channels)
    if len(sets) > 1:
        some = " and ".join(sorted("+".join(one) or "none" for one in sets)[:2])
        raise InputError(f"The images have mixed channels: {some}.", "Give images of one set of channels.")
    return next(iter(sets))


def _scaled(table: Floats, centre: NDArray[np.floating], scale: NDArray[np.float32]) -> Floats:
    # numbers far beyond any image's are cut, so that their squares stay finite
    return np.asarray((table - centre) / scale).clip(-1e9, 1e9)


def _principal_axes(table: Floats, count: int) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
    """Return the scale and the first ``count`` principal axes of a table, or as many as it has."""
    spread = table.std(axis=0, ddof=1)
    # below this share of the number itself, float32 features vary by rounding only
    varies = spread > 1e-6 * np.abs(table).max(axis=0)
    if not varies.any():
        raise InputError(
            "The features are constant: all images have the same ones.", "Give features of different images."
        )
    scale = np.where(varies, spread, 1).astype(np.float32)
    scaled = _scaled(table, table.mean(axis=0), scale) * varies
    axes = np.linalg.svd(scaled, full_matrices=False)[2][:count].T
    # in the order of a file, as products of the same numbers in another order round otherwise
    return scale, np.ascontiguousarray(axes, np.float16)


def _held_out_scores(
    table: Floats, centre: NDArray[np.float32], axes: NDArray[np.float16], rng: np.random.Generator
) -> Floats:
    """Score each image on axes fitted without it, turned to lie as those of all images.

    Axes follow the images they were fitted to, so those images lie farther out along them than fresh ones do, and a
    reference of such scores expects too much variety: alarms come late or never. Each fold's axes are turned onto the
    common ones (orthogonal Procrustes, Schönemann 1966). The centre is common: the kernel knows distances only.
    """
    wanted = axes.astype(np.float64)
    scores = np.empty((len(table), wanted.shape[1]))
    for fold in np.array_split(rng.permutation(len(table)), min(FOLDS, len(table))):
        scale, own = _principal_axes(np.delete(table, fold, axis=0), wanted.shape[1])
        left, _, right = np.linalg.svd(own.astype(np.float64).T @ wanted, full_matrices=False)
        scores[fold] = _scaled(table[fold], centre, scale) @ own @ (left @ right)
    return scores
