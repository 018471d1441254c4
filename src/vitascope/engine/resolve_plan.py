"""Resolve ``auto`` into a device, a number format and windows before a run; and what to try after memory ran out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from vitascope.core.errors import ParameterError
from vitascope.core.params import RunParams
from vitascope.engine.device import Device, core_count, for_volumes, pick_device
from vitascope.engine.execution_plan import TILES_PX, Plan, least_tile, memory_cap, tiles_of, up_to_whole, windows_of
from vitascope.engine.load_model import ArchitectureInfo, LoadedModel
from vitascope.engine.measured_speed import Speed, best_precision, equal_speeds, measured_speeds
from vitascope.engine.openvino_backend import adds_int8_exactly
from vitascope.ops.tiling.tiles import Tile, padded_length

MOST_AT_ONCE = 32
"""Windows, mirror images or hidden places in a batch: cards gain little beyond."""

SQUARES_AT_ONCE = 8
"""Whole squares in a batch on a graphics card: the eight ways to turn and mirror one."""


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
    if params.precision == "int8" or (params.precision == "auto" and takes_int8(device, model)):
        device = with_int8(device, model)
    precision = _asked_precision(params, device, fallback)
    tile_px, batch = params.tile_px, params.batch or (1 if device.id == "cpu" else None)
    if precision is None or tile_px is None or batch is None:
        formats = device.precisions if precision is None else (precision,)
        speeds = equal_speeds(model.family, formats, shape) or measured_speeds(model, device, threads, shape)
        precision = precision or best_precision(speeds)
        tile_px = tile_px or best_tile(speeds, precision, shape, model.family, memory_cap(device, model.family.is_3d))
        batch = batch or best_batch(speeds, windows_of(model.family, tile_px, shape), memory_cap(device))
    return Plan(
        device=device.id,
        precision=precision,
        tile_px=tile_px,
        threads=threads,
        flags=flags,
        batch=1 if device.id == "cpu" else batch,
    )


def with_int8(device: Device, model: LoadedModel) -> Device:
    """Return a device with 8 bit among its number formats where it computes a network so.

    Only processors do that add exactly, and only where the model's card says how it rounds.
    """
    rounds = device.id == "cpu" and model.card.int8 is not None and model.graph is None
    return replace(device, precisions=(*device.precisions, "int8")) if rounds and adds_int8_exactly() else device


def takes_int8(device: Device, model: LoadedModel) -> bool:
    """Tell whether 8 bit may be taken where no number format was asked for.

    Only where its numbers agree with those of 32 bit, and the processor has no bf16, which agrees better.
    """
    return model.card.int8 is not None and model.card.int8.agrees and "bf16" not in device.precisions


def _asked_precision(params: RunParams, device: Device, fallback: bool) -> str | None:
    """Return the number format that is asked for, None for ``auto``; 32 bit where another device took over without it.

    Raises
    ------
    ParameterError
        If the device that was asked for does not compute in it.
    """
    if params.precision == "auto":
        return None
    if params.precision in device.precisions:
        return params.precision
    if fallback:
        return "f32"
    if params.precision == "int8" and device.id == "cpu":
        raise ParameterError(
            "This model, or this processor, does not compute in int8: its card must say how it rounds, and the "
            "processor must add 8-bit numbers exactly (VNNI).",
            f"Choose {' or '.join(device.precisions)}; 'vitascope models quantise' finds how a model of yours rounds.",
        )
    raise ParameterError(
        f"{device.label} does not compute in {params.precision}.", f"It takes {', '.join(device.precisions)}."
    )


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
    device, fallback = pick_device(params.device)
    return Plan(
        device=device.id,
        precision=_asked_precision(params, device, fallback) or "f32",
        tile_px=side_px,
        threads=params.threads or core_count(),
        flags=("device_fallback",) if fallback else (),
        batch=1 if device.id == "cpu" else params.batch or SQUARES_AT_ONCE,
    )


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
        windows = [math.prod(s.stop - s.start for s in t.window) for t in windows_of(family, tile, shape)]
        return sum(windows) * speed.seconds_per_px, max(windows) * speed.bytes_per_px

    possible = [t for t in tiles_of(family) if t >= least_tile(family)]
    possible = up_to_whole(family, possible, shape)
    fitting = [t for t in possible if cost(t)[1] <= cap_bytes]
    return min(fitting or possible[:1], key=lambda t: (cost(t)[0], t))


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
