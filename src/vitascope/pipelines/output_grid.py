"""What the pipelines of all picture tasks share: where outputs lie, and predicting one picture onto them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import Trust
from vitascope.engine.domain import assess_domain, image_statistics
from vitascope.engine.execution_plan import Plan
from vitascope.engine.load_model import LoadedModel
from vitascope.engine.open_backends import Backend, open_backend
from vitascope.engine.preprocess import PreparedImage
from vitascope.engine.select_planes import SelectedPlanes
from vitascope.engine.tiled_prediction import FeaturePool, Gatherer, Stitching, predict_picture
from vitascope.io.results.temporary_store import TemporaryStore, plane_of
from vitascope.ops.geometry.resample import Reader, array_reader, resampled_reader
from vitascope.ops.tiling.chunks import chunk_slices

EXACT = Stitching()


@dataclass(frozen=True)
class OutputGrid:
    """The leading axes of a run's outputs: time, channel and plane, those that there are several of.

    Parameters
    ----------
    image : Micrograph
    pictures : list of SelectedPlanes
    channels : int
        Of an output picture.
    """

    image: Micrograph
    pictures: list[SelectedPlanes]
    channels: int

    @property
    def axes(self) -> str:
        """Leading axes of a picture, out of TCZ."""
        z_kept = any(p.z is not None for p in self.pictures)
        several = self.channels > 1
        return "".join(
            a for a in "TCZ" if (a == "T" and "T" in self.image.axes) or (a == "C" and several) or (a == "Z" and z_kept)
        )

    @property
    def label_axes(self) -> str:
        """Leading axes of labels: those of a picture without its channels."""
        return self.axes.replace("C", "")

    def shape(self, axes: str) -> tuple[int, ...]:
        """Return the shape of an array with these leading axes, on the image's pixels."""
        lengths: Mapping[str, int] = {"T": self.image.sizes["T"], "C": self.channels, "Z": self.image.sizes["Z"]}
        return (*(lengths[a] for a in axes), *self.image.shape_yx)

    @staticmethod
    def index(picture: SelectedPlanes, k: int, axes: str) -> tuple[int, ...]:
        """Return where channel ``k`` of a picture lies in an array with these leading axes."""
        where = {"T": picture.t, "C": k, "Z": picture.z or 0}
        return tuple(where[a] for a in axes)

    def where(self, picture: SelectedPlanes) -> dict[str, int]:
        """Say which of several pictures it is; nothing for a single one."""
        where = {"time": picture.t} if "T" in self.axes else {}
        return where if picture.z is None else {**where, "z": picture.z}


def predict_onto(
    model: LoadedModel,
    prepared: PreparedImage,
    planes: list[Any],
    plan: Plan,
    scratch: TemporaryStore,
    *,
    name: str,
    pool: Gatherer | None = None,
    stitching: Stitching = EXACT,
    flip: bool = False,
    stage: str = "predict",
    open_with: Callable[[LoadedModel, Plan], Backend] = open_backend,
) -> ProgressGenerator[Plan]:
    """Predict a picture onto planes of the image's own grid; pixels that are not finite become 0.

    Parameters
    ----------
    model : LoadedModel
    prepared : PreparedImage
    planes : list of array, each (Y, X)
        One per channel of the answer; written to.
    plan : Plan
    scratch : TemporaryStore
        For the answer on the network's grid, where that is another.
    name : str
        Unique within ``scratch``.
    pool, stitching, flip, stage, open_with
        Of :func:`vitascope.engine.tiled_prediction.predict_picture`.

    Returns
    -------
    Plan
        The one that succeeded.
    """
    rescaled = prepared.shape_yx != prepared.source_yx
    targets = planes
    if rescaled:
        network_grid = scratch.zeros(name, (len(planes), *prepared.shape_yx), np.float32)
        targets = [plane_of(network_grid, (k,)) for k in range(len(planes))]

    def sink(where: tuple[slice, slice], piece: NDArray[np.float32]) -> None:
        if not rescaled and prepared.finite is not None:
            piece = piece * prepared.finite(where)
        for plane, part in zip(targets, piece, strict=True):
            plane[where] = part

    plan = yield from predict_picture(
        model,
        prepared.read,
        prepared.shape_yx,
        plan,
        sink,
        pool=pool,
        stitching=stitching,
        flip=flip,
        stage=stage,
        open_with=open_with,
    )
    if rescaled:
        write_back(array_reader(network_grid), prepared, planes)
    return plan


def write_back(read: Reader, prepared: PreparedImage, planes: list[Any]) -> None:
    """Resample a picture from the network's grid to the image's own; pixels that are not finite become 0."""
    back = resampled_reader(read, prepared.shape_yx, prepared.source_yx)
    for window in chunk_slices(planes[0]):
        where = (window[0], window[1])
        mask = 1 if prepared.finite is None else prepared.finite(where)
        for plane, part in zip(planes, back(where), strict=True):
            plane[where] = part * mask


def make_pool(model: LoadedModel, prepared: PreparedImage) -> FeaturePool | None:
    """Return what gathers the deepest features for :func:`judge_picture`; None where the card knows no domain."""
    domain = model.card.domain
    return FeaturePool(prepared.shape_yx, domain.crop_px, model.family.multiple_px) if domain is not None else None


def judge_picture(card: ModelCard, prepared: PreparedImage, pool: FeaturePool | None) -> tuple[Trust, tuple[str, ...]]:
    """Judge a predicted picture against the card's domain; trust and flags."""
    if card.domain is None or pool is None:
        return Trust(), ()
    statistics = image_statistics(prepared.read, prepared.shape_yx, card.domain.crop_px)
    return assess_domain(card.domain, statistics, pool.features())
