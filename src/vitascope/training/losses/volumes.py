"""What training of spheroid models makes small: SIM-spheroid (seed 003), sections 2.4 and 2.5.

The published equation lost its braces. Read here: a logarithm of the Dice coefficient and a focal loss, weighted::

    L_seg = -lambda_D mean_c log(2 |P_c G_c| / (|P_c| + |G_c|)) - lambda_F mean_v (1 - p_v)^gamma log p_v

with soft counts over all labelled voxels of a batch, c over the classes but the background, and p_v the probability of
the true class of voxel v. The paper's lambda_D = lambda_F = 0.5 and gamma = 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1.0
"""Voxels added to both sides of the Dice quotient, so that a class that is absent and not seen loses nothing."""


def log_dice(p: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over classes of -log Dice, over all labelled voxels of the batch together.

    Parameters
    ----------
    p : Tensor, shape (B, K, D, H, W)
        Probabilities of background and classes.
    truth : Tensor of int, shape (B, D, H, W)
        0 where a voxel is not labelled, else 1 + the number of the class (1 for background).
    """
    labelled = (truth > 0)[:, None]
    losses = []
    for k in range(1, p.shape[1]):
        there = (truth == k + 1)[:, None].float()
        own = p[:, k : k + 1] * labelled
        both, sizes = (own * there).sum(), own.sum() + there.sum()
        losses.append(-torch.log((2 * both + EPS) / (sizes + EPS)))
    return torch.stack(losses).mean()


def focal(logits: Tensor, truth: Tensor, gamma: float) -> Tensor:
    """Return the mean focal loss over labelled voxels; parameters as :func:`log_dice`, ``logits`` before softmax."""
    labelled = truth > 0
    log_p = F.log_softmax(logits, 1).gather(1, (truth.long() - 1).clamp_min(0)[:, None])[:, 0]
    values = -((1 - log_p.exp()) ** gamma) * log_p
    return (values * labelled).sum() / labelled.sum().clamp_min(1)


def segmentation_loss(
    stages: Sequence[Tensor],
    truth: Tensor,
    stage_weights: Sequence[float],
    *,
    dice_share: float = 0.5,
    focal_share: float = 0.5,
    gamma: float = 2.0,
) -> Tensor:
    """Return the loss of all stages of the decoder, each against the truth on its own grid.

    Parameters
    ----------
    stages : sequence of Tensor
        Logits, the finest first.
    truth : Tensor of int, shape (B, D, H, W)
        See :func:`log_dice`; coarser stages take every second (fourth) voxel of it.
    stage_weights : sequence of float
        At least one for each stage; scaled to add up to 1.
    """
    weights = list(stage_weights)[: len(stages)]
    total = torch.zeros((), device=truth.device)
    for weight, logits in zip(weights, stages, strict=True):
        logits = logits.float()
        steps = [n // m for n, m in zip(truth.shape[1:], logits.shape[2:], strict=True)]
        own = truth[:, steps[0] // 2 :: steps[0], steps[1] // 2 :: steps[1], steps[2] // 2 :: steps[2]]
        loss = dice_share * log_dice(torch.softmax(logits, 1), own) + focal_share * focal(logits, own, gamma)
        total = total + weight / sum(weights) * loss
    return total


def density_loss(density: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean squared error of the density where it is known; all (B, 1, D, H, W)."""
    return ((density.float() - target) ** 2 * weight).sum() / weight.sum().clamp_min(1)


def slab_counts(live: Tensor, labelled: Tensor, slabs: int) -> Tensor:
    """Count live voxels, hard or soft, by slabs of depth.

    Parameters
    ----------
    live, labelled : Tensor, shape (B, D, H, W)
        Probability of live; 1 where a voxel counts.
    slabs : int, >= 1

    Returns
    -------
    Tensor, shape (B, slabs)
    """
    per_plane = (live * labelled).sum((2, 3))  # (B, D)
    depth = per_plane.shape[1]
    slab = torch.arange(depth, device=live.device) * slabs // depth
    counts = torch.zeros(len(per_plane), slabs, device=live.device, dtype=per_plane.dtype)
    return counts.index_add(1, slab, per_plane)
