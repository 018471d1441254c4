"""Views of all kinds of pictures, each with the source it is from: own kinds, other modalities, photographs, text, noise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from tests.foreign_kinds import every_kind

from vitascope.simulate.spheroid_series import make_spheroid, setting_of
from vitascope.simulate.wells import make_well

SIDE, EACH = 256, 12
"""Side of a view in px, and views of one source at most."""

PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "horse.png", "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "rocket.jpg",
)  # fmt: skip
DOCUMENTS = ("page.png", "text.png", "logo.png", "chessboard_GRAY.png", "phantom.png")
MEDICAL = ("ihc.png", "retina.jpg", "microaneurysms.png", "cell.png")
OWN = {"2_organoid_atp": "wells", "3_spheroid_viability/ldc_live_dead": "ldc", "3_spheroid_viability/mls": "spheroids"}


class View(NamedTuple):
    """A picture, what it is called, and the source it is from."""

    source: str
    name: str
    pixels: NDArray[np.uint16]


def data_folder() -> Path:
    """Return the folder of public data sets that ``VITASCOPE_DATA`` names."""
    return Path(os.environ["VITASCOPE_DATA"])


def _planes(path: Path) -> Iterator[NDArray[np.float64]]:
    """Give grey planes of a file, three of a stack at most for each channel."""
    try:
        array = tifffile.imread(path) if path.suffix.lower() in (".tif", ".tiff") else np.asarray(Image.open(path))
    except Exception:
        return
    array = np.squeeze(np.asarray(array, np.float64))
    if array.ndim == 3 and array.shape[-1] in (3, 4):
        array = array[..., :3].mean(-1)
    if array.ndim < 2:
        return
    flat = array.reshape(-1, *array.shape[-2:])
    for k in np.unique(np.linspace(0, len(flat) - 1, min(3, len(flat))).astype(int)):
        yield flat[k]


def _views(source: str, name: str, plane: NDArray[np.float64], count: int) -> Iterator[View]:
    """Cut a plane into views, spread over it; small planes stay whole."""
    if min(plane.shape) < 40 or not np.isfinite(plane).all() or plane.max() <= plane.min():
        return
    rng = np.random.default_rng(len(name))
    scaled = (plane - plane.min()) / (plane.max() - plane.min()) * 50000 + 1000
    side = min(SIDE, *plane.shape)
    for number in range(count if min(plane.shape) > 1.5 * SIDE else 1):
        y, x = (int(rng.integers(0, n - side + 1)) for n in plane.shape)
        part = scaled[y : y + side, x : x + side] if number else scaled
        if number == 0 and max(part.shape) > 4 * SIDE:
            part = part[:: max(1, max(part.shape) // (2 * SIDE)), :: max(1, max(part.shape) // (2 * SIDE))]
        if part.std() > 0:
            yield View(source, f"{name}-{number}", part.astype(np.uint16))


def of_data() -> Iterator[View]:
    """Views of every data set, as many of each; sources are called after their folders."""
    root = data_folder()
    for folder in sorted(p for p in root.glob("*/*") if p.is_dir()):
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".tif", ".tiff", ".png", ".jpg"))
        files = [p for p in files if "outline" not in p.name]
        found: list[View] = []
        for path in files:
            for k, plane in enumerate(_planes(path)):
                found += _views(f"{folder.parent.name}/{folder.name}", f"{path.stem}-{k}", plane, 2)
        own = any(f"{folder.parent.name}/{folder.name}".startswith(key) for key in OWN)
        take = np.unique(np.linspace(0, len(found) - 1, min(len(found), 150 if own else EACH)).astype(int))
        yield from (found[i] for i in take)


def of_programs() -> Iterator[View]:
    """Photographs, documents and medical pictures that come with scikit-image."""
    folder = Path(skimage.__file__).parent / "data"
    for source, names in (("photographs", PHOTOGRAPHS), ("documents", DOCUMENTS), ("medical", MEDICAL)):
        for name in names:
            if (folder / name).is_file():
                for plane in list(_planes(folder / name))[:1]:
                    yield from _views(source, name, plane, 2)


def drawn() -> Iterator[View]:
    """Text, noise, shapes and gradients."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    for k in range(EACH):
        page = Image.new("L", (SIDE, SIDE), 235)
        pen = ImageDraw.Draw(page)
        for line in range(0, SIDE, 12 + k):
            pen.text((4, line), "".join(rng.choice(list("abcdefghijk lmnop qrst"), 40)), fill=int(rng.integers(0, 90)))
        yield View("text", f"text{k}", (np.asarray(page, float) * 200 + 500).astype(np.uint16))
        noise = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 0.3 * k)
        yield View("noise", f"noise{k}", ((noise / noise.std()) * 3000 + 25000).clip(0, 65535).astype(np.uint16))
        wave = np.sin(2 * np.pi * (k + 1) * (x * np.cos(k) + y * np.sin(k))) * 9000 + 25000 + 9000 * (x - y)
        yield View("gratings", f"wave{k}", (wave + rng.normal(0, 200, wave.shape)).clip(0, 65535).astype(np.uint16))
        shapes = Image.new("L", (SIDE, SIDE), int(rng.integers(30, 220)))
        pen = ImageDraw.Draw(shapes)
        for _ in range(3 + k):
            a, b = rng.integers(0, SIDE - 60, 2)
            pen.rectangle(
                [int(a), int(b), int(a + rng.integers(10, 60)), int(b + rng.integers(10, 60))],
                fill=int(rng.integers(0, 255)),
            )
        yield View("shapes", f"shapes{k}", (np.asarray(shapes, float) * 200 + 900).astype(np.uint16))


def simulated_wells(count: int = 60) -> Iterator[View]:
    """Wells as ``atp-organoid-sim`` was trained on, of plates that it never saw."""
    for k in range(count):
        yield View("simulated wells", f"well{k}", make_well(5000 + k, k % 10, 0, SIDE).image)


def simulated_spheroids(count: int = 60) -> Iterator[View]:
    """Spheroids as ``viability-spheroid-sim`` was trained on."""
    for k in range(count):
        yield View("simulated spheroids", f"spheroid{k}", make_spheroid(700 + k, setting_of(700 + k, 0), SIDE).image)


def every_view() -> Iterator[View]:
    """All of them."""
    for make in (of_data, of_programs, drawn, simulated_wells, simulated_spheroids):
        yield from make()
    yield from (View(*one) for one in every_kind())
