"""Do ATP maps point at organoids? Rank correlation of contribution with organoid area, place by place.

Over 24 real wells with reference masks (``well_masks``), and with the known living volume of composed wells whose source
wells no model was trained on. ``map_faithful [MODEL …]``; bars: 0.7 on real wells, 0.8 on composed ones, and over real
wells the number follows organoid area more than contrast.
"""

from __future__ import annotations

import numpy as np
from scipy import stats
from tests.benchmarks.well_masks import read_mask, square, wells

import vitascope
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.ops.wells.locate import find_well
from vitascope.ops.wells.organoids import area_per_place
from vitascope.ops.wells.squares import Region, cut_square, well_mask
from vitascope.recipes.recipe import read_recipe
from vitascope.simulate.composed_wells import compose_well
from vitascope.training.data.simulated import lot_of, parts_of, source_folders

MODELS = ("atp-organoid",)
LEAST_AREA, SEED, COMPOSED, HELD_OUT = 0.01, 500, 40, 4


def test_parts():
    """Parts of the real wells that no model was trained or chosen on, and the number of the lot."""
    recipes = BUNDLED_MODELS / "recipes"
    data = next(d for d in read_recipe(recipes / "atp-organoid.yaml").data if d.simulated.kind == "composed")
    return parts_of(data.simulated, source_folders(data, recipes), HELD_OUT)


def places(picture, model):
    """Number of a well, and the contribution of each place (g, g)."""
    result = vitascope.run("atp", picture, model=model, abstain=False, threads=1)
    values = result.output("instances").table["contribution_rlu"].to_numpy()
    g = round(len(values) ** 0.5)
    return result.rows[0], values.reshape(g, g)


def within(g):
    """Places that lie in the well by half or more: those outside are empty in any map, and easily right."""
    return cut_square(well_mask(512).astype(np.float32), Region(0, 0, 512), g) >= 0.5


def agreement(values, truth):
    """Rank correlation over the places of the well; 0 where the number is 0, and no place contributes anything."""
    inside = within(len(values))
    if np.ptp(values[inside]) == 0:
        return 0.0
    return float(stats.spearmanr(values[inside], truth[inside]).statistic)


def real(model):
    names, found, numbers, areas, contrasts, ground = [], [], [], [], [], []
    for name, picture, region in wells():
        mask = read_mask(name)
        if mask.mean() < LEAST_AREA:
            continue
        row, values = places(picture, model)
        names.append(name)
        found.append(agreement(values, area_per_place(mask, len(values))))
        cut = square(picture, region)[64:-64, 64:-64]
        numbers.append(row["atp"])
        areas.append(mask.mean())
        contrasts.append(cut.std() / np.median(cut))
        ground.append(row["attention_on_background"])
    if not names:
        print("real wells: skipped, they are not under VITASCOPE_DATA.")
        return
    held = [r for n, r in zip(names, found, strict=True) if lot_of(int(n[1:]) - 1, 24, 5) == HELD_OUT]
    by_area, by_contrast = (stats.spearmanr(numbers, other).statistic for other in (areas, contrasts))
    print(
        f"{model}, {len(found)} real wells ({24 - len(found)} left out, organoids under {LEAST_AREA:.0%}): mean Spearman "
        f"{np.mean(found):.3f} ({min(found):.3f} to {max(found):.3f}), bar 0.7; of the {len(held)} whose organoids it "
        f"never saw {np.mean(held):.3f}\n"
        f"  number against organoid area {by_area:.3f}, against standard deviation over median {by_contrast:.3f}; "
        f"numbers {min(numbers):,.0f} to {max(numbers):,.0f}; on empty ground {np.mean(ground):.3f}"
    )


def composed(model):
    parts, found, nothing = test_parts(), [], 0
    for number in range(COMPOSED):
        well = compose_well(SEED, number, number // 5, parts)
        _, values = places(well.image, model)
        region = find_well(well.image)
        share = cut_square(well.living, region, 512)
        truth = cut_square(np.nan_to_num(share), Region(0, 0, 512), len(values))
        if truth.max() > 0:
            found.append(agreement(values, truth))
            nothing += bool(np.ptp(values) == 0)
    print(
        f"{model}, {len(found)} composed wells: mean Spearman {np.mean(found):.3f} "
        f"({np.quantile(found, 0.1):.3f} to {np.quantile(found, 0.9):.3f}, tenth to ninth tenth), "
        f"bar 0.8; {nothing} of them read as nothing at all, which count as 0"
    )


def main(arguments):
    for model in arguments or MODELS:
        real(model)
        composed(model)
