"""Weights out of an ONNX file into a network of ours, believed only when both compute the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError, ParameterError
from vitascope.engine.graphs.trial import try_pictures
from vitascope.engine.load_model import build_network, export_tensors, find_family
from vitascope.exchange.match_tensors import COUNTER, LIKE, by_name, by_order, layers_in_order
from vitascope.exchange.onnx_export import ANSWERS, CARD_KEY, answers_of
from vitascope.exchange.onnx_graph import OnnxFile, read_onnx
from vitascope.exchange.state_dict_import import add_model, check_finite, check_name, filled, foreign_card, probe
from vitascope.io.models.cards import find_model
from vitascope.io.models.weights import read_weights, weights_sha256

TOLERANCE = 1e-4
"""Largest difference of two answers, in shares of how far the answer varies; one network's differ by some 1e-6."""

ROUNDING = 5e-6
"""The same in shares of its size: sums of float32 in another order."""

LEAST_SPREAD = 1e-4
"""An answer that varies by less, in shares of its size, cannot be compared."""

SCALES = (0.3, 1.0, 3.0)
"""Spread of the random pictures that both compute."""

SIDE = 4
"""Their sides, in multiples of the network's."""

Tensors = dict[str, NDArray[Any]]


def import_onnx(path: Path, like: str = "", name: str = "") -> ModelCard:
    """Add a model from an ONNX file: its weights are read into our own network of a given architecture.

    Tensors are taken by name where they have our names, else by the order and the shapes of layers; batch normalisation
    that was folded into weights becomes the identity. At the end the file, run by OpenVINO, and our network compute
    random pictures, and must agree.

    Parameters
    ----------
    path : Path
        Nothing in it is executed but the network itself; no other file is opened.
    like : str
        Model whose network and preparation it has; empty for files that were made by
        :func:`vitascope.exchange.onnx_export.export_onnx`, which hold their card.
    name : str
        Of the new model; empty for the name on that card.

    Raises
    ------
    ModelError
        If the file is no sound ONNX, its layers are not those of the network, or both compute different answers.
    ParameterError
        If there is a model of this name already, or it is not said which network the file has.
    """
    file = read_onnx(path)
    own = file.metadata.get(CARD_KEY, "")
    if not like and not own:
        raise ParameterError(
            f"{path.name} does not say which network of ours it has.",
            "Say whose network it has (--like MODEL), or run it as it is (--task TASK); name it (--name NAME).",
        )
    card = find_model(like)[0] if like else ModelCard.from_json(own, path.name)
    name = name or ("" if like else card.id)
    if not name:
        raise ParameterError("The new model wants a name.", "Give it one (--name NAME).")
    check_name(name)
    tensors, notes = read_network(file, card, like)
    if not like and weights_sha256(export_tensors(filled(card, tensors, name), card.weights.dtype)) == (
        card.weights.sha256
    ):
        return add_model(card, tensors, name, card.weights.dtype)  # bit for bit what the card was measured on
    return add_model(foreign_card(card, path.name, file.data, notes, "Network"), tensors, name)


def read_network(file: OnnxFile, card: ModelCard, like: str = "") -> tuple[Tensors, list[str]]:
    """Return the state of the card's network from a file, and in words how it was found.

    Parameters
    ----------
    file : OnnxFile
    card : ModelCard
    like : str
        Model that lends what no answer of the file depends on; empty for a new network's.

    Raises
    ------
    ModelError
    """
    network = build_network(card.architecture).eval()
    state = {k: v for k, v in network.state_dict().items() if not k.endswith(COUNTER)}
    if like:
        base: Tensors = dict(read_weights(find_model(like)[1], card.weights.sha256))
    else:
        base = {k: v.numpy().copy() for k, v in state.items()}
    needed = needed_for_answers(network, probe(card))
    found = by_name(state, file.tensors, needed)
    told = "Its tensors had the names of ours."
    if found is None:
        ours = layers_in_order(network, probe(card))
        found = by_order(ours, file.layers, file.name, card.id)
        told = "Its tensors were put in place by the order and the shapes of layers."
        if len([one for one in ours if one.norm_name]) > len([layer for layer in file.layers if layer.norm]):
            told += " Batch normalisation was folded into them: its statistics are not known, train on with care."
        rest = {k: state[k] for k in needed if k not in found}
        named = by_name(rest, file.tensors, list(rest))
        if named is None:
            raise ModelError(f"{file.name} does not hold {', '.join(sorted(rest))} of '{card.id}' by name.", LIKE)
        found |= named
    check_finite(found, file.name)
    tensors = base | found
    difference = compare(file, filled(card, tensors, file.name), card)
    return tensors, [
        told,
        f"It computes what the file does (largest difference {difference:.1g} of the answer's range).",
    ]


