"""Models to and from bioimage.io packages, and weights that others trained for one of our networks.

A package is a zip of ``rdf.yaml``, a state dict and test pictures. The architecture is named by library, not shipped:
nothing in a package of ours executes, and nothing of one that is read is executed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.folders import user_models
from vitascope.engine.load import build_network, check_tensors, export_tensors, load_model
from vitascope.io.models import MAX_CARD_BYTES, find_model, write_card
from vitascope.io.packages import read_member
from vitascope.io.weights import MAX_BYTES, read_weights, write_bytes, write_weights
from vitascope.models.plain import PlainUNet
from vitascope.models.unet import MULTIPLE_PX
from vitascope.pipelines.event_files import write_events
from vitascope.pipelines.onnx_export import export_onnx
from vitascope.tasks.finetune import free_name

FORMAT = "0.5.3"
CARD = "vitascope-card.json"
TEST_PX = 128
ATTEMPT_SEED = 0
EPS = 1e-6

Floats = NDArray[np.float32]

__all__ = ["export_bioimageio", "export_onnx", "import_bioimageio", "import_weights", "write_events"]


def export_bioimageio(model: str, out: Path) -> Path:
    """Write a model of pictures as a bioimage.io package (format 0.5), with its weights as a state dict.

    Parameters
    ----------
    model : str
        Id, or path of a card.
    out : Path
        A folder, or the file to write; never an existing file.

    Raises
    ------
    ModelError
        If the model is not a U-Net of pictures: that format has no other of our tasks.
    ParameterError
        If the file exists.
    """
    card, _ = find_model(model)
    if card.architecture.name != "unet":
        raise ModelError(
            f"'{card.id}' is a model of '{card.architecture.name}', which bioimage.io programs cannot run.",
            "Give it away as one file of ours (.vitascope).",
        )
    path = out / f"{card.id}.bioimageio.zip" if out.is_dir() else out
    if path.exists():
        raise ParameterError(f"{path.name} exists already.", "Choose another name.")
    loaded = load_model(model, card.task)
    network = PlainUNet(**card.architecture.arguments)
    network.load_state_dict(loaded.network.state_dict())
    network.eval()
    raw = _test_picture(card)
    with torch.no_grad():
        answer = network(torch.from_numpy(_preprocessed(raw, card))).numpy()
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    files = {
        "weights.pt": buffer.getvalue(),
        "test_input.npy": _npy(raw),
        "test_output.npy": _npy(answer),
        "README.md": _readme(card).encode(),
        CARD: (card.model_dump_json(indent=1) + "\n").encode(),
    }
    description = _description(card, {name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    files["rdf.yaml"] = yaml.safe_dump(description, sort_keys=False, allow_unicode=True).encode()
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    write_bytes(path, package.getvalue())
    return path


def _test_picture(card: ModelCard) -> Floats:
    """Draw smooth noise, (1, C, 128, 128), to test the package on."""
    rng = np.random.default_rng(ATTEMPT_SEED)
    coarse = rng.normal(size=(1, card.network_channels, TEST_PX // 8, TEST_PX // 8))
    fine = np.repeat(np.repeat(coarse, 8, axis=2), 8, axis=3) + 0.3 * rng.normal(size=(1, 1, TEST_PX, TEST_PX))
    return np.asarray(1000 + 100 * fine, np.float32)


def _preprocessing(card: ModelCard) -> list[dict[str, Any]]:
    """Say the card's normalisation in the words of the format; empty where it has none for it."""
    how = card.input.normalisation
    axes = ["y", "x"] if how.per == "plane" else ["channel", "y", "x"]
    steps: list[dict[str, Any]] = []
    if how.method in ("percentile", "minmax"):
        low, high = (how.low, how.high) if how.method == "percentile" else (0.0, 100.0)
        steps.append(
            {
                "id": "scale_range",
                "kwargs": {"axes": axes, "min_percentile": low, "max_percentile": high, "eps": EPS},
            }
        )
        if how.clip is not None:
            steps.append({"id": "clip", "kwargs": {"min": how.clip[0], "max": how.clip[1]}})
    return steps


