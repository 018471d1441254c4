"""Networks in whole numbers of 8 bit on the processor: how each convolution rounds, and a graph that rounds so.

A convolution rounds its input to 256 steps and its weights to 255 for each channel that it answers (Jacob et al. 2018).
Channels of the input are first divided by factors that the weights take back, so that no channel is left with a few
steps because another one is wide (Xiao et al. 2023, equation 4 with alpha = 0.5, which shares the widths between input
and weights; cf. Nagel et al. 2019, section 4.1). What rounding does to the mean of each channel that is answered is
measured on pictures and taken away, layer by layer from the first to the last (Nagel et al. 2019, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import RoundedLayer
from vitascope.core.errors import ModelError

FORWARD, BACKWARD = "Convolution", "ConvolutionBackpropData"
"""OpenVINO's names of a convolution and of a transposed one."""

ALPHA = 0.5
EXACT_LAST = 1
"""Convolutions at the end that stay in 32 bit at least: the last one weighs all that is seen, and costs little."""

INPUT_LEVELS, WEIGHT_LEVELS = 256, 255
TINY = 1e-6
LEAST_FACTOR = float(np.finfo(np.float16).smallest_normal)

Array = NDArray[np.float32]
Compile = Callable[[Any], Callable[[Array], list[Array]]]
"""Takes a graph; gives what takes a window (1, C, …) and gives all answers in order."""


def fit_rounding(model: Any, windows: Sequence[Array], operations: Any, compiled: Compile) -> tuple[RoundedLayer, ...]:
    """Find how each convolution of a network is to round, from pictures.

    Parameters
    ----------
    model : openvino.Model
        Of float32; left as it is.
    windows : sequence of array, each (1, C, h, w) or (1, C, d, h, w), float32
        What the network is usually given; of one shape.
    operations : module
        OpenVINO's operations.
    compiled : callable
        Makes a graph ready for windows of this shape.

    Returns
    -------
    tuple of RoundedLayer
        In the order of :func:`convolutions`.
    """
    inputs = _at(model, windows, operations, compiled, lambda c: c.input_value(0), _reach)
    reach = [np.max(found, axis=0) for found in inputs]  # (2, C) of each convolution: how far down and up
    layers = [_layer(c, *r) for c, r in zip(convolutions(model)[:-EXACT_LAST], reach, strict=False)]
    wanted = [np.mean(f, axis=0) for f in _at(model, windows, operations, compiled, lambda c: c.output(0), _mean)]
    for number, mean in enumerate(wanted[:-EXACT_LAST]):
        rounded = round_graph(model, layers[: number + 1], operations)
        found = _at(rounded, windows, operations, compiled, lambda c: c.output(0), _mean, only=number)[0]
        layers[number] = layers[number].model_copy(update={"shift": RoundedLayer.packed(mean - np.mean(found, axis=0))})
    return tuple(layers)


def round_graph(model: Any, layers: Sequence[RoundedLayer], operations: Any) -> Any:
    """Return a copy of a network whose first convolutions round, which OpenVINO computes in 8 bit.

    Parameters
    ----------
    model : openvino.Model
    layers : sequence of RoundedLayer
        Of the first convolutions; the others stay in 32 bit.
    operations : module
        OpenVINO's operations.

    Raises
    ------
    ModelError
        If the layers are not those of this network.
    """
    model = model.clone()
    found = convolutions(model)
    if len(found) < len(layers) + EXACT_LAST:
        raise _other_network()
    for convolution, layer in zip(found, layers, strict=False):
        _round(convolution, layer, operations)
    model.validate_nodes_and_infer_types()
    return model


def convolutions(model: Any) -> list[Any]:
    """Return the convolutions of a graph whose weights are fixed, in the order of computing."""
    fixed = ("Constant", "FakeQuantize")  # the latter once they round
    return [
        op
        for op in model.get_ordered_ops()
        if op.get_type_name() in (FORWARD, BACKWARD) and op.input_value(1).get_node().get_type_name() in fixed
    ]


