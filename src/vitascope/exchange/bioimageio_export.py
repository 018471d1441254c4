"""Models as bioimage.io packages, for programs that read those.

A package is a zip of ``rdf.yaml``, a state dict and test pictures. The architecture is named by library, not shipped:
nothing in a package of ours executes.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError
from vitascope.engine.load_model import find_family, load_model
from vitascope.exchange.bioimageio_graph import export_graph
from vitascope.exchange.bioimageio_package import CARD, FORMAT, ONNX, identifiers, npy, plain_text, write_package
from vitascope.exchange.bioimageio_preprocessing import apply_steps, steps_of
from vitascope.exchange.onnx_export import can_write, translate
from vitascope.io.models.archive import new_file
from vitascope.io.models.cards import find_model
from vitascope.io.models.onnx_file import check_onnx
from vitascope.networks.single_output import PlainFNet, PlainMilCnn, PlainUNet, PlainUNet3d

PLAIN = {"unet": PlainUNet, "fnet": PlainFNet, "unet3d": PlainUNet3d, "mil_cnn": PlainMilCnn}
"""What each network is called in a package."""

CITED = {
    "unet": "https://doi.org/10.1016/j.cell.2018.03.040",
    "fnet": "https://doi.org/10.1038/s41592-018-0111-2",
    "unet3d": "https://doi.org/10.1007/978-3-319-46723-8_49",
    "mil_cnn": "https://doi.org/10.1093/bioinformatics/btw252",
}
TEST_STEPS = 8
ATTEMPT_SEED = 0

Floats = NDArray[np.float32]


def export_bioimageio(model: str, out: Path) -> Path:
    """Write a model of pictures, volumes or classes as a bioimage.io package (format 0.5), its weights as a state dict.

    A network of pictures or volumes is written as ONNX too, where the extra ``onnx`` is installed: programs without
    vitascope run that. Of volumes it is the network alone that the package holds: prepared volumes in, probabilities
    and density out. A network of another program is packed as it is, as ONNX alone.

    Parameters
    ----------
    model : str
        Id, or path of a card.
    out : Path
        A folder, or the file to write; never an existing file.

    Raises
    ------
    ModelError
        If the model measures amounts: what is found, cut out and measured the format cannot say.
    ParameterError
        If the file exists.
    """
    card, weights = find_model(model)
    if card.graph is not None:
        return export_graph(card, weights, out)
    if card.architecture.name not in PLAIN:
        raise ModelError(
            f"'{card.id}' is a model of '{card.architecture.name}', which bioimage.io programs cannot run: what is "
            "found in the image before and measured behind the network their format cannot say.",
            "Give it away as one file of ours (.vitascope), or its network alone as ONNX.",
        )
    path = new_file(out, f"{card.id}.bioimageio.zip")
    loaded = load_model(model, card.task)
    network = PLAIN[card.architecture.name](**card.architecture.arguments)
    network.load_state_dict(loaded.network.state_dict())
    network.eval()
    raw = _test_picture(card)
    with torch.no_grad():
        prepared = apply_steps(raw, steps_of(card.input), "bc" + _space(card))
        assert prepared is not None  # our own words
        answer = network(torch.from_numpy(prepared)).numpy()
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    files = {
        "weights.pt": buffer.getvalue(),
        "test_input.npy": npy(raw),
        "test_output.npy": npy(answer),
        "README.md": _readme(card).encode(),
        CARD: (card.model_dump_json(indent=1) + "\n").encode(),
    }
    if (
        PLAIN[card.architecture.name] is not PlainMilCnn and can_write()
    ):  # of classes it has two answers, the package one
        files[ONNX] = translate(card, model)
    description = _description(card, {name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    if ONNX in files:
        description["weights"]["onnx"] = {
            "source": ONNX,
            "sha256": hashlib.sha256(files[ONNX]).hexdigest(),
            "opset_version": check_onnx(files[ONNX], ONNX).opset,
            "parent": "pytorch_state_dict",
        }
    write_package(path, files, description)
    return path


def _space(card: ModelCard) -> str:
    """Return the axes of space of a card's network."""
    return "zyx" if find_family(card.architecture).is_3d else "yx"


