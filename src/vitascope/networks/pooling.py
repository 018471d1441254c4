"""Pooling of a bag's instances into one probability per class, as functions and as modules.

Every function takes the logits z of the instances, p = sigmoid(z), and returns log P and log (1 - P) of the bag: losses
and probabilities near 0 and 1 keep their digits, and no exponential overflows. Instances that do not count (outside the
well or the image) are masked; a bag without any instance has P = 0.

Equations 3 and 4 of Kraus, Ba and Frey 2016 (seed 002, "Kraus 2016").
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAR = 1e9
"""Stands for infinity in logits: gradients of a true infinity are no numbers."""

SURELY_NOT = -200.0
LN2 = math.log(2.0)


class LogProbability(NamedTuple):
    """Log P and log (1 - P) of bags, both of shape (..., K)."""

    log_p: Tensor
    log_not: Tensor


def log1mexp(x: Tensor) -> Tensor:
    """Return log(1 - exp(x)) for x < 0, accurate for tiny and for huge -x (Maechler 2012)."""
    near = x > -LN2
    small = torch.log(-torch.expm1(torch.where(near, x.clamp_max(-1e-30), -LN2)))
    large = torch.log1p(-torch.exp(torch.where(near, -LN2, x)))
    return torch.where(near, small, large)


def _log_sinh(x: Tensor) -> Tensor:
    """Return log sinh(x) for x >= 0; at 0, of the smallest number that still has a logarithm."""
    x = x.clamp_min(1e-30)
    return x + torch.log(-torch.expm1(-2 * x)) - LN2


def _log_cosh(x: Tensor) -> Tensor:
    """Return log cosh(x)."""
    x = x.abs()
    return x + F.softplus(-2 * x) - LN2


class _Bag(NamedTuple):
    """Logits (..., K, N) with ones (N counts) or zeros, and how many count (..., K)."""

    logits: Tensor
    counts: Tensor
    total: Tensor

    def mean(self, values: Tensor) -> Tensor:
        return (values * self.counts).sum(-1) / self.total

    def masked(self, values: Tensor, fill: float) -> Tensor:
        return torch.where(self.counts > 0, values, torch.full_like(values, fill))


def _bag(logits: Tensor, mask: Tensor | None) -> _Bag:
    if mask is None:
        counts = torch.ones_like(logits)
    else:
        counts = mask.to(logits).expand_as(logits)
        empty = counts.amax(-1, keepdim=True) == 0  # a bag of nothing is one of instances that are surely not there
        logits = torch.where(empty, torch.full_like(logits, SURELY_NOT), logits)
        counts = torch.where(empty, torch.ones_like(counts), counts)
    return _Bag(logits, counts, counts.sum(-1))


def noisy_or(logits: Tensor, mask: Tensor | None = None) -> LogProbability:
    """Noisy-OR, equation 3: P = 1 - prod_j (1 - p_j).

    Parameters
    ----------
    logits : Tensor, shape (..., K, N)
        z of N instances for each class.
    mask : Tensor, broadcast to ``logits``, optional
        1 where an instance counts, 0 where not.

    Returns
    -------
    LogProbability, each (..., K)
    """
    bag = _bag(logits, mask)
    log_not = -(F.softplus(bag.logits) * bag.counts).sum(-1)
    return LogProbability(log1mexp(log_not), log_not)


def isr(logits: Tensor, mask: Tensor | None = None) -> LogProbability:
    """Integrated segmentation and recognition, equation 3: P = S / (1 + S), S = sum_j p_j / (1 - p_j) = sum_j exp z_j.

    Parameters and returns as :func:`noisy_or`.
    """
    bag = _bag(logits, mask)
    total = torch.logsumexp(bag.masked(bag.logits, -FAR), -1)
    return LogProbability(F.logsigmoid(total), F.logsigmoid(-total))


def generalised_mean(logits: Tensor, mask: Tensor | None = None, *, r: float = 2.5) -> LogProbability:
    """Generalised mean, equation 3: P = (mean_j p_j^r)^(1/r); the mean for r = 1, the maximum for r to infinity.

    Parameters
    ----------
    logits, mask
        As of :func:`noisy_or`.
    r : float, > 0
        Sharpness.
    """
    bag = _bag(logits, mask)
    log_power = r * F.logsigmoid(bag.logits)  # log p^r
    far = (torch.logsumexp(bag.masked(log_power, -FAR), -1) - torch.log(bag.total)) / r
    # 1 - p^r keeps its digits where P is close to 1
    missing = bag.mean(-torch.expm1(log_power))
    close = torch.log1p(-missing.clamp_max(0.75)) / r
    log_p = torch.where(missing < 0.5, close, far)
    return LogProbability(log_p, log1mexp(log_p))


def lse(logits: Tensor, mask: Tensor | None = None, *, r: float = 2.5) -> LogProbability:
    """Log-sum-exponentiation, equation 3: P = log(mean_j exp(r p_j)) / r; mean for r to 0, maximum for r to infinity.

    Parameters
    ----------
    logits, mask
        As of :func:`noisy_or`.
    r : float, > 0
        Sharpness.
    """
    bag = _bag(logits, mask)

    def pooled(values: Tensor, sign: float) -> Tensor:
        # about the extreme value, so that the exponentials lie in (0, 1] and small P keep their digits
        extreme = sign * bag.masked(sign * values, -1.0).amax(-1, keepdim=True).detach()
        inner = bag.mean(torch.expm1(sign * r * (values - extreme)))
        return extreme.squeeze(-1) + sign * torch.log1p(inner) / r

    p, q = pooled(torch.sigmoid(bag.logits), 1.0), pooled(torch.sigmoid(-bag.logits), -1.0)
    return LogProbability(torch.log(p.clamp_min(1e-38)), torch.log(q.clamp_min(1e-38)))


def mean(logits: Tensor, mask: Tensor | None = None) -> LogProbability:
    """Mean of the instances' probabilities. Parameters and returns as :func:`noisy_or`."""
    bag = _bag(logits, mask)

    def log_mean(logarithms: Tensor) -> Tensor:
        return torch.logsumexp(bag.masked(logarithms, -FAR), -1) - torch.log(bag.total)

    return LogProbability(log_mean(F.logsigmoid(bag.logits)), log_mean(F.logsigmoid(-bag.logits)))


