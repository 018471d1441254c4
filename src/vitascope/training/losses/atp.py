"""The loss of Ins-ATP: bits and fraction of the code, and the number itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.core.errors import ParameterError
from vitascope.networks.ins_atp import AtpOutput, InsAtp
from vitascope.ops.wells.binary_code import binary_code


@dataclass(frozen=True)
class AtpLoss:
    """Settings of the loss.

    Parameters
    ----------
    beta : float, 0 to 1
        Share of the code's loss in equation 2. The paper gives none; a half.
    decay : float, between 0 and 1
        w of equation 5; 0.9 in the text, 0.5 in the authors' script.
    margin : float, 0 to 1
        Bits closer to the truth than this count for nothing (0.3 in the authors' script); 0 as in the text.
    places : float, >= 0
        Weight of the loss of single places, where the amount of each is known, as in simulated wells; not of the paper.
    """

    beta: float = 0.5
    decay: float = 0.9
    margin: float = 0.0
    places: float = 0.0

    @classmethod
    def from_recipe(cls, given: Mapping[str, float]) -> AtpLoss:
        """Read the settings out of a recipe's ``loss``; its default ``pcc`` stands for nothing given.

        Raises
        ------
        ParameterError
            If a name is unknown or a number out of bounds.
        """
        values = {k: float(v) for k, v in given.items() if k != "pcc"}
        unknown = sorted(set(values) - {"beta", "decay", "margin", "places"})
        if unknown:
            raise ParameterError(
                f"The loss of ATP has no setting '{unknown[0]}'.", "It has beta, decay, margin and places."
            )
        made = cls(**values)
        if not (0 <= made.beta <= 1 and 0 < made.decay < 1 and 0 <= made.margin < 1 and made.places >= 0):
            raise ParameterError("Beta and margin lie from 0 to 1, decay between 0 and 1; places is not below 0.")
        return made


SOFT = 0.001
"""Added before the root, shares of an even place: what is next to nothing need not be told from nothing."""


def places_loss(output: AtpOutput, network: InsAtp, amounts: Tensor) -> Tensor:
    """Return the mean square difference of the roots of contributed and true amounts, over all places.

    Roots, as for counts, so that a place that holds much does not outweigh all that hold little.

    Parameters
    ----------
    output : AtpOutput
    network : InsAtp
        Tells the range.
    amounts : Tensor, shape (B, 1, H, W), target units for each pixel
    """
    even = network.top / network.grid**2
    pixels = amounts.shape[2] * amounts.shape[3]
    truth = F.adaptive_avg_pool2d(amounts.float(), network.grid) * (pixels / network.grid**2 / even)  # (B, 1, g, g)
    own = output.contribution.float().clamp(min=0) / even
    return ((own + SOFT).sqrt() - (truth + SOFT).sqrt()).square().mean()


def code_weights(length: int, epoch: float, decay: float) -> Tensor:
    """Return the weights W[1] to W[length] of the code's parts, equation 5: ``decay ** i`` at first, near 1 later.

    Parameters
    ----------
    length : int
        Bits and the fraction.
    epoch : float, >= 0
    decay : float, between 0 and 1

    References
    ----------
    Ins-ATP (seed 000), equation 5; i is counted from 1 as j is in equation 3.
    """
    base = torch.sigmoid(torch.tensor(epoch / 30.0 - torch.log(torch.tensor(1.0 / decay - 1.0)).item()))
    return base ** torch.arange(1, length + 1, dtype=torch.float32)


def atp_loss(output: AtpOutput, network: InsAtp, truth: Tensor, epoch: float, settings: AtpLoss) -> Tensor:
    """Return the loss of a batch, equation 2; for networks without a code, equation 4 alone.

    Parameters
    ----------
    output : AtpOutput
    network : InsAtp
        Tells bits, bin width and range.
    truth : Tensor, shape (B,), target units
    epoch : float, >= 0
    settings : AtpLoss

    References
    ----------
    Ins-ATP (seed 000), equations 2 to 7. Equation 3 counts j = B - 1 twice; here bits have the cross-entropy (equation
    6, whose minus is missing in print) and the fraction alone the square.
    """
    error = (output.value[:, 0].float() - truth) / network.top
    regression = (error**2).mean()
    if network.head != "code":
        return regression
    code = torch.from_numpy(binary_code(truth.cpu().numpy(), network.bin_width, network.bits)).float().to(truth.device)
    logits = output.code.float()
    weights = code_weights(code.shape[1], epoch, settings.decay).to(truth.device)
    entropy = F.binary_cross_entropy_with_logits(logits[:, :-1], code[:, :-1], reduction="none")
    if settings.margin:
        entropy = entropy * ((torch.sigmoid(logits[:, :-1]) - code[:, :-1]).abs() > settings.margin)
    square = (torch.sigmoid(logits[:, -1:]) - code[:, -1:]) ** 2
    parts = torch.cat([entropy, square], 1) * weights
    return settings.beta * parts.mean() + (1 - settings.beta) * regression
