"""What each operation of a graph makes of how the sides of a picture run: the pixels an element of its answer takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from vitascope.engine.graphs.sides import Along, Part, Side, Sides, WholePicture, apart_from, joined, merged

_EACH = (
    "Abs Acos Acosh Add Asin Asinh Atan Atanh BatchNormInference BitwiseAnd BitwiseNot BitwiseOr Ceiling Clamp Convert "
    "ConvertLike Cos Cosh Divide Elu Equal Erf Exp FakeQuantize Floor FloorMod Gelu Greater GreaterEqual HSigmoid "
    "HSwish HardSigmoid Identity IsFinite IsInf IsNaN Less LessEqual Log LogicalAnd LogicalNot LogicalOr LogicalXor "
    "Maximum Minimum Mish Mod Multiply Negative NotEqual PRelu Power Relu Result Round Select Selu Sigmoid Sign Sin "
    "Sinh SoftPlus SoftSign Sqrt SquaredDifference Subtract Swish Tan Tanh"
)
SAME = frozenset(_EACH.split(" "))
"""Operations on each element alone."""

_ALONG = "MVN NormalizeL2 LRN ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 RMS"
ALONG_AXES = frozenset(_ALONG.split(" "))
"""Operations along sides that the second input names."""

RESHAPES = ("Reshape", "Squeeze", "Unsqueeze")
NOT_SHIFTED = ("half_pixel", "pytorch_half_pixel", "asymmetric", "tf_half_pixel_for_nn")
"""Ways of enlarging that treat all places of a picture alike."""


def answer_of(node: Any, given: list[Sides | None]) -> Sides:
    """Return how the answer of an operation runs.

    Raises
    ------
    WholePicture
    """
    kind = node.get_type_name()
    if kind in SAME or kind == "Broadcast":
        return _together(_shape(node.output(0)), [(_shape(p), s) for p, s in _pairs(node, given)])
    first = given[0]
    if kind == "MatMul":
        return _product(node, given)
    if kind == "Concat":
        axis = node.get_attributes()["axis"] % len(_shape(node.output(0)))
        found = merged([s for s in given if s is not None])
        return apart_from(found, {axis})
    if first is None or any(one is not None for one in given[1:]):
        raise WholePicture  # picked by what was seen elsewhere
    if kind in ALONG_AXES:
        return _along_axes(node, first)
    if kind in RESHAPES:
        return _reshaped(_shape(node.input_value(0)), first, _shape(node.output(0)))
    how = HOW.get(kind)
    if how is None:
        raise WholePicture
    return how(node, first)


def _pairs(node: Any, given: list[Sides | None]) -> list[tuple[Any, Sides | None]]:
    return list(zip(node.input_values(), given, strict=True))


def _shape(port: Any) -> tuple[int, ...]:
    shape = port.get_partial_shape()
    if shape.is_dynamic:
        raise WholePicture
    return tuple(int(n) for n in shape.to_shape())


def _constant(node: Any, n: int) -> list[int] | None:
    """Return the numbers of an input that is a constant."""
    source = node.input_value(n).get_node()
    if source.get_type_name() == "Convert":
        source = source.input_value(0).get_node()
    return [int(v) for v in source.get_data().ravel()] if source.get_type_name() == "Constant" else None


def _together(shape: tuple[int, ...], given: Sequence[tuple[tuple[int, ...], Sides | None]]) -> Sides:
    """Elements of several pictures, one by one; those of length 1 are repeated."""
    found: list[Side] = [None] * len(shape)
    for own, sides in given:
        if sides is None:
            continue
        for n, (length, side) in enumerate(zip(reversed(own), reversed(sides), strict=True)):
            at = len(shape) - 1 - n
            if length != shape[at] and side is not None:
                raise WholePicture
            found[at] = joined(found[at], side)
    return tuple(found)


def _along_axes(node: Any, sides: Sides) -> Sides:
    axes = _constant(node, 1)
    if axes is None:
        before, after = _shape(node.input_value(0)), _shape(node.output(0))
        if len(before) != len(after) or before == after:
            raise WholePicture
        axes = [n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    apart_from(sides, set(axes))
    if len(_shape(node.output(0))) < len(sides):
        gone = {n % len(sides) for n in axes}
        return tuple(s for n, s in enumerate(sides) if n not in gone)
    return sides


def _product(node: Any, given: list[Sides | None]) -> Sides:
    """Products of matrices: of each place alone, or of places with places (attention)."""
    shapes = [_shape(port) for port in node.input_values()]
    told = node.get_attributes()
    out = _shape(node.output(0))
    if min(len(s) for s in (*shapes, out)) < 2:
        raise WholePicture
    found: list[Side] = [None] * len(out)
    for n, (shape, sides, turned) in enumerate(
        zip(shapes, given, (told["transpose_a"], told["transpose_b"]), strict=True)
    ):
        if sides is None:
            continue
        summed, kept = (-1, -2) if turned == (n == 1) else (-2, -1)
        if sides[summed] is not None or (sides[kept] is not None and given[1 - n] is not None):
            raise WholePicture
        found[-2 if n == 0 else -1] = sides[kept]
        for at in range(3, len(shape) + 1):
            if sides[-at] is not None and shape[-at] != out[-at]:
                raise WholePicture
            found[-at] = joined(found[-at], sides[-at])
    return tuple(found)


def _reshaped(before: tuple[int, ...], sides: Sides, after: tuple[int, ...]) -> Sides:
    """Sides put together or taken apart, in the order of the numbers."""
    left: list[Part] = []
    for length, side in zip(before, sides, strict=True):
        left += list(side) if isinstance(side, tuple) else [(length, side)]
    left = [part for part in left if part[0] != 1 or part[1] is not None]
    found: list[Side] = []
    for wanted in after:
        parts: list[Part] = []
        missing = wanted
        while missing > 1:
            if not left:
                raise WholePicture
            length, side = left.pop(0)
            if missing % length == 0:
                parts.append((length, side))
                missing //= length
                continue
            if length % missing:
                raise WholePicture
            inner = length // missing
            first = side.over(inner, 0, inner - 1) if side is not None else None
            parts.append((missing, first))
            left.insert(0, (inner, None))
            missing = 1
        found.append(_one_side(parts))
    if any(side is not None for _, side in left):
        raise WholePicture
    return tuple(found)


def _one_side(parts: list[Part]) -> Side:
    running = [n for n, (_, side) in enumerate(parts) if side is not None]
    if not running:
        return None
    if running == [0]:  # places first, then what lies within a place: as in a shuffle of pixels
        inner = math.prod(length for length, _ in parts[1:])
        side = parts[0][1]
        assert side is not None
        return side.over(Fraction(1, inner), Fraction(1, inner) - 1, 0) if inner > 1 else side
    return tuple(parts)


def _windows(node: Any, sides: Sides) -> Sides:
    """Convolutions and poolings."""
    told, shape = node.get_attributes(), _shape(node.input_value(0))
    across = len(shape) - 2
    kernel = told.get("kernel") or _shape(node.input_value(1))[-across:]
    steps, wide = told["strides"], told.get("dilations") or [1] * across
    found: list[Side] = list(apart_from(sides, {0, 1}))
    for n in range(across):
        side = sides[2 + n]
        if side is None:
            continue
        if not isinstance(side, Along):
            raise WholePicture
        extent = (kernel[n] - 1) * wide[n]
        first = -told["pads_begin"][n]
        if told.get("auto_pad", "explicit") not in ("explicit", "valid", "notset"):
            found[2 + n] = side.over(steps[n], -extent, extent)
        else:
            found[2 + n] = side.over(steps[n], first, first + extent)
    return tuple(found)


def _enlarging(node: Any, sides: Sides) -> Sides:
    """Transposed convolutions."""
    told, shape = node.get_attributes(), _shape(node.input_value(0))
    across = len(shape) - 2
    kernel = _shape(node.input_value(1))[-across:]
    found: list[Side] = list(apart_from(sides, {0, 1}))
    for n in range(across):
        side = sides[2 + n]
        if side is None:
            continue
        if not isinstance(side, Along):
            raise WholePicture
        step, extent = told["strides"][n], (kernel[n] - 1) * told["dilations"][n]
        pads = told["pads_begin"][n]
        told_size = node.get_input_size() > 2 or told.get("auto_pad", "explicit") not in ("explicit", "notset")
        first, last = (-extent, extent) if told_size else (pads - extent, pads)
        found[2 + n] = side.over(Fraction(1, step), Fraction(first, step), Fraction(last, step))
    return tuple(found)


def _resized(node: Any, sides: Sides) -> Sides:
    """Enlarging and shrinking by interpolation."""
    told = node.get_attributes()
    before, after = _shape(node.input_value(0)), _shape(node.output(0))
    found: list[Side] = []
    for a, b, side in zip(before, after, sides, strict=True):
        if a == b or side is None:
            found.append(side)
            continue
        factor = Fraction(b, a)
        if not isinstance(side, Along) or told["coordinate_transformation_mode"] not in NOT_SHIFTED:
            raise WholePicture
        if min(factor.numerator, factor.denominator) != 1 or told["mode"] not in (
            "nearest",
            "linear",
            "linear_onnx",
            "cubic",
        ):
            raise WholePicture
        spread = Fraction(5, 2) if told["mode"] == "cubic" else Fraction(3, 2)
        if told.get("antialias") and factor < 1:
            spread /= factor
        found.append(side.over(1 / factor, -spread, spread + 1 / factor))
    return tuple(found)


def _shuffled(node: Any, sides: Sides) -> Sides:
    """Depth to space, and back."""
    before, after = _shape(node.input_value(0)), _shape(node.output(0))
    found: list[Side] = list(apart_from(sides, {0, 1}))
    for n in range(2, len(sides)):
        side = sides[n]
        if side is None:
            continue
        if not isinstance(side, Along):
            raise WholePicture
        factor = Fraction(after[n], before[n])
        found[n] = (
            side.over(1 / factor, factor.__class__(1) / factor - 1, 0)
            if factor > 1
            else side.over(1 / factor, 0, 1 / factor - 1)
        )
    return tuple(found)


def _sliced(node: Any, sides: Sides) -> Sides:
    """A part of a picture: where it begins is not asked, only how much is left out."""
    steps = _constant(node, 3) if node.get_input_size() > 3 else [1]
    before, after = _shape(node.input_value(0)), _shape(node.output(0))
    if steps is None or any(n < 1 for n in steps):
        raise WholePicture
    found: list[Side] = []
    for a, b, side in zip(before, after, sides, strict=True):
        if a == b or side is None:
            found.append(side)
        elif not isinstance(side, Along) or (max(steps) > 1 and len(steps) > 1):
            raise WholePicture
        else:
            step = max(steps)
            found.append(side.over(step, 0, a - 1 - (b - 1) * step))
    return tuple(found)


def _edged(node: Any, sides: Sides) -> Sides:
    """A picture with an edge: of zeros, or of what lies beside it."""
    before, after = _shape(node.input_value(0)), _shape(node.output(0))
    found: list[Side] = []
    for a, b, side in zip(before, after, sides, strict=True):
        if a == b or side is None:
            found.append(side)
        elif not isinstance(side, Along):
            raise WholePicture
        else:
            most = abs(b - a)
            mirrored = node.get_attributes().get("pad_mode", "constant") != "constant"
            found.append(side.over(1, -most * (2 if mirrored else 1), most if mirrored else 0))
    return tuple(found)


def _turned(node: Any, sides: Sides) -> Sides:
    order = _constant(node, 1)
    if order is None:
        raise WholePicture
    return tuple(sides[n] for n in order)


def _picked(node: Any, sides: Sides) -> Sides:
    """Some of the elements along a side."""
    axes = _constant(node, 2)
    if axes is None:
        raise WholePicture
    axis = axes[0] % len(sides)
    apart_from(sides, {axis})
    return (*sides[:axis], *([None] * len(_shape(node.input_value(1)))), *sides[axis + 1 :])


def _split(node: Any, sides: Sides) -> Sides:
    axes = _constant(node, 1)
    if axes is None:
        raise WholePicture
    return apart_from(sides, set(axes))


def _along_one(node: Any, sides: Sides) -> Sides:
    return apart_from(sides, {int(node.get_attributes()["axis"])})


HOW: dict[str, Callable[[Any, Sides], Sides]] = {
    "Convolution": _windows,
    "GroupConvolution": _windows,
    "MaxPool": _windows,
    "AvgPool": _windows,
    "ConvolutionBackpropData": _enlarging,
    "GroupConvolutionBackpropData": _enlarging,
    "Interpolate": _resized,
    "DepthToSpace": _shuffled,
    "SpaceToDepth": _shuffled,
    "Slice": _sliced,
    "Pad": _edged,
    "Transpose": _turned,
    "Gather": _picked,
    "Split": _split,
    "VariadicSplit": _split,
    "Softmax": _along_one,
    "LogSoftmax": _along_one,
}
"""Operations that take one picture."""
