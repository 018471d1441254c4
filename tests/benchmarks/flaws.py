"""Light, meniscus, bubbles and focus: how often unchanged wells are flagged, and how often changed ones are.

``python -m tests.benchmarks flaws``: ranges of focus are taken from every other picture of each kind, and everything is
printed of the others. ``flaws write`` puts those ranges into the bundled cards. ``flaws cure`` says what evening out does
to the ATP of wells that are lit unevenly or lie under a meniscus.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
from scipy import ndimage
from tests.benchmarks.machine import describe
from tests.benchmarks.map_faithful import test_parts

import vitascope
from vitascope.core.paths import BUNDLED_MODELS, SAMPLES
from vitascope.engine.crop_to_object import FINDERS
from vitascope.engine.native_look import MOST, flaw_flags
from vitascope.io.images.read import read_image
from vitascope.io.models.cards import find_model, write_card
from vitascope.ops.wells.flaws import SIDES_PX, measure_flaws
from vitascope.ops.wells.squares import Squares
from vitascope.simulate.composed_wells import Variety, compose_well
from vitascope.simulate.spheroid_series import make_spheroid, setting_of
from vitascope.simulate.wells import make_well

SEED, DRAWN, COMPOSED, SPHEROIDS = 6300, 40, 20, 200
OWN_BAR = 0.05
RANGE, WIDER = (0.01, 0.99), (0.25, 0.25)
"""Quantiles that a range of focus spans, and by how much of that it is widened below and above."""

MANY = 100
"""From so many pictures on, the quantiles are known and nothing is widened."""

RARE, RINGS = 0.01, 3.0
"""Where more pictures than this hold what looks like a bubble, the card's limit is so many times their 99 % quantile."""

EVEN = Variety(shading=0.0)
"""Composed wells are lit unevenly by chance; here only where the benchmark does it."""

FLAGS = ("out_of_focus", "oversharp", "shading", "meniscus", "bubbles")


def planes(folder: Path, pattern: str) -> list[np.ndarray]:
    found = []
    for path in sorted(folder.glob(pattern)):
        image = read_image(path, fallback_axes="")
        plane = np.asarray(image.plane(), float)
        found.append(plane)
    return found


