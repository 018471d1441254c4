"""Pictures of kinds that no data set here holds, drawn: scans, plots, gels, slides, screens, other microscopes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import cKDTree

SIDE, EACH = 256, 12
Picture = NDArray[np.float64]
LETTERS = list("abcdefghijklmnopqrstuvwxyz    ABCDEFG0123456789")
COLOURED = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg", "retina.jpg", "ihc.png")


def canvas(grey: float) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    page = Image.new("L", (SIDE, SIDE), int(grey))
    return page, ImageDraw.Draw(page)


def words(rng: np.random.Generator, count: int) -> str:
    return "".join(rng.choice(LETTERS, count))


def field(rng: np.random.Generator, power: float) -> Picture:
    """Noise whose power falls as frequency to minus ``power``, standard deviation 1."""
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None]
    frequency = np.maximum(np.hypot(fy, fx), 1 / SIDE)
    found = np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIDE, SIDE))) * frequency ** (-power / 2)).real
    return found / found.std()


def discs(rng: np.random.Generator, count: int, low: float, high: float) -> Picture:
    """How far inside the nearest of many ellipses each pixel lies: below 1 inside."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    found = np.full((SIDE, SIDE), np.inf)
    for _ in range(count):
        cy, cx, angle = *rng.uniform(0, SIDE, 2), rng.uniform(0, np.pi)
        a, b = rng.uniform(low, high, 2)
        u, v = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        found = np.minimum(found, np.hypot(u / a, v / b))
    return found


def scan(rng: np.random.Generator, k: int) -> Picture:
    page, pen = canvas(rng.uniform(200, 250))
    for line in range(10, SIDE, 10 + k):
        pen.text((14, line), words(rng, 38), fill=int(rng.integers(10, 90)))
    turned = np.asarray(page.rotate(float(rng.uniform(-4, 4)), fillcolor=225), float)
    return ndimage.gaussian_filter(turned, rng.uniform(0, 1.2)) + 3 * field(rng, 1.5)


def plot(rng: np.random.Generator, k: int) -> Picture:
    page, pen = canvas(255)
    pen.rectangle((36, 20, 240, 220), outline=0)
    for tick in range(5):
        pen.text((8, 20 + 48 * tick), str(10 * tick), fill=0)
        pen.line((36, 20 + 48 * tick, 240, 20 + 48 * tick), fill=210)
    x = np.linspace(40, 236, 40)
    for line in range(1 + k % 4):
        y = 120 + 80 * np.sin(x / rng.uniform(10, 60) + line) * rng.uniform(0.2, 1) + rng.normal(0, 4, x.size)
        points = list(zip(x.tolist(), y.clip(22, 218).tolist(), strict=True))
        if (k + line) % 3 == 0:
            for a, b in points:
                pen.ellipse((a - 3, b - 3, a + 3, b + 3), fill=int(rng.integers(0, 160)))
        elif (k + line) % 3 == 1:
            pen.line(points, fill=int(rng.integers(0, 160)), width=2)
        else:
            for a, b in points[::3]:
                pen.rectangle((a - 5, b, a + 5, 220), fill=int(rng.integers(60, 200)))
    return np.asarray(page, float)


def colour(rng: np.random.Generator, k: int) -> Picture:
    path = Path(skimage.__file__).parent / "data" / COLOURED[k % len(COLOURED)]
    plane = np.asarray(Image.open(path).convert("HSV" if k >= len(COLOURED) else "RGB"), float)[..., k % 3]
    y, x = (int(rng.integers(0, n - SIDE + 1)) for n in plane.shape)
    return plane[y : y + SIDE, x : x + SIDE]


def electron(rng: np.random.Generator, k: int) -> Picture:
    """Membranes around cells, vesicles and mitochondria, dark on grey, grainy."""
    y, x = np.mgrid[:SIDE, :SIDE]
    bent = np.stack([y + 6 * field(rng, 3), x + 6 * field(rng, 3)], -1)
    near, _ = cKDTree(rng.uniform(0, SIDE, (10 + 6 * k, 2))).query(bent, k=2)
    found = 150 - 90 * np.exp(-((near[..., 1] - near[..., 0]) ** 2) / rng.uniform(4, 20))
    found -= 60 * (np.abs(discs(rng, 30, 3, 14) - 1) < 0.2)
    return found + 14 * field(rng, rng.uniform(0, 1))


