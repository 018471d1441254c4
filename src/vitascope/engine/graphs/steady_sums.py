"""Sums over a large picture taken in stages, in networks of other programs that OpenVINO computes.

OpenVINO adds the pixels of a channel one after another in float32. Of four million numbers the last are then added to
a sum in which they hardly count: an instance normalisation of 2048 x 2048 pixels departed from torch by up to 0.7 % of
the range of its answer. Here means, sums and norms over many pixels, and normalisations made of them, are written anew
as sums of sums, of :data:`MOST_TERMS` numbers each at most; and a variance as that of what is left when the mean is
taken off, whose own mean is taken off again.

References
----------
Chan, Golub & LeVeque 1983, Algorithms for computing the sample variance, doi:10.1080/00031305.1983.10483115: the
corrected two-pass algorithm (equation 1.7), and sums in stages against the growth of rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

MOST_TERMS = 1024
"""Numbers that are added one after another."""

NOT_STEADY = 4096
"""Sums of more numbers than this are taken in stages: of fewer, float32 keeps six digits in any order."""

REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceL1", "ReduceL2")


def steady(model: Any, ops: Any) -> int:
    """Write a graph's sums over many pixels anew, in place.

    Parameters
    ----------
    model : openvino.Model
        Reshaped for one window: every side is known.
    ops : module
        OpenVINO's operations (``openvino.opset13``).

    Returns
    -------
    int
        How many operations were written anew.
    """
    done = 0
    for node in model.get_ordered_ops():
        made = _anew(node, ops)
        if made is None:
            continue
        made.get_node().set_friendly_name(node.get_friendly_name())
        names = set(node.output(0).get_tensor().get_names())
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(made)
        made.get_tensor().add_names(names)
        done += 1
    if done:
        model.validate_nodes_and_infer_types()
    return done


def _anew(node: Any, ops: Any) -> Any:
    """Return the answer of an operation, computed in stages; None where it is well as it is."""
    kind = node.get_type_name()
    if kind not in (*REDUCTIONS, "MVN", "GroupNormalization") or not _is_known(node):
        return None
    work = _Work(ops)
    source, shape = node.input_value(0), _shape(node.input_value(0))
    told = node.get_attributes()
    if kind == "GroupNormalization":
        if math.prod(shape[1:]) // told["num_groups"] <= NOT_STEADY:
            return None
        return work.back(work.group_normalised(node, shape, told), node)
    axes = _axes(node, len(shape))
    if axes is None or math.prod(shape[n] for n in axes) <= NOT_STEADY:
        return None
    x = work.as_float32(source)
    if kind == "MVN":
        eps = float(told["eps"]) if told["normalize_variance"] else None
        return work.back(work.normalised(x, axes, eps, inside=told["eps_mode"].lower() == "inside_sqrt"), node)
    found = work.reduced(kind, x, axes)
    if not told["keep_dims"]:
        found = ops.squeeze(found, work.whole_numbers(axes)).output(0)
    return work.back(found, node)


def _is_known(node: Any) -> bool:
    ports = [*node.input_values(), node.output(0)]
    return all(not port.get_partial_shape().is_dynamic for port in ports)


def _shape(port: Any) -> list[int]:
    return [int(n) for n in port.get_partial_shape().to_shape()]


def _axes(node: Any, rank: int) -> list[int] | None:
    """Return the sides that an operation sums over; None where they are not told."""
    if node.get_input_size() < 2:
        return None
    source = node.input_value(1).get_node()
    if source.get_type_name() != "Constant":
        return None
    return sorted({int(n) % rank for n in source.get_data().ravel()})


class _Work:
    """Operations put together."""

    def __init__(self, ops: Any) -> None:
        self._ops = ops

    def whole_numbers(self, values: Sequence[int]) -> Any:
        return self._ops.constant(np.array(values, np.int64))

    def as_float32(self, port: Any) -> Any:
        return self._ops.convert(port, "f32").output(0) if port.get_element_type().get_type_name() != "f32" else port

    def back(self, port: Any, node: Any) -> Any:
        """Return an answer as numbers of the type that the operation has."""
        kind = node.output(0).get_element_type()
        if kind.get_type_name() == "f32":
            return port
        return self._ops.convert(port, kind.get_type_name()).output(0)

    def summed(self, x: Any, axes: Sequence[int]) -> Any:
        """Sum over some sides, which are kept as 1, by no more than :data:`MOST_TERMS` numbers at once."""
        for axis in sorted(axes, reverse=True):
            x = self._summed_along(x, axis)
        return x

    def _summed_along(self, x: Any, axis: int) -> Any:
        shape = _shape(x)
        length = shape[axis]
        if length == 1:
            return x
        if length <= MOST_TERMS:
            # A mean times a length: OpenVINO puts sums of sums together again, as it does with means of means.
            mean = self._ops.reduce_mean(x, self.whole_numbers([axis]), keep_dims=True)
            return self._ops.multiply(mean, self._ops.constant(np.float32(length))).output(0)
        whole = length // MOST_TERMS * MOST_TERMS
        parts = [*shape[:axis], whole // MOST_TERMS, MOST_TERMS, *shape[axis + 1 :]]
        first = x if whole == length else self._piece(x, axis, 0, whole)
        apart = self._ops.reshape(first, self.whole_numbers(parts), False).output(0)
        inner = self._ops.squeeze(self._summed_along(apart, axis + 1), self.whole_numbers([axis + 1])).output(0)
        found = self._summed_along(inner, axis)
        if whole == length:
            return found
        rest = self._summed_along(self._piece(x, axis, whole, length), axis)
        return self._ops.add(found, rest).output(0)

    def _piece(self, x: Any, axis: int, start: int, stop: int) -> Any:
        ends = [self.whole_numbers([n]) for n in (start, stop, 1, axis)]
        return self._ops.slice(x, *ends).output(0)

    def mean(self, x: Any, axes: Sequence[int]) -> Any:
        shape = _shape(x)
        count = math.prod(shape[n] for n in axes)
        return self._ops.multiply(self.summed(x, axes), self._ops.constant(np.float32(1 / count))).output(0)

    def reduced(self, kind: str, x: Any, axes: Sequence[int]) -> Any:
        """Return a mean, a sum or a norm over some sides, which are kept as 1."""
        how: dict[str, Callable[[], Any]] = {
            "ReduceMean": lambda: self.mean(x, axes),
            "ReduceSum": lambda: self.summed(x, axes),
            "ReduceL1": lambda: self.summed(self._ops.abs(x).output(0), axes),
            "ReduceL2": lambda: self._ops.sqrt(self.summed(self._ops.multiply(x, x).output(0), axes)).output(0),
        }
        return how[kind]()

    def normalised(self, x: Any, axes: Sequence[int], eps: float | None, *, inside: bool = True) -> Any:
        """Take off the mean, and divide by the standard deviation unless ``eps`` is None."""
        ops = self._ops
        near = ops.subtract(x, self.mean(x, axes)).output(0)
        left = self.mean(near, axes)  # what rounding left of the mean
        centred = ops.subtract(near, left).output(0)
        if eps is None:
            return centred
        variance = ops.subtract(self.mean(ops.multiply(near, near).output(0), axes), ops.multiply(left, left))
        least = ops.constant(np.float32(eps))
        root = ops.sqrt(ops.add(variance, least)) if inside else ops.add(ops.sqrt(variance), least)
        return ops.divide(centred, root).output(0)

    def group_normalised(self, node: Any, shape: list[int], told: dict[str, Any]) -> Any:
        """Normalise groups of channels, then scale and shift each channel."""
        ops, groups = self._ops, int(told["num_groups"])
        x = self.as_float32(node.input_value(0))
        apart = ops.reshape(x, self.whole_numbers([shape[0], groups, shape[1] // groups, *shape[2:]]), False).output(0)
        even = self.normalised(apart, range(2, len(shape) + 1), float(told["epsilon"]))
        again = ops.reshape(even, self.whole_numbers(shape), False).output(0)
        each = self.whole_numbers([1, shape[1], *[1] * (len(shape) - 2)])
        gain, offset = (ops.reshape(self.as_float32(node.input_value(n)), each, False) for n in (1, 2))
        return ops.add(ops.multiply(again, gain), offset).output(0)
