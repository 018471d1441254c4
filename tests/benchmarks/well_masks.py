"""The organoids of the 24 real wells as reference masks; ``well_masks write`` makes them, once, before any training.

Darkness against the ground nearby (``ops/wells/organoids``) at 512 px a well, in which eight wells were corrected by
hand: fibres, dirt and smears that it takes for organoids are taken out. Written to ``reference_masks/``.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.draw import line, polygon
from skimage.morphology import dilation, disk

from vitascope.core.paths import training_data
from vitascope.io.images.read import read_image
from vitascope.ops.wells.locate import find_well
from vitascope.ops.wells.organoids import organoid_mask
from vitascope.ops.wells.squares import cut_square

FOLDER = "2_organoid_atp/deepOrganoid_plate23997_rowA"
MASKS = Path(__file__).parent / "reference_masks"
SIDE = 512

DIRT = {
    "A01": [
        [
            *((250, 0), (318, 0), (310, 45), (262, 165), (238, 190), (225, 265), (190, 350), (168, 398), (152, 395)),
            *((165, 345), (198, 230), (215, 190), (212, 140), (235, 60)),
        ]
    ],
    "A02": [[(286, 290), (316, 290), (316, 308), (286, 308)], [(225, 0), (260, 0), (260, 14), (225, 14)]],
    "A08": [[(8, 478), (42, 478), (42, 497), (8, 497)]],
    "A22": [[(458, 650), (487, 650), (487, 697), (458, 697)]],
    "A23": [[(203, 455), (220, 403), (240, 392), (281, 390), (283, 450), (240, 458)]],
}
"""Outlines (x, y) of what is no organoid, by well, in 784ths of the square."""

FIBRES = {
    "A02": [
        [(343, 222), (344, 200), (355, 194), (370, 198)],
        [(600, 252), (612, 268), (614, 290), (610, 303)],
        [(8, 466), (38, 492)],
    ],
    "A10": [[(505, 83), (486, 92), (471, 125), (426, 165), (403, 200), (456, 220), (508, 238)]],
    "A15": [[(680, 583), (688, 640), (686, 690), (694, 727)]],
    "A21": [[(664, 151), (728, 144), (774, 161)]],
    "A22": [
        [(154, 268), (164, 300), (151, 325), (128, 345), (151, 365), (161, 385), (131, 408), (70, 418)],
        [(440, 600), (452, 640), (461, 660), (466, 690), (484, 692), (481, 660), (500, 655)],
    ],
}
"""Lines along fibres, likewise; each about 4 px of the mask wide on either side."""


def wells():
    """The real wells: name, picture and region of each."""
    root = training_data()
    for path in sorted((root / FOLDER).glob("*.tif")) if root is not None else []:
        picture = np.asarray(read_image(path).plane(), float)
        yield path.stem.split("_")[1], picture, find_well(picture)


def square(picture, region, side=SIDE):
    """Cut a well out; what lies outside the picture has the median of the rest."""
    cut = cut_square(picture, region, side)
    return np.where(np.isfinite(cut), cut, np.nanmedian(cut))


def corrected(name, mask):
    """Take out what was seen to be no organoid."""
    gone = np.zeros_like(mask)
    for outline in DIRT.get(name, []):
        x, y = np.array(outline).T * SIDE / 784
        gone[polygon(y, x, mask.shape)] = True
    for path in FIBRES.get(name, []):
        points = np.rint(np.array(path) * SIDE / 784).astype(int)
        drawn = np.zeros_like(mask)
        for (x0, y0), (x1, y1) in pairwise(points):
            drawn[line(y0, x0, y1, x1)] = True
        gone |= dilation(drawn, disk(4))
    return mask & ~gone


def read_mask(name):
    """The frozen mask of a well, (512, 512) bool."""
    return np.asarray(Image.open(MASKS / f"{name}.png"), bool)


def main(arguments):
    for name, picture, region in wells():
        mask = corrected(name, organoid_mask(square(picture, region)))
        if "write" in arguments:
            MASKS.mkdir(exist_ok=True)
            Image.fromarray(mask).save(MASKS / f"{name}.png", optimize=True)
        by_hand = ", by hand" if name in DIRT or name in FIBRES else ""
        print(f"{name}: {read_mask(name).mean():.3f} of the square{by_hand}")
