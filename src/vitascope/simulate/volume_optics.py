"""What a microscope makes of a volume: blur, loss of light with depth, haze, photons, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class VolumeOptics:
    """A microscope, frozen before anything was compared with it.

    Parameters
    ----------
    blur_zyx_um : tuple of float
        Standard deviations of the point spread, deeper than wide.
    attenuation_um : float
        Depth over which light falls to 1 / e; infinite for none.
    autofluorescence : float
        Haze of the tissue, as a share of a typical cell's brightness.
    photons : float
        Photons of a typical cell in a voxel; infinite for no shot noise.
    read_noise : float
        Standard deviation of the camera's own noise, in photons.
    salt_pepper : float
        Share of voxels that are stuck at the top or at the bottom.
    offset, gain : float
        Grey values of darkness, and for each photon.
    """

    blur_zyx_um: tuple[float, float, float] = (2.5, 0.6, 0.6)
    attenuation_um: float = 250.0
    autofluorescence: float = 0.06
    photons: float = 120.0
    read_noise: float = 2.0
    salt_pepper: float = 0.0005
    offset: float = 100.0
    gain: float = 8.0


def image_volume(
    signal: NDArray[np.float32],
    tissue: NDArray[np.float32],
    voxel_zyx_um: tuple[float, float, float],
    optics: VolumeOptics,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Take a picture of one dye.

    Parameters
    ----------
    signal : array, shape (Z, Y, X)
        Brightness of the dye, 1 for a typical cell; light comes from z = 0.
    tissue : array, shape (Z, Y, X)
        1 where there is tissue, which hides what lies below it and shines by itself.
    voxel_zyx_um : tuple of float
    optics : VolumeOptics
    rng : numpy Generator

    Returns
    -------
    array, float32, grey values
    """
    light = signal.astype(np.float32)
    if optics.autofluorescence:
        coarse = rng.normal(1.0, 0.3, [max(2, n // 12) for n in signal.shape])
        zoom = [n / m for n, m in zip(signal.shape, coarse.shape, strict=True)]
        light = light + optics.autofluorescence * tissue * ndimage.zoom(coarse, zoom, order=1).clip(0)
    if np.isfinite(optics.attenuation_um):
        depth_um = np.cumsum(tissue, 0) * voxel_zyx_um[0]
        light = light * np.exp(-depth_um / optics.attenuation_um)
    sigma = [s / v for s, v in zip(optics.blur_zyx_um, voxel_zyx_um, strict=True)]
    light = ndimage.gaussian_filter(light, sigma) if any(sigma) else light
    counts = light * (optics.photons if np.isfinite(optics.photons) else 1000.0)
    if np.isfinite(optics.photons):
        counts = rng.poisson(counts.clip(0)) + rng.normal(0, optics.read_noise, counts.shape)
    grey = optics.offset + optics.gain * counts
    if optics.salt_pepper:
        stuck = rng.random(grey.shape)
        grey[stuck < optics.salt_pepper / 2] = 0
        grey[stuck > 1 - optics.salt_pepper / 2] = 4095
    return np.asarray(np.clip(np.round(grey), 0, 65535), np.float32)