def _preprocessed(raw: Floats, card: ModelCard) -> Floats:
    """Do what :func:`_preprocessing` says."""
    values = raw.astype(np.float32)
    for step in _preprocessing(card):
        kwargs = step["kwargs"]
        if step["id"] == "clip":
            values = np.clip(values, kwargs["min"], kwargs["max"])
            continue
        over = (2, 3) if len(kwargs["axes"]) == 2 else (1, 2, 3)
        low, high = (
            np.percentile(values, kwargs[k], axis=over, keepdims=True) for k in ("min_percentile", "max_percentile")
        )
        values = ((values - low) / (high - low + EPS)).astype(np.float32)
    return np.asarray(values, np.float32)


def _npy(array: Floats) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _readme(card: ModelCard) -> str:
    prepared = "" if _preprocessing(card) else (
        f"\n\nThe picture must be prepared first (`{card.input.normalisation.method}`): the format has no word for it."
    )  # fmt: skip
    figures = "\n".join(f"- {m.name} {m.value:g}, on {m.on}" for m in card.metrics)
    return (
        f"# {card.title}\n\n{card.summary}\n\n## Validation\n\n{figures or 'Not measured.'}\n\n"
        f"## When not to trust it\n\n{card.distrust}{prepared}\n\nNeeds the Python package `vitascope`.\n"
    )


def _description(card: ModelCard, sha256: dict[str, str]) -> dict[str, Any]:
    """Return ``rdf.yaml`` as plain values."""
    size = {"min": 4 * MULTIPLE_PX, "step": MULTIPLE_PX}
    space: dict[str, Any] = {"type": "space"}
    if card.input.pixel_size_um:
        space |= {"scale": card.input.pixel_size_um, "unit": "micrometer"}
    channels = [str(n) for n in range(card.network_channels)] if card.input.planes > 1 else list(card.input.channels)
    names = {"input": _identifiers(channels), "output": _identifiers([t.name for t in card.targets])}

    def tensor(kind: str, sizes: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": kind,
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": names[kind]},
                *({**space, "id": axis, "size": sizes[axis]} for axis in "yx"),
            ],
            "test_tensor": {"source": f"test_{kind}.npy", "sha256": sha256[f"test_{kind}.npy"]},
            "data": {"type": "float32"},
        }

    given = tensor("input", {"y": size, "x": size}) | {"preprocessing": _preprocessing(card)}
    same = {axis: {"tensor_id": "input", "axis_id": axis} for axis in "yx"}
    return {
        "type": "model",
        "format_version": FORMAT,
        "name": f"{_plain(card.title)[:100]} (vitascope)",
        "description": card.summary[:1024],
        "authors": [{"name": _plain(card.credit.split(";")[0] or "vitascope")[:80]}],
        "cite": [{"text": card.credit or "vitascope", "url": "https://doi.org/10.1016/j.cell.2018.03.040"}],
        "license": card.licence if card.licence in ("CC-BY-4.0", "CC0-1.0", "MIT", "BSD-3-Clause") else "CC-BY-4.0",
        "documentation": {"source": "README.md", "sha256": sha256["README.md"]},
        "attachments": [{"source": CARD, "sha256": sha256[CARD]}],
        "tags": ["vitascope", card.task, "2d", "unet"],
        "version": "1",
        "inputs": [given],
        "outputs": [tensor("output", same)],
        "weights": {
            "pytorch_state_dict": {
                "source": "weights.pt",
                "sha256": sha256["weights.pt"],
                "architecture": {
                    "import_from": PlainUNet.__module__,
                    "callable": PlainUNet.__name__,
                    "kwargs": dict(card.architecture.arguments),
                },
                "pytorch_version": torch.__version__.split("+")[0],
            }
        },
    }


def _identifiers(names: list[str]) -> list[str]:
    return ["".join(c if c.isalnum() else "_" for c in name) or "channel" for name in names]


def _plain(text: str) -> str:
    return "".join(c if c.isalnum() or c in "_+- ()" else " " for c in text).strip()


