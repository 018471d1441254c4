"""Weights that others trained, made into a model of ours: a card and safetensors, nothing that executes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError, ParameterError, describe
from vitascope.engine.load_model import build_network, check_tensors, export_tensors, find_family
from vitascope.exchange.match_tensors import COUNTER, by_name, rename_state
from vitascope.io.models.cards import find_model, own_models, write_card
from vitascope.io.models.weights import read_weights, write_weights
from vitascope.recipes.finetune import free_name

NO_HASH = (
    "It came without a hash: whether it is what its maker wrote cannot be checked; that it stays as it is now, can."
)
"""Said of a bare file of weights, whose own SHA-256 goes into the card."""

WITHIN = ("state_dict", "nn_state")
"""Where checkpoints keep their weights: those of most programs, and of fnet."""

PROBE = 2
"""Sides of a small input, in multiples of the network's."""

Tensors = dict[str, NDArray[Any]]


def import_weights(path: Path, like: str, name: str) -> ModelCard:
    """Add weights that were trained elsewhere for the network of a model that is here.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or a PyTorch state dict (``.pt``, ``.pth``), read without executing anything. Names that are
        not ours are matched by the order and the shapes of layers.
    like : str
        Model whose network and preparation they are for.
    name : str
        Of the new model.

    Raises
    ------
    ModelError
        If the file is no weights, they do not fit, or fit in more than one way.
    ParameterError
        If there is a model of this name already.
    """
    card, _ = find_model(like)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {describe(error)}.", "Check the path.") from error
    tensors = read_weights(path, None) if path.suffix == ".safetensors" else read_state_dict(data, path.name)
    tensors, told = fit_names(card, tensors, path.name)
    return add_model(foreign_card(card, path.name, data, [told, NO_HASH]), tensors, name)


def fit_names(card: ModelCard, tensors: Tensors, source: str) -> tuple[Tensors, str]:
    """Return tensors under the names of the card's network, and how they were found, in words."""
    network = build_network(card.architecture)
    wanted = {k for k in network.state_dict() if not k.endswith(COUNTER)}
    tensors = {k: v for k, v in tensors.items() if not k.endswith(COUNTER)}
    if set(tensors) == wanted:
        return tensors, "Its weights had the names of ours."
    behind = by_name(network.state_dict(), tensors, sorted(wanted))
    if behind is not None and len(behind) == len(tensors):
        return behind, "Its weights had the names of ours behind a prefix."
    found = rename_state(network.eval(), probe(card), tensors, source, card.id)
    return found, "Its weights had other names: they were put in place by the order and the shapes of layers."


def probe(card: ModelCard, sides: Sequence[int] = ()) -> torch.Tensor:
    """Return a small random input (1, C, ...) for the card's network."""
    least = [card.input.side_px or PROBE * n for n in find_family(card.architecture).multiple]
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, card.network_channels, *(sides or least), generator=generator)


def foreign_card(card: ModelCard, source: str, data: bytes, notes: Sequence[str], kind: str = "Weights") -> ModelCard:
    """Return the card of weights that came from a file: what was measured of the model it is like does not hold."""
    sha256 = hashlib.sha256(data).hexdigest()
    return card.model_copy(
        update={
            "metrics": (),
            "intervals": None,
            "domain": None,
            "parent": "",
            "title": f"{kind} of {source}",
            "summary": f"{kind} from {source}, for the network of {card.id}; not measured",
            "split": "not known",
            "data": (),
            "limitations": "It was not measured here: compare it with a model that was.",
            "licence": "of whoever made the weights",
            "credit": "",
            "training": {
                "imported_from": {"file": source, "sha256": sha256, "like": f"{card.id} {card.weights.sha256}"},
                "notes": [
                    f"Imported from {source} (SHA-256 {sha256}). No figure was measured here.",
                    *notes,
                    f"Images are prepared as for {card.id}.",
                ],
            },
        }
    )


def read_state_dict(data: bytes, name: str) -> Tensors:
    """Read a PyTorch state dict without executing anything.

    Raises
    ------
    ModelError
        If it is none, or holds NaN or infinity.
    """
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # one type for each of zip, pickle and tensors
        raise ModelError(
            f"{name} holds no plain weights: {describe(error)}.", "Ask for a state dict, or for .safetensors."
        ) from error
    inner = next((found[k] for k in WITHIN if k in found), found) if isinstance(found, dict) else found
    if not isinstance(inner, dict) or not inner or not all(isinstance(v, torch.Tensor) for v in inner.values()):
        raise ModelError(f"{name} holds no plain weights.", "Ask for a state dict, or for .safetensors.")
    tensors = {k: v.detach().float().numpy() for k, v in inner.items() if not k.endswith(COUNTER)}
    check_finite(tensors, name)
    return tensors


def check_finite(tensors: Tensors, name: str) -> None:
    """Refuse weights that are no numbers.

    Raises
    ------
    ModelError
    """
    bad = next((k for k, v in tensors.items() if not np.isfinite(v).all()), None)
    if bad is not None:
        raise ModelError(f"{name} holds NaN or infinity in '{bad}'.", "Ask for the weights again.")


def filled(card: ModelCard, tensors: Tensors, source: str) -> nn.Module:
    """Return the card's network, ready to run, with these tensors.

    Raises
    ------
    ModelError
        If they do not fit it.
    """
    network = build_network(card.architecture)
    check_tensors(network, tensors, source)
    network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in tensors.items()}, strict=False)
    return network.eval().requires_grad_(False)


def check_name(name: str) -> None:
    """Refuse the name of a model that is there.

    Raises
    ------
    ParameterError
    """
    if name != free_name(name):
        raise ParameterError(f"There is a model '{name}' already.", f"Take another name, such as '{free_name(name)}'.")


def add_model(card: ModelCard, tensors: Tensors, name: str, dtype: str = "float32") -> ModelCard:
    """Write a model to the user's own, the weights first.

    Raises
    ------
    ModelError
        If the tensors do not fit the card's network.
    ParameterError
        If there is a model of this name already.
    """
    check_name(name)
    network = filled(card, tensors, name)
    file = f"{name}.safetensors"
    sha256 = write_weights(own_models() / file, export_tensors(network, dtype))
    weights = card.weights.model_copy(update={"file": file, "sha256": sha256, "dtype": dtype})
    card = card.model_copy(update={"id": name, "weights": weights})
    try:
        write_card(card, own_models())
    except BaseException:
        (own_models() / file).unlink(missing_ok=True)
        raise
    return card
