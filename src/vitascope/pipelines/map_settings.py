"""Threshold and smoothing of a model's maps, chosen on training images against a mask of one of their channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from vitascope.engine.crops import Pair
from vitascope.engine.mosaics import padded_pair
from vitascope.models.jacobian import JacobianMaps
from vitascope.models.mil_cnn import MilCnn
from vitascope.ops import instances
from vitascope.ops.map_regions import RegionParams, foreground
from vitascope.stats.classification import mean_iou

THRESHOLDS = (0.02, 0.03, 0.045, 0.065, 0.09, 0.13, 0.18, 0.25, 0.35, 0.5)
SMOOTHINGS = (0.8, 1.6, 2.4, 3.5)


def summed_map(network: MilCnn, pair: Pair) -> NDArray[np.float32]:
    """Return the Jacobian map of a whole image, P_i times each class's map, summed over classes, shape (H, W)."""
    step = 16 * network.stride0
    whole = padded_pair(pair.image, pair.weight, pair.numbers, step)
    counts = torch.from_numpy(instances.counted(whole.weight[0], step))[None, None]
    classes = network.classes.out_channels
    with torch.inference_mode():
        output = JacobianMaps(network)(torch.from_numpy(whole.image)[None])
        pooled, _ = network.head(output.encoding[:, -classes:], counts)
        total = (output.maps * torch.exp(pooled.log_p)[:, :, None, None]).sum(1)[0]
    return np.asarray(total[: pair.image.shape[1], : pair.image.shape[2]].numpy())


def otsu_mask(channel: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a channel, shape (H, W), is above Otsu's threshold (section 4.4 of Kraus 2016)."""
    return np.asarray(channel > threshold_otsu(channel))


def choose_settings(network: MilCnn, pairs: Sequence[Pair], channel: int) -> dict[str, float]:
    """Return the threshold and smoothing of the best mean overlap over images.

    Parameters
    ----------
    network : MilCnn
    pairs : sequence of Pair
        Training images.
    channel : int
        Whose Otsu mask is the truth.

    Returns
    -------
    dict
        ``threshold`` and ``smoothing``, of the task's parameters.
    """
    maps = [summed_map(network, pair) for pair in pairs]
    truths = [otsu_mask(pair.image[channel]) for pair in pairs]

    def overlap(threshold: float, smoothing: float) -> float:
        params = RegionParams(threshold, smoothing)
        return float(np.mean([mean_iou(foreground(m, params), t) for m, t in zip(maps, truths, strict=True)]))

    threshold, smoothing = max(product(THRESHOLDS, SMOOTHINGS), key=lambda pair: overlap(*pair))
    return {"threshold": threshold, "smoothing": smoothing}
