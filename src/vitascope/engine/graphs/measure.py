"""What a network of another program takes and gives, and how far it sees, found by running it on random pictures.

Run in a process of its own, see :mod:`vitascope.engine.graphs.trial`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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

PICTURES = (
    *("bczyx", "bzcyx", "bzyxc", "czyx", "zcyx", "zyxc"),
    *("bzyx", "bcyx", "byxc", "zyx", "byx", "cyx", "yxc", "yx"),
)
"""Axes that answers can have; the first that fits is taken."""

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
        ``outputs``, ``divisor``, ``depth``, ``seconds`` and ``bytes_per_px``; then ``step`` and ``reach`` (None where
        it sees the whole window).

    Raises
    ------
    UnfitGraphError
        If it takes no picture, or answers with none of the same size.
    RuntimeError
        If it cannot be run at all.
    """
    network = GraphNetwork(data, asked.name, asked.axes, 1, asked.dtype)
    asked, divisor, first, answers = _first_answer(network, asked)
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
        "outputs": [
            [name, axes, _channels(answers[name].shape, axes), _is_centre(answers[name].shape, axes, first)]
            for name, axes in outputs
        ],
        "divisor": list(divisor),
        "depth": asked.sides[0],
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
) -> tuple[GraphQuestion, tuple[int, int, int], tuple[int, int, int], dict[str, NDArray[Any]]]:
    """Return the question with the depth that is taken, the least divisor that runs, the sides, and the answers."""
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
            return asked, divisor, sides, answers  # type: ignore[return-value]
        last = UnfitGraphError(_told_sides(answers, sides))
        depth = _answered_depth(answers, sides, asked.axes) if asked.sides[0] is None else None
        if depth is not None:  # its file leaves free what it was built for
            with suppress(RuntimeError, UnfitGraphError):
                return _first_answer(network, replace(asked, sides=(depth, *asked.sides[1:])))
    raise last if last is not None else UnfitGraphError("it was not tried")


def _answered_depth(answers: dict[str, NDArray[Any]], sides: tuple[int, int, int], axes: str) -> int | None:
    """Return how many planes a network answers with that answers otherwise by height and width of its input."""
    for y in answers.values():
        if y.ndim == len(axes) and "z" in axes:
            depth = y.shape[axes.index("z")]
            if depth not in (1, sides[0]) and _fits(y.shape, axes, (depth, *sides[1:])):
                return int(depth)
    return None


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

    Whole numbers are pictures where no answer has fractions: next to one they are classes made of it.

    Raises
    ------
    UnfitGraphError
        If there is none.
    """
    for kinds in ("f", "iub"):
        found = [
            (name, letters)
            for name, y in answers.items()
            if y.dtype.kind in kinds and (letters := picture_axes(y.shape, sides, axes))
        ]
        if found:
            return found
    raise UnfitGraphError(_told_sides(answers, sides))


def picture_axes(shape: Sequence[int], sides: tuple[int, int, int], axes: str) -> str:
    """Return the axes of an answer that is a picture of the input's size; empty where it is none.

    Channels lie where the input has them, or else beside the batch or last; axes of one can be left out.

    Parameters
    ----------
    shape : sequence of int
        Of the answer.
    sides : tuple of int
        (z, y, x) of the input.
    axes : str
        Of the input.

    Examples
    --------
    >>> picture_axes((1, 96, 97, 2), (1, 96, 97), "byxc"), picture_axes((2, 96, 97), (1, 96, 97), "bcyx")
    ('byxc', 'cyx')
    >>> picture_axes((1, 2, 96, 97), (5, 96, 97), "bzyx"), picture_axes((1, 2, 1, 96, 97), (5, 96, 97), "bczyx")
    ('bcyx', 'bczyx')
    """
    for letters in (axes, *PICTURES):
        if len(letters) == len(shape) and _fits(shape, letters, sides) and ("z" in axes or "z" not in letters):
            if _is_centre(shape, letters, sides) and ("c" not in letters or (letters != axes and len(letters) < 5)):
                continue  # an axis of 1 that is a batch or a channel, rather than one plane
            return letters
    return ""


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


def _is_centre(shape: Sequence[int], axes: str, sides: tuple[int, int, int]) -> bool:
    """Tell whether an answer is one plane of several that were taken."""
    return "z" in axes and shape[axes.index("z")] == 1 < sides[0]


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