def wells() -> dict[str, list[np.ndarray]]:
    root, parts = data_folder(), test_parts()
    return {
        "real wells": planes(SAMPLES / "plate23997_rowA", "*.tif"),
        "patient 3": planes(root / "2_organoid_atp" / "patient3_organoids_384", "*.tif"),
        "drawn": [make_well(SEED, n, n // 4, 256).image.astype(float) for n in range(DRAWN)],
        "composed": [compose_well(SEED, n, n, parts, EVEN).image.astype(float) for n in range(COMPOSED)],
    }


def cells() -> dict[str, list[np.ndarray]]:
    return {"cells": planes(data_folder() / "3_spheroid_viability" / "ldc_live_dead", "*.png")}


def spheroids() -> dict[str, list[np.ndarray]]:
    return {"simulated": [make_spheroid(SEED, setting_of(SEED, n), 256).image.astype(float) for n in range(SPHEROIDS)]}


def data_folder() -> Path:
    return Path(os.environ.get("VITASCOPE_DATA", "/nowhere"))


SETS = {"atp-organoid": wells, "viability-ldc": cells, "viability-spheroid-sim": spheroids}
"""Pictures by model and kind."""


def region_of(card, picture):
    return FINDERS[card.input.crop_to](picture)


def measured(card, picture):
    region = region_of(card, picture)
    return measure_flaws(Squares(picture, region, SIDES_PX), round_well=card.input.crop_to == "well"), region


def with_range(card, pictures):
    """The card with the range of focus of these pictures."""
    values = np.array([measured(card, p)[0]["native_focus"] for p in pictures])
    low, middle, high = np.quantile(values[np.isfinite(values)], (RANGE[0], 0.5, RANGE[1]))
    below, above = (share * (high - low) for share in ((0.0, 0.0) if len(values) >= MANY else WIDER))
    told = tuple(float(f"{v:.4g}") for v in (low - below, middle, high + above))
    statistics = {**card.domain.statistics, "native_focus": told}
    rings = [measured(card, p)[0]["bubbles"] for p in pictures]
    if (
        np.mean(np.array(rings) > MOST["bubbles"]) > RARE
    ):  # things with dark rims that are no bubbles, such as dead cells
        statistics["bubbles"] = (0.0, float(np.median(rings)), float(f"{RINGS * np.quantile(rings, RANGE[1]):.3g}"))
    return card.model_copy(update={"domain": card.domain.model_copy(update={"statistics": statistics})})


def shaded(picture, rng, amount=0.4):
    y, x = (np.linspace(-1, 1, n) for n in picture.shape)
    angle = rng.uniform(0, 2 * np.pi)
    return picture * (1 + amount / 2 * (np.sin(angle) * y[:, None] + np.cos(angle) * x[None]))


def bent(picture, rng, region, amount=0.4):
    """A meniscus: light falls off from the middle to the rim, by so much there."""
    y, x = (
        (np.arange(n) + 0.5 - s) / region.side * 2 - 1
        for n, s in zip(picture.shape, (region.top, region.left), strict=True)
    )
    away = np.minimum(np.hypot(y[:, None], x[None]), 1.2)
    return picture * (1 - amount * away ** rng.uniform(2, 4))


def bubbled(picture, rng, region):
    """One to three bubbles: a nearly black rim of total reflection around a bright middle, slightly blurred."""
    found = picture.copy()
    ground = np.percentile(picture, 70)
    for _ in range(rng.integers(1, 4)):
        radius = rng.uniform(0.06, 0.16) * region.side
        angle, out = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.3) * region.side
        cy, cx = region.top + region.side / 2 + out * np.sin(angle), region.left + region.side / 2 + out * np.cos(angle)
        y, x = np.arange(picture.shape[0])[:, None] - cy, np.arange(picture.shape[1])[None] - cx
        away = np.hypot(y, x) / radius
        rim = rng.uniform(0.2, 0.45)
        light = np.where(away < 1 - rim, ground * rng.uniform(0.95, 1.15), ground * rng.uniform(0.05, 0.3))
        found = np.where(away < 1, light, found)
    return ndimage.gaussian_filter(found, 0.004 * region.side)


def blurred(picture, region, share):
    return ndimage.gaussian_filter(picture, share * region.side)


def halved(picture, factor):
    height, width = (n // factor * factor for n in picture.shape)
    return picture[:height, :width].reshape(height // factor, factor, width // factor, factor).mean((1, 3))


def changes(picture, rng, region):
    yield "shading 40 %", "shading", shaded(picture, rng)
    yield "meniscus 40 %", "meniscus", bent(picture, rng, region)
    yield "bubbles", "bubbles", bubbled(picture, rng, region)
    for share in (0.005, 0.01, 0.02):
        yield f"defocus, σ {share:.1%} of the side", "out_of_focus", blurred(picture, region, share)
    noise = rng.normal(0, 0.1 * np.median(picture), picture.shape)
    yield "noise of 10 %", "oversharp", picture + noise
    yield "enlarged twice", "", ndimage.zoom(picture, 2, order=1)
    if region.side >= 400:
        yield "made smaller by half", "", halved(picture, 2)


def report(models: list[str], write: bool) -> None:
    for model in models:
        kinds = SETS[model]()
        card = find_model(model)[0]
        known = with_range(card, [p for pictures in kinds.values() for p in pictures[::2]])
        print(f"{model}: focus {known.domain.statistics['native_focus']}")
        if write:
            print(write_card(known, BUNDLED_MODELS))
        for kind, pictures in kinds.items():
            rng, told, own = np.random.default_rng(1), {}, Counter()
            for picture in pictures[1::2]:
                found, region = measured(known, picture)
                own.update(flaw_flags(known, found, region))
                for name, flag, other in changes(picture, rng, region):
                    told.setdefault((name, flag), []).append(flaw_flags(known, *measured(known, other)))
            count = len(pictures[1::2])
            if not count:
                continue
            shares = {f: own[f] / count for f in FLAGS}
            met = all(s <= OWN_BAR for s in shares.values())
            listed = ", ".join(f"{f} {s:.1%}" for f, s in shares.items())
            print(f"  {kind}, {count} unchanged: {listed} (bar {OWN_BAR:.0%} each: {'met' if met else 'missed'})")
            for (name, flag), flags in told.items():
                if flag:
                    print(f"    {name}: {np.mean([flag in f for f in flags]):.0%} told")
                else:
                    listed = Counter(f for one in flags for f in one)
                    print(f"    {name}: flags {dict(listed) or 'none'} of {count}")


def cure() -> None:
    """ATP of real, drawn and composed wells: unevenly lit, as it is and with the light evened out, against unchanged."""
    for kind, pictures in wells().items():
        rng, off = np.random.default_rng(2), {}
        for picture in pictures[::4]:
            how = {"model": "atp-organoid", "maps": False, "threads": 1, "abstain": False}
            true = vitascope.run("atp", picture.astype(np.float32), **how, flat_field=False).rows[0]["atp"]
            region = FINDERS["well"](picture)
            for name, other in (("shading", shaded(picture, rng)), ("meniscus", bent(picture, rng, region))):
                for evened in (False, True):
                    result = vitascope.run("atp", other.astype(np.float32), **how, flat_field=evened)
                    off.setdefault((name, evened), []).append(abs(result.rows[0]["atp"] - true) / max(true, 1.0))
        for (name, evened), values in off.items():
            print(
                f"{kind}, {name} 40 %, {'evened out' if evened else 'as it is'}: ATP off by {np.median(values):.1%} (median)"
            )


def main(arguments: list[str]) -> None:
    """Arguments: models (all), and ``write``; or ``cure``."""
    print(describe())
    if "cure" in arguments:
        cure()
    else:
        report([m for m in SETS if m in arguments] or list(SETS), "write" in arguments)
