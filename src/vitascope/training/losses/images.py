"""What training makes small: losses between a predicted and a true picture, with pixels that do not count.

All take ``prediction`` and ``target`` of shape (B, K, H, W) and ``weight`` of shape (B, 1 or K, H, W) with 0 where a
pixel is to be ignored, and return a scalar. Numbering follows Pankova 2022 (seed 004); where the thesis writes a sum
for a mean (equation 5) or puts the root over the wrong product (equation 6), the mean and the correlation are meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from vitascope.core.errors import ParameterError

EPS = 1e-8
DIMMEST = 0.01
"""Of full scale: a batch without signal has a brightness of 0, by which nothing can be divided."""


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean over the pixels that count; 0 if none does."""
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp_min(EPS)


def correlation(prediction: Tensor, target: Tensor, weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Pearson correlation over ``dims``, equation 6 with the product of the two root sums of squares below.

    Flat pictures have correlation 0.
    """
    weight = weight.expand_as(prediction)
    total = weight.sum(dims, keepdim=True).clamp_min(EPS)
    p = (prediction - (prediction * weight).sum(dims, keepdim=True) / total) * weight
    t = (target - (target * weight).sum(dims, keepdim=True) / total) * weight
    return (p * t).sum(dims) / torch.sqrt((p * p).sum(dims) * (t * t).sum(dims) + EPS)


def pcc_image(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """(1 - PCC) / 2 of each crop, averaged: equations 6 and 7."""
    return ((1 - correlation(prediction, target, weight, (2, 3))) / 2).mean()


def pcc(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """(1 - PCC) / 2 over all crops of the batch together, for each target (equations 6 and 7).

    Crops without signal do not weigh as much as crops with signal, as they would in :func:`pcc_image`.
    """
    return ((1 - correlation(prediction, target, weight, (0, 2, 3))) / 2).mean()


def mse(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared error, equation 5."""
    return weighted_mean((prediction - target) ** 2, weight)


def bce(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy, equation 4; ``prediction`` in (0, 1)."""
    p = prediction.clamp(1e-6, 1 - 1e-6)
    return weighted_mean(-(target * torch.log(p) + (1 - target) * torch.log(1 - p)), weight)


def asymmetric_under(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error that counts twice where the prediction is too low ("Asymmetry 1", section 3.4.3.1)."""
    residual = prediction - target
    return weighted_mean(torch.where(residual > 0, residual**2, 2 * residual**2), weight)


def asymmetric_over(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error that counts twice where the prediction is too high ("Asymmetry 2", section 3.4.3.1)."""
    residual = prediction - target
    return weighted_mean(torch.where(residual < 0, residual**2, 2 * residual**2), weight)


def asymmetric_strong(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cube where too high, twenty squares where too low ("Asymmetry 3", section 3.4.3.1)."""
    residual = prediction - target
    return weighted_mean(torch.where(residual > 0, residual**3, 20 * residual**2), weight)


def brightness_ratio(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Total predicted over total true brightness, over the batch ("Adjusting overall brightness", section 3.4.3.1).

    The thesis divides by what is there, which on a crop without signal is nothing: the divisor is at least 1 % of full
    scale.
    """
    return (prediction * weight).sum() / _at_least_dim(target, weight)


def brightness_ratio_reversed(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Total true over total predicted brightness, bounded likewise (the reversed division of section 3.4.3.1)."""
    return (target * weight).sum() / _at_least_dim(prediction, weight)


def _at_least_dim(picture: Tensor, weight: Tensor) -> Tensor:
    """Total brightness, but never less than 1 % of full scale in every pixel that counts."""
    return torch.maximum((picture * weight).sum(), DIMMEST * weight.expand_as(picture).sum()).clamp_min(EPS)


def mse_predicted(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error times the prediction (the first of approach 3 of section 3.4.3.1: black pictures)."""
    return weighted_mean((prediction - target) ** 2 * prediction, weight)


def mse_dark(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error times 1 - the true picture (approach 4 of section 3.4.3.1: black pictures)."""
    return weighted_mean((prediction - target) ** 2 * (1 - target), weight)


def mse_bright(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error times the true picture (approach 3 of section 3.4.3.1)."""
    return weighted_mean((prediction - target) ** 2 * target, weight)


def gradient(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared difference of the Sobel gradient magnitudes, equations 42 and 43."""
    return weighted_mean((sobel(prediction) - sobel(target)) ** 2, weight)


def sobel(picture: Tensor) -> Tensor:
    """Gradient magnitude by Sobel's filters, shape kept, edges reflected (equations 42 and 43)."""
    x = picture.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    kernel = torch.stack([x, x.T])[:, None]  # (2, 1, 3, 3)
    b, k, h, w = picture.shape
    padded = F.pad(picture.reshape(b * k, 1, h, w), (1, 1, 1, 1), mode="reflect")
    g = F.conv2d(padded, kernel)  # (B K, 2, H, W)
    return torch.sqrt((g * g).sum(1) + EPS).reshape(b, k, h, w)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    f.__name__: f
    for f in (
        pcc,
        pcc_image,
        mse,
        bce,
        asymmetric_under,
        asymmetric_over,
        asymmetric_strong,
        brightness_ratio,
        brightness_ratio_reversed,
        mse_predicted,
        mse_bright,
        mse_dark,
        gradient,
    )
}


def check_losses(terms: Mapping[str, float]) -> None:
    """Refuse losses that are not known, or a sum of nothing.

    Raises
    ------
    ParameterError
    """
    unknown = sorted(set(terms) - set(LOSSES))
    if unknown or not any(terms.values()):
        what = f"There is no loss '{unknown[0]}'." if unknown else "No loss is named."
        raise ParameterError(what, f"Known: {', '.join(LOSSES)}.")


def weighted_sum(terms: Mapping[str, float], prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Add up losses by name and weight, in float32.

    Parameters
    ----------
    terms : mapping of str to float
        Names out of :data:`LOSSES`.
    prediction, target : Tensor, shape (B, K, H, W)
    weight : Tensor, shape (B, 1 or K, H, W)
        0 where a pixel is ignored.
    """
    prediction = prediction.float()
    total = prediction.new_zeros(())
    for name, factor in terms.items():
        total = total + factor * LOSSES[name](prediction, target, weight)
    return total
