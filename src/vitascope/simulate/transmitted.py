"""Transmitted light through cells whose stains are known: phase contrast, DIC and bright-field at random optics.

A thin cell delays light (phase) and swallows a little (absorption). What a microscope makes of both is, for weak
objects, linear: each spatial frequency passes with a factor of its own, the contrast transfer function.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Floats = NDArray[np.float64]
MODES = ("phase", "dic", "bright-field")


def draw_light(
    cytoplasm: NDArray[Any], nuclei: NDArray[Any], nucleus_px: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a field as transmitted light would show it.

    Parameters
    ----------
    cytoplasm, nuclei : array, shape (Y, X), in [0, 1]
        Stains of the same field.
    nucleus_px : float, px
        Typical nucleus; thickness, granules and optics are drawn in units of it.
    rng : Generator

    Returns
    -------
    array, shape (Y, X), float32
        Median 0, standard deviation 1; polarity at random.

    References
    ----------
    Contrast transfer of weak phase and amplitude objects: Kirkland, Advanced Computing in Electron Microscopy (2010),
    section 3.1, sin and cos of the wave aberration.
    """
    body, grain = _thickness(cytoplasm, nuclei, nucleus_px, rng)
    delay = body + grain + _debris(body.shape, nucleus_px, rng)
    swallowed = rng.uniform(0, 0.3) * (body + rng.uniform(0, 2) * grain)
    light = _through(delay, swallowed, nucleus_px, rng)
    light /= light.std() + 1e-9
    light += rng.uniform(0.02, 0.3) * ndimage.gaussian_filter(rng.standard_normal(light.shape), rng.uniform(0.3, 1.2))
    if rng.random() < 0.5:
        light = -light
    return np.asarray((light - np.median(light)) / (light.std() + 1e-9), np.float32)


def _thickness(
    cytoplasm: NDArray[Any], nuclei: NDArray[Any], nucleus_px: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the delay of cells with their nuclei, and of what lies in the cytoplasm as granules."""
    cell = ndimage.gaussian_filter(np.asarray(cytoplasm, np.float64), 0.05 * nucleus_px) ** rng.uniform(0.4, 1.2)
    nucleus = ndimage.gaussian_filter(np.asarray(nuclei, np.float64), 0.04 * nucleus_px) ** rng.uniform(0.3, 1.0)
    inside = np.clip(3 * nucleus, 0, 1)
    coarse = ndimage.gaussian_filter(rng.standard_normal(cell.shape), rng.uniform(0.03, 0.12) * nucleus_px)
    grain = np.maximum(coarse / coarse.std() - rng.uniform(0, 1.5), 0) * cell * (1 - inside) * rng.uniform(0.05, 0.6)
    nucleoli = ndimage.gaussian_filter(rng.standard_normal(cell.shape), rng.uniform(0.08, 0.15) * nucleus_px)
    spots = np.maximum(nucleoli / nucleoli.std() - 1.2, 0) * inside * rng.uniform(0, 0.4)
    body = rng.uniform(0.2, 1.0) * cell + rng.uniform(-0.15, 0.8) * nucleus + rng.uniform(0, 0.3) * inside + spots
    return body, grain


def _debris(shape: tuple[int, ...], nucleus_px: float, rng: np.random.Generator) -> Floats:
    """Draw round specks, smaller than nuclei and sharper, that no stain shows."""
    found = np.zeros(shape)
    for _ in range(rng.poisson(rng.uniform(0, 3) * found.size / (12 * nucleus_px) ** 2)):
        y, x = (int(rng.integers(n)) for n in shape)
        found[y, x] += rng.uniform(-3, 3)
    radius = rng.uniform(0.05, 0.25) * nucleus_px
    return np.asarray(ndimage.gaussian_filter(found, radius) * 2 * math.pi * radius**2)


def _through(delay: Floats, swallowed: Floats, nucleus_px: float, rng: np.random.Generator) -> Floats:
    """Let light through the optics: one of three kinds, at a focus, an aperture and an angle drawn at random."""
    shape = [fft.next_fast_len(n, real=True) for n in delay.shape]
    fy, fx = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None]
    square = fy**2 + fx**2
    aperture = np.exp(-square * (math.pi * rng.uniform(0.02, 0.08) * nucleus_px) ** 2)
    length = math.exp(rng.uniform(math.log(0.03), math.log(0.5))) * nucleus_px
    wave = rng.choice([-1.0, 1.0]) * math.pi * square * length**2
    mode = MODES[int(rng.integers(len(MODES)))]
    if mode == "phase":
        ring = 1 - np.exp(-square * (math.pi * rng.uniform(0.5, 3) * nucleus_px) ** 2)  # the halo
        of_delay, of_swallowed = np.cos(0.5 * wave) * ring, np.sin(0.5 * wave)
    elif mode == "dic":
        angle = rng.uniform(0, 2 * math.pi)
        shear = 2 * math.pi * (math.cos(angle) * fy + math.sin(angle) * fx)
        of_delay, of_swallowed = 1j * np.sin(shear * rng.uniform(0.5, 2)), np.cos(wave)
    else:
        of_delay, of_swallowed = 2 * np.sin(wave), -np.cos(wave)
    light = (fft.rfft2(delay, shape) * of_delay + fft.rfft2(swallowed, shape) * of_swallowed) * aperture
    return np.asarray(fft.irfft2(light, shape)[: delay.shape[0], : delay.shape[1]])