def histology(rng: np.random.Generator, k: int) -> Picture:
    """Haematoxylin and eosin: pink fibres, dark nuclei, white gaps; as grey, or one of its colours."""
    stroma = 190 + 18 * ndimage.gaussian_filter(field(rng, 1), (0.5, 4))
    nuclei = ndimage.gaussian_filter((discs(rng, 60 + 15 * k, 3, 7) < 1).astype(float), 0.8)
    gaps = ndimage.gaussian_filter((field(rng, 3) > 1.4).astype(float), 1)
    found = stroma - nuclei * rng.uniform(60, 110)
    return found * (1 - gaps) + 245 * gaps + 4 * rng.normal(size=found.shape)


def ultrasound(rng: np.random.Generator, k: int) -> Picture:
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    depth, angle = np.hypot(y + 30, x - SIDE / 2), np.arctan2(x - SIDE / 2, y + 30)
    echo = np.exp(0.6 * field(rng, 3)) * np.where(discs(rng, 2, 15, 45) < 1, 0.15, 1)
    speckle = ndimage.gaussian_filter(rng.normal(size=(2, SIDE, SIDE)), (0, 1, 2.5))
    found = np.hypot(*speckle) * np.sqrt(echo) * np.exp(-depth / rng.uniform(150, 400))
    return np.where((np.abs(angle) < 0.6 + 0.02 * k) & (depth > 40) & (depth < 270), np.log1p(40 * found), 0.0) * 60


def tomogram(rng: np.random.Generator, k: int) -> Picture:
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    body = np.hypot(y / 95, x / 115)
    found = np.where(body < 1, 90.0, 5.0) + 110 * (np.abs(body - 0.93) < 0.05)
    found += np.where(body < 0.85, 35 * np.sign(1 - discs(rng, 6 + k, 6, 30)), 0)
    return ndimage.gaussian_filter(found, 1) + rng.uniform(2, 12) * field(rng, rng.uniform(0, 1))


def fluorescence(rng: np.random.Generator, k: int) -> Picture:
    """Nuclei, filaments or spots, bright on dark."""
    if k % 3 == 0:
        light = np.clip(1.3 - discs(rng, 25, 6, 14), 0, 1)
    elif k % 3 == 1:
        light = np.exp(-(np.abs(field(rng, 3)) / 0.06)) * (0.4 + 0.6 * (discs(rng, 6, 30, 60) < 1))
    else:
        light = ndimage.gaussian_filter((rng.random((SIDE, SIDE)) < 0.004).astype(float), rng.uniform(0.8, 2))
        light /= light.max()
    return 100.0 + rng.poisson(30 + 900 * light)


def gel(rng: np.random.Generator, k: int) -> Picture:
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    found = np.full((SIDE, SIDE), 210.0) - y / 8
    lanes = 6 + k % 6
    for lane in range(lanes):
        middle, width = (lane + 0.5) * SIDE / lanes, 0.32 * SIDE / lanes
        across = 1 / (1 + np.exp((np.abs(x - middle) - width) / 1.5))
        for _ in range(int(rng.integers(2, 9))):
            where = rng.uniform(20, 240) + 0.01 * (x - middle) ** 2
            found -= rng.uniform(20, 140) * across * np.exp(-(((y - where) / rng.uniform(1.5, 5)) ** 2))
        found -= rng.uniform(0, 25) * across
    return (found if k % 2 else 255 - found) + 2 * rng.normal(size=found.shape)


