"""Build a network of ours from its card and fill it with checked weights.

Importing torch takes longer than most runs: it is loaded when a network is built, and none is where what was compiled
of it before lies in the cache folder.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from vitascope.core.card import Architecture, InputSpec, ModelCard, Target
from vitascope.core.errors import ModelError, describe
from vitascope.core.graph_spec import GraphSpec
from vitascope.core.late_import import import_late
from vitascope.engine.deferred_network import DeferredNetwork, network_key
from vitascope.engine.graphs.source import GraphSource
from vitascope.engine.graphs.trial import make_sure
from vitascope.io.models.cards import find_model
from vitascope.io.models.onnx_file import check_onnx, read_onnx_bytes
from vitascope.io.models.weights import read_weights, sha256_of_bytes
from vitascope.networks import reach

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ArchitectureInfo:
    """A kind of network: how it is built, and how far it sees.

    Parameters
    ----------
    network : str
        Module and class of the network, which is called with the card's arguments.
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

    network: str
    halo_px: int
    multiple_px: int
    per: str = ""
    halo_z: int = 0
    multiple_z: int = 0
    fitted: tuple[str, ...] = ()
    encoder: str = "encoder"

    @property
    def name(self) -> str:
        """Name of the network's class."""
        return self.network.partition(":")[2]

    def build(self, **arguments: Any) -> nn.Module:
        """Build the network, with weights to start training from."""
        network: nn.Module = getattr(import_late(self.network.partition(":")[0], ModuleType), self.name)(**arguments)
        return network

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
    "unet": ArchitectureInfo(
        network="vitascope.networks.unet:UNet", halo_px=reach.UNET.halo_px, multiple_px=reach.UNET.multiple_px
    ),
    "fnet": ArchitectureInfo(
        network="vitascope.networks.fnet:FNet",
        halo_px=reach.FNET.halo_px,
        multiple_px=reach.FNET.multiple_px,
        encoder="net_recurse",
    ),
    "unet3d": ArchitectureInfo(
        network="vitascope.networks.unet3d:UNet3d",
        halo_px=reach.UNET3D.halo_px,
        multiple_px=reach.UNET3D.multiple_px,
        halo_z=reach.UNET3D.halo_z,
        multiple_z=reach.UNET3D.multiple_z,
    ),
    "mil_cnn": ArchitectureInfo(
        network="vitascope.networks.mil_cnn:MilCnn",
        halo_px=reach.MIL_CNN.halo_px,
        multiple_px=reach.MIL_CNN.multiple_px,
        per="stride0",
        encoder="features",
    ),
    "nvir": ArchitectureInfo(
        network="vitascope.networks.resnet:Nvir", halo_px=0, multiple_px=reach.RESNET.multiple_px, encoder="trunk"
    ),
    "ins_atp": ArchitectureInfo(
        network="vitascope.networks.ins_atp:InsAtp",
        halo_px=0,
        multiple_px=16,
        fitted=("bin_width", "top"),
        encoder="extractor",
    ),
}


@dataclass(frozen=True)
class LoadedModel:
    """A card with its network, in evaluation mode, float32, on the CPU.

    Parameters
    ----------
    card : ModelCard
    source : nn.Module, DeferredNetwork or GraphSource
        The network, what builds it when it is first wanted, or one of another program.
    family : ArchitectureInfo
    """

    card: ModelCard
    source: nn.Module | DeferredNetwork | GraphSource
    family: ArchitectureInfo

    @property
    def graph(self) -> GraphSource | None:
        """The network of another program that is run as it is; None for one of ours."""
        return self.source if isinstance(self.source, GraphSource) else None

    @property
    def network(self) -> nn.Module:
        """The network; built now if it was not before.

        Raises
        ------
        ModelError
            If it is one of another program.
        """
        if isinstance(self.source, GraphSource):
            raise ModelError(AS_IT_IS.format(self.card.id), "Choose a model of one of our networks.")
        return self.source.get() if isinstance(self.source, DeferredNetwork) else self.source

    @property
    def network_name(self) -> str:
        """Name of the network's class."""
        return (
            self.source.name if isinstance(self.source, DeferredNetwork | GraphSource) else type(self.source).__name__
        )


GRAPH = "graph"
"""What stands for the architecture of a network of another program."""

AS_IT_IS = "'{}' is a network of another program, run as it is: it cannot be trained on, taken apart or written anew."
"""Said where more is wanted of a graph than its answers."""


COUNTER = "num_batches_tracked"
"""End of the names of what counts training steps, which no file of weights holds."""

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
    its weights hold. A network that passed and was compiled before is built only if something wants more of it.

    Raises
    ------
    ModelError
        If card and weights are broken, altered, or do not fit each other.
    """
    if card.graph is not None:
        return _load_graph(card, weights, card.graph)
    check_channels(card.architecture, card.input, card.targets)
    tensors, family = read_weights(weights, card.weights.sha256), find_family(card.architecture)
    key = network_key(card.weights.sha256, card.architecture.model_dump_json())
    network = DeferredNetwork(key, family.name, partial(_build_filled, card, tensors))
    if not network.is_compiled:
        network.get()
    return LoadedModel(card, network, family)


def _load_graph(card: ModelCard, file: Path, spec: GraphSpec) -> LoadedModel:
    """Check a network of another program, try it in a process of its own where it is new here, and take it as it is."""
    data = read_onnx_bytes(file)
    if sha256_of_bytes(data) != card.weights.sha256:
        raise ModelError(
            f"The network {file.name} is not the one of its card (SHA-256 differs).", "Ask for both again."
        )
    check_onnx(data, file.name)
    make_sure(data, file.name, spec, len(card.input.channels))
    reach = spec.reach or (0, 0, 0)
    family = ArchitectureInfo(
        network="",
        halo_px=max(reach[1:]),
        multiple_px=max(spec.step[1:]),
        multiple_z=spec.step[0] if spec.has_depth else 0,
    )
    return LoadedModel(card, GraphSource(data, spec), family)


def _build_filled(card: ModelCard, tensors: Mapping[str, NDArray[Any]]) -> nn.Module:
    import torch

    with torch.device("meta"):
        network = build_network(card.architecture)
    check_tensors(network, tensors, card.id)
    if all(name.endswith(COUNTER) for name, _ in network.named_buffers() if name not in tensors):
        # Without the start values of training, which take longer to draw than the rest. `to_empty` would do, but it
        # imports a library of symbolic algebra.
        empty = {k: torch.empty(v.shape, dtype=v.dtype) for k, v in network.state_dict().items()}
        for name in (n for n in empty if n.endswith(COUNTER)):
            empty[name].zero_()
        network.load_state_dict(empty, assign=True)
    else:
        network = build_network(card.architecture)
    fill(network, tensors)
    return network.eval().requires_grad_(False)


def find_family(architecture: Architecture) -> ArchitectureInfo:
    """Return the kind of network an architecture is of.

    Raises
    ------
    ModelError
        If there is none of this name.
    """
    if architecture.name == GRAPH:
        raise ModelError(AS_IT_IS.format("The model"), "Choose a model of one of our networks.")
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
    import torch

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
    return {k: v for k, v in network.state_dict().items() if not k.endswith(COUNTER)}
