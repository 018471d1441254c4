"""What a network of another program takes and gives, and how far it sees, found by running it on random pictures.

Run in a process of its own, see :mod:`vitascope.engine.graphs.trial`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.engine.graphs.network import GraphNetwork, to_axes
from vitascope.engine.graphs.reach import STEPS, noise, padded, safe_reach
from vitascope.engine.graphs.structure import Seen, find_reach
from vitascope.engine.openvino_backend import folded_graph

Array = NDArray[np.float32]

FIRST_SIDES = {1: 97, 2: 98, 4: 100, 8: 104, 16: 112, 32: 160, 64: 192}
FIRST_DEPTHS = {1: 9, 2: 10, 4: 12, 8: 24, 16: 48}
"""Lengths that are this multiple and no higher power of two."""

SIDES_PX = {1: 512, 16: 256, 64: 128}
"""Sides of the window for measuring the reach, by its depth at most: half of it is the longest reach that is found."""

TOLD_SIDES = (384, 448)
"""Height and width that operations are looked through for: multiples of what networks halve, of no square."""

SLOW_S = 4.0
"""A window that takes longer is halved, so that measuring takes a minute at most."""


@dataclass(frozen=True)
class GraphQuestion:
    """What is known of a graph's input before it is run.

    Parameters
    ----------
    name : str
    axes : str
    channels : int
    sides : tuple of int or None
        (z, y, x); None where they are free.
    dtype : str
    divisor : tuple of int or None
        Where it is told.
    outputs : tuple of (str, str)
        Names and axes of answers, where they are told.
    """

    name: str
    axes: str
    channels: int
    sides: tuple[int | None, int | None, int | None]
    dtype: str = "float32"
    divisor: tuple[int, int, int] | None = None
    outputs: tuple[tuple[str, str], ...] = ()


class UnfitGraphError(Exception):
    """A graph that cannot be run as a network for pictures, with the reason."""


def explore(data: bytes, asked: GraphQuestion, memory: Callable[[], int] = lambda: 0) -> Iterator[dict[str, Any]]:
    """Run a graph and say what was found: first that it runs and what it gives, then how far it sees.

    Parameters
    ----------
    data : bytes
    asked : GraphQuestion
    memory : callable
        Most bytes that this process has taken so far.

    Yields
    ------
    dict
        ``outputs``, ``divisor``, ``seconds`` and ``bytes_per_px``; then ``step`` and ``reach`` (None where it sees the
        whole window).

    Raises
    ------
    UnfitGraphError
        If it takes no picture, or answers with none of the same size.
    RuntimeError
        If it cannot be run at all.
    """
    network = GraphNetwork(data, asked.name, asked.axes, 1, asked.dtype)
    divisor, first, answers = _first_answer(network, asked)
    outputs = list(asked.outputs) or picture_outputs(answers, first, asked.axes)
    for name, axes in outputs:
        if name not in answers:
            raise UnfitGraphError(f"it has no output '{name}', but {', '.join(answers)}")
        check_same_sides(answers[name].shape, axes, first)
    shape = window_shape(asked, divisor)
    before = memory()
    seconds, shape = _timed(network, asked, shape, divisor)
    grown = max(0, memory() - before)
    yield {
        "outputs": [[name, axes, _channels(answers[name].shape, axes)] for name, axes in outputs],
        "divisor": list(divisor),
        "seconds": seconds,
        "bytes_per_px": grown / float(np.prod(shape)),
    }
    found = None
    if asked.sides[1] is None and asked.sides[2] is None:
        found = safe_reach(
            lambda x: network.pictures(x, outputs),
            (asked.channels, *shape),
            divisor,
            lambda: told_reach(data, asked, divisor, outputs),
        )
    yield {"reach": found[0] if found else None, "step": found[1] if found else list(divisor)}


def told_reach(
    data: bytes, asked: GraphQuestion, divisor: tuple[int, int, int], outputs: Sequence[tuple[str, str]]
) -> Seen | None:
    """Return how far the operations let an answer see; None where that is the whole window, or cannot be told."""
    depth = asked.sides[0] or padded(16, divisor[0])
    sides = (depth, *(padded(n, divisor[k + 1]) for k, n in enumerate(TOLD_SIDES)))
    shape = to_axes(np.zeros((asked.channels, *sides), np.float32), asked.axes).shape
    try:
        return find_reach(folded_graph(data, asked.name, shape), asked.axes, outputs)
    except RuntimeError:
        return None


def _first_answer(
    network: GraphNetwork, asked: GraphQuestion
) -> tuple[tuple[int, int, int], tuple[int, int, int], dict[str, NDArray[Any]]]:
    """Return the least divisor that runs, the sides that ran, and the answers."""
    told = asked.divisor
    across = (told[1],) if told else STEPS
    depths = (1,) if asked.sides[0] else (told[0],) if told else tuple(FIRST_DEPTHS)
    if asked.sides[1] and asked.sides[2]:
        across = (1,)
    last: Exception | None = None
    for deep, wide in itertools.product(depths, across):
        sides = (
            asked.sides[0] or FIRST_DEPTHS.get(deep, deep),
            asked.sides[1] or FIRST_SIDES.get(wide, 4 * wide),
            asked.sides[2] or FIRST_SIDES.get(wide, 4 * wide),
        )
        try:
            answers = network.answers(noise((asked.channels, *sides), 0))
        except RuntimeError as error:
            last = error
            continue
        if asked.outputs or _has_picture(answers, sides, asked.axes):
            divisor = tuple(1 if fixed else one for fixed, one in zip(asked.sides, (deep, wide, wide), strict=True))
            return divisor, sides, answers  # type: ignore[return-value]
        last = UnfitGraphError(_told_sides(answers, sides))
    raise last if last is not None else UnfitGraphError("it was not tried")


def _told_sides(answers: dict[str, NDArray[Any]], sides: Sequence[int]) -> str:
    given = "; ".join(f"{name} {' × '.join(map(str, y.shape))}" for name, y in answers.items())
    return f"it answers with no picture of the size of its input ({' × '.join(map(str, sides))}): {given}"[:400]


def _has_picture(answers: dict[str, NDArray[Any]], sides: tuple[int, int, int], axes: str) -> bool:
    try:
        return bool(picture_outputs(answers, sides, axes))
    except UnfitGraphError:
        return False


def picture_outputs(answers: dict[str, NDArray[Any]], sides: tuple[int, int, int], axes: str) -> list[tuple[str, str]]:
    """Return names and axes of the answers that are pictures of the input's size; others are left aside.

    Raises
    ------
    UnfitGraphError
        If there is none.
    """
    found = []
    for name, y in answers.items():
        for candidate in ("bczyx", "bcyx", "byx", "czyx", "cyx", "yx"):
            if (
                len(candidate) != y.ndim
                or ("z" in candidate and "z" not in axes)
                or ("b" in candidate) != ("b" in axes)
            ):
                continue
            if y.dtype.kind == "f" and _fits(y.shape, candidate, sides):
                found.append((name, candidate))
                break
    if not found:
        raise UnfitGraphError(_told_sides(answers, sides))
    return found


def _fits(shape: Sequence[int], axes: str, sides: tuple[int, int, int]) -> bool:
    lengths = dict(zip(axes, shape, strict=True))
    return (
        lengths["y"] == sides[1]
        and lengths["x"] == sides[2]
        and lengths.get("b", 1) == 1
        and lengths.get("z", 1) in (1, sides[0])
    )


def check_same_sides(shape: Sequence[int], axes: str, sides: tuple[int, int, int]) -> None:
    """Refuse an answer whose told axes are not those of a picture of the input's size.

    Raises
    ------
    UnfitGraphError
    """
    if len(shape) != len(axes) or not _fits(shape, axes, sides):
        raise UnfitGraphError(
            f"its answer of {' × '.join(map(str, shape))} is no picture with the axes {axes} of the size of its input "
            f"({' × '.join(map(str, sides))})"
        )


def _channels(shape: Sequence[int], axes: str) -> int:
    return int(shape[axes.index("c")]) if "c" in axes else 1


def window_shape(asked: GraphQuestion, divisor: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return depth and sides of the window for measuring."""
    depth = asked.sides[0] or padded(16, divisor[0])
    side = next(side for most, side in SIDES_PX.items() if depth <= most or most == max(SIDES_PX))
    return depth, asked.sides[1] or padded(side, divisor[1]), asked.sides[2] or padded(side, divisor[2])


def _timed(
    network: GraphNetwork, asked: GraphQuestion, shape: tuple[int, int, int], divisor: tuple[int, int, int]
) -> tuple[float, tuple[int, int, int]]:
    """Time a window, halving it while it is slow; returns seconds and the window that was taken."""
    while True:
        start = time.perf_counter()
        network.answers(noise((asked.channels, *shape), 1))
        seconds = time.perf_counter() - start
        smaller = (
            shape[0],
            *(
                side if n is not None else padded(side // 2, d)
                for side, n, d in zip(shape[1:], asked.sides[1:], divisor[1:], strict=True)
            ),
        )
        if seconds <= SLOW_S or min(smaller[1:]) < 64 or smaller == shape:
            return seconds, shape
        shape = smaller  # type: ignore[assignment]
