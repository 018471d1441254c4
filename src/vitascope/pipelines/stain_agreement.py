"""How well a predicted stain agrees with the real one of the same field: pixels, objects, and numbers people use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import ProgressGenerator
from vitascope.core.stain_names import showing
from vitascope.engine.select_planes import SelectedPlanes
from vitascope.io.results.temporary_store import TemporaryStore
from vitascope.ops.intensity.histogram import count_values
from vitascope.ops.objects.measure import column_names, summarise_objects
from vitascope.ops.objects.segment import SegmentParams, segment_blocks
from vitascope.ops.tiling.chunks import chunk_slices, read_piece
from vitascope.stats.agreement import agreement_table, crop_rows, picture_agreement

SCALE_PERCENTILES = (1.0, 99.9)


@dataclass(frozen=True)
class Stain:
    """A real stain to compare with.

    Parameters
    ----------
    image : Micrograph
    channel : int
        Channel of it.
    k : int
        Target of the model that it shows.
    target : str
        Name of that target.
    """

    image: Micrograph
    channel: int
    k: int
    target: str

    def plane(self, picture: SelectedPlanes) -> Any:
        """Return the (Y, X) plane that belongs to a picture."""
        t = picture.t if self.image.sizes["T"] > 1 else 0
        z = (picture.z or 0) if self.image.sizes["Z"] > 1 else 0
        return self.image.plane(t, self.channel, z)


def find_stain(
    reference: Micrograph | None, image: Micrograph, card: ModelCard, chosen: Sequence[int] | None = None
) -> Stain | None:
    """Match a real stain to the image and to a target of the model, one of those ``chosen`` where they are given.

    Raises
    ------
    InputError
        If shapes differ, or it cannot be told which target it shows.
    """
    if reference is None:
        return None
    if reference.shape_yx != image.shape_yx:
        raise InputError(
            f"The real stain is {reference.shape_yx[0]} x {reference.shape_yx[1]} px, the image {image.shape_yx[0]} x "
            f"{image.shape_yx[1]} px.",
            "They must show the same field on the same pixels.",
        )
    for axis in "TZ":
        if reference.sizes[axis] not in (1, image.sizes[axis]):
            raise InputError(
                f"The real stain has {reference.sizes[axis]} steps along {axis}, the image {image.sizes[axis]}."
            )
    numbers = range(len(card.targets)) if chosen is None else chosen
    names = {k: card.targets[k].name for k in numbers}
    if reference.sizes["C"] == 1 and len(names) == 1:
        (k,) = names
        return Stain(reference, 0, k, names[k])
    told = list(enumerate(reference.channel_names))
    if reference.sizes["C"] == 1:
        told.append((0, reference.name))
    for number, (channel, _) in enumerate(told):
        for k, target in names.items():
            if number in showing([name for _, name in told], target):
                return Stain(reference, channel, k, target)
    raise InputError(
        f"It cannot be told which of {', '.join(names.values())} the real stain '{reference.name}' shows.",
        "Name its channel, or the file, after the stain.",
        flag="wrong_channels",
    )


def find_stains(reference: Micrograph, names: Mapping[int, str]) -> list[Stain]:
    """Match every channel of a real picture to a target, as far as its name tells; each target once.

    Parameters
    ----------
    reference : Micrograph
    names : mapping of int to str
        Targets of the model, by number.
    """
    told = list(enumerate(reference.channel_names)) or [(0, reference.name)]
    told = told[: reference.sizes["C"]]
    found: dict[int, Stain] = {}
    for k, target in names.items():
        channels = [told[number][0] for number in showing([name for _, name in told], target)]
        free = [channel for channel in channels if channel not in {stain.channel for stain in found.values()}]
        if free:
            found[k] = Stain(reference, free[0], k, target)
    return list(found.values())


def scaled_stain(plane: Any, scratch: TemporaryStore) -> ProgressGenerator[NDArray[np.float32] | Any]:
    """Bring a stain to [0, 1] by its 1 and 99.9 % percentiles, as training did, piece by piece.

    A large one lies in ``scratch``, which must be kept as long as it is used.
    """
    counted = yield from count_values(plane, stage="Reading the real stain")
    low, high = counted.percentiles(*SCALE_PERCENTILES)
    scaled = scratch.zeros("stain", plane.shape, np.float32)
    span = max(high - low, 1e-30)
    for window in chunk_slices(plane):
        with np.errstate(over="ignore"):
            scaled[window] = np.clip((read_piece(plane, window).astype(np.float64) - low) / span, 0, 1)
    return scaled


def compare_with_stain(
    stain: Stain,
    picture: SelectedPlanes,
    planes: list[Any],
    table: pd.DataFrame | None,
    params: SegmentParams,
    pixel_size_um: float | None,
) -> ProgressGenerator[tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]]:
    """Compare a predicted picture with the real stain.

    Parameters
    ----------
    stain : Stain
    picture : SelectedPlanes
    planes : list of array, (Y, X)
        Predicted targets.
    table : DataFrame or None
        Objects found in the prediction; None leaves objects out.
    params : SegmentParams
        How they were found; the real stain is segmented alike.
    pixel_size_um : float or None

    Returns
    -------
    tuple of dict and two DataFrames
        Numbers for the result row (``pcc``, ``ssim``, ``nrmse``, and ``real_…`` summaries of the real stain's objects);
        the agreement of counts, areas and intensities over crops of 256 px; and these crops, one row each.

    References
    ----------
    Pankova 2022 (seed 004), section 3.1.6.
    """
    scratch = TemporaryStore()
    truth = yield from scaled_stain(stain.plane(picture), scratch)
    predicted = planes[stain.k]
    numbers: dict[str, Any] = {k: v for k, v in picture_agreement(truth, predicted).items() if k != "reason"}
    if table is None:
        return numbers, pd.DataFrame(), pd.DataFrame()
    found = yield from segment_blocks(truth, params, pictures={stain.target: truth}, pixel_size_um=pixel_size_um)
    shape = (int(predicted.shape[0]), int(predicted.shape[1]))
    summary = summarise_objects(found.table, shape, pixel_size_um=pixel_size_um)
    numbers |= {f"real_{'objects' if k == 'count' else k}": v for k, v in summary.items()}
    column = column_names([stain.target])[0]
    real, found_crops = crop_rows(found.table, shape, column), crop_rows(table, shape, column)
    crops = pd.concat([real.add_prefix("real_"), found_crops.add_prefix("predicted_")], axis=1)
    return numbers, agreement_table(real, found_crops, over="crops"), crops
