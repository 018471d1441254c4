"""Networks as ONNX, for programs that run such files."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError
from vitascope.engine.load_model import load_model
from vitascope.io.atomic import write_bytes
from vitascope.io.models.archive import new_file
from vitascope.io.models.cards import find_model
from vitascope.io.models.onnx_file import read_onnx_bytes
from vitascope.networks.mil_cnn import MilCnn

SUFFIX = ".onnx"
CARD_KEY = "vitascope-card"
ANSWERS = {
    "unet": ("image",),
    "fnet": ("image",),
    "unet3d": ("image",),
    "ins_atp": ("value",),
    "nvir": ("value",),
    "mil_cnn": ("probabilities", "instances"),
}
"""What a network's file answers, by name of the network; see :func:`answers_of`."""

OWN = "network."
"""What stands before the names of our tensors in our files."""

TRACED = 4
FLOAT32 = 1  # of onnx.TensorProto

__all__ = ["export_onnx"]


class AnswerOf(nn.Module):
    """A network that gives some of its answers only.

    Parameters
    ----------
    network : nn.Module
    names : sequence of str
        Of :func:`answers_of`.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the answers to an input (B, C, ...)."""
        found = answers_of(self.network, self.network(x))
        return tuple(found[name] for name in self.names)


def answers_of(network: nn.Module, output: Any) -> dict[str, Tensor]:
    """Return all that a network's output tells, by name.

    Of a network of classes these are also ``probabilities`` of the last layer, (B, K), and those of the ``instances``,
    (B, K, h, w).
    """
    found = {name: value for name, value in output._asdict().items() if isinstance(value, Tensor)}
    if isinstance(network, MilCnn):
        found["probabilities"] = network.probabilities(output.scores)
        found["instances"] = torch.sigmoid(output.logits)
    return found


def export_onnx(model: str, out: Path) -> Path:
    """Write the network of a model as ONNX; its metadata hold the card, with what pictures must be prepared by.

    The input ``input`` is (B, C, Y, X), or (B, C, Z, Y, X) for volumes, in the units of the card's normalisation; sides
    are multiples of the network's; the output ``image`` has the same sides. Of models of amounts the input is the
    square that was found and cut out, its side that of the card, and the output ``value`` is (B, 1). Of models of
    classes all instances count: the outputs are ``probabilities`` (B, K) and those of the ``instances``, (B, K, h, w).
    All tensors keep their names and values, so that :func:`vitascope.exchange.onnx_import.import_onnx` gives the model
    back as it was.

    Parameters
    ----------
    model : str
        Id, or path of a card.
    out : Path
        A folder, or the file to write; never an existing file.

    Raises
    ------
    ModelError
        If the extra ``onnx`` is not installed.
    ParameterError
        If the file exists.
    """
    card, weights = find_model(model)
    if card.graph is not None:  # it is one already
        path = new_file(out, f"{card.id}{SUFFIX}")
        write_bytes(path, read_onnx_bytes(weights))
        return path
    if not can_write():
        raise ModelError("ONNX cannot be written here.", "Install the extra: pip install 'vitascope[onnx]'.")
    path = new_file(out, f"{card.id}{SUFFIX}")
    write_bytes(path, translate(card, model))
    return path


def can_write() -> bool:
    """Tell whether the extra that writes ONNX is installed."""
    return importlib.util.find_spec("onnxscript") is not None


def translate(card: ModelCard, model: str) -> bytes:
    """Return the network of a model as the bytes of an ONNX file, see :func:`export_onnx`."""
    loaded = load_model(model, card.task)
    names = ANSWERS[card.architecture.name]
    fixed = card.input.side_px if names == ("value",) else None
    sides = [fixed or TRACED * step for step in loaded.family.multiple]
    shape = (2, card.network_channels, *sides)
    program = trace(AnswerOf(loaded.network, names).eval(), shape, names, range(2, 2 if fixed else len(shape)))
    program.model.metadata_props[CARD_KEY] = card.model_dump_json()
    proto = program.model_proto
    held = {tensor.name for tensor in proto.graph.initializer}
    for name, value in loaded.network.state_dict().items():
        if OWN + name not in held and not name.endswith("num_batches_tracked"):  # no answer needs it, the model does
            tensor = proto.graph.initializer.add(name=OWN + name, dims=value.shape, data_type=FLOAT32)
            tensor.raw_data = value.numpy().astype("<f4").tobytes()
    found: bytes = proto.SerializeToString()
    return found


def trace(network: nn.Module, shape: Sequence[int], names: Sequence[str], free: Sequence[int]) -> Any:
    """Return a network as a program of ONNX.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    shape : sequence of int
        Of a batch of two.
    names : sequence of str
        Of its answers.
    free : sequence of int
        Axes of any length, besides that of the batch.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it tells of operators of packages that are not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own internals
            program: Any = torch.onnx.export(
                network,
                (torch.zeros(*shape),),
                dynamo=True,
                input_names=["input"],
                output_names=list(names),
                dynamic_shapes=({axis: torch.export.Dim.DYNAMIC for axis in (0, *free)},),
                verbose=False,
                optimize=False,  # it would fold batch normalisation into weights, for good
            )
            _tidy(program.model)
    finally:
        logger.setLevel(level)
    return program


def _tidy(graph: Any) -> None:
    """Take out what tracing leaves behind, such as products with 1; nothing that touches a weight."""
    from onnxscript import optimizer, rewriter
    from onnxscript.rewriter.rules.common import mul_by_1_rule

    optimizer.fold_constants(graph)
    rewriter.rewrite(graph, [*mul_by_1_rule.commute()])
    optimizer.remove_unused_nodes(graph)