def import_bioimageio(path: Path, name: str = "") -> ModelCard:
    """Add a model from a bioimage.io package that was made by :func:`export_bioimageio`.

    Its card and its state dict are read, both checked against the hashes of ``rdf.yaml``; no code in it is run, and
    nothing is fetched.

    Raises
    ------
    ModelError
        If the package is none of ours, altered, too large, or its weights do not fit the card's network.
    ParameterError
        If there is a model of this name already.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            tree = yaml.safe_load(read_member(archive, "rdf.yaml", MAX_CARD_BYTES))
            entry = tree["weights"]["pytorch_state_dict"]
            listed = {a["source"]: a.get("sha256") for a in tree.get("attachments", [])}
            if CARD not in listed or entry["architecture"].get("import_from") != PlainUNet.__module__:
                raise ModelError(
                    f"{path.name} is no model of a network that vitascope has.",
                    "Only packages of our own U-Nets can be read; of another network, ask for its weights as a file.",
                )
            card_bytes = read_member(archive, CARD, MAX_CARD_BYTES)
            data = read_member(archive, str(entry["source"]), MAX_BYTES)
    except (OSError, zipfile.BadZipFile, zlib.error, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path.name} is no bioimage.io package: {error}.", "Ask for the file again.") from error
    for what, found, wanted in (("card", card_bytes, listed[CARD]), ("weights", data, entry.get("sha256"))):
        if hashlib.sha256(found).hexdigest() != wanted:
            raise ModelError(f"The {what} of {path.name} was altered (SHA-256 differs).", "Ask for the file again.")
    card = ModelCard.from_json(card_bytes, path.name)
    return _add(card, _state_dict(data, path.name), name or card.id)


def import_weights(path: Path, like: str, name: str) -> ModelCard:
    """Add weights that were trained elsewhere for the network of a model that is here.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or a PyTorch state dict (``.pt``, ``.pth``), read without executing anything.
    like : str
        Model whose network and preparation they are for.
    name : str
        Of the new model.

    Raises
    ------
    ModelError
        If the file is no weights, or they do not fit.
    ParameterError
        If there is a model of this name already.
    """
    card, _ = find_model(like)
    if path.suffix == ".safetensors":
        tensors = read_weights(path, None)
    else:
        try:
            tensors = _state_dict(path.read_bytes(), path.name)
        except OSError as error:
            raise ModelError(f"{path.name} cannot be read: {error.strerror}.", "Check the path.") from error
    card = card.model_copy(
        update={
            "metrics": (),
            "intervals": None,
            "domain": None,
            "parent": "",
            "title": f"Weights of {path.name}",
            "summary": f"Weights from {path.name}, for the network of {card.id}; not measured",
            "split": "not known",
            "data": (),
            "distrust": "It was not measured here: compare it with a model that was.",
            "licence": "of whoever made the weights",
            "credit": "",
            "training": {},
        }
    )
    return _add(card, tensors, name)


def _state_dict(data: bytes, name: str) -> dict[str, NDArray[Any]]:
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # one type for each of zip, pickle and tensors
        raise ModelError(
            f"{name} holds no plain weights: {type(error).__name__}.", "Ask for a state dict, or for .safetensors."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise ModelError(f"{name} holds no plain weights.", "Ask for a state dict, or for .safetensors.")
    tensors = {k: v.detach().float().numpy() for k, v in found.items() if not k.endswith("num_batches_tracked")}
    bad = next((k for k, v in tensors.items() if not np.isfinite(v).all()), None)
    if bad is not None:
        raise ModelError(f"{name} holds NaN or infinity in '{bad}'.", "Ask for the weights again.")
    return tensors


def _add(card: ModelCard, tensors: dict[str, NDArray[Any]], name: str) -> ModelCard:
    if name != free_name(name):
        raise ParameterError(f"There is a model '{name}' already.", f"Take another name, such as '{free_name(name)}'.")
    network = build_network(card.architecture)
    check_tensors(network, tensors, name)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()}, strict=False)
    file = f"{name}.safetensors"
    sha256 = write_weights(user_models() / file, export_tensors(network, "float32"))
    weights = card.weights.model_copy(update={"file": file, "sha256": sha256, "dtype": "float32"})
    card = card.model_copy(update={"id": name, "weights": weights})
    try:
        write_card(card, user_models())
    except BaseException:
        (user_models() / file).unlink(missing_ok=True)
        raise
    return card
