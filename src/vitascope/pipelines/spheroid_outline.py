"""Other outlines of cells than the network's own: at a share of their brightness, and by light.

A network answers as its labels were drawn. Where another rule is wanted, an outline lies where brightness has fallen
from that of a cell to the ground around it by so much; the network still says which light is a cell. Otsu's threshold
knows nothing of cells: where both disagree, one of them is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.card import InputSpec, ModelCard
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.engine.preprocess_volume import PreparedVolume
from vitascope.ops.geometry.resample import Window, read_reflected, volume_reader
from vitascope.ops.objects.light_odds import LEAST_P, around, light_above, margin, refined, weights_of
from vitascope.ops.tiling.chunks import chunk_slices

CERTAIN, POSSIBLE = 0.5, 0.1
"""Probability from which a voxel is one of a cell, whose brightness counts, and from which it may belong to one."""

UNKNOWN_CELL_UM = 12.0
"""Width of a cell where the card does not say."""

OTSU_LEAST = 0.5
"""Dice between the network's cells and Otsu's below which they disagree."""

Reach = tuple[int, int, int]


def cell_reach(spec: InputSpec) -> Reach:
    """Return half a cell in voxels of the network, (z, y, x), at least 1."""
    across = spec.pixel_size_um or 1.0
    half_um = (spec.object_diameter_px * across if spec.object_diameter_px else UNKNOWN_CELL_UM) / 2
    z, y = (max(1, round(half_um / side)) for side in (spec.z_step_um or across, across))
    return z, y, y


def inside_outlines(
    probabilities: NDArray[np.float32], dyes: NDArray[np.float32], share: float, reach: Reach
) -> NDArray[np.bool_]:
    """Tell which voxels lie inside outlines at a share of the brightness of the cells beside them.

    Parameters
    ----------
    probabilities : array, shape (K, D, H, W), float32
        Of live and dead.
    dyes : array, shape (K, D, H, W), float32
        The dye of each, in any unit.
    share : float, 0 to 1
        Of the way from the ground (the darkest voxel within a cell's width) to the cell (the brightest voxel of a cell
        within half a width).
    reach : tuple of int
        Half a cell.

    Returns
    -------
    array, shape (D, H, W), bool
    """
    likelier = probabilities.argmax(0)
    found = np.zeros(likelier.shape, bool)
    near, wide = ([2 * r + 1 for r in reach], [4 * r + 1 for r in reach])
    for k, (p, dye) in enumerate(zip(probabilities, dyes, strict=True)):
        bright = ndimage.maximum_filter(np.where(p >= CERTAIN, dye, -np.inf), near)
        known = np.isfinite(bright) & (likelier == k) & (p >= POSSIBLE)
        ground = ndimage.minimum_filter(dye, wide)
        level = ground + share * (np.where(known, bright, 0) - ground)
        found |= known & (dye >= level)
    return found


def find_outlines(
    answer: Any, prepared: PreparedVolume, share: float, reach: Reach, inside: Any
) -> ProgressGenerator[None]:
    """Write which voxels of the network's grid lie inside outlines, piece by piece, see :func:`inside_outlines`.

    Parameters
    ----------
    answer : array, shape (K + 1, D, H, W)
        Of the network: probabilities, and the density last.
    prepared : PreparedVolume
    share, reach
        See :func:`inside_outlines`.
    inside : array, shape (1, D, H, W), float32
        Gets 1 inside, 0 outside.
    """
    read, margin = volume_reader(answer), [2 * r for r in reach]
    pieces = chunk_slices(inside)
    for done, piece in enumerate(pieces):
        yield Progress(done, len(pieces), "Drawing outlines")
        where = piece[1:]
        wide = tuple(slice(s.start - m, s.stop + m) for s, m in zip(where, margin, strict=True))
        own = tuple(slice(m, m + s.stop - s.start) for s, m in zip(where, margin, strict=True))
        probabilities = read(wide)[:-1]
        dyes = prepared.read(wide)[: len(probabilities)]
        inside[piece] = inside_outlines(probabilities, dyes, share, reach)[own][None]
    yield Progress(len(pieces), len(pieces), "Drawing outlines")


@dataclass(frozen=True)
class LightOutlines:
    """Where cells end, by the network's odds and their light; see :mod:`vitascope.ops.objects.light_odds`.

    Parameters
    ----------
    prepared : PreparedVolume
    weights : tuple of float
    voxel_um : tuple of float
        Of the image's own grid.
    """

    prepared: PreparedVolume
    weights: tuple[float, ...]
    voxel_um: tuple[float, float, float]

    @classmethod
    def of(
        cls, prepared: PreparedVolume, card: ModelCard, voxel_um: tuple[float, float, float]
    ) -> LightOutlines | None:
        """Return those of a model; None where its card knows no weights."""
        weights = weights_of(card.default_params)
        return None if weights is None else cls(prepared, weights, voxel_um)

    def refine(self, found: NDArray[np.float32], piece: Sequence[slice]) -> NDArray[np.float32]:
        """Return an answer (K + 1, d, h, w) on the image's own voxels with its probabilities refined."""
        probabilities = found[:-1]
        if not (probabilities > LEAST_P).any():
            return found
        reach = margin(self.voxel_um)
        wide = tuple(slice(s.start - m, s.stop + m) for s, m in zip(piece, reach, strict=True))
        own = tuple(slice(m, m + s.stop - s.start) for s, m in zip(piece, reach, strict=True))
        light, near = [], []
        for k in range(len(probabilities)):
            dye = read_reflected(partial(self._light, k), self.prepared.source, wide)
            light.append(dye[own])
            near.append(around(dye, self.voxel_um)[own])
        return np.concatenate([refined(probabilities, light, near, self.weights), found[-1:]])

    def _light(self, k: int, window: Window) -> NDArray[np.float32]:
        grey = np.asarray(self.prepared.filtered[k][window])
        return light_above(self.prepared.maps[k](grey), *self.prepared.levels[k])


