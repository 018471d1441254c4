"""Whether an alarm is right: drift against the true agreement of a plain network and of corruption-trained ones.

``python -m tests.benchmarks drift_models [STEPS]`` (section 4.2.2 of seed 004, end, and 4.1.6). Three networks of half the
width learn the DNA stain of Jurkat cells from the same crops in the same order: plain; a fifth of the crops corrupted at
levels -4 and 4 as printed (defocus 4 alone, for it has no -4); at any level from -5 to 5. On pieces of mosaics of cells
that none has seen, corrupted after normalisation (before it, percentiles take brightness and contrast back): loss of PCC
with its interval at 95 % over pieces; whether the drift test finds ten such pieces against ten clean ones (power at 0.05,
100 draws), by the network's features alone, and with how they look. An alarm is right where predictions suffer: loss above
0.02 and its interval above 0. Printed last: how many of the corruptions each test gets right (power above or below one
half). One training an arm: differences between arms hold for these runs. Needs VITASCOPE_DATA.
"""

import time

import numpy as np
import torch
from tests.benchmarks.isl import RECIPES

from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.engine.load_model import build_network
from vitascope.networks.unet import initialise
from vitascope.ops.intensity.appearance import appearance
from vitascope.ops.intensity.corruption import corrupt
from vitascope.recipes.recipe import parse_recipe, read_recipe
from vitascope.stats.agreement import pcc
from vitascope.stats.drift.permutation import power_by_size
from vitascope.training.loop.loop import train
from vitascope.training.tasks.stain import prepare, torch_encode, torch_predict

STEPS, WIDTH, TRAINED_PX, SIDE = 200, 0.5, 128, 96
ARMS = {
    "plain": {},
    "levels -4, 4": {"corruption": 0.2, "corruption_levels": [-4, 4]},
    "whole range": {"corruption": 0.2, "corruption_levels": [-5, -4, -3, -2, -1, 1, 2, 3, 4, 5]},
}
HARM = [("defocus", s) for s in (1, 2, 4)] + [(k, s) for k in ("contrast", "brightness") for s in (-4, -2, -1, 1, 2, 4)]
LOSS, SIZE = 0.02, 10


def recipe(arm):
    tree = read_recipe(RECIPES / "dna-brightfield.yaml").model_dump(mode="json")
    tree["input"]["normalisation"] = {"method": "percentile", "low": 0.1, "high": 99.9, "clip": [0, 1]}
    tree["network"]["arguments"] |= {"width": WIDTH}
    tree["crop_px"] = TRAINED_PX
    return parse_recipe({**tree, "augment": {**tree["augment"], **ARMS[arm]}}, arm)


def fit(arm, steps):
    one = recipe(arm)
    network = build_network(one.network)
    initialise(network, torch.Generator().manual_seed(0))
    job = run_to_end(prepare(one, RECIPES, network))
    how = {**one.training.model_dump(), "epochs": max(1, steps // 50), "warmup_steps": 20}
    trained = run_to_end(train(job, TrainingParams(**how), precision="bf16"))
    return job, trained


def pieces_of(job):
    """Prepared pieces (1, 96, 96) and their truth, of cells that were kept apart."""
    found = []
    for pair in (*job._corpus.test, *job._corpus.validation):
        for area in pair.training_areas():
            for y in range(area.top, area.bottom - SIDE + 1, SIDE):
                for x in range(area.left, area.right - SIDE + 1, SIDE):
                    cut = (slice(None), slice(y, y + SIDE), slice(x, x + SIDE))
                    if pair.weight[cut].mean() > 0.9:
                        found.append((pair.image[cut], pair.target[0][cut[1:]]))
    return found


def seen_by(network, pieces, how=None):
    """PCC, features and look of each piece, corrupted or not."""
    rows = []
    for image, truth in pieces:
        given = image if how is None else corrupt(image, *how)
        look = appearance(255 * given[0] + 1)
        rows.append((pcc(truth, torch_predict(network, given)[0]), torch_encode(network, given), look))
    scores, features, looks = zip(*rows, strict=True)
    return np.nan_to_num(np.array(scores)), np.stack(features), np.stack(looks)


def power(clean, bad, halves, with_looks):
    x, y = clean[1][halves[0]], bad[1][halves[1]]
    looks = (clean[2][halves[0]], bad[2][halves[1]]) if with_looks else None
    return float(power_by_size(x, y, (SIZE,), looks=looks, repeats=100, permutations=199)["power"][0])


def main(arguments):
    steps, start = int(arguments[0]) if arguments else STEPS, time.process_time()
    for arm in ARMS:
        job, trained = fit(arm, steps)
        pieces = pieces_of(job)[::2]
        halves = np.array_split(np.random.default_rng(0).permutation(len(pieces)), 2)
        clean = seen_by(trained.network, pieces)
        print(f"\n{arm}, {steps} steps ({trained.stopped}): PCC {clean[0].mean():.3f} of {len(pieces)} pieces")
        print(
            f"  nothing        loss  0.000                      found by features {power(clean, clean, halves, False):.2f}, with looks {power(clean, clean, halves, True):.2f}"
        )
        right, suffers = np.zeros(2, int), 0
        for how in HARM:
            bad = seen_by(trained.network, pieces, how)
            lost = clean[0] - bad[0]
            half = 1.96 * lost.std(ddof=1) / len(lost) ** 0.5
            harmed = lost.mean() > LOSS and lost.mean() > half
            suffers += harmed
            found = [power(clean, bad, halves, looks) for looks in (False, True)]
            right += [(p > 0.5) == harmed for p in found]
            print(
                f"  {how[0]:10} {how[1]:+d}  loss {lost.mean():+.3f} ({lost.mean() - half:+.3f} to {lost.mean() + half:+.3f})  {'suffers' if harmed else '       '}  found by features {found[0]:.2f}, with looks {found[1]:.2f}",
                flush=True,
            )
        print(f"  {suffers} of {len(HARM)} corruptions harm it; right: features {right[0]}, with looks {right[1]}")
    print(f"{time.process_time() - start:.0f} s of one core in all")
