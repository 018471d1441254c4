"""A reference: the images one trusts, as features small enough to travel with a model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitascope.core.errors import InputError, ModelError, ParameterError
from vitascope.stats.drift.cause import Usual, usual_appearance
from vitascope.stats.drift.kernels import Floats, checked_features, choose_widths, kernel, median_width
from vitascope.stats.drift.looks import FOLDS, MAX_SCORE, Looks, fit_looks
from vitascope.stats.drift.thresholds import ERT, STREAMS, WINDOW, Thresholds, check_settings, simulate_thresholds

MAX_COMPONENTS = 64
MIN_IMAGES, MAX_IMAGES = 20, 1000
FULL_IMAGES = 500
"""With fewer, a reference says how far its run length can be off."""

MOST_OFF = 20
"""Times that a run length may be off, at about 95 %, for its range to be told as numbers."""

MAX_ARRAY_BYTES = 180_000
"""Of points and axes together, so that the file with thresholds stays below 200 kB."""

LEAST_SPLIT = 150
"""Images of which a third can be spared for principal axes, and that can tell each feature's scale."""


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
        Mean and standard deviation of each feature, 1 where it does not vary; of few images, one deviation for all.
    axes : array of float16, shape (D, K)
        Axes of the scaled features: principal or, where too few images were there to fit them, random ones.
    points : array of float16, shape (N, K)
        Scores of the reference's images.
    widths : tuple of float
        Of the kernel between points.
    thresholds : tuple of Thresholds
        Those found so far.
    usual : Usual or None
        How the images look, by which the cause of an alarm is told; None where that is not known.
    looks : Looks or None
        How each of the images looks, as the second part of the kernel; None where features alone are compared.
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
    usual: Usual | None = None
    looks: Looks | None = None

    @cached_property
    def scores(self) -> Floats:
        """Scores of the reference's images as float64, shape (N, K), and behind them how these look, (N, K + L)."""
        parts = [self.points] if self.looks is None else [self.points, self.looks.points]
        return np.concatenate(parts, axis=1, dtype=np.float64)

    def kernel(self, x: Floats, y: Floats) -> Floats:
        """Return the kernel, shape (N, M), between scores (N, K + L) and (M, K + L), see :meth:`project`."""
        count = self.points.shape[1]
        near = kernel(x[:, :count], y[:, :count], self.widths)
        if self.looks is None:
            return near
        near += kernel(x[:, count:], y[:, count:], self.looks.widths)
        near /= 2
        return near

    @cached_property
    def gram(self) -> Floats:
        """Kernel among the reference's images, shape (N, N)."""
        return self.kernel(self.scores, self.scores)

    @cached_property
    def within(self) -> float:
        """Mean kernel over distinct pairs of the reference's images."""
        n = len(self.points)
        return float(self.gram.sum() - np.trace(self.gram)) / (n * (n - 1))

    @cached_property
    def sha256(self) -> str:
        """Hash of all that the statistic depends on, 64 hex digits."""
        parts: list[NDArray[np.floating]] = [self.centre, self.scale, self.axes, self.points, np.asarray(self.widths)]
        if self.looks is not None:
            parts += [self.looks.centre, self.looks.scale, self.looks.points, np.asarray(self.looks.widths)]
        digest = hashlib.sha256(self.model_sha256.encode())
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def project(self, features: ArrayLike, appearances: ArrayLike | None = None, what: str = "The features") -> Floats:
        """Return scores, shape (N, K), of features, shape (N, D); with appearances, shape (N, L), scores (N, K + L).

        Raises
        ------
        InputError
            If features are not finite, or of another number than the reference's, or the reference knows how its
            images look and this is not told of these.
        """
        table = checked_features(features, what)
        if table.shape[1] != len(self.centre):
            raise InputError(
                f"{what} are {table.shape[1]} for each image, those of the reference {self.name} {len(self.centre)}.",
                "Take both from one network and one layer.",
            )
        scores = np.asarray(_scaled(table, self.centre, self.scale) @ self.axes.astype(np.float64))
        scores = scores.clip(-MAX_SCORE, MAX_SCORE)
        return scores if self.looks is None else np.hstack([scores, self.looks.place(appearances, self.name)])

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
        images = f"With {len(self.points)} images in the reference,"
        if high > MOST_OFF * ert:
            return (
                f"{images} how often a false alarm comes cannot be told, where one in {ert} is set: add images, "
                f"{FULL_IMAGES} are good."
            )
        return f"{images} a false alarm comes every {low:.0f} to {high:.0f} images where {ert} are set."


