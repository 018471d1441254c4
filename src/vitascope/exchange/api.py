"""Models to and from other programs: what the command and the dock ask for."""

from __future__ import annotations

from pathlib import Path

from vitascope.core.card import ModelCard
from vitascope.core.errors import ParameterError
from vitascope.exchange.bioimageio_export import export_bioimageio
from vitascope.exchange.bioimageio_import import import_bioimageio
from vitascope.exchange.onnx_export import CARD_KEY, export_onnx
from vitascope.exchange.onnx_import import import_onnx
from vitascope.exchange.state_dict_import import import_weights
from vitascope.exchange.tensorboard import write_events
from vitascope.io.models.onnx_file import check_onnx, read_onnx_bytes

__all__ = [
    "export_bioimageio",
    "export_onnx",
    "import_bioimageio",
    "import_foreign",
    "import_onnx",
    "import_weights",
    "write_events",
]


def import_foreign(path: Path, like: str = "", name: str = "") -> ModelCard:
    """Add a model from a file that is not of our own format, by the kind of the file.

    Parameters
    ----------
    path : Path
        A bioimage.io package (``.zip``), a network (``.onnx``), or weights (``.pt``, ``.pth``, ``.safetensors``).
    like : str
        Model whose network and preparation it has; empty where the file was made by vitascope.
    name : str
        Of the new model; empty for that in the file.

    Raises
    ------
    ModelError
        If the file cannot be read, or does not fit.
    ParameterError
        If a name or the network is missing, or the name is taken.
    """
    if path.suffix == ".zip":
        return import_bioimageio(path, name, like)
    if path.suffix == ".onnx":
        if not like and CARD_KEY not in check_onnx(read_onnx_bytes(path), path.name, own_operators=True).metadata:
            raise ParameterError(
                f"{path.name} does not say which network of ours it has.",
                "Say whose network it has (--like MODEL), or run it as it is (--task TASK); name it (--name NAME).",
            )
        return import_onnx(path, like, name)
    if not like or not name:
        raise ParameterError(
            "Weights alone do not say which network they are for.",
            "Say whose network it has (--like MODEL), and give it a name (--name NAME).",
        )
    return import_weights(path, like, name)
