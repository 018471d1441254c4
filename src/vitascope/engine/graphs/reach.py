"""How far a network of another program sees, measured on random pictures and held against what its operations allow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitascope.engine.graphs.structure import Seen

Array = NDArray[np.float32]

STEPS = (1, 2, 4, 8, 16, 32, 64)
"""Divisors and steps that are tried: poolings halve, and no public network does so more than six times."""

MOST_REACH_PX = 512
"""A longer reach would make tiles of more edge than picture: they are blended then."""

SAME = 1e-6
"""Two answers are one, in shares of the largest value: float32 rounds to 6e-8, and sums some hundred times as much."""

SAME_SHIFTED = 1e-5
"""The same for answers to a shifted picture, whose sums are taken in another order."""


def safe_reach(
    answer: Callable[[Array], Array],
    shape: tuple[int, ...],
    divisor: tuple[int, int, int],
    told: Callable[[], Seen | None],
) -> tuple[list[int], list[int]] | None:
    """Return reach and step along (z, y, x) by which tiles are exact: measured, allowed by the operations, and tried.

    Noise opens few paths, so that what is measured can come out short: the reach is what the operations allow. Three
    things must agree: the answer follows a shifted picture, nothing beyond the reach changes it, and two halves that
    overlap by it give what one pass gives.

    Parameters
    ----------
    answer : callable
        (C, D, h, w) to (K, D, h, w).
    shape : tuple of int
        Of the window.
    divisor : tuple of int
        Of (z, y, x).
    told : callable
        Gives what the operations allow.

    Returns
    -------
    tuple of list of int, or None
        None where cut pictures are not exact.
    """
    measured = reach_and_step(answer, shape, divisor)
    allowed = told() if measured is not None else None
    if measured is None or allowed is None:
        return None
    reach = max(allowed.reach_yx)
    step = math.lcm(*measured[1][1:], *allowed.step_yx)
    if not max(measured[0]) <= reach <= MOST_REACH_PX or not stitches(answer, shape, reach, step):
        return None
    return [0, reach, reach], [divisor[0], step, step]


def stitches(answer: Callable[[Array], Array], shape: tuple[int, ...], reach: int, step: int) -> bool:
    """Tell whether two halves that overlap by the reach give what one pass gives, where there is room for them."""
    halo = padded(reach, step)
    middle = shape[3] // 2 // step * step
    if middle - halo <= 0 or middle + halo >= shape[3]:
        return True
    picture = noise(shape, 7)
    wave = (
        np.sin(np.arange(shape[3], dtype=np.float32) / 9) + np.cos(np.arange(shape[2], dtype=np.float32) / 13)[:, None]
    )
    picture = 0.3 * picture + wave
    whole = answer(picture)
    left = answer(np.ascontiguousarray(picture[..., : middle + halo]))[..., :middle]
    right = answer(np.ascontiguousarray(picture[..., middle - halo :]))[..., halo:]
    difference = np.abs(np.concatenate([left, right], axis=-1) - whole).max()
    return bool(difference <= SAME_SHIFTED * np.abs(whole).max())


def reach_and_step(
    answer: Callable[[Array], Array], shape: tuple[int, ...], divisor: tuple[int, int, int]
) -> tuple[list[int], list[int]] | None:
    """Measure how far an answer sees across, and by how much a picture can be shifted (the shift test).

    One half of a picture is changed: what changes of the answer on the other half lies within the reach. Then a
    picture is shifted by 1, 2, 4 … pixels, until the answer is the old one, shifted as far.

    Parameters
    ----------
    answer : callable
        (C, D, h, w) to (K, D, h, w).
    shape : tuple of int
        Of the window.
    divisor : tuple of int
        Of (z, y, x).

    Returns
    -------
    tuple of list of int, or None
        Reach and step along (z, y, x), the reach along z being 0: depth is never cut exactly. None where the answer
        depends on the whole window, or on where the window lies.
    """
    reach = max(_reach(answer, shape, axis, divisor[axis - 1]) for axis in (2, 3))
    if reach < 0 or reach >= min(shape[2:]) // 2:
        return None
    larger = (*shape[:2], shape[2] + STEPS[-1], shape[3] + STEPS[-1])
    picture = noise(larger, 5)

    def at(offset: int) -> Array:
        return answer(np.ascontiguousarray(picture[:, :, offset : offset + shape[2], offset : offset + shape[3]]))

    first = at(0)
    size = float(np.abs(first).max())
    for step in STEPS:
        if step % divisor[1] or step % divisor[2] or min(shape[2:]) - 2 * reach - step < 1:
            continue
        edge = [slice(reach + step, n - reach) for n in shape[2:]]
        moved = [slice(reach, n - reach - step) for n in shape[2:]]
        if np.abs(first[:, :, edge[0], edge[1]] - at(step)[:, :, moved[0], moved[1]]).max() <= SAME_SHIFTED * size:
            return [0, reach, reach], [divisor[0], step, step]
    return None


def _reach(answer: Callable[[Array], Array], shape: tuple[int, ...], axis: int, divisor: int) -> int:
    """Measure the reach along one axis from an edge in the middle; -1 where nothing can be told."""
    half = padded(shape[axis] // 2, max(divisor, STEPS[-1])) if shape[axis] >= 2 * STEPS[-1] else shape[axis] // 2
    longest = 0
    for seed, spread in ((2, 1.0), (3, 0.1)):
        picture = noise(shape, seed) * np.float32(spread)
        base = answer(picture)
        size = float(np.abs(base).max())
        if not np.isfinite(base).all() or float(np.ptp(base)) <= SAME * size:
            return -1  # an answer that is the same everywhere tells nothing
        for changed, kept, far_first in (
            (slice(half, None), slice(0, half), False),
            (slice(0, half), slice(half, None), True),
        ):
            other = picture.copy()
            where = (slice(None),) * axis + (changed,)
            other[where] = noise(shape, seed + 10)[where] * np.float32(10 * spread)
            there = (slice(None),) * axis + (kept,)
            difference = np.abs(answer(other)[there] - base[there])
            lines = difference.max(axis=tuple(n for n in range(difference.ndim) if n != axis)) > 0
            hit = np.flatnonzero(lines)
            if hit.size:
                longest = max(longest, int(hit[-1]) + 1 if far_first else len(lines) - int(hit[0]))
                if longest >= len(lines):
                    return shape[axis]
    return longest


def padded(length: int, multiple: int) -> int:
    """Return the least multiple that is at least a length."""
    return -(-length // multiple) * multiple


def noise(shape: tuple[int, ...], seed: int) -> Array:
    """Draw a picture of which no two pixels are alike."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
