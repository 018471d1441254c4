"""How well small classifiers tell real wells and spheroids from simulated ones: AUC, 0.5 for not at all.

``python -m tests.benchmarks likeness [wells] [composed] [spheroids] [cnn]``, with the real images under
``VITASCOPE_DATA``; ``cnn`` asks a small network on the same crops too. Neither is tuned. Composed wells are those of the
same plate, as they were found: alive, with sizes, focus and light unchanged; both are cut to the well first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage, stats
from tests.benchmarks.viability import simple_features
from tests.benchmarks.well_masks import square as framed
from tests.benchmarks.well_masks import wells

from vitascope.core.paths import training_data
from vitascope.io.images.read import read_image
from vitascope.ops.wells.locate import central_square
from vitascope.ops.wells.squares import cut_square
from vitascope.simulate.composed_wells import AS_FOUND, compose_well
from vitascope.simulate.cutouts import cut_parts
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


def auc(scores, y):
    return stats.mannwhitneyu(scores[y > 0], scores[y < 0]).statistic / ((y > 0).sum() * (y < 0).sum())


def cnn_likeness(real, simulated, epochs=20):
    """AUC of a small network on the same kind of crops, images left out in the same folds."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    squares = np.stack([square(p) for p in [*real, *simulated]]).astype(np.float32)
    starts = rng.integers(0, SIDE - CROP, (len(squares), 8, 2))
    x = np.stack([[s[a : a + CROP, b : b + CROP] for a, b in own] for s, own in zip(squares, starts, strict=True)])
    y = np.r_[np.ones(len(real)), -np.ones(len(simulated))]
    folds, scores = rng.permutation(len(y)) % FOLDS, np.zeros(len(y))
    for fold in range(FOLDS):
        rows = np.flatnonzero(folds != fold)
        torch.manual_seed(fold)
        layers = [torch.nn.Conv2d(1, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, 2, 1), torch.nn.ReLU()]
        head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, 1)]
        network = torch.nn.Sequential(*layers, *head)
        descent = torch.optim.Adam(network.parameters(), 3e-3)
        crops = torch.from_numpy(x[rows].reshape(-1, 1, CROP, CROP))
        truth = torch.from_numpy(np.repeat(y[rows] > 0, 8)).float()
        weight = torch.where(truth > 0, (1 - truth.mean()) / truth.mean(), torch.tensor(1.0))
        for _ in range(epochs):
            for part in torch.randperm(len(crops)).split(32):
                loss = F.binary_cross_entropy_with_logits(network(crops[part])[:, 0], truth[part], weight[part])
                descent.zero_grad()
                loss.backward()
                descent.step()
        with torch.no_grad():
            left = torch.from_numpy(x[folds == fold].reshape(-1, 1, CROP, CROP))
            scores[folds == fold] = network(left)[:, 0].reshape(-1, 8).mean(1).numpy()
    return auc(scores, y)


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
    return auc(scores, y)


def composed():
    """The real wells of the plate, cut out, and wells composed of them as they were found."""
    real = [(name, picture, framed(picture, region)) for name, picture, region in wells() if name != "A24"]
    if not real:
        return [], []
    parts = cut_parts([(name, picture.astype(np.float32), None) for name, picture, _ in real], 512)
    return [cut for *_, cut in real], [compose_well(0, n, n, parts, AS_FOUND).image.astype(float) for n in range(60)]


def read(folder, pattern):
    """Read the real pictures of a folder."""
    root = training_data()
    files = sorted((root / folder).glob(pattern)) if root is not None else []
    return [np.asarray(read_image(Path(f)).plane(), float) for f in files if "scribbles" not in f.name]


def main(arguments):
    sets = {
        "wells": lambda: (
            read("2_organoid_atp/deepOrganoid_plate23997_rowA", "*.tif")[:23],
            [make_well(0, n, n, SIDE).image for n in range(60)],
        ),
        "composed": composed,
        "spheroids": lambda: (
            read("3_spheroid_viability/mls_spheroids_384", "*.tif"),
            [make_spheroid(0, setting_of(0, n), SIDE).image for n in range(40)],
        ),
    }
    for name in [a for a in arguments if a != "cnn"] or list(sets):
        real, simulated = sets[name]()
        if not real:
            print(f"{name}: skipped, the real images are not under VITASCOPE_DATA.")
            continue
        print(f"{name}: AUC {likeness(real, simulated):.3f} ({len(real)} real, {len(simulated)} simulated)", flush=True)
        if "cnn" in arguments:
            print(f"{name}: AUC of a small network {cnn_likeness(real, simulated):.3f}")