def otsu_classes(dyes: Sequence[NDArray[Any]], thresholds: Sequence[float]) -> NDArray[np.uint8]:
    """Return what Otsu's thresholds tell: 0 background, 1 live, 2 dead; the dye farther above its threshold wins.

    Parameters
    ----------
    dyes : sequence of array, each (D, H, W)
    thresholds : sequence of float
        Infinite where a dye is constant.

    Examples
    --------
    >>> live, dead = np.array([[[0, 9, 5]]]), np.array([[[0, 1, 8]]])
    >>> otsu_classes((live, dead), (4.0, 4.0)).tolist()
    [[[0, 1, 2]]]
    """
    above = np.stack([np.nan_to_num(d.astype(np.float64)) - t for d, t in zip(dyes, thresholds, strict=True)])
    scale = np.array([abs(t) if np.isfinite(t) and t else 1.0 for t in thresholds])
    best = (above / scale[:, None, None, None]).argmax(0)
    return np.where((above > 0).any(0), best + 1, 0).astype(np.uint8)


class Agreement:
    """Dice between two masks of cells, added up piece by piece."""

    def __init__(self) -> None:
        self.both = self.either = 0

    def add(self, one: NDArray[np.bool_], other: NDArray[np.bool_]) -> None:
        """Count a piece."""
        self.both += int(np.count_nonzero(one & other))
        self.either += int(np.count_nonzero(one)) + int(np.count_nonzero(other))

    @property
    def dice(self) -> float:
        """Twice the common voxels over those of both; NaN where neither has one.

        Examples
        --------
        >>> found = Agreement()
        >>> found.add(np.array([True, True]), np.array([True, False]))
        >>> round(found.dice, 2)
        0.67
        """
        return 2 * self.both / self.either if self.either else float("nan")
