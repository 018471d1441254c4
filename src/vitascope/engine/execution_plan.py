"""Resolve ``auto`` into a device, a number format and a tile before a run, by a short measurement on this machine."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import psutil
from numpy.typing import NDArray

from vitascope.core.errors import OutputError, ParameterError
from vitascope.core.params import RunParams
from vitascope.core.paths import cache
from vitascope.core.versions import versions
from vitascope.engine.deferred_network import DeferredNetwork
from vitascope.engine.device import Device, core_count, for_volumes, give_up_device, is_device_error, pick_device
from vitascope.engine.load_model import ArchitectureInfo, LoadedModel
from vitascope.engine.openvino_backend import OpenVinoBackend, cpu_key, cpu_name, is_memory_error
from vitascope.io.atomic import write_bytes
from vitascope.ops.tiling.tiles import Tile, fit_sides, padded_length, plan_tiles

if TYPE_CHECKING:
    from vitascope.engine.torch_backend import TorchBackend

logger = logging.getLogger(__name__)

TILES_PX = (320, 416, 512, 640, 768, 896, 1024, 1184, 1344, 1536, 1728, 1920, 2144)
"""Tiles to choose from, smallest first; the largest takes a 2136 px camera image in one pass."""

VOLUME_TILES_PX = (64, 96, 128, 192, 256)
"""The same for volumes: sides across, each window being half as deep."""

MEASURED_TILES_PX = (512, 1024, 2144)
MEASURED_VOLUME_TILES_PX = (96, 192)
"""Tiles whose speed is measured, smallest first."""

FORMATS_TILE_PX = 192
"""The tile that number formats are compared at for a picture that the smallest of these takes at once.

It costs a fifth of the first and is the side of the crops that a picture is judged by. On a processor only.
"""

MEMORY_SHARE = 1 / 20
"""What one tile may take of the processor's memory; never more than a quarter of what is free."""

LEAST_TILE_BYTES = 512 << 20
"""What one tile may take where the share is less: the smallest machines have 4 GiB."""

VOLUME_MEMORY_BYTES = 1 << 30
"""What one window of a volume may take, however much memory there is: the volume itself is held beside it."""

WORTHWHILE = 1.2
"""How many times faster than 32 bit a shorter number format must be to be taken."""

CLEARLY = 1.5
"""By what factor one timing must lie beside :data:`WORTHWHILE` to be enough."""

ENOUGH_REPEATS = 3
"""After how many timings the best one is taken as it is."""

Backend: TypeAlias = "OpenVinoBackend | TorchBackend"
T = TypeVar("T")

AT_ANY_TIME: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True)
class Plan:
    """How a run computes; recorded with it, and enough to repeat it bit for bit on this machine.

    Parameters
    ----------
    device : str
        ``cpu``, ``cuda:0``, ``mps``.
    precision : {"f32", "tf32", "bf16", "f16"}
    tile_px : int
        Side of the square, or box, whose pixels a window has at most; see :func:`window_sides`.
    threads : int
    flags : tuple of str
        Such as ``device_fallback``.
    batch : int, >= 1
        Windows, mirror images or hidden places that a graphics card computes at once; the processor takes one.
    """

    device: str
    precision: str
    tile_px: int
    threads: int
    flags: tuple[str, ...] = ()
    batch: int = 1

    def resolved(self) -> dict[str, str | int]:
        """Return the fields that replace ``auto`` in the parameters."""
        batch: dict[str, str | int] = {"batch": self.batch} if self.device != "cpu" else {}
        return {
            "device": self.device,
            "precision": self.precision,
            "tile_px": self.tile_px,
            "threads": self.threads,
            **batch,
        }


@dataclass(frozen=True)
class Speed:
    """What was measured: seconds and bytes a pixel (voxel) of the window, by format and tile."""

    precision: str
    tile_px: int
    seconds_per_px: float
    bytes_per_px: float


