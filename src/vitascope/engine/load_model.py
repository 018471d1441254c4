"""Build a network of ours from its card and fill it with checked weights."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.core.card import Architecture, InputSpec, ModelCard, Target
from vitascope.core.errors import ModelError, describe
from vitascope.io.models.cards import find_model
from vitascope.io.models.weights import read_weights
from vitascope.networks import ins_atp, mil_cnn, resnet, unet, unet3d


@dataclass(frozen=True)
class ArchitectureInfo:
    """A kind of network: how it is built, and how far it sees.

    Parameters
    ----------
    build : type of nn.Module
        Called with the card's arguments.
    halo_px : int
        Reach of an output pixel, from an edge on a multiple; of a 3-D network across.
    multiple_px : int
        Sides of the input are multiples of this; of a 3-D network across.
    per : str
        Argument of the network that both of them scale with; empty for none.
    halo_z, multiple_z : int
        The same along z; 0 for networks of pictures.
    fitted : tuple of str
        Arguments that are fitted to a data set, such as its range: fine-tuning may change them.
    encoder : str
        The part that sees the image, whose first blocks can be frozen.
    """

    build: type[nn.Module]
    halo_px: int
    multiple_px: int
    per: str = ""
    halo_z: int = 0
    multiple_z: int = 0
    fitted: tuple[str, ...] = ()
    encoder: str = "encoder"

    @property
    def halo(self) -> tuple[int, ...]:
        """Reach along each axis, (z,) y, x."""
        return (self.halo_z,) * self.is_3d + (self.halo_px, self.halo_px)

    @property
    def multiple(self) -> tuple[int, ...]:
        """What sides are multiples of, along each axis, (z,) y, x."""
        return (self.multiple_z,) * self.is_3d + (self.multiple_px, self.multiple_px)

    @property
    def is_3d(self) -> bool:
        """Whether the network takes volumes."""
        return self.multiple_z > 0


FAMILIES = {
    "unet": ArchitectureInfo(build=unet.UNet, halo_px=unet.HALO_PX, multiple_px=unet.MULTIPLE_PX),
    "unet3d": ArchitectureInfo(
        build=unet3d.UNet3d,
        halo_px=unet3d.HALO_ZYX[1],
        multiple_px=unet3d.MULTIPLE_ZYX[1],
        halo_z=unet3d.HALO_ZYX[0],
        multiple_z=unet3d.MULTIPLE_ZYX[0],
    ),
    "mil_cnn": ArchitectureInfo(
        build=mil_cnn.MilCnn,
        halo_px=mil_cnn.HALO_PX,
        multiple_px=mil_cnn.MULTIPLE_PX,
        per="stride0",
        encoder="features",
    ),
    "nvir": ArchitectureInfo(build=resnet.Nvir, halo_px=0, multiple_px=resnet.STRIDE, encoder="trunk"),
    "ins_atp": ArchitectureInfo(
        build=ins_atp.InsAtp, halo_px=0, multiple_px=16, fitted=("bin_width", "top"), encoder="extractor"
    ),
}


@dataclass(frozen=True)
class LoadedModel:
    """A card with its network, in evaluation mode, float32, on the CPU."""

    card: ModelCard
    network: nn.Module
    family: ArchitectureInfo


_KEPT = 4
_LOADING = threading.Lock()
_loaded: OrderedDict[str, LoadedModel] = OrderedDict()


def load_model(model: str, task: str) -> LoadedModel:
    """Find, check and load a model; the last few stay in memory, known by their SHA-256.

    Parameters
    ----------
    model : str
        Id, or path of a card.
    task : str

    Raises
    ------
    ParameterError
        If there is no such model.
    ModelError
        If card or weights are broken, altered, or do not fit each other.
    """
    card, weights = find_model(model, task)
    key = card.model_dump_json()
    with _LOADING:
        if key not in _loaded:
            _loaded[key] = load_files(card, weights)
            while len(_loaded) > _KEPT:
                _loaded.popitem(last=False)
        _loaded.move_to_end(key)
        return _loaded[key]


def load_files(card: ModelCard, weights: Path) -> LoadedModel:
    """Load a network from a card and the file of its weights, every check made.

    Names and shapes are compared with those of a network without memory first, so that a card cannot ask for more than
    its weights hold.

    Raises
    ------
    ModelError
        If card and weights are broken, altered, or do not fit each other.
    """
    check_channels(card.architecture, card.input, card.targets)
    tensors = read_weights(weights, card.weights.sha256)
    with torch.device("meta"):
        check_tensors(build_network(card.architecture), tensors, card.id)
    network = build_network(card.architecture)
    fill(network, tensors)
    network.eval()
    network.requires_grad_(False)
    return LoadedModel(card, network, find_family(card.architecture))


def find_family(architecture: Architecture) -> ArchitectureInfo:
    """Return the kind of network an architecture is of.

    Raises
    ------
    ModelError
        If there is none of this name.
    """
    if architecture.name not in FAMILIES:
        raise ModelError(
            f"The architecture '{architecture.name}' is not known.",
            f"This version knows {', '.join(FAMILIES)}; a newer vitascope may know more.",
        )
    family = FAMILIES[architecture.name]
    factor = architecture.arguments.get(family.per, 1)
    if not family.per or not isinstance(factor, int) or factor < 1:  # what cannot be is refused when it is built
        return family
    return replace(family, halo_px=family.halo_px * factor, multiple_px=family.multiple_px * factor)


def build_network(architecture: Architecture) -> nn.Module:
    """Build a network of ours by name.

    Raises
    ------
    ModelError
        If there is no such architecture, or it does not take these arguments.
    """
    family = find_family(architecture)
    try:
        return family.build(**architecture.arguments)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
        raise ModelError(
            f"The architecture '{architecture.name}' does not take the arguments {architecture.arguments}: "
            f"{describe(error)}."
        ) from error


def check_channels(architecture: Architecture, given: InputSpec, targets: Sequence[Target]) -> None:
    """Check that a network takes and gives as many pictures as card or recipe say.

    Raises
    ------
    ModelError
    """
    wanted = {"in_channels": given.planes * len(given.channels), "out_channels": len(targets)}
    for name, count in wanted.items():
        built = architecture.arguments.get(name, 1)
        if built != count:
            raise ModelError(
                f"The network is built with {name} = {built}, but its {given.planes} plane(s) of "
                f"{len(given.channels)} channel(s) and {len(targets)} target(s) want {count}.",
                "Put the network's arguments right.",
            )


def check_tensors(network: nn.Module, tensors: Mapping[str, NDArray[Any]], name: str) -> None:
    """Check that tensors match those of a network exactly, by name and shape.

    Raises
    ------
    ModelError
        Naming up to three tensors that are missing, left over or of another shape.
    """
    wanted = _weights(network)
    complaints = [
        (what, sorted(keys))
        for what, keys in (
            ("missing", set(wanted) - set(tensors)),
            ("not expected", set(tensors) - set(wanted)),
            ("of another shape", {k for k in set(wanted) & set(tensors) if wanted[k].shape != tensors[k].shape}),
        )
        if keys
    ]
    if complaints:
        told = "; ".join(f"{what}: {', '.join(keys[:3])}{'…' if len(keys) > 3 else ''}" for what, keys in complaints)
        raise ModelError(
            f"The weights of {name} do not fit its architecture ({told}).",
            "Card and weights belong to different models; ask for both again.",
        )


def fill(network: nn.Module, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Copy tensors into a network whose names and shapes they match, see :func:`check_tensors`."""
    wanted = _weights(network)
    with torch.no_grad():
        for key, tensor in tensors.items():
            wanted[key].copy_(torch.from_numpy(tensor.astype("float32")))


def export_tensors(network: nn.Module, dtype: str = "float16") -> dict[str, NDArray[Any]]:
    """Return a network's weights as arrays of ``dtype``, ready for :func:`vitascope.io.models.weights.write_weights`.

    Running variances stay float32: they may be tiny.
    """
    return {
        key: value.detach().cpu().numpy().astype("float32" if "running" in key else dtype)
        for key, value in _weights(network).items()
    }


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """Return what a file of weights holds; how many batches were seen in training is no part of a model."""
    return {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
