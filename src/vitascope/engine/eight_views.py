"""A network's answer averaged over the eight ways to lay a square down, as nothing in a well says which way is up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

EIGHT = 8

Array = NDArray[np.float32]


def turn(square: Array, view: int) -> Array:
    """Lay squares (..., n, n) down in one of eight ways: quarter turns, from 4 on mirrored first."""
    mirrored = square[..., ::-1] if view >= EIGHT // 2 else square
    return np.ascontiguousarray(np.rot90(mirrored, view % 4, (-2, -1)))


def turn_back(square: Array, view: int) -> Array:
    """Undo :func:`turn`.

    Examples
    --------
    >>> square = np.arange(4, dtype=np.float32).reshape(2, 2)
    >>> all((turn_back(turn(square, view), view) == square).all() for view in range(8))
    True
    """
    back = np.rot90(square, -(view % 4), (-2, -1))
    return np.ascontiguousarray(back[..., ::-1] if view >= EIGHT // 2 else back)


def averaged(run: Callable[[Sequence[Array]], Iterable[Sequence[Array]]], x: Array, views: int) -> tuple[Array, ...]:
    """Ask a network about a square in several ways of laying it down; the mean of its answers, laid back.

    Parameters
    ----------
    run : callable
        Answers each of several squares by arrays; those with as many axes as ``x`` lie on its square.
    x : array, shape (..., n, n)
    views : {1, 8}
    """
    sums: list[NDArray[np.float64]] = []
    for view, answers in enumerate(run([turn(x, view) for view in range(views)])):
        laid = [turn_back(one, view) if one.ndim == x.ndim else one for one in answers]
        sums = (
            [s + one for s, one in zip(sums, laid, strict=True)] if sums else [one.astype(np.float64) for one in laid]
        )
    return tuple(np.asarray(s / views, np.float32) for s in sums)