def needed_for_answers(network: nn.Module, x: torch.Tensor) -> list[str]:
    """Return the names of the tensors that the answers depend on."""
    network.zero_grad(set_to_none=True)
    with torch.enable_grad():
        output = network(x)
        named = answers_of(network, output)
        sum(value.sum() for value in named.values()).backward()  # type: ignore[union-attr]
    used = {k for k, p in network.named_parameters() if p.grad is not None}
    network.zero_grad(set_to_none=True)
    layers = {k.rpartition(".")[0] for k in used}
    buffers = {k for k, _ in network.named_buffers() if not k.endswith(COUNTER) and k.rpartition(".")[0] in layers}
    return sorted(used | buffers)


def compare(file: OnnxFile, network: nn.Module, card: ModelCard) -> float:
    """Return the largest difference between the answers of a file and of a network, in shares of their range.

    Raises
    ------
    ModelError
        If the file cannot be run, or they differ.
    """
    picture = probe(card, _sides(file, card))
    pictures: list[NDArray[np.float32]] = [(scale * picture).numpy() for scale in SCALES]
    try:
        theirs = try_pictures(file.data, file.name, pictures)
    except ModelError as error:
        raise ModelError(error.message, "Ask for the file again.") from error
    with torch.no_grad():
        outputs = [answers_of(network, network(torch.from_numpy(x))) for x in pictures]
    ours = {name: np.stack([output[name].numpy() for output in outputs]) for name in outputs[0]}
    agreed: list[float] = []
    for name in theirs[0]:
        found = np.stack([answer[name] for answer in theirs]).squeeze()
        alike = {k: _difference(found, v.squeeze()) for k, v in ours.items() if v.squeeze().shape == found.shape}
        if alike and min(alike.values()) > 1:
            raise ModelError(
                f"The network of {file.name} computes another answer than that of '{card.id}': '{name}' differs by "
                f"{min(alike.values()) * TOLERANCE:.2g} of its range.",
                f"The layers have the same shapes, yet what stands between them differs. {LIKE}",
            )
        main = [d for k, d in alike.items() if k in (*ANSWERS[card.architecture.name], "scores") and d <= 1]
        agreed += main[:1]
    if not agreed:
        shapes = ", ".join(f"{k} {' x '.join(map(str, v.shape))}" for k, v in theirs[0].items())
        raise ModelError(f"{file.name} gives {shapes}, which is no answer of '{card.id}'.", LIKE)
    return max(agreed) * TOLERANCE


def _difference(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Return the largest difference in shares of what is allowed; infinite where nothing can be told from it."""
    spread, size = float(np.ptp(wanted)), float(np.abs(wanted).max())
    largest = float(np.abs(found - wanted).max())
    if not np.isfinite(largest) or spread <= LEAST_SPREAD * size:
        return np.inf
    return largest / max(TOLERANCE * spread, ROUNDING * size)


def _sides(file: OnnxFile, card: ModelCard) -> list[int]:
    """Return the sides of a picture that both take.

    Raises
    ------
    ModelError
        If there is none.
    """
    steps = find_family(card.architecture).multiple
    if len(file.inputs) != 1:
        raise ModelError(f"{file.name} has {len(file.inputs)} inputs, our networks have one.", LIKE)
    given = next(iter(file.inputs.values()))
    wanted = (1, card.network_channels, *(card.input.side_px or SIDE * n for n in steps))
    if len(given) != len(wanted) or any(g not in (None, w) for g, w in zip(given[:2], wanted[:2], strict=True)):
        shape = " x ".join("any" if n is None else str(n) for n in given)
        raise ModelError(
            f"The network of {file.name} takes {shape}; that of '{card.id}' takes 1 x {card.network_channels} "
            f"channel(s) x {' x '.join('Y' if k else 'Z' for k in range(3 - len(steps), 2))} x X.",
            "Export it for one picture at a time, with the channels first.",
        )
    sides = [w if g is None else g for g, w in zip(given[2:], wanted[2:], strict=True)]
    if any(n % step for n, step in zip(sides, steps, strict=True) if step):
        raise ModelError(
            f"{file.name} was written for pictures of {' x '.join(map(str, sides))} px only.",
            f"Export it with free sides, or with multiples of {' x '.join(map(str, steps))} px.",
        )
    return sides
