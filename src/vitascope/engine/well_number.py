"""The number of a well as a run gives it, and what can be measured of its organoids besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec
from vitascope.engine.crop_to_object import CroppedObject, crop_to_object
from vitascope.networks.ins_atp import InsAtp
from vitascope.ops.wells.organoid_features import measure_organoids
from vitascope.ops.wells.squares import Region, well_mask

FEATURES_PX = 256
"""Side of the square that organoids are measured in: finer than networks see, and alike for every objective."""


def well_number(
    network: InsAtp, outputs: Sequence[NDArray[np.float32]], framed: CroppedObject
) -> tuple[float, NDArray[np.float64]]:
    """Return the number of a well, and the weights of its instances, (g, g).

    Parameters
    ----------
    network : InsAtp
    outputs : sequence of array
        As the network gives them: value, encoding, attention, contribution.
    framed : CroppedObject

    Returns
    -------
    tuple of float and array
        Contributions, which sum to the number.
    """
    value, _, _, contribution = (np.asarray(one, np.float64) for one in outputs[:4])
    weights = contribution[0] * seen_instances(framed, network.grid)
    if network.adds_up:
        return float(weights.sum()), weights
    total = float(weights.sum())
    return float(value[0]), weights * (float(value[0]) / total) if total > 0 else weights


def seen_instances(framed: CroppedObject, grid: int) -> NDArray[np.bool_]:
    """Tell which instances (g, g) see a part of the image: those beyond its edge count for nothing."""
    starts = [cells[0] for cells in np.array_split(np.arange(len(framed.inside)), grid)]
    rows = np.logical_or.reduceat(framed.inside, starts, axis=0)
    return np.asarray(np.logical_or.reduceat(rows, starts, axis=1))


def organoid_features(planes: Sequence[Any], spec: InputSpec, region: Region) -> dict[str, float]:
    """Measure the organoids of a well in its image.

    Parameters
    ----------
    planes : sequence of array, each (Y, X)
        The middle one is looked at.
    spec : InputSpec
        Of the model.
    region : Region
        Where the well lies.

    Returns
    -------
    dict
        See :func:`vitascope.ops.wells.organoid_features.measure_organoids`.
    """
    fine = spec.model_copy(update={"side_px": FEATURES_PX, "ground": "as_is"})
    framed = crop_to_object([planes[len(planes) // 2]], fine, region)
    inside = framed.inside & well_mask(FEATURES_PX) if spec.crop_to == "well" else framed.inside
    return measure_organoids(framed.planes[0], inside)
