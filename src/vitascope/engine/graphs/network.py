"""One network of another program on the processor: pictures (C, D, h, w) in, pictures (K, D, h, w) out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.graph_spec import GraphSpec
from vitascope.engine.graphs.steady_sums import steady
from vitascope.engine.openvino_backend import compile_graph, is_memory_error, read_graph

CANONICAL = "czyx"
Array = NDArray[np.float32]


def to_axes(x: Array, axes: str, dtype: str = "float32") -> NDArray[Any]:
    """Bring a window (C, D, h, w) into the axes of a graph's input.

    Raises
    ------
    ValueError
        If it has several of an axis that the graph has not.

    Examples
    --------
    >>> to_axes(np.zeros((1, 5, 8, 6), np.float32), "bzyx").shape
    (1, 5, 8, 6)
    """
    left_out = [n for n, letter in enumerate(CANONICAL) if letter not in axes]
    kept = [letter for letter in CANONICAL if letter in axes]
    moved = np.squeeze(x, tuple(left_out)).transpose([kept.index(a) for a in axes if a != "b"])
    if "b" in axes:
        moved = np.expand_dims(moved, axes.index("b"))
    return np.ascontiguousarray(moved, dtype)


def from_axes(y: NDArray[Any], axes: str) -> Array:
    """Bring an answer of a graph to (K, D, h, w) float32.

    Examples
    --------
    >>> from_axes(np.zeros((1, 2, 8, 6)), "bcyx").shape
    (2, 1, 8, 6)
    """
    if "b" in axes:
        y = np.take(y, 0, axis=axes.index("b"))
        axes = axes.replace("b", "")
    y = y.transpose([axes.index(letter) for letter in CANONICAL if letter in axes])
    for n, letter in enumerate(CANONICAL):
        if letter not in axes:
            y = np.expand_dims(y, n)
    return np.asarray(y, np.float32)


class GraphNetwork:
    """A graph compiled for the shapes that are asked for; the last few stay ready.

    Parameters
    ----------
    data : bytes
        Of an ONNX file that passed :func:`vitascope.io.models.onnx_file.check_onnx` and a trial.
    name : str
        Of its input.
    axes : str
        Of its input.
    threads : int, >= 1
    dtype : str
        Of its input.
    device : str
        ``cpu``, or ``gpu`` for a graphics card of Intel.
    """

    _kept_shapes = 4

    def __init__(
        self, data: bytes, name: str, axes: str, threads: int, dtype: str = "float32", device: str = "cpu"
    ) -> None:
        self._model, self._name, self._axes = read_graph(data), name, axes
        self._threads, self._dtype, self._device = threads, dtype, device
        self._ready: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def answers(self, x: Array) -> dict[str, NDArray[Any]]:
        """Return what the graph answers to one window (C, D, h, w), by the names of its outputs, as it is.

        Raises
        ------
        MemoryError
            If memory does not suffice.
        RuntimeError
            If the graph does not take this shape.
        """
        return self.answers_to(to_axes(x, self._axes, self._dtype))

    def answers_to(self, given: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return what the graph answers to an array in its own axes, by the names of its outputs, as it is.

        Raises
        ------
        MemoryError
            If memory does not suffice.
        RuntimeError
            If the graph does not take this shape.
        """
        try:
            if given.shape not in self._ready:
                while len(self._ready) >= self._kept_shapes:
                    self._ready.popitem(last=False)
                self._ready[given.shape] = compile_graph(
                    self._model, self._name, given.shape, self._threads, self._device, steady
                )
            compiled = self._ready[given.shape]
            answer = compiled([given])
        except RuntimeError as error:
            if is_memory_error(error):
                raise MemoryError(str(error)) from error
            raise
        return {name: np.array(answer[port]) for port in compiled.outputs for name in port.get_names()}

    def pictures(self, x: Array, outputs: Sequence[tuple[str, str]]) -> Array:
        """Return the answers that are pictures, one after another, (K, D, h, w) float32, unscaled.

        Parameters
        ----------
        x : array, shape (C, D, h, w), float32
        outputs : sequence of (str, str)
            Names and axes.
        """
        return pictures_of(self.answers(x), outputs)


def pictures_of(found: Mapping[str, NDArray[Any]], outputs: Sequence[tuple[str, str]]) -> Array:
    """Put answers that are pictures one after another, (K, D, h, w) float32."""
    return np.concatenate([from_axes(found[name], axes) for name, axes in outputs])


def open_network(data: bytes, spec: GraphSpec, threads: int, device: str = "cpu") -> GraphNetwork:
    """Open a graph as its card says."""
    return GraphNetwork(data, spec.input, spec.axes, threads, spec.dtype, device)


def output_axes(spec: GraphSpec) -> list[tuple[str, str]]:
    """Return names and axes of the answers that are pictures."""
    return [(output.name, output.axes) for output in spec.outputs]
