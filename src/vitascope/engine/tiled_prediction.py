"""Run a network over a picture of any size, tile by tile, exactly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import MemoryShortageError, ModelError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.execution_plan import Plan, least_tile, tiles_of, window_sides
from vitascope.engine.load_model import LoadedModel
from vitascope.engine.open_backends import Backend, answers_of, open_backend, plan_after
from vitascope.engine.openvino_backend import is_memory_error
from vitascope.engine.resolve_plan import smaller_plan
from vitascope.ops.geometry.resample import Reader
from vitascope.ops.tiling.tiles import Tile, crop_to, gaussian_window, plan_border, plan_tiles

_NETWORK = threading.Lock()
"""Held while a network computes: images that are run at once in one process take turns, and share its buffers."""

Sink = Callable[[Any, NDArray[np.float32]], None]
"""Takes a (K, h, w) piece of the answer for (y, x) slices of the picture; of a volume (K, d, h, w) for (z, y, x)."""

WINDOW_PX = 256
"""Window of the thesis's border stitching and of Gaussian blending."""


@dataclass(frozen=True)
class Stitching:
    """How windows become one picture: ``exact``, or ``border`` / ``gaussian`` with ``border_px``."""

    mode: str = "exact"
    border_px: int = 32


class Gatherer(Protocol):
    """Takes what the network answers besides the picture, tile by tile."""

    def reset(self) -> None:
        """Forget what was gathered: the picture is begun again."""

    def add(self, tile: Tile, encoding: NDArray[np.float32]) -> None:
        """Take the (F, h, w) encoding of a tile's window."""


