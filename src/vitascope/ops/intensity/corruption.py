"""Pictures made worse on purpose: defocus, brightness and contrast (section 4.1 of Pankova 2022, seed 004), and more.

Noise, shading and exposure are ours: the thesis shows exposure in real images (20, 30 and 40 ms, figure 48), and
neither of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.errors import ParameterError

Corruption = Literal["defocus", "contrast", "brightness", "noise", "shading", "exposure"]

SEVERITIES: dict[Corruption, dict[int, float]] = {
    "defocus": {0: 0.0, 1: 0.5, 2: 1.0, 3: 1.5, 4: 2.0, 5: 3.0},
    "contrast": {
        -5: 3.5, -4: 3.0, -3: 2.5, -2: 2.0, -1: 1.5, 0: 1.0, 1: 0.9, 2: 0.8, 3: 0.7, 4: 0.5, 5: 0.3,
    },
    "brightness": {
        -5: -150.0, -4: -135.0, -3: -120.0, -2: -90.0, -1: -50.0, 0: 0.0,
        1: 50.0, 2: 90.0, 3: 120.0, 4: 135.0, 5: 150.0,
    },
    "noise": {0: 0.0, 1: 0.01, 2: 0.02, 3: 0.04, 4: 0.08, 5: 0.16},
    "shading": {0: 0.0, 1: 0.05, 2: 0.1, 3: 0.2, 4: 0.3, 5: 0.5},
    "exposure": {-1: 2 / 3, 0: 1.0, 1: 4 / 3},
}  # fmt: skip
"""By severity. Table 9: disk radius (px), gain, and bias (grey values of an 8-bit image). Ours: standard deviation of
noise (of the scale), share of light that is missing at one edge and too much at the other, and factor of exposure."""

PRINTED: tuple[Corruption, ...] = ("defocus", "contrast", "brightness")
"""Those of Table 9."""

UNITS: dict[Corruption, str] = {
    "defocus": "px",
    "contrast": "gain",
    "brightness": "grey values of 255",
    "noise": "of the scale",
    "shading": "share of light",
    "exposure": "factor",
}
"""What the values of :data:`SEVERITIES` are."""

GREY_LEVELS = 255.0
SAMPLES_PER_PIXEL = 64


def defocus_kernel(radius_px: float) -> NDArray[np.float32]:
    """Kernel of a defocused lens: a disk of any radius, also below one pixel.

    The picture is thought to run linearly between pixel centres and averaged over the disk: each point of the disk
    (64 x 64 to a pixel) gives its weight to its four nearest pixels in proportion to nearness. Radius 0 leaves a
    picture as it is, the kernel grows steadily with the radius, and large disks are flat with a soft rim. (Counting
    the pixels whose centres lie in the disk, or the share of each pixel that it covers, a radius of 0.5 px would do
    nothing.)

    Parameters
    ----------
    radius_px : float, >= 0, px
        Table 9 goes from 0 to 3.

    Returns
    -------
    array, shape (K, K), float32
        Odd K, symmetric; adds up to 1.

    Raises
    ------
    ParameterError
        If the radius is negative or not finite.

    References
    ----------
    Pankova 2022 (seed 004), section 4.1.2, figure 45 and Table 9 (its blur strength s is not given).
    """
    if not (np.isfinite(radius_px) and radius_px >= 0):
        raise ParameterError(f"A disk of radius {radius_px} px cannot be drawn.", "Take a radius of 0 px or more.")
    reach = int(np.ceil(radius_px))
    if reach == 0:
        return np.ones((1, 1), np.float32)
    # centres of 64 x 64 cells to a pixel, symmetric about 0
    place = (np.arange(-reach * SAMPLES_PER_PIXEL, reach * SAMPLES_PER_PIXEL) + 0.5) / SAMPLES_PER_PIXEL
    disk = (place[:, None] ** 2 + place**2 <= radius_px**2).astype(np.float64)
    if not disk.any():  # a radius of less than a cell: no blur
        return np.ones((1, 1), np.float32)
    hats = np.maximum(0, 1 - np.abs(place - np.arange(-reach, reach + 1)[:, None]))
    kernel = hats @ disk @ hats.T
    return np.asarray(kernel / kernel.sum(), np.float32)


def defocus(picture: NDArray[Any], radius_px: float) -> NDArray[np.float32]:
    """Blur a picture by a disk, edges mirrored.

    Parameters
    ----------
    picture : array, shape (..., Y, X), real
    radius_px : float, >= 0, px

    Returns
    -------
    array, same shape, float32

    References
    ----------
    Pankova 2022 (seed 004), section 4.1.2.
    """
    kernel = defocus_kernel(radius_px)
    values = np.asarray(picture, np.float32)
    shape = (1,) * (values.ndim - 2) + kernel.shape
    return np.asarray(ndimage.convolve(values, kernel.reshape(shape), mode="reflect"), np.float32)


def change_contrast(picture: NDArray[Any], gain: float) -> NDArray[np.float32]:
    """Multiply a picture in [0, 1] by a gain and clip it to [0, 1].

    Parameters
    ----------
    picture : array, any shape, in [0, 1]
    gain : float

    Returns
    -------
    array, same shape, float32, in [0, 1]

    References
    ----------
    Pankova 2022 (seed 004), equation 45.
    """
    return np.asarray(np.clip(np.asarray(picture, np.float32) * np.float32(gain), 0, 1), np.float32)


def change_brightness(picture: NDArray[Any], bias: float) -> NDArray[np.float32]:
    """Add a bias to a picture in [0, 1] and clip it to [0, 1].

    Parameters
    ----------
    picture : array, any shape, in [0, 1]
    bias : float
        In grey values of an 8-bit image, as in Table 9; 255 is the whole scale.

    Returns
    -------
    array, same shape, float32, in [0, 1]

    Notes
    -----
    The function the thesis names (``cv2.convertScaleAbs``) takes the absolute value of what falls below 0, so that a
    dark picture turns bright again; its text says "clips", which is done here.

    References
    ----------
    Pankova 2022 (seed 004), equation 44.
    """
    return np.asarray(np.clip(np.asarray(picture, np.float32) + np.float32(bias / GREY_LEVELS), 0, 1), np.float32)


def add_noise(picture: NDArray[Any], deviation: float, seed: int = 0) -> NDArray[np.float32]:
    """Add Gaussian noise, the same each time, to a picture in [0, 1], and clip it to [0, 1].

    Parameters
    ----------
    picture : array, any shape, in [0, 1]
    deviation : float, >= 0
        Standard deviation, of the scale.
    seed : int

    Returns
    -------
    array, same shape, float32, in [0, 1]
    """
    values = np.asarray(picture, np.float32)
    noise = np.random.default_rng(seed).standard_normal(values.shape, np.float32)
    return np.asarray(np.clip(values + noise * np.float32(deviation), 0, 1), np.float32)


def shade(picture: NDArray[Any], share: float) -> NDArray[np.float32]:
    """Light a picture in [0, 1] from one side: the left edge loses a share of its light, the right one gains it.

    Parameters
    ----------
    picture : array, shape (..., Y, X), in [0, 1]
    share : float, 0 to 1

    Returns
    -------
    array, same shape, float32, in [0, 1]
    """
    values = np.asarray(picture, np.float32)
    light = np.linspace(1 - share, 1 + share, values.shape[-1], dtype=np.float32)
    return np.asarray(np.clip(values * light, 0, 1), np.float32)


def corrupt(picture: NDArray[Any], corruption: Corruption, severity: int) -> NDArray[np.float32]:
    """Apply a corruption at a severity of :data:`SEVERITIES`.

    Parameters
    ----------
    picture : array, shape (..., Y, X), in [0, 1]
    corruption : {"defocus", "contrast", "brightness", "noise", "shading", "exposure"}
    severity : int, -5 to 5 (defocus, noise and shading: 0 to 5; exposure: -1 to 1)
        0 changes nothing.

    Returns
    -------
    array, same shape, float32

    Raises
    ------
    ParameterError
        If the table has no such corruption or severity.

    References
    ----------
    Pankova 2022 (seed 004), section 4.1.1 and Table 9.
    """
    table = SEVERITIES.get(corruption)
    if table is None:
        raise ParameterError(f"'{corruption}' is no corruption.", f"Known: {', '.join(SEVERITIES)}.")
    if severity not in table:
        raise ParameterError(f"There is no severity {severity} of {corruption}.", f"Take {min(table)} to {max(table)}.")
    apply: Callable[[NDArray[Any], float], NDArray[np.float32]] = {
        "defocus": defocus,
        "contrast": change_contrast,
        "brightness": change_brightness,
        "noise": add_noise,
        "shading": shade,
        "exposure": change_contrast,  # a factor, as a gain is
    }[corruption]
    return apply(picture, table[severity])
