"""Networks of pictures, volumes and amounts as ONNX, for programs that run such files."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.core.card import ModelCard
from vitascope.core.errors import ModelError, ParameterError
from vitascope.engine.load import load_model
from vitascope.io.models import find_model
from vitascope.io.weights import write_bytes

SUFFIX = ".onnx"
CARD_KEY = "vitascope-card"
ANSWERS = {"unet": "image", "unet3d": "image", "ins_atp": "value", "nvir": "value"}
"""What a network's file answers, by name of the network."""

TRACED = 4

__all__ = ["export_onnx"]


class AnswerOf(nn.Module):
    """A network that gives one of its answers only.

    Parameters
    ----------
    network : nn.Module
    answer : str
        Field of its output.
    """

    def __init__(self, network: nn.Module, answer: str) -> None:
        super().__init__()
        self.network, self.answer = network, answer

    def forward(self, x: Tensor) -> Tensor:
        """Return the answer to an input (B, C, ...)."""
        found: Tensor = getattr(self.network(x), self.answer)
        return found


def export_onnx(model: str, out: Path) -> Path:
    """Write the network of a model as ONNX; its metadata hold the card, with what pictures must be prepared by.

    The input ``input`` is (B, C, Y, X), or (B, C, Z, Y, X) for volumes, in the units of the card's normalisation; sides
    are multiples of the network's; the output ``image`` has the same sides. Of models of amounts the input is the
    square that was found and cut out, its side that of the card, and the output ``value`` is (B, 1).

    Parameters
    ----------
    model : str
        Id, or path of a card.
    out : Path
        A folder, or the file to write; never an existing file.

    Raises
    ------
    ModelError
        If the model tells classes, or the extra ``onnx`` is not installed.
    ParameterError
        If the file exists.
    """
    card, _ = find_model(model)
    if card.architecture.name not in ANSWERS:
        raise ModelError(
            f"'{card.id}' tells classes, which are read from its network by our own code.",
            "Give it away as one file of ours (.vitascope).",
        )
    if importlib.util.find_spec("onnxscript") is None:
        raise ModelError("ONNX cannot be written here.", "Install the extra: pip install 'vitascope[onnx]'.")
    path = out / f"{card.id}{SUFFIX}" if out.is_dir() else out
    if path.exists():
        raise ParameterError(f"{path.name} exists already.", "Choose another name.")
    write_bytes(path, _translate(card, model))
    return path


def _translate(card: ModelCard, model: str) -> bytes:
    loaded = load_model(model, card.task)
    answer = ANSWERS[card.architecture.name]
    fixed = card.input.side_px if answer == "value" else None
    sides = [fixed or TRACED * step for step in loaded.family.multiple]
    free = {axis: torch.export.Dim.DYNAMIC for axis in (0, *(() if fixed else range(2, 2 + len(sides))))}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it tells of operators of packages that are not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own internals
            program: Any = torch.onnx.export(
                AnswerOf(loaded.network, answer).eval(),
                (torch.zeros(2, card.network_channels, *sides),),
                dynamo=True,
                input_names=["input"],
                output_names=[answer],
                dynamic_shapes=(free,),
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    program.model.metadata_props[CARD_KEY] = card.model_dump_json()
    found: bytes = program.model_proto.SerializeToString()
    return found
