"""Outlines of spheroids on a coarse grid, and which voxels belong to which.

A spheroid's outline is where the share of cells, smoothed, exceeds a quarter; holes are filled. Where cells lie apart,
as nuclei do, it is what lies among cells near each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

OUTLINE_SHARE = 0.25
NEAR_SHARE = 0.02
"""The same for what is near a cell: about 12 µm around a nucleus, at coarse voxels of 8 µm."""

Voxel = tuple[float, float, float]
Shape3 = tuple[int, ...]


@dataclass(frozen=True)
class CoarseGrid:
    """A grid of about cubic voxels over a volume.

    Parameters
    ----------
    shape : tuple of int
        Of the volume, (Z, Y, X).
    coarse : tuple of int
        Of the grid.
    voxel_um : tuple of float
        Of the grid, (z, y, x).
    """

    shape: Shape3
    coarse: Shape3
    voxel_um: Voxel

    @classmethod
    def over(cls, shape: Shape3, voxel_zyx_um: Voxel, side_um: float) -> CoarseGrid:
        """Make a grid of voxels of about ``side_um``, no finer than the volume's own."""
        coarse = tuple(max(1, min(n, round(n * v / side_um))) for n, v in zip(shape, voxel_zyx_um, strict=True))
        z, y, x = (n * v / c for n, v, c in zip(shape, voxel_zyx_um, coarse, strict=True))
        return cls(tuple(shape), coarse, (z, y, x))

    def places(self, piece: Sequence[slice]) -> list[NDArray[np.intp]]:
        """Return the coarse index of every voxel of a piece, by axis."""
        return [
            np.minimum(((np.arange(s.start, s.stop) + 0.5) * c / n).astype(np.intp), c - 1)
            for s, c, n in zip(piece, self.coarse, self.shape, strict=True)
        ]

    def flat(self, piece: Sequence[slice]) -> NDArray[np.intp]:
        """Return the flat coarse index of every voxel of a piece, in the piece's shape."""
        z, y, x = self.places(piece)
        index = (z[:, None, None] * self.coarse[1] + y[:, None]) * self.coarse[2] + x
        return np.asarray(index, np.intp)

    def look_up(self, values: NDArray[Any], piece: Sequence[slice]) -> NDArray[Any]:
        """Return the value of a coarse array at every voxel of a piece."""
        return np.asarray(values[np.ix_(*self.places(piece))])

    def mean(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn sums over voxels, flat, into means over the voxels of each coarse one."""
        counts = [np.bincount(p, minlength=c) for p, c in zip(self.places(self._whole), self.coarse, strict=True)]
        sizes = counts[0][:, None, None] * counts[1][:, None] * counts[2]
        return np.asarray(sums.reshape(self.coarse) / np.maximum(sizes, 1))

    @property
    def _whole(self) -> list[slice]:
        return [slice(0, n) for n in self.shape]


def separate_adapting(
    share: NDArray[np.float64], grid: CoarseGrid, least_diameter_um: float
) -> tuple[NDArray[np.int32], float]:
    """Number the spheroids; where none is large enough but cells were found, the bound is halved until one is.

    Parameters
    ----------
    share, grid, least_diameter_um
        See :func:`separate`.

    Returns
    -------
    tuple of array and float
        The numbers, and the bound that was used; 0 where cells are so few that they make no body: each connected
        part is then a spheroid.
    """
    labels = separate(share, grid, least_diameter_um)
    if labels.any() or not share.any():
        return labels, least_diameter_um
    bound = least_diameter_um
    while not labels.any() and bound > min(grid.voxel_um):
        bound /= 2
        labels = separate(share, grid, bound)
    if labels.any():
        return labels, bound
    return np.asarray(ndimage.label(share > 0)[0], np.int32), 0.0


def separate(share: NDArray[np.float64], grid: CoarseGrid, least_diameter_um: float) -> NDArray[np.int32]:
    """Number the spheroids of a volume on its coarse grid.

    Parameters
    ----------
    share : array, coarse
        Share of cells, 0 to 1.
    grid : CoarseGrid
    least_diameter_um : float
        What is smaller than a ball of this diameter is debris.

    Returns
    -------
    array of int32, coarse
        Numbers from 1, the largest spheroid first; grown by two voxels, and by cells near them, so that cells at the
        rim belong.
    """
    least = np.pi / 6 * least_diameter_um**3 / np.prod(grid.voxel_um)
    dense, near = dense_and_near(share)
    pieces, count = ndimage.label(dense)
    bodies, found = ndimage.label(near | dense)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    seeds = np.where(sizes[pieces] >= least, pieces, 0)
    alone = np.bincount(bodies[ndimage.binary_erosion(near)], minlength=found + 1)
    alone[np.unique(bodies[seeds > 0])] = 0  # there are dense pieces, which its cells are shared among
    loose = (alone >= least) & (np.arange(found + 1) > 0)
    seeds = np.where(loose[bodies], count + bodies, seeds)
    volumes = np.concatenate([sizes, alone[1:]])
    kept = sorted((int(n) for n in np.unique(seeds) if n), key=lambda n: (-volumes[n], n))
    renumber = np.zeros(len(volumes), np.int32)
    renumber[kept] = np.arange(1, len(kept) + 1)
    labels: NDArray[np.int32] = renumber[seeds]
    if not kept:
        return labels
    belongs = np.zeros(found + 1, bool)
    belongs[np.unique(bodies[labels > 0])] = True
    belongs[0] = False
    far, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    return np.asarray(np.where((far <= 2) | belongs[bodies], labels[tuple(nearest)], 0), np.int32)


def dense_and_near(share: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where cells lie densely, and where cells are near; holes filled."""
    smooth = smooth_share(share)
    dense, near = (np.asarray(ndimage.binary_fill_holes(smooth > s)) for s in (OUTLINE_SHARE, NEAR_SHARE))
    return dense, near


def smooth_share(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth a coarse share over about a voxel; a spheroid that a side of the volume cuts off goes on beyond it."""
    return np.asarray(ndimage.gaussian_filter(share, 0.8, mode="nearest"))


def outline(share: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where one spheroid is: densely, or where most of it lies apart, among cells near each other."""
    dense, near = dense_and_near(share)
    among = np.asarray(ndimage.binary_erosion(near))
    return among if 2 * dense.sum() < among.sum() else dense


def mesh(share: NDArray[np.float64], voxel_um: Voxel) -> tuple[float, float]:
    """Return volume (µm³) and surface (µm²) of the outline of a coarse share, below the size of its voxels.

    Holes are filled; 0 and 0 where there is no outline.
    """
    smooth, inside = smooth_share(share), outline(share)
    if not inside.any():
        return 0.0, 0.0
    filled = np.pad(np.where(inside & (smooth <= OUTLINE_SHARE), 2 * OUTLINE_SHARE, smooth), 2)
    vertices, faces, _, _ = marching_cubes(filled, OUTLINE_SHARE, spacing=voxel_um)
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    volume = abs(float((a * np.cross(b, c)).sum()) / 6)
    return volume, float(mesh_surface_area(vertices, faces))
