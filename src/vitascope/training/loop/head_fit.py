"""Fit the last layers of a network to new data before the rest moves, and again when it has moved.

A model from another laboratory sees what it should, and reads it in another unit. Its head alone, fitted to some tens
of images, is a recalibration; training that starts there need not unlearn what the extractor knows (Kumar 2022, "linear
probing then fine-tuning").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

MAX_STEPS = 100


def fit_head(parameters: Sequence[nn.Parameter], loss: Callable[[], Tensor], pull: float) -> float:
    """Minimise a loss over a few parameters, pulled towards where they start; biases move freely.

    Parameters
    ----------
    parameters : sequence of nn.Parameter
        Changed in place; left as they were if the loss gets no better.
    loss : callable
        Gives the scalar to make small, of the order of 1.
    pull : float, >= 0
        Weight of the squared distance from the start (L2-SP; Li 2018).

    Returns
    -------
    float
        By how much the loss fell.
    """
    with torch.no_grad():
        before = float(loss())
    if not math.isfinite(before):
        return 0.0
    start = [p.detach().clone() for p in parameters]
    wanted = [p.requires_grad for p in parameters]
    for p in parameters:
        p.requires_grad_(True)
    optimizer = torch.optim.LBFGS(list(parameters), max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def total() -> Tensor:
        optimizer.zero_grad()
        far = sum(((p - s) ** 2).sum() for p, s in zip(parameters, start, strict=True) if p.ndim > 1)
        value = loss() + pull * far
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(total)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        after = float(loss())
        better = after < before  # NaN is not
        for p, s, was in zip(parameters, start, wanted, strict=True):
            if not better:
                p.copy_(s)
            p.requires_grad_(was)
            p.grad = None
    return before - after if better else 0.0
