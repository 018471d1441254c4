"""How often uneven light is told in wells as they are, and in the same wells lit unevenly. ``wells_shading``."""

from __future__ import annotations

import numpy as np
from tests.benchmarks.machine import describe

from vitascope.core.paths import SAMPLES
from vitascope.io.images.read import read_image
from vitascope.ops.wells.light import MOST_SHADING, shading
from vitascope.ops.wells.locate import find_well
from vitascope.simulate.wells import make_well

DRAWN, SEED, SHADED = 120, 63, (0.2, 0.4)
OWN_BAR = 0.05


def lit(picture: np.ndarray, amount: float, angle: float) -> np.ndarray:
    y, x = (np.linspace(-1, 1, n) for n in picture.shape)
    ramp = np.sin(angle) * y[:, None] + np.cos(angle) * x[None]
    return picture * (1 + amount / 2 * ramp)


def main(arguments: list[str]) -> None:
    print(describe())
    real = [np.asarray(read_image(p).plane(), float) for p in sorted((SAMPLES / "plate23997_rowA").glob("*.tif"))]
    drawn = [make_well(SEED, n, n // 4, 128).image.astype(float) for n in range(DRAWN)]
    for name, pictures in (("real wells", real), ("drawn wells", drawn)):
        angles = np.random.default_rng(0).uniform(0, 2 * np.pi, len(pictures))
        own = np.array([shading(p, find_well(p)) for p in pictures])
        print(f"{name}, as they are: {np.mean(own > MOST_SHADING):.1%} of {len(own)} flagged (bar {OWN_BAR:.0%})")
        for amount in SHADED:
            found = [
                shading(s, find_well(s)) for s in (lit(p, amount, a) for p, a in zip(pictures, angles, strict=True))
            ]
            print(f"{name}, {amount:.0%} shading: {np.mean(np.array(found) > MOST_SHADING):.1%} flagged")
