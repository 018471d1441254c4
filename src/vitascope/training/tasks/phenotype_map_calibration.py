"""Scales, threshold and smoothing of a model's maps, chosen on training images against a mask of one channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from vitascope.networks.jacobian import JacobianMaps
from vitascope.networks.mil_cnn import MilCnn
from vitascope.ops.objects.map_regions import RegionParams, foreground
from vitascope.ops.objects.measure import column_names
from vitascope.ops.wells import instances
from vitascope.stats.classification import mean_iou
from vitascope.training.samplers.crops import Pair
from vitascope.training.samplers.mosaics import padded_pair

THRESHOLDS = tuple(np.geomspace(0.01, 3.0, 30).round(4).tolist())
SMOOTHINGS = (0.8, 1.6, 2.4, 3.5)


def class_maps(network: MilCnn, pair: Pair) -> NDArray[np.float32]:
    """Return P_i times the Jacobian map of each class of a whole image, shape (K, H, W)."""
    step = 16 * network.stride0
    whole = padded_pair(pair.image, pair.weight, pair.numbers, step)
    counts = torch.from_numpy(instances.counted(whole.weight[0], step))[None, None]
    classes = network.classes.out_channels
    with torch.inference_mode():
        output = JacobianMaps(network)(torch.from_numpy(whole.image)[None])
        pooled, _ = network.head(output.encoding[:, -classes:], counts)
        found = (output.maps * torch.exp(pooled.log_p)[:, :, None, None])[0]
    return np.asarray(found[:, : pair.image.shape[1], : pair.image.shape[2]].numpy())


def otsu_mask(channel: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where a channel, shape (H, W), is above Otsu's threshold (section 4.4 of Kraus 2016)."""
    return np.asarray(channel > threshold_otsu(channel))


def choose_settings(
    network: MilCnn, pairs: Sequence[Pair], channel: int, classes: Sequence[str], *, per_class: bool = True
) -> dict[str, float]:
    """Return the scales, threshold and smoothing of the best mean overlap over images.

    Each class's images have a threshold of their own that suits them best; the scales make these one.

    Parameters
    ----------
    network : MilCnn
    pairs : sequence of Pair
        Training images.
    channel : int
        Whose Otsu mask is the truth.
    classes : sequence of str
    per_class : bool
        Whether classes have scales; without, one threshold over the plain sum is chosen, as in the paper. Classes that
        no image shows alone have none in any case.

    Returns
    -------
    dict
        ``threshold`` and ``smoothing``, of the task's parameters, and ``map_scale_<class>``.
    """
    maps = [class_maps(network, pair) for pair in pairs]
    truths = [otsu_mask(pair.image[channel]) for pair in pairs]
    labels = np.array([pair.numbers > 0 for pair in pairs])
    scales = np.ones(len(classes), np.float32)
    alone = labels.sum(1) == 1

    def best(rows: Sequence[int], choices: Iterable[RegionParams]) -> RegionParams:
        sums = [(maps[i] / scales[:, None, None]).sum(0) for i in rows]

        def overlap(params: RegionParams) -> float:
            return float(np.mean([mean_iou(foreground(m, params), truths[i]) for m, i in zip(sums, rows, strict=True)]))

        return max(choices, key=overlap)

    plain = [RegionParams(threshold, smoothing=0.0) for threshold in THRESHOLDS]

    every = range(len(pairs))
    if per_class and (labels & alone[:, None]).any(0).all():
        shown_alone = [np.flatnonzero(alone & labels[:, k]).tolist() for k in range(len(classes))]
        own = np.array([best(rows, plain).threshold for rows in shown_alone])
        threshold = float(np.exp(np.log(own).mean()))
        scales = (own / threshold).astype(np.float32)
    else:
        threshold = best(every, plain).threshold
    found = best(every, (RegionParams(threshold, smoothing) for smoothing in SMOOTHINGS))
    chosen = {"threshold": round(threshold, 4), "smoothing": found.smoothing}
    names = column_names(list(classes))
    return chosen | {f"map_scale_{n}": round(float(v), 4) for n, v in zip(names, scales, strict=True)}
