"""What changes of a picture do to its ATP: the dead, flips, shading, ground, resampling, blur, bias by bin.

On wells drawn at 512 px, on composed wells whose source wells no model was trained on, and on the real ones.
``perturb [MODEL …]``, and ``perturb bias [MODEL …]`` for the error by bin of ATP; a bar is passed by the number, or by a warning on 95 % of the changed wells that 95 % of the
unchanged ones lack.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import ndimage
from tests.benchmarks.map_faithful import SEED, test_parts
from tests.benchmarks.well_masks import wells

import vitascope
from vitascope.core.flags import FLAGS, FlagClass
from vitascope.engine.eight_views import EIGHT, turn
from vitascope.ops.wells.squares import Region, cut_square
from vitascope.simulate.composed_wells import Variety, compose_well
from vitascope.simulate.wells import make_well

EACH, SIDE, RANGE = 6, 512, 440_000.0
BARS = {"flips and turns": 0.03, "shading 20 %": 0.10, "ground ±10 %": 0.08, "resampled": 0.15, "blur σ 2 px": 0.15}
DEAD_BAR, BIAS_BAR = 0.15, 0.10
BINS = (0, 11_000, 22_000, 44_000, 88_000, 176_000, np.inf)


def estimate(picture, model):
    """The number of a well, and its warnings."""
    result = vitascope.run("atp", picture, model=model, abstain=False, maps=False, threads=1)
    return result.rows[0]["atp"], {f for f in result.flags if FLAGS[f].kind is FlagClass.WARNING}


def sets():
    """Wells that are alive, by kind."""
    parts = test_parts()
    yield "drawn", [make_well(SEED, n, n, SIDE, alive=1.0).image for n in range(EACH)]
    yield "composed", [compose_well(SEED, n, n, parts, Variety(alive=1.0)).image for n in range(EACH)]
    yield "real", [picture for name, picture, _ in wells() if name != "A24"][:: 23 // EACH]


def dead():
    """The same wells with nothing alive in them, by kind."""
    parts = test_parts()
    yield "drawn", [make_well(SEED, n, n, SIDE, alive=0.0).image for n in range(EACH)]
    yield "composed", [compose_well(SEED, n, n, parts, Variety(alive=0.0)).image for n in range(EACH)]


def changed(picture):
    """Changed pictures, by what was done."""
    light, (height, width) = picture.astype(np.float32), picture.shape
    middle = float(np.median(light))
    yield "flips and turns", [turn(light[: min(height, width), : min(height, width)], v) for v in range(1, EIGHT)]
    slope = np.linspace(0.9, 1.1, width)
    yield "shading 20 %", [light * slope, light * np.linspace(1.1, 0.9, height)[:, None]]
    less = 0.1 * min(middle, 10 * float(light.min()))  # nothing goes below 0
    yield "ground ±10 %", [light * 0.9, light * 1.1, light + 0.1 * middle, light - less]
    smaller = [cut_square(light, Region(0, 0, min(height, width)), round(min(height, width) * f)) for f in (0.25, 0.5)]
    yield "resampled", [*smaller, ndimage.zoom(light, 2, order=1)]
    yield "blur σ 2 px", [ndimage.gaussian_filter(light, 2)]


def flagged(before, after):
    """The warnings that tell changed wells from unchanged ones."""

    def share(flag, found):
        return np.mean([flag in one for one in found])

    return sorted(f for f in set().union(*after) if share(f, after) >= 0.95 and share(f, before) <= 0.05)


def perturb(model):
    alive = {}
    for kind, pictures in sets():
        found = [estimate(p, model) for p in pictures]
        alive[kind] = np.array([v for v, _ in found])
        changes, warned = {name: [] for name in BARS}, {name: [] for name in BARS}
        for picture, (value, _) in zip(pictures, found, strict=True):
            for name, others in changed(picture):
                answers = [estimate(p, model) for p in others]
                changes[name].append(max(abs(v - value) for v, _ in answers) / max(value, 1.0))
                warned[name] += [w for _, w in answers]
        for name, bar in BARS.items():
            told = flagged([w for _, w in found], warned[name])
            mean, most = np.mean(changes[name]), np.quantile(changes[name], 0.9)
            verdict = "passed" if mean <= bar else f"by flag {', '.join(told)}" if told else "missed"
            worst = f"mean of the worst {mean:6.1%}, nine tenths below {most:6.1%}"
            print(f"  {kind:9} {name:16} {worst}, bar {bar:.0%}: {verdict}", flush=True)
    for kind, pictures in dead():
        left = np.array([estimate(p, model)[0] for p in pictures]) / np.maximum(alive[kind], 1.0)
        verdict = "passed" if left.mean() <= DEAD_BAR else "missed"
        print(
            f"  {kind:9} redrawn dead: {left.mean():.1%} of itself alive (up to {left.max():.1%}), bar 15 %: {verdict}"
        )


def bias(model):
    """Print the mean error by bin of true ATP, of drawn and of composed wells."""
    parts = test_parts()
    kinds = {
        "drawn": [make_well(SEED, n, n // 5, 128) for n in range(100)],
        "composed": [compose_well(SEED, n, n // 5, parts) for n in range(100)],
    }
    for kind, found in kinds.items():
        truth = np.array([w.atp_rlu for w in found])
        error = np.array([estimate(w.image, model)[0] for w in found]) - truth
        told = []
        for low, high in pairwise(BINS):
            own = error[(truth >= low) & (truth < high)]
            if own.size:
                told.append(f"{low / 1e3:.0f}k+: {own.mean():+,.0f} ± {own.std():,.0f} (n {own.size})")
        lowest = error[truth < 0.1 * RANGE].mean() / RANGE
        print(f"  {kind:9} MAE {np.abs(error).mean():,.0f}; bias by ATP: {'; '.join(told)}")
        print(f"  {kind:9} bias in the lowest tenth of the range {lowest:+.1%} of it, bar 10 %")


def main(arguments):
    for model in [a for a in arguments if a != "bias"] or ["atp-organoid"]:
        print(model, flush=True)
        bias(model) if "bias" in arguments else perturb(model)
