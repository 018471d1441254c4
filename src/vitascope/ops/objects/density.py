"""How densely cells lie: what the density branch of a spheroid model is trained to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PER_UM3 = 1000.0
"""Densities are cells per 1000 µm³: about 1 where cells of 12 µm touch."""


def cell_density(
    cells: NDArray[np.int32], voxel_zyx_um: tuple[float, float, float], sigma_um: float
) -> NDArray[np.float32]:
    """Count labelled cells by volume, smoothed.

    Each cell is one, spread evenly over its voxels, then over its surroundings by a Gaussian.

    Parameters
    ----------
    cells : array of int, shape (Z, Y, X)
        Number of the cell; 0 for none.
    voxel_zyx_um : tuple of float
    sigma_um : float, > 0
        Standard deviation of the Gaussian; the edges are continued by reflection, so that no cell is lost.

    Returns
    -------
    array, shape (Z, Y, X), float32, cells per 1000 µm³
    """
    numbers, index = np.unique(cells, return_inverse=True)
    sizes = np.bincount(index.ravel())
    share = np.where(numbers > 0, 1 / np.maximum(sizes, 1), 0.0)
    spread = share[index].reshape(cells.shape).astype(np.float32)
    smooth = ndimage.gaussian_filter(spread, [sigma_um / v for v in voxel_zyx_um], mode="reflect")
    return np.asarray(smooth * (PER_UM3 / np.prod(voxel_zyx_um)), np.float32)
