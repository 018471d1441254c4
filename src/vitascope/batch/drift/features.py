"""The features of many images, by the task that a model is for; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.batch.item import Item, run_item
from vitascope.core.errors import ModelError, VitascopeError
from vitascope.core.flags import FLAGS, without_notes
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.core.status import NOT_DONE
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.images.read import open_group
from vitascope.io.models.cards import find_model
from vitascope.tasks.registry import find_task

PLAIN = {"maps": False, "masks": False}
"""Settings of tasks that take time and change no feature."""
OUTSIDE = frozenset({"outside_model", "withheld"})
"""Flags of images on which a model is not to be relied on."""


@dataclass(frozen=True)
class ImageFeatures:
    """What a network makes of images, in their order.

    Parameters
    ----------
    model, model_sha256 : str
    names : tuple of str
        Of the images that have features.
    table : array, shape (images, F), float32
    appearances : array, shape (images, 6), float32
        How the images look, see :class:`vitascope.core.result.Result`.
    channels : tuple of tuple of str
        Of each image.
    failed : tuple of tuple of str
        Name and sentence of the images that have none.
    outside : tuple of str
        Names of those images with features on which the model is not to be relied on, such as noise.
    """

    model: str
    model_sha256: str
    names: tuple[str, ...]
    table: NDArray[np.float32]
    appearances: NDArray[np.float32]
    channels: tuple[tuple[str, ...], ...]
    failed: tuple[tuple[str, str], ...] = ()
    outside: tuple[str, ...] = ()


def image_features(
    groups: Sequence[ImageGroup],
    model: str,
    *,
    pixel_size_um: float | None = None,
    axes: str | None = None,
    settings: dict[str, Any] | None = None,
) -> ProgressGenerator[ImageFeatures]:
    """Run the task of a model on images, and keep nothing but the features of its deepest layer.

    Parameters
    ----------
    groups : sequence of ImageGroup
        The images, by the files they are made of.
    model : str
        Id, or path of a card.
    pixel_size_um, axes
        Of all images, where the files do not tell.
    settings : dict, optional
        Parameters of the task.

    Yields
    ------
    Progress

    Returns
    -------
    ImageFeatures

    Raises
    ------
    ModelError
        If the model's card describes no training images, or the model cannot be used.
    ParameterError
        If there is no such model, or a setting cannot be used.
    """
    card, _ = find_model(model)
    if card.domain is None and card.graph is None:
        raise ModelError(
            f"The card of {card.id} does not describe its training images: its features are not kept.",
            "Take a model whose card has a domain.",
        )
    spec = find_task(card.task)
    plain = {name: value for name, value in PLAIN.items() if name in spec.params.model_fields}
    params = spec.make_params(**{"model": model, **plain, **(settings or {})})
    names: list[str] = []
    found: list[NDArray[np.float32]] = []
    looks: list[NDArray[np.float32]] = []
    channels: list[tuple[str, ...]] = []
    failed: list[tuple[str, str]] = []
    outside: list[str] = []
    for number, group in enumerate(groups):
        seen: list[tuple[str, ...]] = []
        read = partial(_open, group, pixel_size_um, axes, seen)
        item = Item(group.name, group.place, {spec.roles[0].name: read}, group.paths)
        at = Progress(number, len(groups), "Comparing images")
        result, _ = yield from map_progress(run_item(spec, item, params, (ModelError,)), partial(_at, at))
        if result.features is None or result.status in NOT_DONE:
            failed.append((group.name, result.message or _why(result.flags)))
            continue
        if not np.isfinite(result.features).all():
            failed.append((group.name, "Its features are NaN or infinite."))
            continue
        names.append(group.name)
        found.append(np.asarray(result.features, np.float32))
        looks.append(np.asarray(result.appearance, np.float32))
        channels.append(seen[-1] if seen else ())
        if not OUTSIDE.isdisjoint(result.flags):
            outside.append(group.name)
    yield Progress(len(groups), len(groups), "Comparing images")
    if not found:
        raise VitascopeError("No image could be compared.", failed[0][1] if failed else "Give images.")
    return ImageFeatures(
        model=card.id,
        model_sha256=card.weights.sha256,
        names=tuple(names),
        table=np.stack(found),
        appearances=np.stack(looks),
        channels=tuple(channels),
        failed=tuple(failed),
        outside=tuple(outside),
    )


def _why(flags: tuple[str, ...]) -> str:
    """Say why an image has no features, by the first flag that weighs something."""
    heavy = [FLAGS[flag].text for flag in without_notes(flags) if flag in FLAGS]
    return heavy[0] if heavy else "It has no features."


def _at(place: Progress, step: Progress) -> Progress:
    """Return where the whole is, whatever an image is at."""
    return place


def _open(group: ImageGroup, pixel_size_um: float | None, axes: str | None, seen: list[tuple[str, ...]]) -> Any:
    image = open_group(group, pixel_size_um, axes)
    seen.append(tuple(image.channel_names or ()))
    return image