def fit_reference(
    features: ArrayLike,
    *,
    name: str,
    model: str,
    model_sha256: str,
    channels: Sequence[str] | Sequence[Sequence[str]] = (),
    appearances: ArrayLike | None = None,
    axes_features: ArrayLike | None = None,
    components: int = MAX_COMPONENTS,
    window: int = WINDOW,
    erts: Sequence[int] = (ERT,),
    seed: int = 0,
) -> Reference:
    """Make a reference of images one trusts, with thresholds.

    Parameters
    ----------
    features : array, shape (N, D)
        Pooled features, one row for each image; 1000 images are kept at most. Where there are more features than
        components, a third of 150 images or more is set apart for the principal axes. Fewer images are put on random
        axes, and all features share one scale.
    name, model, model_sha256 : str
    channels : sequence of str, or of one such sequence for each image
        Channels of the images.
    appearances : array, shape (N, 6), optional
        How the images look, see :func:`vitascope.ops.intensity.appearance.appearance`: half of the kernel then, and
        what causes are told by. Without them features alone are compared.
    axes_features : array, shape (M, D), optional
        Other images to fit scale and principal axes to, such as those the model was trained on; then none is set apart.
    components : int, 1 to 64
        Principal components kept, at most; fewer where features or the size of the file allow no more.
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
        check_settings(window, ert, len(table))
    told = None if appearances is None else np.asarray(appearances, np.float64)
    if told is not None and len(told) != len(table):
        raise InputError(f"{len(told)} appearances are given for {len(table)} images.", "Give one for each image.")
    parts = _split(table, axes_features, components, seed)
    width, images = table.shape[1], len(parts.kept)
    looks = None if told is None else fit_looks(told[parts.places], seed)
    spare = 0 if looks is None else looks.points.nbytes
    count = min(components, width, (MAX_ARRAY_BYTES - spare - 8 * width) // (2 * (images + width)))
    if count < 1:
        raise InputError(f"{width} features for each image are too many.", "Pool them over the image first.")
    centre, scale = _scale(table if parts.fitted is None else parts.fitted)
    axes = _axes(width, None if parts.fitted is None else _scaled(parts.fitted, centre, scale), count, seed)
    # refuses images most of which are the same; those scored apart would differ by rounding
    median_width(_scaled(parts.kept, centre, scale))
    if parts.fitted is None and images < LEAST_SPLIT:
        # few images cannot tell each feature's scale without bending it to themselves: one for all
        scale = np.full_like(scale, np.sqrt(parts.kept.var(axis=0, ddof=1).mean()))
        scaled = _scaled(parts.kept, centre, scale)
    elif parts.fitted is None:
        scaled = _held_out(parts.kept, centre, np.random.default_rng(seed))
    else:
        scaled = _scaled(parts.kept, centre, scale)
    points = (scaled @ axes.astype(np.float64)).clip(-MAX_SCORE, MAX_SCORE).astype(np.float16)
    plain = Reference(
        name=name,
        model=model,
        model_sha256=model_sha256,
        channels=_one_set(channels),
        centre=centre,
        scale=scale,
        axes=axes,
        points=points,
        widths=choose_widths(points.astype(float)),
        usual=None if told is None else usual_appearance(told),
        looks=looks,
    )
    return plain.with_thresholds(window, erts)


class _Parts(NamedTuple):
    """Images that scale and axes are fitted to, if they are others than those kept as the reference."""

    kept: Floats
    places: NDArray[np.int64]
    fitted: Floats | None


def _split(table: Floats, given: ArrayLike | None, components: int, seed: int) -> _Parts:
    """Set images apart for the axes, where axes are wanted and there are enough.

    Axes lean towards the images they were fitted to, so those lie farther out along them, and in other angles to each
    other, than fresh ones: thresholds found from them are off by a third and more.
    """
    mixed = np.random.default_rng(seed).permutation(len(table))
    if given is not None:
        fitted = checked_features(given, "The features to fit axes to")
        if fitted.shape[1] != table.shape[1] or len(fitted) < MIN_IMAGES:
            raise InputError(
                f"Axes cannot be fitted to features of the shape {fitted.shape}.",
                f"Give at least {MIN_IMAGES} images with {table.shape[1]} features each.",
            )
        places = np.sort(mixed[:MAX_IMAGES])
        return _Parts(table[places], places, fitted)
    if table.shape[1] <= components or len(table) < LEAST_SPLIT:
        places = np.sort(mixed[:MAX_IMAGES])
        return _Parts(table[places], places, None)
    apart = max(len(table) // 3, len(table) - MAX_IMAGES)
    places = np.sort(mixed[apart:])
    return _Parts(table[places], places, table[np.sort(mixed[:apart])])


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


def _scale(table: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and standard deviation of each feature, 1 where it does not vary."""
    spread = table.std(axis=0, ddof=1)
    # below this share of the number itself, float32 features vary by rounding only
    varies = spread > 1e-6 * np.abs(table).max(axis=0)
    if not varies.any():
        raise InputError(
            "The features are constant: all images have the same ones.", "Give features of different images."
        )
    return table.mean(axis=0).astype(np.float32), np.where(varies, spread, 1).astype(np.float32)


def _axes(width: int, fitted: Floats | None, count: int, seed: int) -> NDArray[np.float16]:
    """Return ``count`` axes: principal ones where there are images to fit, else the features or random directions.

    Random orthonormal directions keep distances as they are but for a factor, whatever the images (Johnson and
    Lindenstrauss 1984).
    """
    if fitted is not None:
        # directions in which the fitted images do not vary are no worse than others
        axes = np.linalg.svd(fitted, full_matrices=False)[2][:count].T
    elif width == count:
        axes = np.eye(width)
    else:
        axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, count)))[0]
    # in the order of a file, as products of the same numbers in another order round otherwise
    return np.ascontiguousarray(axes, np.float16)


def _held_out(table: Floats, centre: NDArray[np.float32], rng: np.random.Generator) -> Floats:
    """Scale each image by others, as fresh ones are; the centre is common, for the kernel knows distances only."""
    scaled = np.empty_like(table)
    for fold in np.array_split(rng.permutation(len(table)), min(FOLDS, len(table))):
        scaled[fold] = _scaled(table[fold], centre, _scale(np.delete(table, fold, axis=0))[1])
    return scaled
