"""Does Noisy-AND learn at what share of instances a class turns on? Simulated bags of 10, 30 and 70 %; five seeds.

``python -m tests.benchmarks noisy_and_adapts [STEPS]``: learned b for learning rates of b 1, 10 and 30 times that of the rest.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from numpy.typing import NDArray
from tests.benchmarks.machine import describe
from torch import nn

from vitascope.networks.mil_cnn import MilOutput, joint_loss
from vitascope.networks.pooling import Pooling
from vitascope.stats.agreement import spearman

SHARES = np.array([0.1, 0.3, 0.7])
INSTANCES, BAGS, RATE, NOISE = 64, 32, 3e-3, 0.3


def learned(seed: int, steps: int, factor: float = 1.0) -> NDArray[np.float32]:
    """Train on bags that have class k when more than ``SHARES[k]`` of their instances do; return b (3,)."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        instances = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 3))
        pool, last = Pooling("noisy_and", 3, 10.0), nn.Linear(3, 3)
    with torch.no_grad():  # as MilCnn begins
        last.weight.copy_(4 * torch.eye(3))
        last.bias.fill_(-2.0)
    groups = [
        {"params": [*instances.parameters(), *last.parameters()], "lr": RATE},
        {"params": pool.parameters(), "lr": RATE * factor},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    for _ in range(steps):
        wanted = rng.uniform(0, np.minimum(2 * SHARES, 1), (BAGS, 3))
        on = rng.random((BAGS, INSTANCES, 3)) < wanted[:, None]
        truth = torch.from_numpy((on.mean(1) > SHARES).astype(np.float32))
        logits = instances(torch.from_numpy((on + rng.normal(size=on.shape) * NOISE).astype(np.float32)))
        pooled = pool(logits.permute(0, 2, 1))
        loss = joint_loss(MilOutput(logits, logits, pooled, last(torch.exp(pooled.log_p))), truth, "sigmoid")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.asarray(pool.b.detach().numpy().copy())


def main(arguments: list[str]) -> None:
    print(describe())
    for steps in [int(a) for a in arguments] or [400, 1200]:
        for factor in (1.0, 10.0, 30.0):
            found = [learned(seed, steps, factor) for seed in range(5)]
            ranks = [round(spearman(SHARES, b), 2) for b in found]
            told = "; ".join(" ".join(f"{v:.2f}" for v in b) for b in found)
            print(f"{steps} steps, rate of b x {factor:g}: Spearman {ranks}; b {told}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
