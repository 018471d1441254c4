"""How well a small classifier tells real wells and spheroids from simulated ones: AUC, 0.5 for not at all.

``python -m tests.benchmarks likeness``, with the real images under ``VITASCOPE_DATA``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage, stats
from tests.benchmarks.viability import simple_features

from vitascope.core.paths import training_data
from vitascope.io.images.read import read_image
from vitascope.ops.wells.locate import central_square, cut_square
from vitascope.simulate.spheroid_series import make_spheroid, setting_of
from vitascope.simulate.wells import make_well

SIDE, CROP, FOLDS = 256, 64, 5


def square(picture):
    """Bring a picture to SIDE px, as light against its median, less 1."""
    cut = cut_square(picture, central_square(picture), SIDE)
    return (cut / np.median(cut) - 1).astype(float)


def crop_features(picture, rng):
    """Features of random crops of a picture (8, F)."""
    starts = rng.integers(0, SIDE - CROP, (8, 2))
    crops = [picture[y : y + CROP, x : x + CROP] for y, x in starts]
    return np.array([[*simple_features(c), ndimage.gaussian_filter(c, 3).std()] for c in crops])


def likeness(real, simulated):
    """AUC of a ridge classifier on crops, images left out in folds; crops of an image are averaged."""
    rng = np.random.default_rng(0)
    x = np.stack([crop_features(square(p), rng) for p in [*real, *simulated]])  # (N, 8, F)
    y = np.r_[np.ones(len(real)), -np.ones(len(simulated))]
    folds = rng.permutation(len(y)) % FOLDS
    scores = np.zeros(len(y))
    for fold in range(FOLDS):
        rows = folds != fold
        flat, labels = x[rows].reshape(-1, x.shape[-1]), np.repeat(y[rows], x.shape[1])
        middle, spread = flat.mean(0), flat.std(0) + 1e-9
        weight = np.where(labels > 0, 1 / (labels > 0).sum(), 1 / (labels < 0).sum()) * len(labels) / 2
        z = (flat - middle) / spread
        w = np.linalg.solve((z * weight[:, None]).T @ z + 10 * np.eye(z.shape[1]), (z * weight[:, None]).T @ labels)
        scores[~rows] = (((x[~rows] - middle) / spread) @ w).mean(1)
    return stats.mannwhitneyu(scores[y > 0], scores[y < 0]).statistic / ((y > 0).sum() * (y < 0).sum())


def read(folder, pattern):
    """Read the real pictures of a folder."""
    root = training_data()
    files = sorted((root / folder).glob(pattern)) if root is not None else []
    return [np.asarray(read_image(Path(f)).plane(), float) for f in files if "scribbles" not in f.name]


def main(arguments):
    sets = {
        "wells": (
            read("2_organoid_atp/deepOrganoid_plate23997_rowA", "*.tif")[:23],
            [make_well(0, n, n, SIDE).image for n in range(60)],
        ),
        "spheroids": (
            read("3_spheroid_viability/mls_spheroids_384", "*.tif"),
            [make_spheroid(0, setting_of(0, n), SIDE).image for n in range(40)],
        ),
    }
    for name in arguments or list(sets):
        real, simulated = sets[name]
        if not real:
            print(f"{name}: skipped, the real images are not under VITASCOPE_DATA.")
            continue
        print(f"{name}: AUC {likeness(real, simulated):.3f} ({len(real)} real, {len(simulated)} simulated)")
