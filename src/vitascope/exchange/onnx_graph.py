"""ONNX files as far as weights go: tensors by name, and the layers that hold them, in the order of the graph.

Nothing in a file is executed here, and no other file is opened: weights that lie beside it are refused.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import ModelError, describe
from vitascope.io.models.onnx_file import check_onnx
from vitascope.io.models.weights import MAX_BYTES

Array = NDArray[Any]

ONE_FILE = "Save it as one file (onnx.save with save_as_external_data=False)."


@dataclass(frozen=True, eq=False)
class Norm:
    """A batch normalisation: gain, offset, running mean and variance, (F,) each, and what is added to the variance."""

    weight: Array
    bias: Array
    mean: Array
    var: Array
    eps: float


@dataclass(eq=False)
class Layer:
    """A convolution or a fully connected layer of a file.

    Parameters
    ----------
    name : str
        Of the tensor of weights.
    kind : {"convolution", "transposed convolution"}
        A fully connected layer is a convolution of one place.
    weight : array
        As torch has it: (out, in, ...), of transposed convolutions (in, out, ...).
    bias : array, shape (out,), or None
    norm : Norm or None
        Batch normalisation right behind it.
    """

    name: str
    kind: str
    weight: Array
    bias: Array | None = None
    norm: Norm | None = None


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """What an ONNX file holds.

    Parameters
    ----------
    name : str
    data : bytes
    metadata : dict of str to str
    tensors : dict of str to array
    layers : list of Layer
        Each once, however often it is used.
    inputs : dict of str to tuple
        Sides of each input; None where they are free.
    """

    name: str
    data: bytes
    metadata: dict[str, str]
    tensors: dict[str, Array]
    layers: list[Layer]
    inputs: dict[str, tuple[int | None, ...]]


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file.

    Raises
    ------
    ModelError
        If the extra ``onnx`` is not installed, or the file cannot be read, is too large, no ONNX, or has weights in
        other files.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path.name} is larger than 4 GiB.", "Models of up to 4 GiB are read.")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {describe(error)}.", "Check the path.") from error
    return parse_onnx(data, path.name)


def parse_onnx(data: bytes, name: str) -> OnnxFile:
    """Read the bytes of an ONNX file, see :func:`read_onnx`."""
    if importlib.util.find_spec("onnx") is None:
        raise ModelError("ONNX cannot be read here.", "Install the extra: pip install 'vitascope[onnx]'.")
    import onnx
    from onnx import inliner

    check_onnx(data, name, own_operators=True)
    try:
        model = onnx.load_model_from_string(data)
        if not model.graph.node:
            raise ValueError("it has no graph")
        _refuse_other_files(model, name)
        if model.functions:
            model = inliner.inline_local_functions(model)
        onnx.checker.check_model(model)
        graph = _Graph(model.graph)
    except ModelError:
        raise
    except Exception as error:  # protobuf, checker and numpy have types of their own
        raise ModelError(f"{name} is no sound ONNX file: {describe(error)}.", "Ask for the file again.") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return OnnxFile(
        name=name, data=data, metadata=metadata, tensors=graph.tensors, layers=graph.layers(), inputs=graph.inputs()
    )


def _refuse_other_files(model: Any, name: str) -> None:
    """Refuse tensors that lie in other files, wherever in the model they are named."""
    from onnx import AttributeProto, TensorProto

    def tensors(graph: Any) -> Any:
        yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.type == AttributeProto.TENSOR:
                    yield attribute.t
                for inner in (*attribute.graphs, *([attribute.g] if attribute.type == AttributeProto.GRAPH else [])):
                    yield from tensors(inner)
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)

    parts = [model.graph, *(_FunctionBody(f) for f in model.functions)]
    if any(t.data_location == TensorProto.EXTERNAL for part in parts for t in tensors(part)):
        raise ModelError(f"The weights of {name} lie in other files beside it, which are not opened.", ONE_FILE)


class _FunctionBody:
    """A function of a model seen as a graph without tensors of its own."""

    initializer: tuple[Any, ...] = ()
    sparse_initializer: tuple[Any, ...] = ()

    def __init__(self, function: Any) -> None:
        self.node = function.node


@dataclass(eq=False)
class _Graph:
    """The nodes of a graph, and what is constant in it."""

    graph: Any
    tensors: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from onnx import numpy_helper

        self.tensors = {t.name: numpy_helper.to_array(t) for t in self.graph.initializer}
        self._constants: dict[str, Array] = dict(self.tensors)
        self._names = {name: name for name in self.tensors}
        self._users: dict[str, list[Any]] = {}
        for node in self.graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
            self._follow(node)

    def inputs(self) -> dict[str, tuple[int | None, ...]]:
        """Return the inputs that are no tensors of the file."""
        return {
            value.name: tuple(
                d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None
                for d in value.type.tensor_type.shape.dim
            )
            for value in self.graph.input
            if value.name not in self.tensors
        }

    def _follow(self, node: Any) -> None:
        """Keep what a node makes of constants alone, where exporters put such nodes before a layer."""
        from onnx import numpy_helper

        attributes = _attributes(node)
        if node.op_type == "Constant" and "value" in attributes:
            self._constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            self._names[node.output[0]] = node.output[0]
            return
        if node.op_type not in ("Identity", "Transpose", "Cast", "CastLike") or node.input[0] not in self._constants:
            return
        value = self._constants[node.input[0]]
        if node.op_type == "Transpose":
            value = np.transpose(value, attributes.get("perm"))
        self._constants[node.output[0]] = value
        self._names[node.output[0]] = self._names[node.input[0]]

    def layers(self) -> list[Layer]:
        """Return convolutions and fully connected layers in the order of the graph, each tensor of weights once."""
        found: dict[str, Layer] = {}
        behind: dict[str, Layer] = {}
        for node in self.graph.node:
            if node.op_type == "BatchNormalization" and node.input[0] in behind:
                layer = behind[node.input[0]]
                layer.norm = layer.norm or self._norm(node)
                continue
            made = self._layer(node)
            if made is None:
                continue
            layer = found.setdefault(made.name, made)
            output = node.output[0]
            if layer.bias is None:
                layer.bias, output = self._added(output, layer)
            elif made.bias is None:
                _, output = self._added(output, layer)
            behind[output] = layer
        return list(found.values())

    def _layer(self, node: Any) -> Layer | None:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or len(node.input) < 2:
            return None
        weight = self._constants.get(node.input[1])
        if weight is None:
            return None
        bias = self._constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        weight = weight.astype(np.float32)
        attributes = _attributes(node)
        if node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes.get("transB", 0)):
            weight = weight.T
        if node.op_type == "Gemm":
            weight = weight * np.float32(attributes.get("alpha", 1.0))
            bias = None if bias is None else bias * attributes.get("beta", 1.0)
        kind = "transposed convolution" if node.op_type == "ConvTranspose" else "convolution"
        bias = None if bias is None else bias.astype(np.float32).ravel()
        return Layer(self._names[node.input[1]], kind, weight, bias)

    def _added(self, output: str, layer: Layer) -> tuple[Array | None, str]:
        """Return what is added right behind a layer without a bias, one number for each of its outputs."""
        users = self._users.get(output, [])
        if len(users) != 1 or users[0].op_type != "Add":
            return None, output
        other = next((n for n in users[0].input if n != output), "")
        value = self._constants.get(other)
        filters = layer.weight.shape[1 if layer.kind.startswith("trans") else 0]
        if value is None or value.size != filters or max(value.shape, default=1) != filters:
            return None, output
        return value.astype(np.float32).ravel(), users[0].output[0]

    def _norm(self, node: Any) -> Norm | None:
        parts = [self._constants.get(name) for name in node.input[1:5]]
        if any(p is None for p in parts):
            return None
        weight, bias, mean, var = (np.asarray(p, np.float32) for p in parts)
        return Norm(weight, bias, mean, var, float(_attributes(node).get("epsilon", 1e-5)))


def _attributes(node: Any) -> Mapping[str, Any]:
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}
