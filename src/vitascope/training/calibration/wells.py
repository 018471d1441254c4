"""Wells of a laboratory as a calibration sees them: the start model's number, features, and what a reader measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError, ModelError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.crop_to_object import crop_to_object
from vitascope.engine.domain import image_statistics
from vitascope.engine.eight_views import averaged
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.open_backends import SquareBackend
from vitascope.engine.preprocess import prepare_picture
from vitascope.engine.resolve_plan import fixed_plan
from vitascope.engine.select_planes import select_pictures
from vitascope.engine.well_number import organoid_features, well_number
from vitascope.io.images.read import ImageGroup, open_group
from vitascope.networks.ins_atp import InsAtp
from vitascope.ops.intensity.fingerprint import fingerprints
from vitascope.ops.wells.organoid_features import ORGANOID_FEATURES
from vitascope.recipes.calibration import LEAST_WELLS, CalibrateParams
from vitascope.recipes.measured_images import match_sheet
from vitascope.recipes.recipe import AmountSource
from vitascope.stats.calibration.left_out import kept_apart
from vitascope.stats.calibration.readouts import Wells
from vitascope.tasks.atp import DEFAULT_MODEL, SPEC, AtpParams


@dataclass(frozen=True, eq=False)
class SeenWell:
    """An image of a well, and what the start model makes of it.

    Parameters
    ----------
    images : ImageGroup
    number : float
        As a run gives it.
    features : array, shape (F,)
        By :data:`vitascope.ops.wells.organoid_features.ORGANOID_FEATURES`.
    deep : array, shape (D,)
        Pooled deepest features.
    statistics : dict
        Of the prepared square.
    pixels : array, shape (C, side, side), float32
        As the network sees them.
    seen : tuple of str
        Fingerprints of the raw planes.
    """

    images: ImageGroup
    number: float
    features: NDArray[np.float64]
    deep: NDArray[np.float64]
    statistics: dict[str, float]
    pixels: NDArray[np.float32]
    seen: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Laboratory:
    """Wells with a measured number, and those without.

    Parameters
    ----------
    start : LoadedModel
    known, unknown : tuple of SeenWell
    wells : Wells
        Of ``known``, as they are calibrated on.
    apart : str
        What groups are, such as plates.
    problems : tuple of str
    """

    start: LoadedModel
    known: tuple[SeenWell, ...]
    unknown: tuple[SeenWell, ...]
    wells: Wells
    apart: str
    problems: tuple[str, ...]


def read_laboratory(images: Path, values: Path, params: CalibrateParams) -> ProgressGenerator[Laboratory]:
    """Read the wells of a folder, and run the start model on them.

    Parameters
    ----------
    images : Path
        Folder of bright-field images, a well each.
    values : Path
        A reader's sheet: grid, list or export.
    params : CalibrateParams

    Raises
    ------
    InputError
        If fewer than eight wells have both an image and a value, or all have one value.
    ModelError
        If the start model was calibrated itself, or is no model of wells.
    """
    start = load_model(DEFAULT_MODEL if params.start == "auto" else params.start, SPEC.name)
    if start.card.readout is not None:
        raise ModelError(
            f"'{start.card.id}' is calibrated itself.", f"Start from {start.card.parent.split()[0]}, as it did."
        )
    source = AmountSource(
        table=values.name, column=params.column, group=(params.group,) if params.group else (), pattern=params.pattern
    )
    matched, rest = match_sheet(source, start.card.targets[0].name, images, values)
    labelled = matched.labelled_images
    truth = np.array([one.labels[start.card.targets[0].name] for one in labelled], np.float64)
    if len(labelled) < LEAST_WELLS:
        raise InputError(
            f"{len(labelled)} wells have both an image and a value; {LEAST_WELLS} are the least to calibrate on.",
            " ".join(matched.problems[:2]) or "Measure more wells.",
        )
    if np.ptp(truth) == 0:
        raise InputError(f"All wells have the value {truth[0]:g}: there is nothing to learn.", "Check the column.")
    groups = [one.images for one in labelled] + list(rest)
    seen = yield from _see(start, groups)
    known, unknown = seen[: len(labelled)], seen[len(labelled) :]
    own = [one.group for one in labelled] if params.group else []
    plates, places = ([getattr(one.images.place, name) for one in labelled] for name in ("plate", "well"))
    apart, word = kept_apart(plates, places, own)
    wells = Wells(
        truth=truth,
        number=np.array([one.number for one in known]),
        features=np.array([one.features for one in known]),
        names=ORGANOID_FEATURES,
        groups=apart,
    )
    return Laboratory(start=start, known=known, unknown=unknown, wells=wells, apart=word, problems=matched.problems)


def _see(start: LoadedModel, groups: Sequence[ImageGroup]) -> ProgressGenerator[tuple[SeenWell, ...]]:
    """Run the start model on each image."""
    card = start.card
    network = start.network
    if not isinstance(network, InsAtp) or card.input.side_px is None:
        raise ModelError(f"'{card.id}' is no model of wells.", f"Start from a model of the task '{SPEC.name}'.")
    backend = SquareBackend(start, fixed_plan(AtpParams(), card.input.side_px))
    found = []
    for done, group in enumerate(groups):
        yield Progress(done, len(groups), "reading the wells")
        pictures, _ = select_pictures(open_group(group), card.input, None, None)
        if len(pictures) != 1:
            raise InputError(
                f"{group.name} holds {len(pictures)} pictures, not one.", "Give one plane for each well, or a pattern."
            )
        planes = [np.asarray(plane) for plane in pictures[0].planes]
        framed = crop_to_object(planes, card.input)
        prepared = yield from prepare_picture(list(framed.planes), card.input, 1.0)
        height, width = prepared.shape_yx
        pixels = prepared.read((slice(0, height), slice(0, width)))
        outputs = averaged(backend.infer_many, pixels, AtpParams().views)
        measured = organoid_features(planes, card.input, framed.region)
        found.append(
            SeenWell(
                images=group,
                number=well_number(network, outputs, framed)[0],
                features=np.array([measured[name] for name in ORGANOID_FEATURES]),
                deep=outputs[1].astype(np.float64).mean((1, 2)),
                statistics=image_statistics(prepared.read, prepared.shape_yx, height)[0],
                pixels=pixels,
                seen=tuple(fingerprints(planes)),
            )
        )
    return tuple(found)