def maximum(logits: Tensor, mask: Tensor | None = None) -> LogProbability:
    """Largest of the instances' probabilities. Parameters and returns as :func:`noisy_or`."""
    bag = _bag(logits, mask)
    highest = bag.masked(bag.logits, -FAR).amax(-1)
    return LogProbability(F.logsigmoid(highest), F.logsigmoid(-highest))


def noisy_and(logits: Tensor, b: Tensor, mask: Tensor | None = None, *, a: float = 10.0) -> LogProbability:
    """Adaptive Noisy-AND, equation 4.

    With m the mean of p_j, P = (s(a (m - b)) - s(-a b)) / (s(a (1 - b)) - s(-a b)), s the sigmoid. A difference of
    sigmoids is s(x) - s(y) = sinh((x - y) / 2) / (2 cosh(x / 2) cosh(y / 2)), hence, without any cancellation,

        P = sinh(a m / 2) cosh(a (1 - b) / 2) / (sinh(a / 2) cosh(a (m - b) / 2)),

    and 1 - P the same with 1 - m for m and b for 1 - b in the numerator.

    Parameters
    ----------
    logits, mask
        As of :func:`noisy_or`.
    b : Tensor, shape (K,)
        Share of instances at which a class turns on.
    a : float, > 0
        Slope: the mean for a to 0, a step at b for a to infinity.
    """
    bag = _bag(logits, mask)
    m, rest = bag.mean(torch.sigmoid(bag.logits)), bag.mean(torch.sigmoid(-bag.logits))
    below = _log_cosh(a * (m - b) / 2) + _log_sinh(torch.full_like(b, a / 2))
    log_p = _log_sinh(a * m / 2) + _log_cosh(a * (1 - b) / 2) - below
    log_not = _log_sinh(a * rest / 2) + _log_cosh(a * b / 2) - below
    return LogProbability(log_p.clamp_max(0.0), log_not.clamp_max(0.0))


class Pooling(nn.Module):
    """Global pooling of instance maps, by name.

    Parameters
    ----------
    name : {"noisy_and", "noisy_or", "isr", "generalised_mean", "lse", "mean", "max"}
    classes : int, >= 1
    sharpness : float, > 0
        a of Noisy-AND, r of the generalised mean and of LSE; others have none.

    Attributes
    ----------
    b : Parameter, shape (classes,)
        Of Noisy-AND only; starts at 0.5.
    """

    NAMES = ("noisy_and", "noisy_or", "isr", "generalised_mean", "lse", "mean", "max")

    def __init__(self, name: str, classes: int, sharpness: float = 10.0) -> None:
        super().__init__()
        if name not in self.NAMES:
            raise ValueError(f"there is no pooling '{name}', only {', '.join(self.NAMES)}")
        if not (sharpness > 0 and math.isfinite(sharpness)):
            raise ValueError("the sharpness is a positive number")
        self.name, self.sharpness = name, float(sharpness)
        if name == "noisy_and":
            self.b = nn.Parameter(torch.full((classes,), 0.5))

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> LogProbability:
        """Pool maps.

        Parameters
        ----------
        logits : Tensor, shape (B, K, h, w)
        mask : Tensor, shape (B, 1, h, w), optional
            1 where an instance counts.

        Returns
        -------
        LogProbability, each (B, K)
        """
        z = logits.flatten(2)  # (B, K, N)
        counts = None if mask is None else mask.flatten(2)
        if self.name == "noisy_and":
            return noisy_and(z, self.b, counts, a=self.sharpness)
        if self.name in ("generalised_mean", "lse"):
            return {"generalised_mean": generalised_mean, "lse": lse}[self.name](z, counts, r=self.sharpness)
        plain = {"noisy_or": noisy_or, "isr": isr, "mean": mean, "max": maximum}
        return plain[self.name](z, counts)