_opened: WeakKeyDictionary[object, dict[tuple[str, str, int, int, int], Backend]] = WeakKeyDictionary()
_OPENING = threading.Lock()

MOST_AT_ONCE = 32
"""Windows, mirror images or hidden places in a batch: cards gain little beyond."""

SQUARES_AT_ONCE = 8
"""Whole squares in a batch on a graphics card: the eight ways to turn and mirror one."""

MOST_STREAMS = 16
"""Whole squares that may be in a network at once: each has buffers of its own."""


def tiles_of(family: ArchitectureInfo) -> tuple[int, ...]:
    """Return the tiles to choose from for a kind of network."""
    return VOLUME_TILES_PX if family.is_3d else TILES_PX


def window_sides(family: ArchitectureInfo, tile_px: int, shape: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return the sides of a window, (z,) y, x: ``tile_px`` across, in z by the ratio of the network's multiples.

    For a picture or volume of a ``shape`` they are fitted to it: as many pixels at most, and the least overlap.

    Examples
    --------
    >>> from vitascope.engine.load_model import FAMILIES
    >>> window_sides(FAMILIES["unet"], 500), window_sides(FAMILIES["unet3d"], 128)
    ((512, 512), (64, 128, 128))
    """
    sides = tuple(padded_length(tile_px * m // family.multiple_px, m) for m in family.multiple)
    return sides if shape is None else fit_sides(shape, sides, family.halo, family.multiple)


def open_backend(model: LoadedModel, plan: Plan, streams: int = 1) -> Backend:
    """Put a network on the plan's device; as long as the network lives, the last device and precision stay ready."""
    key = (plan.device, plan.precision, plan.threads, streams, plan.batch)
    with _OPENING:
        ready = _opened.setdefault(model.source, {})
        if key not in ready:
            ready.clear()
            ready[key] = _open(model, plan, streams)
        return ready[key]


def answers_of(
    backend: Backend, windows: Iterable[NDArray[np.float32]], turn: AbstractContextManager[object] = AT_ANY_TIME
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Run windows of one shape in order, on a graphics card in batches; the arrays are the caller's to keep.

    Parameters
    ----------
    backend : Backend
    windows : iterable of array
        Each (C, h, w) or (C, d, h, w), float32.
    turn : context manager
        Held while the processor computes, whose buffers all callers share.
    """
    in_batches = getattr(backend, "answers", None)
    if in_batches is not None:
        yield from in_batches(windows)
        return
    for x in windows:
        with turn:
            outputs = tuple(np.array(output) for output in backend(x))
        yield outputs


class SquareBackend:
    """A network that sees one whole square, for all images that are run side by side.

    There are streams for as many images as the plan's threads leave cores for. Where a graphics card fails, or has too
    little memory for one square, the processor goes on.

    Attributes
    ----------
    plan : Plan
        The one that the last answer was computed by.
    """

    def __init__(
        self, model: LoadedModel, plan: Plan, open_with: Callable[[LoadedModel, Plan, int], Backend] | None = None
    ) -> None:
        self.plan = plan
        self._model, self._open = model, open_with or open_backend

    def infer_concurrently(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run one square while other threads run theirs; the arrays are the caller's to keep.

        Raises
        ------
        MemoryError, RuntimeError
            Of the processor.
        """
        return self._answered(lambda backend: backend.infer_concurrently(x))

    def infer_many(self, squares: Sequence[NDArray[np.float32]]) -> list[tuple[NDArray[np.float32], ...]]:
        """Run squares of one shape, on a graphics card in batches; errors and arrays as of one."""

        def in_turn(backend: Backend) -> list[tuple[NDArray[np.float32], ...]]:
            if isinstance(backend, OpenVinoBackend):
                return [backend.infer_concurrently(x) for x in squares]
            return list(answers_of(backend, squares))

        return self._answered(in_turn, in_batches=True)

    def _answered(self, ask: Callable[[Backend], T], in_batches: bool = False) -> T:
        while True:
            plan = self.plan
            streams = max(1, min(core_count() // plan.threads, MOST_STREAMS))
            try:
                return ask(self._open(self._model, plan, streams))
            except (MemoryError, RuntimeError) as error:
                if in_batches and is_memory_error(error) and plan.batch > 1:
                    self.plan = replace(plan, batch=plan.batch // 2, flags=(*plan.flags, "tile_reduced"))
                    continue
                on_processor = plan_after(error, plan)
                if on_processor is None:
                    raise
                self.plan = on_processor


def plan_after(error: BaseException, plan: Plan) -> Plan | None:
    """Return the plan to go on with on the processor where a graphics card gave up, or None.

    A card whose context failed is not used again in this process: what CUDA does after a failed kernel is undefined.
    """
    failed = not is_memory_error(error) and is_device_error(error)
    if plan.device == "cpu" or not (failed or is_memory_error(error)):
        return None
    if failed:
        logger.warning("%s failed (%s): the processor goes on.", plan.device, str(error).splitlines()[0][:200])
        give_up_device(plan.device)
    return replace(plan, device="cpu", precision="f32", batch=1, flags=(*plan.flags, "device_fallback"))


def _open(model: LoadedModel, plan: Plan, streams: int = 1) -> Backend:
    if plan.device == "cpu":
        sides = (64, 64) if not model.family.is_3d else (16, 32, 32)
        channels = model.card.network_channels
        source = model.source if isinstance(model.source, DeferredNetwork) else model.network
        return OpenVinoBackend(source, channels, plan.precision, plan.threads, sides, streams)
    from vitascope.engine.torch_backend import TorchBackend

    return TorchBackend(model.network, plan.device, plan.precision, plan.batch)


def resolve_plan(model: LoadedModel, params: RunParams, shape: tuple[int, ...]) -> Plan:
    """Choose device, precision and tile for pictures of one size.

    What the parameters fix is kept; what they leave open is chosen by time measured on this machine (once for each
    model, kept in the cache folder) among tiles that fit :func:`memory_cap`.

    Parameters
    ----------
    model : LoadedModel
    params : RunParams
    shape : tuple of int
        (Depth,) height and width on the network's grid.

    Raises
    ------
    ParameterError
        If the device or precision is not one of this machine's.
    """
    device, fallback = pick_device(params.device)
    if model.family.is_3d:
        device, fallback = for_volumes(device, fallback)
    flags = ("device_fallback",) if fallback else ()
    threads = params.threads or core_count()
    precision: str | None = None if params.precision == "auto" else params.precision
    if precision is not None and precision not in device.precisions:
        if not fallback:
            raise ParameterError(
                f"{device.label} does not compute in {precision}.", f"It takes {', '.join(device.precisions)}."
            )
        precision = "f32"
    tile_px, batch = params.tile_px, params.batch or (1 if device.id == "cpu" else None)
    if precision is None or tile_px is None or batch is None:
        formats = device.precisions if precision is None else (precision,)
        speeds = _equal_speeds(model.family, formats, shape) or measured_speeds(model, device, threads, shape)
        precision = precision or best_precision(speeds)
        tile_px = tile_px or best_tile(speeds, precision, shape, model.family, memory_cap(device, model.family.is_3d))
        batch = batch or best_batch(speeds, _windows(model.family, tile_px, shape), memory_cap(device))
    return Plan(
        device=device.id,
        precision=precision,
        tile_px=tile_px,
        threads=threads,
        flags=flags,
        batch=1 if device.id == "cpu" else batch,
    )


def best_batch(speeds: Sequence[Speed], windows: Sequence[Tile], cap_bytes: int) -> int:
    """Return how many windows a graphics card takes at once: a power of 2, within its memory and :data:`MOST_AT_ONCE`.

    Parameters
    ----------
    speeds : sequence of Speed
        The most bytes a pixel that any of them took are counted with.
    windows : sequence of Tile
        Of one picture: no more are taken than it has.
    cap_bytes : int
    """
    pixels = math.prod(s.stop - s.start for s in windows[0].window)
    fitting = cap_bytes / (pixels * max(s.bytes_per_px for s in speeds))
    most = max(1, min(MOST_AT_ONCE, int(fitting), padded_length(len(windows), 2)))
    return 1 << (most.bit_length() - 1)


def fixed_plan(params: RunParams, side_px: int) -> Plan:
    """Return the plan for a network that sees one whole square: nothing is timed, and ``auto`` is 32 bit.

    Parameters
    ----------
    params : RunParams
    side_px : int
        Of the square.

    Raises
    ------
    ParameterError
        If the device or precision is not one of this machine's.
    """
    precision = "f32" if params.precision == "auto" else params.precision
    device, fallback = pick_device(params.device)
    if precision not in device.precisions and not fallback:
        raise ParameterError(
            f"{device.label} does not compute in {precision}.", f"It takes {', '.join(device.precisions)}."
        )
    return Plan(
        device=device.id,
        precision=precision if precision in device.precisions else "f32",
        tile_px=side_px,
        threads=params.threads or core_count(),
        flags=("device_fallback",) if fallback else (),
        batch=1 if device.id == "cpu" else params.batch or SQUARES_AT_ONCE,
    )


def memory_cap(device: Device, is_3d: bool = False) -> int:
    """Return the bytes that a tile may take on a device.

    Of a graphics card a third; of the processor's memory :data:`MEMORY_SHARE`, at least :data:`LEAST_TILE_BYTES`, and
    for volumes at most :data:`VOLUME_MEMORY_BYTES`; never more than a quarter of what is free.
    """
    if device.id != "cpu":
        return device.memory_bytes // 3
    memory = psutil.virtual_memory()
    share = max(LEAST_TILE_BYTES, int(memory.total * MEMORY_SHARE))
    return min(VOLUME_MEMORY_BYTES if is_3d else share, memory.available // 4)


def best_precision(speeds: list[Speed]) -> str:
    """Return the fastest format, 32 bit unless another is :data:`WORTHWHILE` times faster."""
    fastest = {p: min(s.seconds_per_px for s in speeds if s.precision == p) for p in {s.precision for s in speeds}}
    best = min(fastest, key=fastest.__getitem__)
    return best if fastest["f32"] >= WORTHWHILE * fastest[best] else "f32"


def best_tile(
    speeds: list[Speed], precision: str, shape: tuple[int, ...], family: ArchitectureInfo, cap_bytes: int
) -> int:
    """Return the tile that is estimated fastest for a picture, among those whose memory fits the cap.

    Halos count: a picture takes as long as all its windows together. A tile that was not measured is as fast as the
    next larger one that was. Tiles beyond the first that takes the picture at once would compute the same.
    """
    by_tile = {s.tile_px: s for s in speeds if s.precision == precision}

    def cost(tile: int) -> tuple[float, float]:
        speed = by_tile[min((t for t in by_tile if t >= tile), default=max(by_tile))]
        windows = [math.prod(s.stop - s.start for s in t.window) for t in _windows(family, tile, shape)]
        return sum(windows) * speed.seconds_per_px, max(windows) * speed.bytes_per_px

    possible = [t for t in tiles_of(family) if t >= least_tile(family)]
    possible = _up_to_whole(family, possible, shape)
    fitting = [t for t in possible if cost(t)[1] <= cap_bytes]
    return min(fitting or possible[:1], key=lambda t: (cost(t)[0], t))


def _windows(family: ArchitectureInfo, tile_px: int, shape: tuple[int, ...]) -> list[Tile]:
    return plan_tiles(shape, window_sides(family, tile_px, shape), family.halo, family.multiple)


def _up_to_whole(family: ArchitectureInfo, tiles: Sequence[int], shape: tuple[int, ...]) -> list[int]:
    """Return tiles, smallest first, up to the first one that takes a picture at once."""
    whole = next((n for n, tile in enumerate(tiles) if len(_windows(family, tile, shape)) == 1), len(tiles))
    return list(tiles[: whole + 1])


def least_tile(family: ArchitectureInfo) -> int:
    """Return the smallest tile that leaves something of itself between its halos (px)."""
    return max(
        -(-(2 * padded_length(halo, m) + m) * family.multiple_px // m)
        for halo, m in zip(family.halo, family.multiple, strict=True)
    )


def smaller_plan(
    plan: Plan, shape: tuple[int, ...], least_px: int = 0, tiles: tuple[int, ...] = TILES_PX
) -> Plan | None:
    """Return the plan to try after memory ran out, or None.

    Half the windows at once, then half the pixels in a window, then the processor in place of a graphics card.
    """
    if plan.batch > 1:
        return replace(plan, batch=plan.batch // 2, flags=(*plan.flags, "tile_reduced"))
    longest = min(plan.tile_px, max(padded_length(n, 16) for n in shape))
    smaller = [t for t in tiles if least_px <= t <= longest * math.sqrt(0.5)] or [
        t for t in tiles[:1] if least_px <= t < longest
    ]
    if smaller:
        return replace(plan, tile_px=smaller[-1], flags=(*plan.flags, "tile_reduced"))
    if plan.device != "cpu":
        return replace(plan, device="cpu", precision="f32", tile_px=tiles[1], flags=(*plan.flags, "device_fallback"))
    return None


def _equal_speeds(family: ArchitectureInfo, formats: Sequence[str], shape: tuple[int, ...]) -> list[Speed]:
    """Return a speed where none need be measured: one format, and a picture that the smallest tiles take at once."""
    first, *_ = MEASURED_TILES_PX
    if family.is_3d or len(formats) > 1 or len(_up_to_whole(family, MEASURED_TILES_PX, shape)) > 1:
        return []
    return [Speed(formats[0], first, seconds_per_px=1.0, bytes_per_px=0.0)]


def measured_speeds(
    model: LoadedModel, device: Device, threads: int, shape: tuple[int, ...] | None = None
) -> list[Speed]:
    """Return this machine's speed for a network, from the cache or by measuring now (up to a few seconds).

    Parameters
    ----------
    model : LoadedModel
    device : Device
    threads : int
    shape : tuple of int, optional
        Of the picture to be run: tiles larger than it are not measured for it.
    """
    kind = f"{model.network_name} {model.card.architecture.model_dump_json()}"
    made_by = cpu_key() if device.id == "cpu" else f"torch {versions().get('torch')}"
    key = f"{cpu_name()}|{device.label}|{threads}|{kind}|{made_by}"
    tiles: Sequence[int] = MEASURED_VOLUME_TILES_PX if model.family.is_3d else MEASURED_TILES_PX
    wanted = tiles if shape is None else _up_to_whole(model.family, tiles, shape)
    if device.id == "cpu" and not model.family.is_3d and len(wanted) == 1:
        key, wanted = f"{key}|formats", (FORMATS_TILE_PX,)  # kept apart: no plan depends on what else was run
    known = _read_cache()
    speeds = [Speed(**entry) for entry in known.get(key, ())]
    found = measure(model, device, threads, wanted, speeds)
    if len(found) > len(speeds):
        known[key] = [asdict(s) for s in found]
        with suppress(OutputError):  # a machine without a writable cache measures every time
            write_bytes(_cache_file(), json.dumps(known, indent=1).encode())
    return found


def measure(
    model: LoadedModel, device: Device, threads: int, tiles: Sequence[int], known: Sequence[Speed] = ()
) -> list[Speed]:
    """Time each number format at the smallest tile, and larger tiles in the fastest one while memory allows.

    Parameters
    ----------
    model : LoadedModel
    device : Device
    threads : int
    tiles : sequence of int
        Smallest first.
    known : sequence of Speed
        What was measured before, and is not measured again.

    Returns
    -------
    list of Speed
        The known ones first.
    """
    first, *larger = tiles
    speeds = list(known) or _time_formats(model, device, threads, first, repeats=_repeats(first, bool(larger)))
    best = best_precision(speeds)
    for tile in larger:
        if any(s.tile_px == tile for s in speeds):
            continue
        needed = max(s.bytes_per_px for s in speeds) * math.prod(window_sides(model.family, tile))
        if needed > memory_cap(device, model.family.is_3d) * 1.5:
            break
        speeds.append(_time(model, Plan(device=device.id, precision=best, tile_px=tile, threads=threads)))
    return speeds


def _repeats(tile_px: int, more_to_come: bool) -> int:
    if tile_px == FORMATS_TILE_PX:  # milliseconds each
        return ENOUGH_REPEATS
    return 2 if more_to_come else 1


def _time_formats(model: LoadedModel, device: Device, threads: int, tile_px: int, repeats: int) -> list[Speed]:
    """Time each number format; again where it is not plain which one is worthwhile after few repeats."""
    plans = [Plan(device=device.id, precision=p, tile_px=tile_px, threads=threads) for p in device.precisions]
    speeds = [_time(model, plan, repeats) for plan in plans]
    gains = [speeds[0].seconds_per_px / s.seconds_per_px for s in speeds[1:]]
    if repeats < ENOUGH_REPEATS and any(WORTHWHILE / CLEARLY < gain < WORTHWHILE * CLEARLY for gain in gains):
        speeds = [_time(model, plan, 2) for plan in plans]
    return speeds


def _time(model: LoadedModel, plan: Plan, repeats: int = 2) -> Speed:
    used = _memory_used(plan.device)
    before = used()
    # What is timed in a small tile for its format alone stays ready for the picture.
    backend = open_backend(model, plan) if plan.tile_px == FORMATS_TILE_PX else _open(model, plan)
    sides = window_sides(model.family, plan.tile_px)
    x = np.random.default_rng(0).standard_normal((model.card.network_channels, *sides), np.float32)
    backend(x)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        backend(x)
        seconds.append(time.perf_counter() - start)
    grown = used() - before if plan.tile_px != FORMATS_TILE_PX else 0  # mostly weights, where a tile is small
    pixels = math.prod(sides)
    return Speed(plan.precision, plan.tile_px, min(seconds) / pixels, max(grown / pixels, _least_bytes_per_px(model)))


def _memory_used(device_id: str) -> Callable[[], int]:
    """Return what tells the memory taken so far: of the process, or the most at any time on an NVIDIA card (bytes)."""
    if not device_id.startswith("cuda"):
        return lambda: int(psutil.Process().memory_info().rss)
    import torch

    torch.cuda.reset_peak_memory_stats(device_id)
    return lambda: int(torch.cuda.max_memory_allocated(device_id))


def _least_bytes_per_px(model: LoadedModel) -> float:
    # Two full-resolution feature maps and the input cannot be avoided; memory that was already there hides growth.
    parameters = dict(model.network.named_parameters())
    widest = next(iter(parameters.values())).shape[0]
    return 2.0 * (2 * widest + model.card.network_channels)


def _cache_file() -> Path:
    return cache() / "speed-1.json"


def _read_cache() -> dict[str, list[dict[str, Any]]]:
    """Return what was measured before; what is damaged is measured again."""
    try:
        known = json.loads(_cache_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return {k: v for k, v in known.items() if _is_sound(v)} if isinstance(known, dict) else {}


def _is_sound(entries: Any) -> bool:
    try:
        speeds = [Speed(**entry) for entry in entries]
        numbers = [(s.tile_px, s.seconds_per_px, s.bytes_per_px) for s in speeds]
        return "f32" in {s.precision for s in speeds} and all(math.isfinite(n) and n > 0 for n in sum(numbers, ()))
    except TypeError:
        return False