class FeaturePool:
    """Means of the deepest features over squares of a picture, gathered tile by tile.

    Parameters
    ----------
    shape_yx : tuple of int
        Of the picture, px.
    crop_px : int, a multiple of ``stride_px``
    stride_px : int
        Pixels per feature cell.
    """

    def __init__(self, shape_yx: tuple[int, int], crop_px: int, stride_px: int) -> None:
        self.grid = tuple(max(1, round(n / crop_px)) for n in shape_yx)
        self._crop_px, self._stride_px = crop_px, stride_px
        self.reset()

    def reset(self) -> None:
        """Forget what was gathered."""
        self._sums: NDArray[np.float64] | None = None
        self._counts = np.zeros(self.grid)

    def add(self, tile: Tile, encoding: NDArray[np.float32]) -> None:
        """Add the (F, h, w) encoding of a tile's window; only cells of its core count."""
        if self._sums is None:
            self._sums = np.zeros((*self.grid, encoding.shape[0]))
        inner = [slice(s.start // self._stride_px, s.stop // self._stride_px) for s in tile.core_in_window]
        cells = encoding[:, inner[0], inner[1]].astype(np.float64)
        rows, columns = (
            np.minimum(np.arange(c.start, c.stop, self._stride_px) // self._crop_px, n - 1)
            for c, n in zip(tile.core, self.grid, strict=True)
        )
        for row in np.unique(rows):
            for column in np.unique(columns):
                part = cells[:, rows == row][:, :, columns == column]
                self._sums[row, column] += part.sum(axis=(1, 2))
                self._counts[row, column] += part.shape[1] * part.shape[2]

    def features(self) -> NDArray[np.float64]:
        """Return the mean features, shape (crops, F)."""
        if self._sums is None:
            return np.zeros((0, 0))
        return (self._sums / np.maximum(self._counts, 1)[..., None]).reshape(-1, self._sums.shape[-1])


def predict_picture(
    model: LoadedModel,
    read: Reader,
    shape: tuple[int, ...],
    plan: Plan,
    sink: Sink,
    *,
    pool: Gatherer | None = None,
    stitching: Stitching = Stitching(),
    flip: bool = False,
    stage: str = "predict",
    open_with: Callable[[LoadedModel, Plan], Backend] = open_backend,
) -> ProgressGenerator[Plan]:
    """Predict one picture, or one volume.

    Parameters
    ----------
    model : LoadedModel
        Its network's first output is the picture, its second the deepest features.
    read : Reader
        Gives (C, h, w) or (C, d, h, w) float32 of a window in network units, reflecting beyond the edges.
    shape : tuple of int
        (Depth,) height and width; volumes are stitched exactly.
    plan : Plan
    sink : Sink
        Takes the answer piece by piece, float32; may be called again for the same pixels after memory ran out.
    pool : Gatherer, optional
        Gathers the deepest features.
    stitching : Stitching
    flip : bool
        Whether to average with the prediction of the picture mirrored left to right.
    stage : str
        What progress calls this.
    open_with : callable
        Opens the network on the plan's device.

    Yields
    ------
    Progress
        One for each tile.

    Returns
    -------
    Plan
        The plan that succeeded, with flags for what had to change on the way.

    Raises
    ------
    MemoryShortageError
        If memory ran out at the smallest tile too.
    """
    while True:
        if pool is not None:
            pool.reset()
        try:
            with _NETWORK:
                backend = open_with(model, plan)
            if stitching.mode == "gaussian":
                rows = plan_blend(shape, stitching)
                answered = _answered(backend, [tile for row in rows for tile in row], read, pool, flip)
                yield from _blend(answered, rows, shape, sink, stage)
            else:
                tiles = _tiles(model, shape, plan, stitching)
                yield from _stitch(_answered(backend, tiles, read, pool, flip), len(tiles), shape, sink, stage)
            return plan
        except _NotFiniteError as error:
            if plan.precision == "f32":
                raise ModelError(f"The model {model.card.id} gives numbers that are not finite.") from error
            plan = replace(plan, precision="f32", flags=(*plan.flags, "precision_raised"))
        except (MemoryError, RuntimeError) as error:
            family = model.family
            if is_memory_error(error):
                after = smaller_plan(plan, shape, least_tile(family), tiles_of(family))
            else:
                after = plan_after(error, plan)
            if after is None:
                raise _final(error, plan) from error
            plan = after


def answer_window(model: LoadedModel, plan: Plan, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Return what a network answers to one window (C, h, w) or (C, d, h, w) alone: picture and deepest features."""
    with _NETWORK:
        try:
            return tuple(np.array(output) for output in open_backend(model, plan)(x))
        except (MemoryError, RuntimeError) as error:
            after = plan_after(error, plan)
            if after is None:
                raise
            return tuple(np.array(output) for output in open_backend(model, after)(x))


class _NotFiniteError(Exception):
    pass


def _final(error: Exception, plan: Plan) -> Exception:
    if not is_memory_error(error):
        return error
    return MemoryShortageError(
        f"Memory ran out, at the smallest tile ({plan.tile_px} px) too.",
        "Close other programs, or run on a machine with more memory.",
    )


def _answered(
    backend: Backend, tiles: Sequence[Tile], read: Reader, pool: Gatherer | None, flip: bool
) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
    """Give each tile with what the network makes of its window, (K, h, w)."""

    def windows() -> Iterator[NDArray[np.float32]]:
        for tile in tiles:
            x = read(tile.window)
            yield x
            if flip:
                yield x[..., ::-1]

    answers = answers_of(backend, windows(), _NETWORK)
    for tile in tiles:
        image, encoding, *_ = next(answers)
        if pool is not None:
            pool.add(tile, encoding)
        if flip:
            image += next(answers)[0][..., ::-1]
            image *= 0.5
        if not np.isfinite(image).all():
            raise _NotFiniteError
        yield tile, image


def _tiles(model: LoadedModel, shape: tuple[int, ...], plan: Plan, stitching: Stitching) -> list[Tile]:
    family = model.family
    if stitching.mode == "border":
        return plan_border(shape, WINDOW_PX, stitching.border_px, family.multiple_px)
    return plan_tiles(shape, window_sides(family, plan.tile_px, shape), family.halo, family.multiple)


Answered = Iterator[tuple[Tile, NDArray[np.float32]]]


def _stitch(answered: Answered, total: int, shape: tuple[int, ...], sink: Sink, stage: str) -> ProgressGenerator[None]:
    for done in range(total):
        yield Progress(done, total, stage)
        tile, image = next(answered)
        in_picture, in_window = crop_to(tile, shape)
        sink(in_picture, image[(slice(None), *in_window)])
    yield Progress(total, total, stage)


def plan_blend(shape_yx: tuple[int, ...], stitching: Stitching) -> list[list[Tile]]:
    """Plan rows of windows that overlap by twice the border; each core is its whole window."""
    tiles = plan_border(shape_yx, WINDOW_PX, stitching.border_px)
    rows: dict[int, list[Tile]] = {}
    for tile in tiles:
        rows.setdefault(tile.window[0].start, []).append(Tile(tile.window, tile.window))
    return list(rows.values())


def _blend(
    answered: Answered, rows: list[list[Tile]], shape_yx: tuple[int, ...], sink: Sink, stage: str
) -> ProgressGenerator[None]:
    # Windows are added up one row at a time; what no later row reaches is divided by its weight and given away.
    total, done = sum(map(len, rows)), 0
    height, width = rows[-1][0].window[0].stop, rows[0][-1].window[1].stop
    sums: NDArray[np.float32] | None = None
    weights = np.zeros((height, width), np.float32) if len(rows) == 1 else np.zeros((WINDOW_PX, width), np.float32)
    for number, row in enumerate(rows):
        top, bottom = row[0].window[0].start, row[0].window[0].stop
        for _ in row:
            yield Progress(done, total, stage)
            tile, image = next(answered)
            bell = gaussian_window((image.shape[1], image.shape[2]))
            if sums is None:
                sums = np.zeros((image.shape[0], *weights.shape), np.float32)
            sums[:, :, tile.window[1]] += image * bell
            weights[:, tile.window[1]] += bell
            done += 1
        assert sums is not None
        end = rows[number + 1][0].window[0].start if number + 1 < len(rows) else bottom
        ready = sums[:, : end - top] / weights[: end - top]
        picture = (slice(top, min(end, shape_yx[0])), slice(0, shape_yx[1]))
        sink(picture, np.asarray(ready[:, : picture[0].stop - top, : shape_yx[1]], np.float32))
        for buffer in (sums, weights):
            kept = buffer[..., end - top :, :].copy()
            buffer[...] = 0
            buffer[..., : kept.shape[-2], :] = kept
    yield Progress(total, total, stage)
