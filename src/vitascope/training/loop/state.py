"""What a training run changes from step to step: all of it saved and restored whole."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from vitascope.core.training_params import Preview, TrainingParams
from vitascope.training.loop.optim import make_optimizer, start_training


class TrainingState:
    """Everything that a step changes.

    Parameters
    ----------
    network : nn.Module
        Moved to the device, and trained in place.
    params : TrainingParams
    device : torch.device
    """

    def __init__(self, network: nn.Module, params: TrainingParams, device: torch.device) -> None:
        self.device = device
        self.network = network.to(device)
        if layout := _layout(self.network):
            self.network = self.network.to(memory_format=layout)  # type: ignore[call-overload]
        self.average: nn.Module | None = copy.deepcopy(self.network) if params.average_decay else None
        self.optimizer = make_optimizer(self.network, params)
        self.step = 0
        self.losses: list[float] = []
        self.history: list[dict[str, float]] = []
        self.best_score, self.best_epoch = -math.inf, -1
        self.best = self._weights(self.evaluated)
        self.bad_steps, self.rollbacks, self.rate, self.lowered = 0, 0, 1.0, -1
        self.micro_batch = params.batch_size
        self.good: dict[str, Any] | None = None
        self.start: dict[str, float] = {}
        self.quick: dict[str, float] = {}
        self.picture: Preview | None = None
        start_training(self.network)

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and kept: the running average where there is one."""
        return self.average if self.average is not None else self.network

    @staticmethod
    def _weights(network: nn.Module) -> dict[str, Tensor]:
        return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}

    def keep_best(self, score: float, epoch: int) -> None:
        """Take note of the weights as they are, as the best so far."""
        self.best_score, self.best_epoch = score, epoch
        self.best = self._weights(self.evaluated)

    def snapshot(self) -> dict[str, Any]:
        """What is needed to resume from here."""
        return {
            "network": self._weights(self.network),
            "average": self._weights(self.average) if self.average is not None else None,
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.network.load_state_dict(saved["network"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])

    _numbers = (
        "step",
        "losses",
        "history",
        "best_score",
        "best_epoch",
        "bad_steps",
        "rollbacks",
        "rate",
        "lowered",
        "micro_batch",
    )

    def to_dict(self) -> dict[str, Any]:
        """Return all there is, for a checkpoint."""
        numbers = {name: getattr(self, name) for name in self._numbers}
        return {**self.snapshot(), "best": self.best, "good": self.good, "numbers": numbers}

    def from_dict(self, saved: dict[str, Any]) -> None:
        """Take over what :meth:`to_dict` gave."""
        self.restore(saved)
        self.best, self.good = saved["best"], saved["good"]
        for name in self._numbers:
            setattr(self, name, saved["numbers"][name])


def _layout(network: nn.Module) -> torch.memory_format | None:
    """Return how weights lie fastest: channels last, in pictures as in volumes."""
    layouts: dict[type[nn.Module], torch.memory_format] = {
        nn.Conv2d: torch.channels_last,
        nn.Conv3d: torch.channels_last_3d,
    }
    return next((layouts[type(m)] for m in network.modules() if type(m) in layouts), None)
