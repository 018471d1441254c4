"""Try a network that was just brought in on an image: it is kept only if it runs, and cut only where that is exact."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.micrograph import Micrograph, sliceable
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import Result
from vitascope.io.models.archive import delete_model
from vitascope.io.models.cards import own_models, write_card
from vitascope.tasks.registry import find_task

SIDE_PX = 768
"""Side of the middle of the image that is run whole and cut: room for nine windows of the smallest size."""

TILE_PX = 256
EXACT = 1e-4
"""Largest difference between cut and whole, in shares of the answer's range."""

CUT = "Cut, it gave another answer on {} than in one pass: pictures that do not fit in memory are not exact."


def try_on(card: ModelCard, image: Micrograph) -> ProgressGenerator[Result]:
    """Run a network on an image; if it does not run, it is deleted.

    Where tiles are said to be exact, the middle of the image is run in one pass and cut: if both differ, the card says
    from now on that they are not.

    Yields
    ------
    Progress

    Returns
    -------
    Result
        On the whole image.

    Raises
    ------
    VitascopeError
        If it does not run.
    """
    task = find_task(card.task)

    def run(given: Micrograph, tile_px: int | None = None) -> Generator[Progress, None, Result]:
        return task.start({"image": given}, task.make_params(model=card.id, tile_px=tile_px))

    try:
        result = yield from run(image)
        part = middle(image)
        if card.graph is not None and card.graph.reach is not None and min(part.shape_yx) > TILE_PX:
            whole = yield from run(part)
            cut = yield from run(part, TILE_PX)
            if differs(pixels(cut), pixels(whole)):
                not_exact(card, image.name)
    except BaseException:
        delete_model(card.id)
        raise
    return result


def middle(image: Micrograph) -> Micrograph:
    """Return the middle of an image, of its first time."""
    array, axes = sliceable(image.array), image.axes
    if "T" in axes:
        array, axes = array[0], axes.replace("T", "")
    starts = [max(0, (n - SIDE_PX) // 2) for n in image.shape_yx]
    window = tuple(slice(s, s + SIDE_PX) for s in starts)
    return replace(image, array=array[(..., *window)], axes=axes)


def pixels(result: Result) -> NDArray[np.float32]:
    """Return all that a network answered."""
    return np.asarray(result.outputs[0].array, np.float32)


def differs(cut: NDArray[np.float32], whole: NDArray[np.float32]) -> bool:
    """Tell whether two answers are not one."""
    return bool(np.abs(cut - whole).max() > EXACT * max(float(np.ptp(whole)), 1e-12))


def not_exact(card: ModelCard, name: str) -> None:
    """Write a card anew: the network sees farther than its operations told."""
    assert card.graph is not None
    notes = [*card.training.get("notes", []), CUT.format(name)]
    changes = {"graph": card.graph.model_copy(update={"reach": None}), "training": {**card.training, "notes": notes}}
    write_card(card.model_copy(update=changes), own_models())
