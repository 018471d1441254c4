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
from vitascope.engine.plate_levels import find_levels, is_by_plate
from vitascope.io.models.archive import delete_model
from vitascope.io.models.cards import own_models, write_card
from vitascope.tasks.registry import find_task

TILE_PX = 256
"""Side of windows, or four times what overlaps: what they keep is then half of it at least."""

MOST_WINDOWS = 3
"""Along each side of the middle of the image that is run whole and cut."""

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
        return task.start({"image": given}, task.make_params(model=card.id, tile_px=tile_px, **levels))

    levels: dict[str, str | None] = {}
    try:
        if is_by_plate(card):  # the image stands for the plate that is not there yet
            levels["plate_levels"] = yield from find_levels(card, [(image.name, lambda: image)])
        result = yield from run(image)
        tile_px, side = tight_windows(card, min(image.shape_yx))
        if side:
            part = middle(image, side)
            whole = yield from run(part)
            cut = yield from run(part, tile_px)
            if differs(pixels(cut), pixels(whole)):
                not_exact(card, image.name)
    except BaseException:
        delete_model(card.id)
        raise
    return result


def tight_windows(card: ModelCard, most_px: int) -> tuple[int, int]:
    """Return a window's side, and the side of a picture whose windows overlap by the reach and no more.

    Returns
    -------
    tuple of int
        The second is 0 where tiles are not said to be exact, or an image of ``most_px`` has no room for two windows.
    """
    if card.graph is None or card.graph.reach is None:
        return 0, 0
    step = max(card.graph.step)
    halo = -(-max(card.graph.reach) // step) * step
    tile_px = -(-max(TILE_PX, 4 * halo) // step) * step
    kept = tile_px - 2 * halo
    count = min((most_px - 2 * halo) // kept, MOST_WINDOWS)
    return tile_px, 2 * halo + count * kept if count > 1 else 0


def middle(image: Micrograph, side_px: int) -> Micrograph:
    """Return the square in the middle of an image, of its first time."""
    array, axes = sliceable(image.array), image.axes
    if "T" in axes:
        array, axes = array[0], axes.replace("T", "")
    starts = [max(0, (n - side_px) // 2) for n in image.shape_yx]
    window = tuple(slice(s, s + side_px) for s in starts)
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
