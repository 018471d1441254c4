"""Lengths as files give them, in micrometres."""

from __future__ import annotations

import math
from dataclasses import dataclass

UM_PER_UNIT = {
    "km": 1e9, "kilometer": 1e9, "m": 1e6, "meter": 1e6, "dm": 1e5, "cm": 1e4, "centimeter": 1e4, "mm": 1e3,
    "millimeter": 1e3, "um": 1.0, "micron": 1.0, "micrometer": 1.0, "nm": 1e-3, "nanometer": 1e-3, "pm": 1e-6,
    "picometer": 1e-6, "å": 1e-4, "angstrom": 1e-4, "inch": 25400.0, "in": 25400.0, "ft": 304800.0,
}  # fmt: skip
SQUARE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Scale:
    """What a file says of sizes and channels.

    Parameters
    ----------
    pixel_size_um : float or None, > 0, micrometre
    z_step_um : float or None, > 0, micrometre
    channel_names : tuple of str
    flags : tuple of str
        ``unit_unknown`` where a size has no unit of length, ``pixels_not_square`` where height and width differ.
    stage_um : tuple of float or None, micrometre
        Where the stage stood, y and x.
    """

    pixel_size_um: float | None = None
    z_step_um: float | None = None
    channel_names: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    stage_um: tuple[float, float] | None = None


def to_um(value: float | None, unit: str) -> float | None:
    """Convert a length to micrometres; None where it is no length above zero.

    Examples
    --------
    >>> to_um(325, "nanometer"), to_um(1, "banana")
    (0.325, None)
    """
    factor = um_per(unit)
    if value is None or factor is None or not math.isfinite(value) or value <= 0:
        return None
    return float(f"{value * factor:.12g}")


def um_per(unit: str) -> float | None:
    """Return how many micrometres a unit of length has; None where it is none."""
    name = unit.strip().replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u").casefold()
    name = name.replace("metre", "meter")
    return UM_PER_UNIT.get(name) or UM_PER_UNIT.get(name.removesuffix("s"))


def stage_place(y: float | None, x: float | None, units: tuple[str, str] = ("um", "um")) -> tuple[float, float] | None:
    """Return where a stage stood, y and x in µm; None where that is not told in a unit of length.

    Examples
    --------
    >>> stage_place(-1.5, 2, ("mm", "mm")), stage_place(1, 2, ("reference frame", "reference frame"))
    ((-1500.0, 2000.0), None)
    """
    down, across = (um_per(unit) for unit in units)
    if y is None or x is None or down is None or across is None or not (math.isfinite(y) and math.isfinite(x)):
        return None
    return y * down, x * across


def square_sides(
    y: tuple[float | None, str], x: tuple[float | None, str]
) -> tuple[tuple[float | None, str], tuple[float | None, str]]:
    """Give a pixel of which a file tells one side alone the same height and width.

    Parameters
    ----------
    y, x : tuple of float or None, and str
        Size and unit.

    Examples
    --------
    >>> square_sides((None, ""), (0.65, "µm"))
    ((0.65, 'µm'), (0.65, 'µm'))
    """
    told = [size is not None and math.isfinite(size) and size > 0 for size, _ in (y, x)]
    if told == [True, False]:
        return y, y
    return (x, x) if told == [False, True] else (y, x)


def scale_from(
    size_yxz: tuple[float | None, float | None, float | None],
    unit_yxz: tuple[str, str, str],
    channel_names: tuple[str, ...] = (),
) -> Scale:
    """Put together what a file says, in any units.

    The height of a pixel is taken where height and width differ by at most 1 %; where they differ more the pixel size
    is left unknown and flagged, for areas and shapes would both be wrong.

    Parameters
    ----------
    size_yxz : tuple of float or None
        Height and width of a pixel and distance of planes, in their units.
    unit_yxz : tuple of str
    channel_names : tuple of str

    Returns
    -------
    Scale

    Examples
    --------
    >>> scale_from((325, 325, 2), ("nm", "nm", "µm"))
    Scale(pixel_size_um=0.325, z_step_um=2.0, channel_names=(), flags=(), stage_um=None)
    """
    y, x, z = (to_um(size, unit) for size, unit in zip(size_yxz, unit_yxz, strict=True))
    flags = []
    for size, um in zip(size_yxz[:2], (y, x), strict=True):
        if size is not None and math.isfinite(size) and size > 0 and um is None:
            flags.append("unit_unknown")
    pixel = None
    if y is not None and x is not None:
        if abs(y - x) <= SQUARE_TOLERANCE * max(y, x):
            pixel = y
        else:
            flags.append("pixels_not_square")
    return Scale(pixel, z, channel_names, tuple(dict.fromkeys(flags)))
