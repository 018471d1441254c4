"""Weights under the names of others, put into a network of ours: by the order and the shapes of layers.

A file of another program names its tensors otherwise, or has lost names, and batch normalisation may be folded into
the weights before it. What fits in more than one way is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.core.errors import ModelError
from vitascope.exchange.onnx_graph import Layer, Norm
from vitascope.networks.unet import Convolution

Array = NDArray[Any]
Tensors = dict[str, Array]
Norms = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
Layers = Convolution | nn.Linear | nn.Conv1d

COUNTER = "num_batches_tracked"
LIKE = (
    "Name a model whose network is built just as that of the file (--like MODEL), or ask for a file of ours "
    "(.vitascope)."
)


@dataclass(frozen=True, eq=False)
class OwnLayer:
    """A layer of a network of ours, and the batch normalisation right behind it; by name."""

    name: str
    layer: Any
    norm_name: str = ""
    norm: Any = None

    @property
    def kind(self) -> str:
        """As :class:`vitascope.exchange.onnx_graph.Layer` says it."""
        return "transposed convolution" if isinstance(self.layer, nn.ConvTranspose2d | nn.ConvTranspose3d) else (
            "convolution"
        )  # fmt: skip


def layers_in_order(network: nn.Module, x: Tensor) -> list[OwnLayer]:
    """Return the layers of a network in the order in which it computes an answer to ``x``, each once."""
    names = {module: name for name, module in network.named_modules()}
    made: list[tuple[nn.Module, Tensor]] = []
    norms: dict[nn.Module, nn.Module] = {}

    def seen(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        if isinstance(module, Norms):
            before = next((layer for layer, answer in reversed(made) if answer is given[0]), None)
            if before is not None:
                norms.setdefault(before, module)
            return
        made.append((module, output))

    hooks = [m.register_forward_hook(seen) for m in network.modules() if isinstance(m, Norms | Layers)]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    order = dict.fromkeys(layer for layer, _ in made)
    return [OwnLayer(names[m], m, names.get(norms[m], "") if m in norms else "", norms.get(m)) for m in order]


def by_name(wanted: Mapping[str, Tensor], tensors: Mapping[str, Array], needed: Sequence[str]) -> Tensors | None:
    """Return the tensors that have our names, alone or behind a prefix, and shapes; None unless all needed are there.

    Parameters
    ----------
    wanted : mapping of str to Tensor
        State of our network.
    tensors : mapping of str to array
    needed : sequence of str
        What the answer depends on.
    """
    found: Tensors = {}
    for name, own in wanted.items():
        fitting = [k for k, v in tensors.items() if _ends(k, name) and v.shape == tuple(own.shape)]
        exact = [k for k in fitting if k == name]
        if len(exact or fitting) == 1:
            found[name] = tensors[(exact or fitting)[0]].astype(np.float32)
    return found if set(needed) <= set(found) else None


def _ends(name: str, with_: str) -> bool:
    return name == with_ or name.endswith(("." + with_, "/" + with_))


def by_order(ours: Sequence[OwnLayer], theirs: Sequence[Layer], source: str, like: str) -> Tensors:
    """Return the state of our layers, taken from those of a file: the n-th of a shape is our n-th of that shape.

    Parameters
    ----------
    ours, theirs : sequence
        In the order in which they are computed.
    source, like : str
        Of the file, and of the model whose network it is for.

    Raises
    ------
    ModelError
        Telling what the file has too much or too few of.
    """
    waiting: dict[tuple[Any, ...], list[Layer]] = {}
    for layer in _each_once(ours, theirs):
        waiting.setdefault(_key(layer.kind, layer.weight.shape), []).append(layer)
    have = Counter({key: len(found) for key, found in waiting.items()})
    want = Counter(_key(one.kind, one.layer.weight.shape) for one in ours)
    if have != want:
        raise ModelError(f"The network of {source} is not that of '{like}': {_difference(have, want)}.", LIKE)
    found: Tensors = {}
    for one in ours:
        found |= _state(one, waiting[_key(one.kind, one.layer.weight.shape)].pop(0), source)
    return found


def _each_once(ours: Sequence[OwnLayer], theirs: Sequence[Layer]) -> list[Layer]:
    """Return layers without the copies that an exporter made of one that is used several times."""
    if len(theirs) <= len(ours):
        return list(theirs)
    found: dict[tuple[bytes, bytes], Layer] = {}
    for layer in theirs:
        found.setdefault((layer.weight.tobytes(), b"" if layer.bias is None else layer.bias.tobytes()), layer)
    return list(found.values())


def _key(kind: str, shape: Sequence[int]) -> tuple[Any, ...]:
    """Return what layers are told apart by; a fully connected one is a convolution of one place."""
    sides = tuple(int(n) for n in shape)
    return kind, *sides[:2], *(() if all(n == 1 for n in sides[2:]) else sides[2:])


def _difference(have: Counter[tuple[Any, ...]], want: Counter[tuple[Any, ...]]) -> str:
    told = []
    for key in [*want, *(k for k in have if k not in want)]:
        if have[key] != want[key]:
            told.append(f"it has {have[key]} {key[0]}(s) of {' x '.join(map(str, key[1:]))}, not {want[key]}")
    return "; ".join(told[:3]) + ("; …" if len(told) > 3 else "")


def _state(own: OwnLayer, layer: Layer, source: str) -> Tensors:
    """Return the state of one layer of ours and of its batch normalisation."""
    weight, bias, norm = layer.weight, layer.bias, layer.norm
    if norm is not None and own.norm is None:
        weight, bias, norm = *_folded(layer, norm), None
    offset = np.zeros(_filters(own.kind, weight.shape), np.float32) if bias is None else bias
    takes_bias = own.layer.bias is not None
    found = {f"{own.name}.weight": weight.reshape(own.layer.weight.shape)}
    if takes_bias:
        found[f"{own.name}.bias"] = offset
    elif own.norm is None and offset.any():
        raise ModelError(f"The layer '{layer.name}' of {source} has a bias, ours ('{own.name}') has none.", LIKE)
    if own.norm is None:
        return found
    rest = np.zeros_like(offset) if takes_bias else offset
    if norm is None:  # folded into the weights: the identity, with what is left of the bias
        one = np.ones_like(offset)
        parts = {"weight": one, "bias": rest, "running_mean": 0 * one, "running_var": one - np.float32(own.norm.eps)}
    else:
        var = np.maximum(norm.var + np.float32(norm.eps - own.norm.eps), 0)
        parts = {"weight": norm.weight, "bias": norm.bias, "running_mean": norm.mean - rest, "running_var": var}
    return found | {f"{own.norm_name}.{k}": np.asarray(v, np.float32) for k, v in parts.items()}


def _filters(kind: str, shape: Sequence[int]) -> int:
    return int(shape[1 if kind.startswith("trans") else 0])


def _folded(layer: Layer, norm: Norm) -> tuple[Array, Array]:
    """Return weight and bias of a layer that its batch normalisation is folded into."""
    gain = norm.weight / np.sqrt(norm.var + norm.eps)
    along = [1] * layer.weight.ndim
    along[1 if layer.kind.startswith("trans") else 0] = -1
    bias = (0 if layer.bias is None else layer.bias) - norm.mean
    return layer.weight * gain.reshape(along), np.asarray(bias * gain + norm.bias, np.float32)


def rename_state(network: nn.Module, x: Tensor, tensors: Mapping[str, Array], source: str, like: str) -> Tensors:
    """Give the tensors of a state dict the names that a network of ours has for them.

    They are put side by side layer by layer: in the order in which ours are defined, or are computed.

    Raises
    ------
    ModelError
        If neither order fits by shapes, or both do and differ.
    """
    own = {k: v for k, v in network.state_dict().items() if not k.endswith(COUNTER)}
    theirs = _groups({k: tuple(v.shape) for k, v in tensors.items()})
    defined = _groups({k: tuple(v.shape) for k, v in own.items()})
    names = [n for one in layers_in_order(network, x) for n in (one.name, one.norm_name) if n]
    computed = {n: defined[n] for n in names} | {n: g for n, g in defined.items() if n not in names}
    found: list[Tensors] = []
    for order in (defined, computed):
        if [*order.values()] != [*theirs.values()]:
            continue
        made = {
            f"{mine}.{part}": tensors[f"{other}.{part}" if other else part].astype(np.float32)
            for (mine, parts), other in zip(order.items(), theirs, strict=True)
            for part, _ in parts
        }
        if not any(all(made[k] is other[k] or np.array_equal(made[k], other[k]) for k in made) for other in found):
            found.append(made)
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelError(
            f"The layers of {source} fit the network of '{like}' in more than one way.",
            "Ask for the network as ONNX, which tells the order, or for weights with the names of ours.",
        )
    have, want = Counter(theirs.values()), Counter(defined.values())
    if have == want:
        raise ModelError(
            f"The layers of {source} have the shapes of those of '{like}' in another order: which is which is not "
            "known.",
            "Ask for the network as ONNX, which tells the order, or for weights with the names of ours.",
        )
    raise ModelError(f"The weights of {source} are not those of the network of '{like}': {_unlike(have, want)}.", LIKE)


def _unlike(have: Counter[Any], want: Counter[Any]) -> str:
    told = []
    for what, rest in (("left over", have - want), ("missing", want - have)):
        some = [" and ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in group) for group in rest]
        if some:
            told.append(f"{what}: {rest.total()} layer(s), such as {some[0]}")
    return "; ".join(told)


def _groups(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[tuple[str, tuple[int, ...]], ...]]:
    """Return the tensors of each layer, by its name, with their shapes, in order."""
    found: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, shape in shapes.items():
        layer, _, part = name.rpartition(".")
        found.setdefault(layer, []).append((part, shape))
    return {layer: tuple(sorted(parts)) for layer, parts in found.items()}
