"""Run a network of another program over a picture or a stack of any size."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from vitascope.core.errors import MemoryShortageError, ModelError
from vitascope.core.graph_spec import GraphSpec
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.device import is_device_error
from vitascope.engine.graphs.cuda import CudaNetwork
from vitascope.engine.graphs.network import GraphNetwork, output_axes
from vitascope.engine.graphs.source import GraphSource
from vitascope.engine.graphs.windows import LEAST_TILE_PX, Cut, Piece, cut, planes_of
from vitascope.ops.geometry.resample import Reader
from vitascope.ops.tiling.chunks import chunk_slices

EXACT_TILE_BYTES = 1 << 30
"""What a window may take where tiles are exact: larger ones are hardly faster."""

_TURN = threading.Lock()
"""Held while a network computes: images that are run at once in one process take turns."""


@dataclass(frozen=True)
class GraphAnswer:
    """How a picture was computed.

    Parameters
    ----------
    device : str
        It ran on.
    tile_px : int or None
        Longest side of a window; None where the whole picture was one, or the network takes one size only.
    flags : tuple of str
        ``not_exact`` where windows were blended, ``tile_reduced``.
    """

    device: str
    tile_px: int | None
    flags: tuple[str, ...] = ()


def output_planes(spec: GraphSpec, planes: int) -> int:
    """Return how many planes the answer to a stack has."""
    if not spec.has_depth or spec.gives_depth:
        return planes
    return planes if spec.sides[0] is not None and planes > spec.sides[0] else 1


def window_bytes(spec: GraphSpec) -> int:
    """Return what a window may take: little where tiles are exact, as much as there is where they are not."""
    free = psutil.virtual_memory().available // 2
    return min(EXACT_TILE_BYTES, free) if spec.reach is not None else int(free)


def predict_graph(
    source: GraphSource,
    readers: Sequence[Reader],
    shape: tuple[int, int, int],
    targets: Sequence[Sequence[Any]],
    *,
    threads: int,
    device: str = "cpu",
    tile_px: int | None = None,
    stage: str = "Predicting",
) -> ProgressGenerator[GraphAnswer]:
    """Run a graph over a stack, and write the pictures that it answers with, unscaled.

    Parameters
    ----------
    source : GraphSource
    readers : sequence of Reader
        One for each channel: gives (Z, h, w) float32 of a window, prepared, reflecting beyond the edges.
    shape : tuple of int
        (Z, Y, X).
    targets : sequence of sequence of array
        (Y, X) planes to write to, ``targets[k][z]``.
    threads : int, >= 1
    device : str
        See :func:`vitascope.engine.graphs.device.pick_graph_device`; the processor stands in where it fails.
    tile_px : int, optional
        Longest side of a window; by the memory that there is where it is not told.
    stage : str

    Yields
    ------
    Progress
        One for each window.

    Raises
    ------
    MemoryShortageError
        If memory ran out at the smallest window too.
    ModelError
        If the graph cannot be run on a window, or answers with what is no number.
    """
    flags: tuple[str, ...] = ()
    most = window_bytes(source.spec)
    while True:
        plan = cut(source.spec, shape, most, tile_px)
        side = max(p.stop - p.start for axis in (plan.y, plan.x) for p in axis)
        try:
            network = source.open(threads, device)
            yield from _run(source, network, plan, readers, shape[0], targets, stage)
        except RuntimeError:
            if device == "cpu":
                raise
            device, flags = "cpu", (*flags, "device_fallback")
            continue
        except MemoryError as error:
            if side <= LEAST_TILE_PX or None not in source.spec.sides[1:]:
                raise MemoryShortageError(
                    f"Memory ran out, at the smallest window ({side} px) too.",
                    "Close other programs, or run on a machine with more memory.",
                ) from error
            tile_px, flags = max(LEAST_TILE_PX, side // 2), tuple(dict.fromkeys((*flags, "tile_reduced")))
            continue
        free = None in source.spec.sides[1:] and len(plan.y) * len(plan.x) > 1
        return GraphAnswer(device, side if free else None, (*flags, *(() if plan.exact else ("not_exact",))))


def _run(
    source: GraphSource,
    network: GraphNetwork | CudaNetwork,
    plan: Cut,
    readers: Sequence[Reader],
    planes: int,
    targets: Sequence[Sequence[Any]],
    stage: str,
) -> ProgressGenerator[None]:
    if plan.adds_up:
        _clear(targets)
    done = 0
    for y in plan.y:
        for x in plan.x:
            window = (slice(y.start, y.stop), slice(x.start, x.stop))
            stack = np.stack([read(window) for read in readers])
            for z in plan.z:
                yield Progress(done, plan.count, stage)
                _write(_answer(source, network, stack[:, planes_of(z, planes)]), (z, y, x), plan, targets)
                done += 1
    yield Progress(done, plan.count, stage)


def _answer(source: GraphSource, network: GraphNetwork | CudaNetwork, x: NDArray[np.float32]) -> NDArray[np.float32]:
    try:
        with _TURN:
            found = network.pictures(x, output_axes(source.spec))
    except MemoryError:
        raise
    except (RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, RuntimeError) and is_device_error(error):
            raise
        last = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"The network does not take a window of {' × '.join(map(str, x.shape))}: {last[:200]}",
            "Import it again and tell what its sides must be multiples of (divisor in --spec).",
        ) from error
    if found.shape[0] != source.spec.channels or found.shape[2:] != x.shape[2:]:
        raise ModelError("The network answers with pictures of another size than its card says.", "Import it again.")
    if not np.isfinite(found).all():
        raise ModelError("The network gives numbers that are not finite.", "Check the normalisation it was given.")
    return found


def _write(
    found: NDArray[np.float32], at: tuple[Piece, Piece, Piece], plan: Cut, targets: Sequence[Sequence[Any]]
) -> None:
    z, y, x = at
    rows, columns = (slice(p.keep.start - p.start, p.keep.stop - p.start) for p in (y, x))
    for plane in range(z.keep.start, z.keep.stop):
        inside = 0 if plan.centre or found.shape[1] == 1 else plane - z.start
        weight: Any = 1 if z.weight is None else z.weight[plane - z.keep.start]
        if y.weight is not None:
            weight = weight * y.weight[:, None]
        if x.weight is not None:
            weight = weight * x.weight
        for k, target in enumerate(targets):
            piece = found[k, inside, rows, columns]
            where = (y.keep, x.keep)
            target[plane][where] = piece if not plan.adds_up else np.asarray(target[plane][where]) + piece * weight


def _clear(targets: Sequence[Sequence[Any]]) -> None:
    for target in targets:
        for plane in target:
            for window in chunk_slices(plane):
                plane[window] = 0
