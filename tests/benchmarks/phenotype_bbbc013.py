"""Translocation on a real plate: control wells kept apart, ranks along the doses, maps against Otsu; three seeds.

``python -m tests.benchmarks phenotype_bbbc013 [SEEDS]`` trains from half of the controls, drawn anew for each seed, and
measures the bundled model too. The baseline is the paper's: a network trained on crops of one cell under the labels of
their wells (Table 2), with as many pixels a step.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe

from vitascope.core.errors import ReaderError
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.engine.load_model import load_model
from vitascope.io.filenames.grouping import find_groups
from vitascope.io.images.read import open_group
from vitascope.io.tables.read import read_table
from vitascope.ops.objects.map_regions import RegionParams, foreground
from vitascope.recipes.recipe import find_data, read_recipe
from vitascope.stats.agreement import spearman
from vitascope.stats.classification import mean_iou
from vitascope.tasks.run import start
from vitascope.training.tasks.phenotype import run_training
from vitascope.training.tasks.phenotype_map_calibration import otsu_mask

ROWS = ("A", "E")
"""The rows that are given whole, with every dose."""

RING_PX = (2, 8)
CROP_PX, CROPS_PER_WELL = 48, 20
REPLICATES = ((0.8, 6.0), (1.0, 3.0), (1.25, 0.0))
"""Gain and noise (grey values) of simulated replicates: the plate has none of its own."""


def find_nuclei(image: np.ndarray) -> np.ndarray:
    """Nuclei by Otsu on DNA (y, x)."""
    dna = ndimage.gaussian_filter(image[1].astype(float), 1)
    return ndimage.binary_opening(dna > threshold_otsu(dna), iterations=2)


def translocation(image: np.ndarray) -> float:
    """Mean GFP of the nuclei over that of a ring around them."""
    gfp, nuclei = image[0].astype(float), find_nuclei(image)
    inner, outer = (ndimage.binary_dilation(nuclei, iterations=n) for n in RING_PX)
    return float(gfp[nuclei].mean() / gfp[outer & ~inner].mean())


def translocation_by_cell(image: np.ndarray) -> np.ndarray:
    """The same ratio of each cell; touching nuclei are parted by their outlines, and each has the ring next to it."""
    gfp, nuclei = image[0].astype(float), find_nuclei(image)
    depth = ndimage.distance_transform_edt(nuclei)
    tops = peak_local_max(ndimage.gaussian_filter(depth, 1.5), min_distance=6, labels=nuclei.astype(int))
    seeds = np.zeros(nuclei.shape, int)
    seeds[tuple(tops.T)] = np.arange(1, len(tops) + 1)
    cells = watershed(-depth, seeds, mask=nuclei)
    away = ndimage.distance_transform_edt(cells == 0)
    ring = np.where((away > RING_PX[0]) & (away <= RING_PX[1]), watershed(away, cells), 0)
    whole = [n for n in range(1, len(tops) + 1) if (cells == n).any() and (ring == n).any()]
    inside, around = (np.asarray(ndimage.mean(gfp, labels, whole)) for labels in (cells, ring))
    return inside / np.maximum(around, 1)


def wells(folder: Path) -> pd.DataFrame:
    """All wells at hand: dose, control, image and measured ratio."""
    table = read_table(folder / "1049_Metadata.csv")
    images = {g.place.well: g for g in find_groups([folder])}
    rows = []
    for _, row in table.iterrows():
        well = f"{row['Row']}{int(row['Column']):02d}"
        if well in images:
            image = open_group(images[well])
            control = {"-1": "negative", "1": "positive"}.get(row["SBS_Controls"], "")
            rows.append((well, int(row["SBS_Doses"]), control, image, translocation(np.asarray(image.array))))
    return pd.DataFrame(rows, columns=["well", "dose", "control", "image", "ratio"])


def predict(card: Path, plate: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The task's own numbers and summed maps of every well, in 32 bit."""
    rows, maps = [], {}
    for well, image in zip(plate["well"], plate["image"], strict=True):
        result = run_to_end(start("phenotype", image, model=str(card), precision="f32"))
        rows.append(result.rows[0])
        maps[well] = result.output("maps").array.sum(0)
    return plate.join(pd.DataFrame(rows)), maps


def crops(image: np.ndarray) -> list[np.ndarray]:
    """Crops of single cells around nuclei that Otsu finds in the DNA channel, whole and spread over the well."""
    nuclei, count = ndimage.label(find_nuclei(image))
    half = CROP_PX // 2
    centres = np.round(ndimage.center_of_mass(nuclei, nuclei, range(1, count + 1))).astype(int)
    inside = [c for c in centres if (c >= half).all() and (c + half <= np.array(nuclei.shape)).all()]
    chosen = np.random.default_rng(0).permutation(len(inside))[:CROPS_PER_WELL]
    return [image[:, y - half : y + half, x - half : x + half] for y, x in (inside[i] for i in chosen)]


