"""De-noise a thresholded picture in a Markov random field on the pixel grid.

Each pixel is foreground (1) or background (0). A labelling x costs 1 for each pixel that differs from the thresholded
picture d, and ``weight`` for each pair of neighbours (above, below, left, right) that differ from each other:

    E(x) = sum_p [x_p != d_p] + weight · sum_pq [x_p != x_q],   P(x) proportional to exp(-E(x)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

ROUNDS = 20
"""Rounds of messages: how far, in px, a pixel hears of another."""

UNITS = 1000
"""Costs are whole numbers in the flow: a unit is 0.001."""

Mask = NDArray[np.bool_]


def denoise_by_messages(mask: Mask, weight: float, rounds: int = ROUNDS) -> Mask:
    """Return where foreground is more probable than background, by loopy belief propagation.

    Parameters
    ----------
    mask : array, shape (Y, X), bool
        d, the thresholded picture.
    weight : float, >= 0
        Cost of a pair of neighbours that differ; 0 returns the mask.
    rounds : int, >= 1

    Returns
    -------
    array, shape (Y, X), bool

    References
    ----------
    Kraus 2016 (seed 002), section 3.3; Frey 1998.
    """
    return np.asarray(log_odds(mask, weight, rounds) > 0)


def log_odds(mask: Mask, weight: float, rounds: int = ROUNDS) -> NDArray[np.float32]:
    """Return log P(x_p = 1) / P(x_p = 0) of every pixel by loopy belief propagation (sum-product, all at once).

    Exact on a row or column of pixels with rounds enough, an approximation on a grid, where beliefs run in circles.

    Parameters and returns as :func:`denoise_by_messages`, but float32.
    """
    own = np.where(mask, np.float32(1), np.float32(-1))
    moves = ((0, 1), (0, -1), (1, 1), (1, -1))  # axis and direction that a message travels
    inbox = [np.zeros_like(own) for _ in moves]
    for _ in range(rounds):
        total = np.add.reduce([own, *inbox])
        # What a pixel tells its neighbour leaves out what that neighbour told it.
        inbox = [_delivered(_message(total - inbox[i ^ 1], weight), axis, way) for i, (axis, way) in enumerate(moves)]
    return np.asarray(np.add.reduce([own, *inbox]), np.float32)


def _message(odds: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """Return log odds as the neighbour hears them: log (e^h + e^-w) / (e^(h - w) + 1)."""
    w = np.float32(weight)
    return np.asarray(np.logaddexp(odds, -w) - np.logaddexp(odds - w, np.float32(0)))


def _delivered(sent: NDArray[np.float32], axis: int, way: int) -> NDArray[np.float32]:
    """Move messages by one pixel; what leaves the picture is lost."""
    got = np.zeros_like(sent)
    first, last = (slice(1, None), slice(None, -1)) if way > 0 else (slice(None, -1), slice(1, None))
    into, out_of = [slice(None)] * 2, [slice(None)] * 2
    into[axis], out_of[axis] = first, last
    got[tuple(into)] = sent[tuple(out_of)]
    return got


def denoise_by_cut(mask: Mask, weight: float) -> Mask:
    """Return the labelling of least cost, by a minimum cut; of several, the one with most foreground.

    Parameters
    ----------
    mask : array, shape (Y, X), bool
        d, the thresholded picture.
    weight : float, >= 0
        Cost of a pair of neighbours that differ, to 0.001.

    Returns
    -------
    array, shape (Y, X), bool
    """
    pair = round(weight * UNITS)
    if pair == 0 or mask.all() or not mask.any():
        return mask.copy()
    pixels = mask.size
    number = np.arange(pixels, dtype=np.int32).reshape(mask.shape)
    source, sink = pixels, pixels + 1
    across = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    ends = [np.concatenate([a.ravel(), b.ravel()]) for a, b in across]
    other = [np.concatenate([b.ravel(), a.ravel()]) for a, b in across]
    on, off = number[mask], number[~mask]
    rows = np.concatenate([*ends, np.full(len(on), source, np.int32), off])
    columns = np.concatenate([*other, on, np.full(len(off), sink, np.int32)])
    costs = np.full(len(rows), pair, np.int32)
    costs[-pixels:] = UNITS
    graph = csr_array((costs, (rows, columns)), shape=(pixels + 2, pixels + 2))
    flow = maximum_flow(graph, source, sink).flow
    # Background is what still reaches the sink: followed backwards along edges with room left.
    room = (graph - flow).T.tocsr()
    room.data = np.maximum(room.data, 0)
    room.eliminate_zeros()
    background = breadth_first_order(room, sink, return_predecessors=False)
    found = np.ones(pixels + 2, bool)
    found[background] = False
    return found[:pixels].reshape(mask.shape)
