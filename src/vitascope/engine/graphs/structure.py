"""How far a network of another program can see, told from its own operations: kernels, steps, poolings, sizes.

What is measured on random pictures can come out short: a path that happens to be shut (a ReLU below 0) is not seen.
What the operations allow cannot. Where one looks at the whole picture (normalisation by the picture, global pooling,
attention), or at what cannot be told, no reach is given.

References
----------
Araujo et al. 2019, Computing receptive fields of convolutional neural networks, doi:10.23915/distill.00021: intervals
instead of sizes, so that crops and uneven kernels count as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from vitascope.engine.graphs.operations import answer_of
from vitascope.engine.graphs.sides import Along, Sides, WholePicture


@dataclass(frozen=True)
class Seen:
    """How far a network sees.

    Parameters
    ----------
    reach_yx : tuple of int
        Pixels that an answer can depend on, at most so far away.
    step_yx : tuple of int
        Multiples that the network counts in.
    """

    reach_yx: tuple[int, int]
    step_yx: tuple[int, int]


def find_reach(model: Any, input_axes: str, outputs: Sequence[tuple[str, str]]) -> Seen | None:
    """Tell how far the answers of a graph can see.

    Parameters
    ----------
    model : openvino.Model
        Reshaped for one window, whose sides are multiples of all its steps.
    input_axes : str
    outputs : sequence of (str, str)
        Names and axes of the answers that count.

    Returns
    -------
    Seen or None
        None where an answer sees the whole window, or the operations do not tell.
    """
    walk = _Walk(input_axes)
    for node in model.get_ordered_ops():
        walk.visit(node)
    low_high: dict[str, list[int]] = {"y": [0], "x": [0]}
    for name, axes in outputs:
        sides = walk.answer(model, name)
        if isinstance(sides, WholePicture):
            return None
        for letter in "yx":
            side = sides[axes.index(letter)] if sides is not None else None
            if sides is None or not isinstance(side, Along) or side.letter != letter or side.step != 1:
                return None
            low_high[letter] += [math.ceil(-side.low), math.ceil(side.high)]
    reach = max(low_high["y"]), max(low_high["x"])
    steps = [math.lcm(*(math.ceil(s) for s in walk.steps[letter])) for letter in "yx"]
    return Seen(reach, (steps[0], steps[1]))


class _Walk:
    """One walk from the picture to the answers."""

    def __init__(self, axes: str) -> None:
        self._axes = axes
        self._found: dict[tuple[str, int], Sides | WholePicture] = {}
        self.steps: dict[str, set[Fraction]] = {"y": {Fraction(1)}, "x": {Fraction(1)}}

    def answer(self, model: Any, name: str) -> Sides | WholePicture | None:
        """Return how the sides of an answer run; None where it does not depend on the picture."""
        for port in model.outputs:
            if name in port.get_names():
                return self._found.get((port.get_node().get_name(), 0))
        return WholePicture()

    def visit(self, node: Any) -> None:
        """Take note of how an operation's answers run."""
        if node.get_type_name() == "Parameter":
            self._keep(node, tuple(Along(a) if a in "yx" else None for a in self._axes))
            return
        given = [self._found.get((port.get_node().get_name(), port.get_index())) for port in node.input_values()]
        if all(one is None for one in given) or node.get_type_name() == "ShapeOf":
            return
        whole = next((one for one in given if isinstance(one, WholePicture)), None)
        try:
            if whole is not None:
                raise whole
            self._keep(node, answer_of(node, given))  # type: ignore[arg-type]
        except WholePicture as found:
            self._keep(node, found)

    def _keep(self, node: Any, sides: Sides | WholePicture) -> None:
        for n in range(node.get_output_size()):
            self._found[(node.get_name(), n)] = sides
        for side in sides if not isinstance(sides, WholePicture) else ():
            for part in (side,) if not isinstance(side, tuple) else (one for _, one in side):
                if isinstance(part, Along):
                    self.steps[part.letter].add(part.step)