def report_more(card: Path, kept: pd.DataFrame) -> None:
    """Simulated replicates that the model has not seen, and single cells under the labels of their wells."""
    values = {"model": str(card), "precision": "f32", "maps": False, "channels": (0, 1)}
    right, medians, cells = [], [], []
    for image, control in zip(kept["image"], kept["control"], strict=True):
        pixels = np.asarray(image.array)
        found = []
        for number, (gain, noise) in enumerate(REPLICATES):
            noisy = pixels * gain + np.random.default_rng(number).normal(0, noise, pixels.shape)
            row = run_to_end(start("phenotype", np.clip(noisy, 0, 255).astype(np.uint8), axes="CYX", **values)).rows[0]
            found.append(row["prob_positive"])
        right += [(p > 0.5) == (control == "positive") for p in found]
        medians.append((np.median(found) > 0.5) == (control == "positive"))
        for crop in crops(pixels):
            row = run_to_end(start("phenotype", crop, axes="CYX", instances="centre", **values)).rows[0]
            cells.append(row["predicted"] == control)
    print(
        f"  simulated replicates held out: images {np.mean(right):.3f}, wells by the median of 3 {np.mean(medians):.3f}"
    )
    print(f"  single-cell crops under their wells' labels: {np.mean(cells):.3f} of {len(cells)} (MIL layer)")


def report(card: Path, plate: pd.DataFrame) -> None:
    model = load_model(str(card), "phenotype").card
    trained = set(model.split.split("trained on ")[1].split(";")[0].split(", "))
    found, maps = predict(card, plate)
    kept = found[(found.control != "") & ~found.well.isin(trained)]
    print(f"  controls kept apart: {(kept.predicted == kept.control).sum()} of {len(kept)} right")
    rows = found[found.well.str[0].isin(ROWS)]
    means = rows.groupby("dose")[["ratio", "logit_positive"]].mean()
    print(
        f"  doses: Spearman over dose means {spearman(means.ratio, means.logit_positive):.3f}, over wells "
        f"{spearman(rows.ratio, rows.logit_positive):.3f}"
    )
    low, high = rows[rows.dose <= 2].prob_positive, rows[rows.dose >= 6].prob_positive
    print(f"  prob_positive: doses <= 2 at most {low.max():.3f}; doses >= 6 at least {high.min():.3f}")
    told = model.default_params
    overlaps = {"threshold alone": 0.0, "cut": told["smoothing"], "messages": told["smoothing"]}
    report_more(card, kept)
    print(f"  maps against Otsu on GFP, wells not trained on, {told} chosen on training wells; mean IoU:")
    for name, smoothing in overlaps.items():
        params = RegionParams(told["threshold"], smoothing, "messages" if name == "messages" else "cut")
        each = [
            mean_iou(foreground(maps[well], params), otsu_mask(np.asarray(image.array)[0].astype(np.float32)))
            for well, image in zip(found.well, found.image, strict=True)
            if well not in trained
        ]
        print(f"    {name:16} {np.mean(each):.3f} (wells {min(each):.3f} to {max(each):.3f}; n = {len(each)})")


def main(arguments: list[str]) -> None:
    print(describe())
    recipe = read_recipe(RECIPES / "translocation-bbbc013.yaml")
    try:
        plate = wells(find_data(recipe.data[0], RECIPES))
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    bundled = BUNDLED_MODELS / f"{recipe.id}.json"
    if bundled.is_file():
        print("bundled model")
        report(bundled, plate)
    for seed in range(int(arguments[0]) if arguments else 3):
        changes = {
            "id": f"seed{seed}",
            "split": {"by": "group", "test_fraction": 0.5, "seed": seed},
            "training.seed": seed,
        }
        cells = {**changes, "crop_px": CROP_PX, "training.batch_size": 128, "augment.mixup": 0.0}
        cells["network.arguments"] = {**recipe.network.arguments, "pooling": "mean"}
        for what, how in (("whole images", changes), ("baseline, crops of one cell", cells)):
            with tempfile.TemporaryDirectory() as folder:
                card = run_to_end(run_training(recipe.changed(how), RECIPES, Path(folder)))
                print(f"seed {seed}, {what}: {load_model(str(card), 'phenotype').card.split}")
                report(card, plate)
    print("paper (Table 2, other data, for the scale only): full images 0.958, treatments 0.99; mean IoU 0.812")
    print(describe())
