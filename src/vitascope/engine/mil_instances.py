"""Instances of a picture, gathered tile by tile beside its maps, and networks made ready to give both."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitascope.core.errors import ModelError
from vitascope.engine.deferred_network import DeferredNetwork, network_key
from vitascope.engine.load_model import LoadedModel
from vitascope.engine.tiled_prediction import FeaturePool
from vitascope.networks.jacobian import InstanceMaps, JacobianMaps
from vitascope.networks.mil_cnn import MilCnn
from vitascope.ops.geometry.resample import Reader
from vitascope.ops.tiling.tiles import Tile, padded_length

_ready: WeakKeyDictionary[nn.Module, dict[bool, LoadedModel]] = WeakKeyDictionary()


def with_maps(model: LoadedModel, maps: bool) -> LoadedModel:
    """Return the model as the tiled predictor runs it: with its Jacobian maps, or for numbers alone.

    Raises
    ------
    ModelError
        If the network gives no instances.
    """
    if not isinstance(model.network, MilCnn):
        raise ModelError(f"The model {model.card.id} gives no instances.", "Choose a model made for this task.")
    made = _ready.setdefault(model.network, {})
    if maps not in made:
        made[maps] = replace(model, source=_with_key(model, (JacobianMaps if maps else InstanceMaps)(model.network)))
    # The card is the caller's: two models may differ in it alone.
    return replace(made[maps], card=model.card)


def _with_key(model: LoadedModel, network: nn.Module) -> nn.Module | DeferredNetwork:
    """Give a network made of a model's own the key of what it computes, where the own one has a key."""
    network.eval()
    if not isinstance(model.source, DeferredNetwork):
        return network
    name = type(network).__name__
    return DeferredNetwork(network_key(model.source.key, name), name, lambda: network)


class InstanceGrid:
    """Logits of all instances of a picture; hands the rest of the encoding on.

    Parameters
    ----------
    shape_yx : tuple of int
        Of the picture on the network's grid, px.
    classes : int
    step_px : int
        Distance of two instances.
    pool : FeaturePool, optional
        Takes the deepest features.

    Attributes
    ----------
    logits : array, shape (K, h, w), float32
        Of the instances centred in the picture.
    """

    def __init__(self, shape_yx: tuple[int, int], classes: int, step_px: int, pool: FeaturePool | None = None) -> None:
        sides = [padded_length(n, step_px) // step_px for n in shape_yx]
        self.logits = np.zeros((classes, *sides), np.float32)
        self._step, self._pool = step_px, pool

    def reset(self) -> None:
        """Begin again."""
        self.logits[...] = 0
        if self._pool is not None:
            self._pool.reset()

    def add(self, tile: Tile, encoding: NDArray[np.float32]) -> None:
        """Take the (F + K, h, w) encoding of a tile's window; only the cells of its core count."""
        classes = len(self.logits)
        inner, core = (
            tuple(slice(s.start // self._step, s.stop // self._step) for s in where)
            for where in (tile.core_in_window, tile.core)
        )
        self.logits[:, core[0], core[1]] = encoding[-classes:, inner[0], inner[1]]
        if self._pool is not None:
            self._pool.add(tile, encoding[:-classes])


class Pooled:
    """What a network makes of the instances of one picture.

    Attributes
    ----------
    pooled, last : array, shape (K,), float64
        Probabilities of the MIL layer and of the last layer.
    pooled_log_odds, last_log_odds : array, shape (K,), float64
        Their log odds, which keep their digits near 0 and 1.
    """

    def __init__(self, network: nn.Module, logits: NDArray[np.float32], counts: NDArray[np.float32]) -> None:
        assert isinstance(network, MilCnn)
        with torch.inference_mode():
            pooled, scores = network.head(torch.from_numpy(logits)[None], torch.from_numpy(counts)[None, None])
            values = (
                torch.exp(pooled.log_p),
                network.probabilities(scores),
                pooled.log_p - pooled.log_not,
                network.log_odds(scores),
            )
            found = [v[0].double().numpy() for v in values]
        self.pooled, self.last, self.pooled_log_odds, self.last_log_odds = found


def probability_reader(logits: NDArray[np.float32], step_px: int) -> Reader:
    """Read the instances' probabilities at any pixel of the network's grid, linear between their centres.

    Parameters
    ----------
    logits : array, shape (K, h, w)
    step_px : int
        Distance of two instances; the first is centred on pixel 0.

    Returns
    -------
    Reader
        Gives (K, h, w) float32; beyond the last centre its value goes on.
    """
    with np.errstate(over="ignore"):
        p = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)

    def along(window: slice, length: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        place = np.clip(np.arange(window.start, window.stop) / step_px, 0, length - 1)
        first = np.floor(place).astype(np.intp)
        return first, np.minimum(first + 1, length - 1), (place - first).astype(np.float32)

    def read(window: tuple[slice, slice]) -> NDArray[np.float32]:
        (y0, y1, fy), (x0, x1, fx) = (along(w, n) for w, n in zip(window, p.shape[1:], strict=True))
        rows = p[:, y0] * (1 - fy)[:, None] + p[:, y1] * fy[:, None]
        return np.asarray(rows[:, :, x0] * (1 - fx) + rows[:, :, x1] * fx, np.float32)

    return read