def _layer(convolution: Any, below: Array, above: Array) -> RoundedLayer:
    weights, axis = _weights(convolution)
    wide = np.maximum(np.maximum(below, above), TINY)
    others = tuple(n for n in range(weights.ndim) if n != axis)
    factors = wide**ALPHA / np.maximum(np.abs(weights).max(axis=others), TINY) ** (1 - ALPHA)
    packed = RoundedLayer.packed(np.maximum(factors / np.exp(np.log(factors).mean()), LEAST_FACTOR))
    factors = RoundedLayer.unpacked(packed)
    low, high = float((below / factors).max()), float((above / factors).max())
    still = RoundedLayer.packed(np.zeros(weights.shape[1 - axis]))
    return RoundedLayer(scale=packed, low=-low, high=max(high, TINY), shift=still)


def _weights(convolution: Any) -> tuple[Array, int]:
    """Return the weights of a convolution, and their axis of input channels."""
    weights = np.asarray(convolution.input_value(1).get_node().data, np.float32)
    return weights, 0 if convolution.get_type_name() == BACKWARD else 1


def _round(convolution: Any, layer: RoundedLayer, ops: Any) -> None:
    weights, axis = _weights(convolution)
    factors, shift = RoundedLayer.unpacked(layer.scale), RoundedLayer.unpacked(layer.shift)
    if len(factors) != weights.shape[axis] or len(shift) != weights.shape[1 - axis]:
        raise _other_network()
    along = [-1 if n == axis else 1 for n in range(weights.ndim)]
    taken_back = weights * factors.reshape(along).astype(np.float32)
    widest = np.abs(taken_back).max(axis=tuple(n for n in range(weights.ndim) if n != 1 - axis), keepdims=True)
    widest = np.maximum(widest, TINY)
    low, high = _with_zero(layer.low, layer.high)
    each = factors.reshape([1, -1, *(1,) * (weights.ndim - 2)])

    def constant(values: Any) -> Any:
        return ops.constant(np.asarray(values, np.float32))

    rounded = ops.fake_quantize(
        convolution.input_value(0),
        *(constant(low * each), constant(high * each), constant(low), constant(high)),
        INPUT_LEVELS,
    )
    ends = (constant(-widest), constant(widest))
    convolution.input(0).replace_source_output(rounded.output(0))
    convolution.input(1).replace_source_output(
        ops.fake_quantize(constant(taken_back), *ends, *ends, WEIGHT_LEVELS).output(0)
    )
    if shift.any():
        users = convolution.output(0).get_target_inputs()
        shifted = ops.add(convolution.output(0), constant(shift.reshape([1, -1, *(1,) * (weights.ndim - 2)])))
        for user in users:
            user.replace_source_output(shifted.output(0))


def _with_zero(low: float, high: float) -> tuple[float, float]:
    """Move the ends of a range a little, so that zero, which convolutions add at the edge, is one of its steps."""
    step = (high - low) / (INPUT_LEVELS - 1)
    below = round(-low / step)
    return -below * step, (INPUT_LEVELS - 1 - below) * step


def _at(
    model: Any,
    windows: Sequence[Array],
    operations: Any,
    compiled: Compile,
    where: Callable[[Any], Any],
    look: Callable[[Array], Array],
    only: int | None = None,
) -> list[list[Array]]:
    """Return what is seen at each convolution of a graph, or at one of them, in each window."""
    model = model.clone()
    found = convolutions(model)
    if only is not None:
        found = [found[only]]
    before = len(model.outputs)
    model.add_results([operations.result(where(c)) for c in found])
    answer = compiled(model)
    seen = [[look(values) for values in answer(x)[before:]] for x in windows]
    return [[one[n] for one in seen] for n in range(len(found))]


def _reach(values: Array) -> Array:
    """Return how far each channel of (1, C, …) reaches below and above zero, (2, C)."""
    flat = values[0].reshape(values.shape[1], -1)
    return np.asarray(np.maximum(np.stack([-flat.min(axis=1), flat.max(axis=1)]), 0), np.float32)


def _mean(values: Array) -> Array:
    """Return the mean of each channel of (1, C, …)."""
    return np.asarray(values[0].reshape(values.shape[1], -1).mean(axis=1, dtype=np.float64), np.float64)


def _other_network() -> ModelError:
    return ModelError(
        "How the model rounds to 8 bit was found for another network.",
        "Run it with --precision f32, or have it found anew: vitascope models quantise.",
    )
