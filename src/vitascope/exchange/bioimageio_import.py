"""Models from bioimage.io packages: our own, and those of others whose network is one of ours.

Nothing in a package is executed, and nothing is fetched: weights are read as plain numbers into a network of ours.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitascope.core.aliases import module_names
from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError, ParameterError
from vitascope.engine.load_model import export_tensors
from vitascope.exchange.bioimageio_package import CARD
from vitascope.exchange.bioimageio_preprocessing import apply_steps
from vitascope.exchange.match_tensors import LIKE
from vitascope.exchange.onnx_export import answers_of
from vitascope.exchange.onnx_graph import parse_onnx
from vitascope.exchange.onnx_import import TOLERANCE, read_network
from vitascope.exchange.package_archive import AGAIN, open_package
from vitascope.exchange.state_dict_import import (
    add_model,
    check_name,
    filled,
    fit_names,
    foreign_card,
    read_state_dict,
)
from vitascope.io.models.archive import read_member
from vitascope.io.models.cards import MAX_CARD_BYTES, find_model
from vitascope.io.models.weights import MAX_BYTES, weights_sha256
from vitascope.networks.single_output import PlainUNet

MAX_PICTURE_BYTES = 1 << 30


def import_bioimageio(path: Path, name: str = "", like: str = "") -> ModelCard:
    """Add a model from a bioimage.io package.

    Parameters
    ----------
    path : Path
        Made by :func:`vitascope.exchange.bioimageio_export.export_bioimageio`; or of others, with its weights as a
        state dict or as ONNX.
    name : str
        Of the new model; empty for that on the card of a package of ours.
    like : str
        For a package of others: model whose network and preparation it has.

    Raises
    ------
    ModelError
        If the package is altered or too large, or its weights do not fit, or give another answer than its test
        pictures.
    ParameterError
        If there is a model of this name already, or it is not said which network a package of others has.
    """
    with open_package(path) as (archive, tree):
        listed = {a["source"]: a.get("sha256") for a in tree.get("attachments", []) if isinstance(a, dict)}
        if CARD in listed and not like:
            return _own(archive, tree, listed[CARD], path.name, name)
        return _foreign(archive, tree, path, name, like)


def _own(archive: zipfile.ZipFile, tree: Any, card_sha256: str | None, source: str, name: str) -> ModelCard:
    entry = tree["weights"]["pytorch_state_dict"]
    if entry["architecture"].get("import_from") not in module_names(PlainUNet.__module__):
        raise ModelError(f"{source} is no model of a network that vitascope has.", LIKE)
    card_bytes = _member(archive, CARD, card_sha256, "card", source, MAX_CARD_BYTES)
    card = ModelCard.from_json(card_bytes, source)
    data = _member(archive, str(entry["source"]), entry.get("sha256"), "weights", source)
    tensors = read_state_dict(data, source)
    network = filled(card, tensors, source)
    if weights_sha256(export_tensors(network, card.weights.dtype)) != card.weights.sha256:
        raise ModelError(f"The weights of {source} are not those its card was written for (SHA-256 differs).", AGAIN)
    _tested(archive, tree, network, source, card.id)
    return add_model(card, tensors, name or card.id, card.weights.dtype)


def _member(
    archive: zipfile.ZipFile, member: str, sha256: str | None, what: str, source: str, most: int = MAX_BYTES
) -> bytes:
    data = read_member(archive, member, most)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(f"The {what} of {source} was altered (SHA-256 differs).", AGAIN)
    return data


def _foreign(archive: zipfile.ZipFile, tree: Any, path: Path, name: str, like: str) -> ModelCard:
    """Read the weights of a package of others into the network of a model that is here."""
    if not like or not name:
        raise ParameterError(
            f"{path.name} was not made by vitascope: it does not say which network of ours it has.",
            "Say whose network it has (--like MODEL), or run it as it is (--task TASK); name it (--name NAME).",
        )
    check_name(name)
    card, _ = find_model(like)
    held = tree["weights"]
    kind = next((k for k in ("pytorch_state_dict", "onnx") if k in held), None)
    if kind is None:
        raise ModelError(
            f"{path.name} holds its weights as {', '.join(held) or 'nothing'}, which cannot be read here.",
            "Ask for a state dict (pytorch_state_dict) or for ONNX.",
        )
    data = _member(archive, str(held[kind]["source"]), held[kind].get("sha256"), "weights", path.name)
    if kind == "onnx":
        tensors, notes = read_network(parse_onnx(data, path.name), card, like)
    else:
        tensors, told = fit_names(card, read_state_dict(data, path.name), path.name)
        notes = [told]
    notes.append(_tested(archive, tree, filled(card, tensors, path.name), path.name, card.id))
    title = str(tree.get("name", ""))[:100]
    licence = str(tree.get("license", "")) or "of whoever made the weights"
    made = foreign_card(card, path.name, path.read_bytes(), notes, "Model").model_copy(update={"licence": licence})
    return add_model(made.model_copy(update={"title": title}) if title else made, tensors, name)


def _tested(archive: zipfile.ZipFile, tree: Any, network: nn.Module, source: str, like: str) -> str:
    """Compare a network's answer with the test pictures of the package; says in words what came of it.

    Raises
    ------
    ModelError
        If they differ.
    """
    pictures = [_picture(archive, tree, kind) for kind in ("input", "output")]
    if any(one is None for one in pictures):
        return "It was not tried on the package's test picture: how that is prepared is not known here."
    (given, before, axes), (wanted, after, axes_out) = pictures  # type: ignore[misc]
    prepared = apply_steps(given, before, axes)
    if prepared is None:
        return "It was not tried on the package's test picture: how that is prepared is not known here."
    with torch.no_grad():
        found = answers_of(network, network(torch.from_numpy(prepared)))
    for value in found.values():
        answer = apply_steps(value.numpy(), after, axes_out) if value.shape == wanted.shape else None
        if answer is None:
            continue
        difference = float(np.abs(answer - wanted).max()) / max(float(np.ptp(wanted)), 1e-6)
        if difference <= TOLERANCE:
            return (
                f"It gives the answer of the package's test picture (largest difference {difference:.1g} of its range)."
            )
    raise ModelError(
        f"The weights of {source} in the network of '{like}' do not give the answer of the package's test picture.",
        LIKE,
    )


def _picture(
    archive: zipfile.ZipFile, tree: Mapping[str, Any], kind: str
) -> tuple[NDArray[np.float32], list[dict[str, Any]], str] | None:
    """Return a test picture with its steps and axes; None where it is not one as our networks take it."""
    described = tree[f"{kind}s"]
    if len(described) != 1:
        return None
    tensor = described[0]
    axes = tensor["axes"]
    letters = axes if isinstance(axes, str) else "".join(str(a.get("id", a["type"]))[0] for a in axes)
    if "test_tensor" in tensor:  # format 0.5
        entry = tensor["test_tensor"]
        source, sha256 = (entry["source"], entry.get("sha256")) if isinstance(entry, dict) else (entry, None)
    else:
        source, sha256 = tree[f"test_{kind}s"][0], None
    if letters not in ("bcyx", "bczyx", "bc") or "/" in str(source):
        return None
    data = read_member(archive, str(source), MAX_PICTURE_BYTES)
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError("The test picture of the package was altered (SHA-256 differs).", AGAIN)
    picture = np.load(io.BytesIO(data), allow_pickle=False)
    steps = tensor.get("preprocessing" if kind == "input" else "postprocessing") or []
    return np.asarray(picture, np.float32), list(steps), letters
