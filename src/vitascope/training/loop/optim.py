"""How weights move: the optimiser, how its rate falls, and which weights stay as they are."""

from __future__ import annotations

import math

import torch
from torch import nn

from vitascope.core.training_params import TrainingParams


def make_optimizer(network: nn.Module, params: TrainingParams) -> torch.optim.Optimizer:
    """Build the optimiser over the parameters that are not frozen.

    Weight decay is decoupled for Adam (AdamW; equation 31 of Pankova 2022), part of the gradient for Adadelta and SGD.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    rate, decay = params.learning_rate, params.weight_decay
    if params.optimizer == "adadelta":
        return torch.optim.Adadelta(weights, lr=rate, weight_decay=decay)
    fused = any(p.device.type == "cuda" for p in weights)  # all weights in one kernel
    if params.optimizer == "adam":
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=fused)
    return torch.optim.SGD(weights, lr=rate, weight_decay=decay, momentum=params.momentum, fused=fused)


def learning_rate_factor(step: int, total: int, params: TrainingParams) -> float:
    """Return the factor on the learning rate at a step: warm-up, then constant, cosine to 0, or decay by stages."""
    warm = min(1.0, (step + 1) / max(1, params.warmup_steps))
    if params.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, total))))
    if params.schedule == "steps":
        return warm * params.decay_factor ** (step // (params.decay_epochs * params.steps_per_epoch))
    return warm


def freeze(encoder: nn.Module, share: float) -> None:
    """Let the first blocks of an encoder stay as they are.

    Parameters
    ----------
    encoder : nn.Module
        The part of a network that sees the image, its blocks in the order that the image passes them.
    share : float, 0 to 1
        Of the blocks that have weights, counted from the image; rounded to whole blocks.
    """
    blocks = _blocks(encoder)
    for block in blocks[: round(share * len(blocks))]:
        block.requires_grad_(False)


def train_only_first(network: nn.Module, encoder: nn.Module, share: float) -> None:
    """Let everything stay as it is but the first blocks of an encoder and batch normalisation anywhere.

    Parameters
    ----------
    network : nn.Module
    encoder : nn.Module
        The part of it that sees the image, its blocks in the order that the image passes them.
    share : float, 0 to 1
        Of the blocks that have weights, counted from the image; rounded to whole blocks, at least one.

    References
    ----------
    Lee et al. 2023, Surgical Fine-Tuning Improves Adaptation to Distribution Shifts: for images that look otherwise,
    the first blocks alone learn more from few images than all of them.
    """
    network.requires_grad_(False)
    blocks = _blocks(encoder)
    for block in blocks[: max(1, round(share * len(blocks)))]:
        block.requires_grad_(True)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(True)


def _blocks(encoder: nn.Module) -> list[nn.Module]:
    """Return the blocks that have weights, in the order that the image passes them."""
    return [block for block in encoder.children() if any(True for _ in block.parameters())]


def start_training(network: nn.Module) -> None:
    """Put a network into training mode, but for what is frozen: its batch statistics stay too."""
    network.train()
    for module in network.modules():
        weights = list(module.parameters())
        if weights and not any(p.requires_grad for p in weights):
            module.eval()
