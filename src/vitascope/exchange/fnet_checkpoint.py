"""Checkpoints of the public implementation of Ounkomol 2018 (fnet), pictures and volumes, made into ONNX to be run.

Nothing in a checkpoint is executed. The layout is written from the paper and the names of the public implementation; it
is tested on random weights.
"""

from __future__ import annotations

from pathlib import Path

from vitascope.core.errors import ModelError, describe
from vitascope.engine.load_model import check_tensors, fill
from vitascope.exchange.onnx_export import can_write, trace
from vitascope.exchange.state_dict_import import read_state_dict
from vitascope.networks.fnet import MOST_LEVELS
from vitascope.networks.single_output import PlainFNet, PlainFNet3d

FIRST, LAST = "net_recurse.sub_2conv_more.conv1.weight", "conv_out.weight"
PREFIX = "module."
"""Before each name where several graphics cards were trained on."""

TOLD = "Read from a checkpoint of fnet ({}-D, {} filters): the layout was tested on random weights only."


def translate_checkpoint(path: Path) -> tuple[bytes, str]:
    """Return the network of a checkpoint as the bytes of an ONNX file, and what is to be said of it.

    Raises
    ------
    ModelError
        If the file holds no plain weights, or those of another network, or the extra ``onnx`` is not installed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {describe(error)}.", "Check the path.") from error
    tensors = {name.removeprefix(PREFIX): values for name, values in read_state_dict(data, path.name).items()}
    if FIRST not in tensors or LAST not in tensors or tensors[FIRST].ndim not in (4, 5):
        raise ModelError(
            f"{path.name} holds weights of a network that is not known here: only fnet's are told by their names.",
            "Export the network as ONNX (torch.onnx.export), or say whose network it has (--like MODEL).",
        )
    if FIRST.replace("net_recurse.", "net_recurse." + "sub_u." * (MOST_LEVELS + 1)) in tensors:
        raise ModelError(f"{path.name} has more levels than the {MOST_LEVELS} of fnet.", "Export it as ONNX.")
    if not can_write():
        raise ModelError(
            f"{path.name} is made into ONNX first, which cannot be written here.",
            "Install the extra: pip install 'vitascope[onnx]'.",
        )
    dims = tensors[FIRST].ndim - 2
    filters, channels = tensors[FIRST].shape[:2]
    network = (PlainFNet if dims == 2 else PlainFNet3d)(channels, tensors[LAST].shape[0], filters)
    check_tensors(network, tensors, path.name)
    fill(network, tensors)
    shape = (2, channels, *((32,) * dims))
    program = trace(network.eval(), shape, ("image",), range(2, len(shape)))
    found: bytes = program.model_proto.SerializeToString()
    return found, TOLD.format(dims, filters)
