"""The speed of this machine for a network, by number format and tile: measured once, kept in the cache folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from vitascope.core.errors import OutputError
from vitascope.core.paths import cache
from vitascope.core.versions import versions
from vitascope.engine.device import Device
from vitascope.engine.execution_plan import Plan, memory_cap, up_to_whole, window_sides
from vitascope.engine.load_model import ArchitectureInfo, LoadedModel
from vitascope.engine.open_backends import Backend, open_anew, open_backend
from vitascope.engine.openvino_backend import cpu_key, cpu_name
from vitascope.io.atomic import write_bytes

MEASURED_TILES_PX = (512, 1024, 2144)

MEASURED_VOLUME_TILES_PX = (96, 192)
"""Tiles whose speed is measured, smallest first."""

FORMATS_TILE_PX = 192
"""The tile that number formats are compared at for a picture that the smallest of these takes at once.

It costs a fifth of the first and is the side of the crops that a picture is judged by. On a processor only.
"""

WORTHWHILE = 1.2
"""How many times faster than 32 bit a shorter number format must be to be taken."""

CLEARLY = 1.5
"""By what factor one timing must lie beside :data:`WORTHWHILE` to be enough."""

ENOUGH_REPEATS = 3
"""After how many timings the best one is taken as it is."""


@dataclass(frozen=True)
class Speed:
    """What was measured: seconds and bytes a pixel (voxel) of the window, by format and tile."""

    precision: str
    tile_px: int
    seconds_per_px: float
    bytes_per_px: float


def best_precision(speeds: list[Speed]) -> str:
    """Return the fastest format, 32 bit unless another is :data:`WORTHWHILE` times faster."""
    fastest = {p: min(s.seconds_per_px for s in speeds if s.precision == p) for p in {s.precision for s in speeds}}
    best = min(fastest, key=fastest.__getitem__)
    return best if fastest["f32"] >= WORTHWHILE * fastest[best] else "f32"


def equal_speeds(family: ArchitectureInfo, formats: Sequence[str], shape: tuple[int, ...]) -> list[Speed]:
    """Return a speed where none need be measured: one format, and a picture that the smallest tiles take at once."""
    first, *_ = MEASURED_TILES_PX
    if family.is_3d or len(formats) > 1 or len(up_to_whole(family, MEASURED_TILES_PX, shape)) > 1:
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
    wanted = tiles if shape is None else up_to_whole(model.family, tiles, shape)
    formats_alone = device.id == "cpu" and not model.family.is_3d and len(wanted) == 1
    key += "|formats" if formats_alone else ""  # kept apart: no plan depends on what else was run
    key += "|int8" if "int8" in device.precisions else ""
    known = _read_cache()
    speeds = [Speed(**entry) for entry in known.get(key, ())]
    if formats_alone:
        found = speeds or compare_formats(model, device, threads)
    else:
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
    speeds = list(known) or _time_formats(model, device, threads, first, repeats=2 if larger else 1)
    best = best_precision(speeds)
    for tile in larger:
        if any(s.tile_px == tile for s in speeds):
            continue
        needed = max(s.bytes_per_px for s in speeds) * math.prod(window_sides(model.family, tile))
        if needed > memory_cap(device, model.family.is_3d) * 1.5:
            break
        speeds.append(_time(model, Plan(device=device.id, precision=best, tile_px=tile, threads=threads)))
    return speeds


def compare_formats(model: LoadedModel, device: Device, threads: int) -> list[Speed]:
    """Time each number format at a small tile, milliseconds each; the last one stays ready for the picture."""
    return [_time(model, plan, ENOUGH_REPEATS, open_backend) for plan in _plans(device, FORMATS_TILE_PX, threads)]


def _time_formats(model: LoadedModel, device: Device, threads: int, tile_px: int, repeats: int) -> list[Speed]:
    """Time each number format; again where it is not plain which one is worthwhile after few repeats."""
    plans = _plans(device, tile_px, threads)
    speeds = [_time(model, plan, repeats) for plan in plans]
    gains = [speeds[0].seconds_per_px / s.seconds_per_px for s in speeds[1:]]
    if repeats < ENOUGH_REPEATS and any(WORTHWHILE / CLEARLY < gain < WORTHWHILE * CLEARLY for gain in gains):
        speeds = [_time(model, plan, 2) for plan in plans]
    return speeds


def _plans(device: Device, tile_px: int, threads: int) -> list[Plan]:
    return [Plan(device=device.id, precision=p, tile_px=tile_px, threads=threads) for p in device.precisions]


def _time(
    model: LoadedModel,
    plan: Plan,
    repeats: int = 2,
    open_with: Callable[[LoadedModel, Plan], Backend] = open_anew,
) -> Speed:
    """Time one window; the bytes are those that the process grew by, where that says something."""
    used = _memory_used(plan.device)
    before = used()
    backend = open_with(model, plan)
    sides = window_sides(model.family, plan.tile_px)
    x = np.random.default_rng(0).standard_normal((model.card.network_channels, *sides), np.float32)
    backend(x)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        backend(x)
        seconds.append(time.perf_counter() - start)
    pixels = math.prod(sides)
    grown = (used() - before) / pixels if open_with is open_anew else 0  # else mostly weights: the tile is small
    return Speed(plan.precision, plan.tile_px, min(seconds) / pixels, max(grown, _least_bytes_per_px(model)))


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
