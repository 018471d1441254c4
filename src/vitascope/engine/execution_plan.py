"""How a run computes: device, number format, windows, threads; and how much memory it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from vitascope.engine.device import Device
from vitascope.engine.load_model import ArchitectureInfo
from vitascope.ops.tiling.tiles import Tile, fit_sides, padded_length, plan_tiles

TILES_PX = (320, 416, 512, 640, 768, 896, 1024, 1184, 1344, 1536, 1728, 1920, 2144)
"""Tiles to choose from, smallest first; the largest takes a 2136 px camera image in one pass."""

VOLUME_TILES_PX = (64, 96, 128, 192, 256)
"""The same for volumes: sides across, each window being half as deep."""

MEMORY_SHARE = 1 / 20
"""What one tile may take of the processor's memory; never more than a quarter of what is free."""

LEAST_TILE_BYTES = 512 << 20
"""What one tile may take where the share is less: the smallest machines have 4 GiB."""

VOLUME_MEMORY_BYTES = 1 << 30
"""What one window of a volume may take, however much memory there is: the volume itself is held beside it."""


@dataclass(frozen=True)
class Plan:
    """How a run computes; recorded with it, and enough to repeat it bit for bit on this machine.

    Parameters
    ----------
    device : str
        ``cpu``, ``cuda:0``, ``mps``.
    precision : {"f32", "tf32", "bf16", "f16", "int8"}
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


def tiles_of(family: ArchitectureInfo) -> tuple[int, ...]:
    """Return the tiles to choose from for a kind of network."""
    return VOLUME_TILES_PX if family.is_3d else TILES_PX


def least_tile(family: ArchitectureInfo) -> int:
    """Return the smallest tile that leaves something of itself between its halos (px)."""
    return max(
        -(-(2 * padded_length(halo, m) + m) * family.multiple_px // m)
        for halo, m in zip(family.halo, family.multiple, strict=True)
    )


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


def windows_of(family: ArchitectureInfo, tile_px: int, shape: tuple[int, ...]) -> list[Tile]:
    """Return the windows of a picture or volume of a shape, with what of each is kept."""
    return plan_tiles(shape, window_sides(family, tile_px, shape), family.halo, family.multiple)


def up_to_whole(family: ArchitectureInfo, tiles: Sequence[int], shape: tuple[int, ...]) -> list[int]:
    """Return tiles, smallest first, up to the first one that takes a picture at once."""
    whole = next((n for n, tile in enumerate(tiles) if len(windows_of(family, tile, shape)) == 1), len(tiles))
    return list(tiles[: whole + 1])


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
