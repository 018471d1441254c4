"""What autoencoders of crops tell apart (section 4.2.2 of seed 004), of all crops and of filled, normalised ones.

``python -m tests.benchmarks autoencoder [STEPS [3528] [200]]``. Pictures: bright-field Jurkat mosaics, one laboratory (G1, S and G2 to
learn from; Prophase to measure on), and crops of 256 px, clean and with defocus 4: those to choose on from the upper rows,
those to judge on from the lower ones, which share no pixel with them. Printed for 3528 and 200 numbers: error of held-out crops (1: the mean alone); how far the first two principal axes
and each cluster of PCA 10 -> UMAP follow brightness and foreground (figure 55: brightness); DBSCAN and a linear probe on
blur, beside chance and the deepest features of dna-brightfield on the same crops. Needs the extra ``embedding``.
"""

import time

import numpy as np
from tests.benchmarks.drift_sets import features_of, spoilt
from tests.benchmarks.embedding import SEED, TOLD
from tests.benchmarks.zoo_references import JURKAT, pieces, planes

from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.ops.intensity.appearance import appearance
from vitascope.stats.embedding.axes import fit_axes, followed
from vitascope.stats.embedding.clusters import find_clusters, followed_by_clusters, separation
from vitascope.stats.embedding.layout import fit_layout
from vitascope.training.autoencoder import CropChoice, train_autoencoder

STEPS, SIDE, STEP_PX, UPPER = 600, 256, 160, 576
LEARNT = ("G1__brightfield__Ch3_CP0008", "S_phase__brightfield__Ch3_CP0009", "G2__brightfield__Ch3_CP0008")
APART = ("Prophase__brightfield__Ch3_CP0001",)


def told(name, codes, clean_count, kinds, parts, looks, error):
    trusted = codes[parts[0]][:clean_count]
    place = fit_axes(trusted, 10).place
    at = place(codes)
    found = separation(at[parts[0]], kinds[parts[0]].tolist(), at[parts[1]], kinds[parts[1]].tolist())
    axes = "; ".join(f"{row[0]:+.2f}, {row[1]:+.2f}" for row in followed(at[:, :2], looks[:, TOLD]))
    picture = fit_layout(trusted, "umap", 10).place(codes)
    clusters = followed_by_clusters(find_clusters(picture), looks[:, TOLD])
    most = max((abs(row[0]) for row in clusters.values()), default=np.nan)
    print(
        f"  {name:34} {error:5} F1 {found.f1:.2f} probe {found.probe:.2f} chance {found.chance:.2f} ({found.chance_high:.2f})"
        f"  axes: {axes}  {len(clusters)} clusters, brightness at most {most:.2f}",
        flush=True,
    )


def main(arguments):
    steps, start = int(arguments[0]) if arguments else STEPS, time.process_time()
    codes = [int(one) for one in arguments[1:]] or [3528, 200]
    learnt, apart = ([planes(f"{JURKAT}/{name}.tif") for name in names] for names in (LEARNT, APART))
    crops = [crop for picture in learnt for crop in pieces(picture, UPPER, STEP_PX, SIDE)]
    upper = len(crops)
    crops += [crop for picture in learnt for crop in pieces(picture[UPPER + STEP_PX // 2 :], 10**6, STEP_PX, SIDE)]
    rng = np.random.default_rng(SEED)
    order = [
        half
        for part in (np.arange(upper), np.arange(upper, len(crops)))
        for half in np.array_split(rng.permutation(part), 2)
    ]
    blurred = spoilt(crops, "defocus", 4)
    both = [crops[i] for i in order[0]] + [blurred[i] for i in order[1]]
    first = len(both)
    both += [crops[i] for i in order[2]] + [blurred[i] for i in order[3]]
    kinds = np.array([k for part, k in zip(order, ("clean", "blurred") * 2, strict=True) for _ in part])
    looks = np.stack([appearance(crop) for crop in both])
    parts, count = (np.arange(first), np.arange(first, len(both))), len(order[0])
    print(
        f"\n{len(crops)} crops of {SIDE} px, {steps} steps; error, then blur by DBSCAN, then what axes follow (brightness, foreground)"
    )
    for code in codes:
        for choice in (CropChoice(), CropChoice(foreground=True, normalised=True)):
            trained = run_to_end(train_autoencoder(learnt, apart, code=code, choice=choice, steps=steps))
            name = f"{code} numbers, {'filled and normalised' if choice.normalised else 'all crops as they are'}"
            told(name, trained.encode(both), count, kinds, parts, looks, f"{trained.error:.2f}")
    table, _ = features_of(both, BUNDLED_MODELS / "dna-brightfield.json")
    told("features of dna-brightfield", table, count, kinds, parts, looks, "")
    print(f"{time.process_time() - start:.0f} s of one core in all")