def _test_picture(card: ModelCard) -> Floats:
    """Draw smooth noise to test the package on: (1, C, 128, 128) for most networks, shallow for volumes.

    Grey values, or what prepared ones are like where the format has no words for the preparation.
    """
    rng = np.random.default_rng(ATTEMPT_SEED)
    fine = rng.normal(
        size=(1, card.network_channels, *(TEST_STEPS * n // 8 for n in find_family(card.architecture).multiple))
    )
    for axis in range(2, fine.ndim):
        fine = np.repeat(fine, 8, axis=axis)
    fine = fine + 0.3 * rng.normal(size=(1, 1, *fine.shape[2:]))
    return np.asarray(1000 + 100 * fine if steps_of(card.input) else 0.3 + 0.2 * fine, np.float32)


def _readme(card: ModelCard) -> str:
    prepared = "" if steps_of(card.input) else (
        f"\n\nThe picture must be prepared first (`{card.input.normalisation.method}`): the format has no word for it."
    )  # fmt: skip
    figures = "\n".join(f"- {m.name} {m.value:g}, on {m.on}" for m in card.metrics)
    return (
        f"# {card.title}\n\n{card.summary}\n\n## Validation\n\n{figures or 'Not measured.'}\n\n"
        f"## When not to trust it\n\n{card.limitations}{prepared}\n\nThe state dict needs the Python package "
        "`vitascope`; ONNX, where it is held, needs nothing of ours.\n"
    )


def _description(card: ModelCard, sha256: dict[str, str]) -> dict[str, Any]:
    """Return ``rdf.yaml`` as plain values."""
    axes = _space(card)
    steps = dict(zip(axes, find_family(card.architecture).multiple, strict=True))
    lengths = dict.fromkeys("yx", card.input.pixel_size_um) | {"z": card.input.z_step_um}

    def space(axis: str) -> dict[str, Any]:
        length = lengths[axis]
        return {"type": "space", "id": axis, **({"scale": length, "unit": "micrometer"} if length else {})}

    channels = [str(n) for n in range(card.network_channels)] if card.input.planes > 1 else list(card.input.channels)
    names = {"input": identifiers(channels), "output": identifiers([t.name for t in card.targets])}

    def tensor(kind: str, sizes: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": kind,
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": names[kind]},
                *({**space(axis), "size": size} for axis, size in sizes.items()),
            ],
            "test_tensor": {"source": f"test_{kind}.npy", "sha256": sha256[f"test_{kind}.npy"]},
            "data": {"type": "float32"},
        }

    sizes = {axis: {"min": 4 * steps[axis], "step": steps[axis]} for axis in axes}
    given = tensor("input", sizes) | {"preprocessing": steps_of(card.input)}
    plain = PLAIN[card.architecture.name]
    kept = "" if plain is PlainMilCnn else axes  # the classes are those of the whole picture
    same = {axis: {"tensor_id": "input", "axis_id": axis} for axis in kept}
    return {
        "type": "model",
        "format_version": FORMAT,
        "name": f"{plain_text(card.title)[:100]} (vitascope)",
        "description": card.summary[:1024],
        "authors": [{"name": plain_text(card.credit.split(";")[0] or "vitascope")[:80]}],
        "cite": [{"text": card.credit or "vitascope", "url": CITED[card.architecture.name]}],
        "license": card.licence if card.licence in ("CC-BY-4.0", "CC0-1.0", "MIT", "BSD-3-Clause") else "CC-BY-4.0",
        "documentation": {"source": "README.md", "sha256": sha256["README.md"]},
        "attachments": [{"source": CARD, "sha256": sha256[CARD]}],
        "tags": ["vitascope", card.task, f"{len(axes)}d", card.architecture.name],
        "version": "1",
        "inputs": [given],
        "outputs": [tensor("output", same)],
        "weights": {
            "pytorch_state_dict": {
                "source": "weights.pt",
                "sha256": sha256["weights.pt"],
                "architecture": {
                    "import_from": plain.__module__,
                    "callable": plain.__name__,
                    "kwargs": dict(card.architecture.arguments),
                },
                "pytorch_version": torch.__version__.split("+")[0],
            }
        },
    }
