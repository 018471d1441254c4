"""Simulated live / dead stained spheroids with the truth of every voxel.

Touching ellipsoidal cells fill a ball. Cells deeper than the oxygen reaches are dead (a necrotic core), of the others a
share dies with the dose. Live cells take up calcein, dead ones propidium iodide. All parameters were set before any
model was measured on them, from the orders of magnitude of tumour spheroids: cells of 12 µm, a rim of about 130 µm that
oxygen reaches, light that is lost over a quarter of a millimetre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitascope.simulate.volume_optics import VolumeOptics, image_volume

UNLABELLED, BACKGROUND, LIVE, DEAD = 0, 1, 2, 3
"""Classes of a voxel, as training takes them."""


@dataclass(frozen=True)
class StackParams:
    """A spheroid.

    Parameters
    ----------
    diameter_um : float
    dose, ic50, slope : float
        Of the outer cells a share of ``1 / (1 + (dose / ic50) ** slope)`` survives.
    cell_um : float
        Mean diameter of a cell.
    elongation : float
        Standard deviation of the logarithm of a cell's half-axes.
    oxygen_um : float
        Cells deeper than this are dead.
    margin_um : float
        Empty space around.
    spread : float
        Standard deviation of the logarithm of the cells' brightness.
    leak : float
        How bright a dead cell is in the live dye, and the reverse, as a share.
    brightness : float
        Of all cells.
    """

    diameter_um: float = 250.0
    dose: float = 0.0
    ic50: float = 1.0
    slope: float = 1.5
    cell_um: float = 12.0
    elongation: float = 0.12
    oxygen_um: float = 130.0
    margin_um: float = 20.0
    spread: float = 0.3
    leak: float = 0.05
    brightness: float = 1.0


@dataclass(frozen=True, eq=False)
class SimulatedStack:
    """A spheroid's picture and truth.

    Parameters
    ----------
    image : array, shape (2, Z, Y, X), float32
        Calcein and propidium iodide, grey values.
    classes : array, shape (Z, Y, X), uint8
        :data:`BACKGROUND`, :data:`LIVE` or :data:`DEAD`.
    cells : array, shape (Z, Y, X), int32
        Number of the cell, from 1; 0 between cells.
    voxel_zyx_um : tuple of float
    viability : float
        Live voxels over those of all cells.
    viability_of_control : float
        Live voxels over the live voxels of the same spheroid without a dose.
    """

    image: NDArray[np.float32]
    classes: NDArray[np.uint8]
    cells: NDArray[np.int32]
    voxel_zyx_um: tuple[float, float, float]
    viability: float
    viability_of_control: float


def simulate_spheroid(
    params: StackParams,
    voxel_zyx_um: tuple[float, float, float],
    optics: VolumeOptics,
    seed: int,
) -> SimulatedStack:
    """Simulate one spheroid; the same arguments give the same arrays.

    Parameters
    ----------
    params : StackParams
    voxel_zyx_um : tuple of float
    optics : VolumeOptics
    seed : int

    Returns
    -------
    SimulatedStack
    """
    rng = np.random.default_rng(seed)
    centres = place_cells(params, rng)
    half_axes = 0.5 * params.cell_um * np.exp(rng.normal(0, params.elongation, centres.shape))
    cells = draw_cells(centres, half_axes, params, voxel_zyx_um)
    depth = params.diameter_um / 2 - np.sqrt((centres**2).sum(1))
    fit = depth <= params.oxygen_um
    alive = fit & (rng.random(len(centres)) < 1 / (1 + (params.dose / params.ic50) ** params.slope))
    look = np.concatenate([[False], alive])
    classes = np.where(cells == 0, BACKGROUND, np.where(look[cells], LIVE, DEAD)).astype(np.uint8)
    shine = params.brightness * np.exp(rng.normal(0, params.spread, len(centres)))
    tissue = (cells > 0).astype(np.float32)
    pictures = []
    for stained in (alive, ~alive):
        signal = np.concatenate([[0.0], shine * np.where(stained, 1.0, params.leak)]).astype(np.float32)
        pictures.append(image_volume(signal[cells], tissue, voxel_zyx_um, optics, rng))
    live, total = int(np.count_nonzero(classes == LIVE)), int(np.count_nonzero(cells))
    control = int(np.count_nonzero(np.concatenate([[False], fit])[cells]))
    return SimulatedStack(
        image=np.stack(pictures),
        classes=classes,
        cells=cells,
        voxel_zyx_um=voxel_zyx_um,
        viability=live / max(total, 1),
        viability_of_control=live / max(control, 1),
    )


def place_cells(params: StackParams, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the centres of cells in a ball, shape (N, 3), µm from its middle: a close packing, jittered."""
    step = params.cell_um * 0.95
    count = int(np.ceil(params.diameter_um / step)) + 2
    grid = np.stack(np.meshgrid(*[np.arange(-count, count + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    face_centred = grid[grid.sum(1) % 2 == 0] * (step / np.sqrt(2))
    centres = face_centred + rng.normal(0, 0.12 * params.cell_um, face_centred.shape)
    reach = params.diameter_um / 2 - params.cell_um / 2
    return np.asarray(centres[(centres**2).sum(1) <= reach**2], np.float64)


def draw_cells(
    centres: NDArray[np.float64],
    half_axes: NDArray[np.float64],
    params: StackParams,
    voxel_zyx_um: tuple[float, float, float],
) -> NDArray[np.int32]:
    """Draw ellipsoids; a voxel in several belongs to the one whose middle is relatively nearest.

    Returns
    -------
    array, shape (Z, Y, X), int32
        Number of the cell, from 1; 0 for none.
    """
    voxel = np.array(voxel_zyx_um)
    shape = np.ceil((params.diameter_um + 2 * params.margin_um) / voxel).astype(int)
    middle = shape * voxel / 2
    cells = np.zeros(shape, np.int32)
    nearest = np.ones(shape, np.float32)
    for number, (centre, half) in enumerate(zip(centres + middle, half_axes, strict=True), start=1):
        low = np.maximum(0, np.floor((centre - half) / voxel)).astype(int)
        high = np.minimum(shape, np.ceil((centre + half) / voxel) + 1).astype(int)
        where = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        sides = [
            ((np.arange(a, b) + 0.5) * v - c) ** 2 / h**2
            for a, b, v, c, h in zip(low, high, voxel, centre, half, strict=True)
        ]
        distance = (sides[0][:, None, None] + sides[1][:, None] + sides[2]).astype(np.float32)
        closer = distance < nearest[where]
        nearest[where][closer] = distance[closer]
        cells[where][closer] = number
    return cells
