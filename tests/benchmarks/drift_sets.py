"""Sets of real images that drift is tried on, and what networks make of them.

Developed on (the numbers of an appearance, and how the kernel is put together, were chosen on these and on drawn images):
``plate``, ``bright-field``. Looked at when all was settled, and nothing changed for it but the size of the pieces of
``jurkat`` (192 px gave too few: run lengths came out at half the ERT, with and without looks): ``chamber``, ``jurkat``.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from tests.benchmarks.zoo_references import ISL, JURKAT, bright_field, pieces, planes

from vitascope.batch.drift.features import image_features
from vitascope.core.paths import training_data
from vitascope.core.progress import run_to_end
from vitascope.io.images.read import group_paths, read_image
from vitascope.ops.intensity.corruption import corrupt

CHAMBER, PLATE = "3_spheroid_viability/ldc_live_dead", "4_mil_hcs/bbbc013_sbs_plate"
SIDE = 128


def chamber():
    """150 photographs of a counting chamber, independent of each other, 8 bits."""
    names = sorted(path.name for path in (training_data() / CHAMBER).glob("*.png"))
    return [np.asarray(read_image(str(training_data() / CHAMBER / name)).plane()).astype(np.uint8) for name in names]


def truth():
    """Viability of the photographs."""
    labels = pd.read_csv(training_data() / CHAMBER / "labels.csv").set_index("file")["viability"]
    return labels.loc[sorted(path.name for path in (training_data() / CHAMBER).glob("*.png"))].to_numpy(float)


def jurkat():
    """243 pieces of mosaics of single cells, which do not overlap: other cells in each."""
    found = []
    for name in ("G1__brightfield__Ch3_CP0008", "S_phase__brightfield__Ch3_CP0009", "G2__brightfield__Ch3_CP0008"):
        found += pieces(planes(f"{JURKAT}/{name}.tif"), 10**6, SIDE, SIDE)
    return found


def bright():
    """Pieces of one field of Cell Painting, which overlap by half."""
    return list(bright_field(None))


def plate():
    """The 40 wells of BBBC013, both channels."""
    groups, _ = group_paths([str(training_data() / PLATE)])
    return [np.stack([tifffile.imread(path) for path in group.paths]) for group in groups]


def focus_stack(z, side=128, step=64):
    """Pieces of one plane of a real stack, with their places; they overlap by half."""
    return list(pieces(planes(f"{ISL}/phase_z{z:02}.png"), 768, step, side))


SETS = {
    "chamber": (chamber, "viability-ldc"),
    "jurkat": (jurkat, "dna-brightfield"),
    "bright-field": (bright, "organelles-brightfield"),
    "plate": (plate, "translocation-bbbc013"),
}


def spoilt(images, corruption, severity):
    """As Table 9, on grey values as they are: of the whole scale of 8-bit images, of the brightest pixel of others."""
    kind = images[0].dtype
    top = 255 if kind == np.uint8 else max(int(image.max()) for image in images)
    return [np.round(top * corrupt(im.astype(np.float32) / top, corruption, severity)).astype(kind) for im in images]


def features_of(images, card):
    """Features, shape (N, F), and appearances, shape (N, 6), as a run finds them."""
    with tempfile.TemporaryDirectory() as folder:
        for number, image in enumerate(images):
            axes = "YX" if image.ndim == 2 else "CYX"
            named = {} if image.ndim == 2 else {"Channel": {"Name": ["GFP", "DNA"]}}
            path = Path(folder) / f"i{number:03}.ome.tif"
            tifffile.imwrite(path, image, ome=True, metadata={"axes": axes, **named})
        groups, _ = group_paths([folder])
        found = run_to_end(image_features(groups, str(card)))
    assert not found.failed, found.failed[0]
    return found.table, found.appearances
