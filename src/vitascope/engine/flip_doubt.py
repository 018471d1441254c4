"""A network asked about each window and its mirror images at once: its answer, and how far it disagrees with itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.engine.execution_plan import Plan
from vitascope.engine.load_model import LoadedModel
from vitascope.engine.open_backends import Backend, answers_of, open_backend
from vitascope.ops.intensity.doubt import flip_disagreement

FULL_TURN_DEGREES = 180.0


class DoubtingBackend:
    """Answers (2K, h, w): the network's own K channels, then their doubt; and the deepest features.

    Each window is turned over where it lies, so that tiles stay exact.

    Parameters
    ----------
    backend : Backend
    flips : sequence of tuple of int
        Axes each mirror image is turned over, such as ``(-1,)``.
    """

    def __init__(self, backend: Backend, flips: Sequence[tuple[int, ...]]) -> None:
        self._backend, self._flips = backend, flips

    def __call__(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Answer a window (C, h, w)."""
        windows = [x, *(np.ascontiguousarray(np.flip(x, axes)) for axes in self._flips)]
        (image, encoding, *_), *turned = answers_of(self._backend, windows)
        seen = [np.flip(answer[0], axes) for answer, axes in zip(turned, self._flips, strict=True)]
        return np.concatenate([image, flip_disagreement(np.stack([image, *seen]))]), encoding


def open_doubting(model: LoadedModel, plan: Plan) -> Backend:
    """Open a network that answers its doubt too."""
    return DoubtingBackend(open_backend(model, plan), known_flips(model.card))  # type: ignore[return-value]


def known_flips(card: ModelCard) -> list[tuple[int, ...]]:
    """Return the mirror images that a model was trained with, as axes; left and right where its card does not tell.

    A picture that is turned by any angle and mirrored one way was seen mirrored the other way too.
    """
    try:
        augment = json.loads(card.recipe).get("augment", {}) if card.recipe else {}
    except (ValueError, AttributeError):
        augment = {}
    down, across = (float(augment.get(f"flip_{name}", 0)) > 0 for name in ("vertical", "horizontal"))
    turned = float(augment.get("rotation_degrees", 0)) >= FULL_TURN_DEGREES
    if turned and (down or across):
        down = across = True
    flips: list[tuple[int, ...]] = [(-1,)] if across or not down else []
    flips += [(-2,)] if down else []
    return flips + ([(-2, -1)] if (across and down) or turned else [])