def slide(rng: np.random.Generator, k: int) -> Picture:
    """What microscopes are calibrated with: rulers, grids, dots, bars and stars."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    step = rng.uniform(8, 40)
    away = np.hypot(y - 128, x - 128)
    made = (
        ((x % step < 2) & (y > 90) & (y < np.where((x // step) % 5 == 0, 170, 135))),
        ((x % step < 2) | (y % step < 2)),
        (np.hypot(x % step - step / 2, y % step - step / 2) < step / 4),
        (np.sin(np.arctan2(y - 128, x - 128) * 36) > 0) & (away < 110),
        (x % (4 + 0.1 * y) < 2 + 0.05 * y),
        (np.abs(np.sin(away / 6)) > 0.9),
    )[k % 6]
    found = 220 - rng.uniform(60, 200) * ndimage.gaussian_filter(made.astype(float), rng.uniform(0.3, 1.5))
    return found + 2 * rng.normal(size=found.shape)


def drawing(rng: np.random.Generator, k: int) -> Picture:
    page, pen = canvas(rng.uniform(180, 255))
    for _ in range(3 + k):
        a, b = rng.uniform(0, 200, 2)
        box = (a, b, a + rng.uniform(10, 80), b + rng.uniform(10, 80))
        fill = int(rng.integers(0, 255)) if rng.random() < 0.6 else None
        if rng.random() < 0.6:
            pen.ellipse(box, fill=fill, outline=int(rng.integers(0, 120)), width=2)
        else:
            pen.polygon(rng.uniform(0, SIDE, (int(rng.integers(3, 7)), 2)).ravel().tolist(), fill=fill, outline=0)
    return np.asarray(page, float)


def noise(rng: np.random.Generator, k: int) -> Picture:
    """Spectra from white to brown, counts, salt and pepper, stripes."""
    if k < 7:
        return 128 + 30 * field(rng, 0.5 * k)
    if k < 9:
        return rng.poisson(3.0 ** (k - 6), (SIDE, SIDE)).astype(float)
    if k == 9:
        return np.where(rng.random((SIDE, SIDE)) < 0.05, 255.0 * (rng.random((SIDE, SIDE)) < 0.5), 128.0)
    stripes = rng.normal(size=SIDE) * 20
    return 128 + (stripes[:, None] if k == 10 else stripes[None]) + 4 * rng.normal(size=(SIDE, SIDE))


def screen(rng: np.random.Generator, k: int) -> Picture:
    page, pen = canvas(30 if k % 2 else 235)
    for _ in range(2 + k % 4):
        a, b = (int(n) for n in rng.integers(0, 120, 2))
        c, d = a + int(rng.integers(80, 130)), b + int(rng.integers(60, 130))
        pen.rectangle((a, b, c, d), fill=int(rng.integers(40, 255)), outline=0)
        pen.rectangle((a, b, c, b + 12), fill=int(rng.integers(0, 120)))
        pen.text((a + 3, b), words(rng, 10), fill=255)
        for line in range(b + 18, d - 10, 12):
            pen.text((a + 5, line), words(rng, int(rng.integers(4, 14))), fill=int(rng.integers(0, 60)))
        pen.rectangle((c - 34, d - 16, c - 4, d - 4), fill=200, outline=90)
    return np.asarray(page, float)


def stars(rng: np.random.Generator, k: int) -> Picture:
    found = 40 + 6 * field(rng, 2.5)
    for _ in range(20 + 20 * k):
        y, x = rng.integers(0, SIDE, 2)
        found[y, x] += 10 ** rng.uniform(1.5, 4)
    return ndimage.gaussian_filter(found, rng.uniform(0.7, 1.6)) + 2 * rng.normal(size=found.shape)


KINDS: dict[str, Callable[[np.random.Generator, int], Picture]] = {
    "scans": scan, "plots": plot, "photographs": colour, "electron microscopy": electron, "histology": histology,
    "ultrasound": ultrasound, "tomograms": tomogram, "fluorescence": fluorescence, "gels": gel, "slides": slide,
    "shapes": drawing, "noise": noise, "screens": screen, "stars": stars,
}  # fmt: skip
"""By the source that they count to."""


def every_kind(seed: int = 23, count: int = EACH) -> Iterator[tuple[str, str, NDArray[np.uint16]]]:
    """Give source, name and picture of each kind, ``count`` of each."""
    for number, (source, make) in enumerate(KINDS.items()):
        for k in range(count):
            found = make(np.random.default_rng((seed, number, k)), k)
            low, high = float(found.min()), float(found.max())
            yield source, f"{make.__name__}{k}", ((found - low) / (high - low) * 50000 + 1000).astype(np.uint16)
