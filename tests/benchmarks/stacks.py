"""Labelled stacks, each read by a twin of ``spheroid-live-dead`` that was trained without it, beside Otsu's masks.

``python -m tests.benchmarks stacks train FOLDER`` makes the start (simulated spheroids alone) and seven twins by the bundled
recipe, each without three fully labelled stacks: about 12 minutes of one core (400 and 300 steps). ``stacks FOLDER`` prints the
bars. ``stacks FOLDER write`` puts what the twins tell of compositions, both sources left out, into the bundled card:
figures and intervals. ``stacks bundled`` reads them by the bundled model, without any twin.
"""

from __future__ import annotations

import dataclasses
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from tests.benchmarks.machine import describe
from tests.benchmarks.spheroid import FIRST_SEED, interval, near_labels

from vitascope.core.card import Intervals, Metric, ModelCard
from vitascope.core.errors import VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.io.models.cards import find_model, write_card
from vitascope.pipelines.spheroid import run
from vitascope.recipes.recipe import Recipe, read_recipe
from vitascope.simulate.spheroids import DEAD, LIVE, StackParams, simulate_spheroid
from vitascope.simulate.volume_optics import VolumeOptics
from vitascope.stats.conformal import INTERVAL_LEVEL, calibrate
from vitascope.stats.conformal import interval as ends
from vitascope.stats.proportion import wilson_interval
from vitascope.tasks.spheroid import SPEC
from vitascope.training.data.spheroid import OneColour, Stack, compose, read_singles, without_dead
from vitascope.training.tasks.spheroid import run_training

MODEL, START, RECIPE = "spheroid-live-dead", "spheroid-simulated", "spheroid-live-dead-twin"
RECIPES = BUNDLED_MODELS / "recipes"
WHOLE = ("EGFP_d0_108", "EGFP_d0_39", "mCherry_d0_16", "Hoechst_d4_39", "embryo_8", "embryo_16", "stardist")
LINES = ((0, 1, 2), (0, 3, 4), (0, 5, 6), (1, 3, 5), (1, 4, 6), (2, 3, 6), (2, 4, 5))
"""The Fano plane: any two of seven lie in one line."""

SPARSE = ("EGFP_d4_112", "mCherry_d4_1", "Hoechst_d4_120")
"""Stacks of which some cells are labelled: what else is bright does not count."""

FOLDS = tuple(tuple(WHOLE[k] for k in line) + SPARSE[number : number + 1] for number, line in enumerate(LINES))
"""Sources that a twin is trained without: any two stacks labelled in full make a composition that one twin knows
neither part of, and each of the others lies in one fold."""

UNSEEN = ("EGFP_d0_39", "embryo_8", "embryo_16", "stardist")
"""Stacks that the bundled model was not trained on."""

BETTER, MEAN_DICE, INSIDE = 8, 0.70, 0.85
"""Bars: stacks better than Otsu, mean Dice near labels of compositions, share of truths inside their intervals."""


DRAWN, VOXEL = 40, (4.0, 1.0, 1.0)
ON = "compositions of real nuclei, both sources left out, and simulated spheroids"
AROUND_UM = 6.0
"""How far from a nucleus its surroundings reach."""


def twin_id(number: int) -> str:
    return f"spheroid-twin-{number}"


def twin_recipe(number: int) -> Recipe:
    """The twins' recipe without the stacks of a fold."""
    recipe = read_recipe(RECIPES / f"{RECIPE}.yaml")
    data = tuple(
        d.model_copy(update={"pairs": tuple(p for p in d.listed if p.group not in FOLDS[number])}) for d in recipe.data
    )
    volumes = recipe.volumes.model_copy(update={"simulated": (recipe.volumes.simulated[0], 0, 0)})
    kept = tuple(d for d in data if d.pairs)
    return recipe.model_copy(update={"id": twin_id(number), "data": kept, "volumes": volumes, "start_from": ""})


def train(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    start = folder / f"{START}.json"
    if not start.is_file():
        run_to_end(run_training(read_recipe(RECIPES / f"{START}.yaml"), RECIPES, folder, device="cpu"))
        print("start made", flush=True)
    for number in range(len(FOLDS)):
        if not (folder / f"{twin_id(number)}.json").is_file():
            run_to_end(run_training(twin_recipe(number), RECIPES, folder, str(start), device="cpu"))
            print(f"twin {number} made", flush=True)


def sources() -> list[OneColour]:
    """The ten labelled stacks, by the recipe."""
    return run_to_end(read_singles(read_recipe(RECIPES / f"{RECIPE}.yaml"), RECIPES))[1]["live"]


def twins_of(group: str) -> list[int]:
    """Twins that were trained without a stack."""
    return [number for number, fold in enumerate(FOLDS) if group in fold]


def twins_made(folder: Path) -> list[int]:
    """Folds whose twin lies in the folder: a training that was cut short leaves some out, and that is said."""
    return [number for number in range(len(FOLDS)) if (folder / f"{twin_id(number)}.json").is_file()]


def segmented(stack: Stack, model: str, **params):
    """Run the task on the stack's dyes; the result."""
    channels = stack.channels[: 1 if stack.kind == "one dye" else 2]
    voxel = stack.voxel_zyx_um or (None, None)
    image = Micrograph.from_array(
        np.stack(channels).astype(np.float32),
        axes="CZYX",
        pixel_size_um=voxel[1],
        z_step_um=voxel[0],
        channel_names=("live", "dead")[: len(channels)],
        name="stack",
    )
    return run_to_end(run({"image": image}, SPEC.make_params(model=model, precision="f32", **params)))


def masks(result) -> np.ndarray:
    """Classes of a result: 1 background, live, dead."""
    live, dead = (np.asarray(result.output(kind).array) > 0 for kind in ("labels", "dead"))
    return np.where(live, LIVE, np.where(dead, DEAD, 1)).astype(np.uint8)


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * float((found & truth).sum()) / max(1, int(found.sum()) + int(truth.sum()))


def diameter_px(cells: np.ndarray) -> float:
    """Median width of the labelled nuclei across, in px."""
    sides = [s[k].stop - s[k].start for s in ndimage.find_objects(cells) if s is not None for k in (1, 2)]
    return float(np.median(sides))


def alone(folder: Path) -> None:
    """Each stack as the live dye alone, beside the better of two of Otsu's masks: of the raw and of the filtered stack.

    By each twin that was trained without it; what is compared is their mean.
    """
    better, least = 0, 1.0
    made = twins_made(folder)
    read = [one for one in sources() if set(twins_of(one.pair.group)) & set(made)]
    for one in read:
        name, truth, stack = one.pair.group, one.cells > 0, without_dead(one)
        unsized = dataclasses.replace(stack, voxel_zyx_um=None)
        told = {"object_diameter_px": diameter_px(one.cells), "z_step_um": one.voxel_zyx_um[0]}
        given, by_width, otsu, rows = [], [], [dice(one.image > threshold_otsu(one.image), truth)], []
        for model in [str(folder / f"{twin_id(n)}.json") for n in twins_of(name) if n in made]:
            result = segmented(stack, model)
            given.append(dice(masks(result) == LIVE, truth))
            by_width.append(dice(masks(segmented(unsized, model, **told)) == LIVE, truth))
            rows.append(result.rows[0])
        otsu.append(dice(np.asarray(result.output("maps").array) == 1, truth))
        found = float(np.mean(given))
        better, least = better + (found > max(otsu)), min(least, *given)
        print(
            f"{name}: Dice {found:.3f} (voxel given; {', '.join(f'{d:.3f}' for d in given)}), {np.mean(by_width):.3f} "
            f"(width of a nucleus given); Otsu {otsu[0]:.3f} raw, {otsu[1]:.3f} filtered; "
            f"{', '.join(str(row['spheroids']) for row in rows)} object(s), "
            f"{', '.join(str(row['left_out_voxels']) for row in rows)} voxels left out",
            flush=True,
        )
    print(
        f"better than both of Otsu's masks on {better} of {len(read)} (bar {BETTER} of 10); least Dice {least:.3f} (bar: above 0)"
    )


def compositions(folder: Path) -> list[dict[str, object]]:
    """Every two stacks of a fold laid into one, read by the twin that knows neither."""
    by_name, rows = {one.pair.group: one for one in sources()}, []
    for number, fold in ((number, FOLDS[number]) for number in twins_made(folder)):
        for live, dead in permutations(fold, 2):
            stack = compose(by_name[live], by_name[dead])
            result = segmented(stack, str(folder / f"{twin_id(number)}.json"))
            found, known = masks(result), stack.classes > 0
            counts = [np.bincount(c[known], minlength=4)[[LIVE, DEAD]].astype(float) for c in (found, stack.classes)]
            near = [
                near_labels(found == k, np.where(stack.classes == k, LIVE, stack.classes > 0))[0] for k in (LIVE, DEAD)
            ]
            share = [100 * c[0] / c.sum() if c.sum() else np.nan for c in counts]
            rows.append(
                {"pair": tuple(sorted((live, dead))), "found": share[0], "true": share[1], "near": near, "counts": counts,
                 "whole": not stack.sparse}
            )  # fmt: skip
            print(
                f"{live} as live, {dead} as dead: Dice near labels {near[0]:.3f} live, {near[1]:.3f} dead; viability "
                f"{share[0]:.1f} %, true {share[1]:.1f} %; {', '.join(result.flags)}",
                flush=True,
            )
    return rows


def drawn() -> list[dict[str, object]]:
    """Simulated spheroids that the bundled model never saw, as compositions are told."""
    rows = []
    for number in range(DRAWN):
        rng = np.random.default_rng((17, number))
        params = StackParams(diameter_um=rng.uniform(90, 170), dose=float(10 ** rng.uniform(-1.5, 1)))
        truth = simulate_spheroid(params, VOXEL, VolumeOptics(), FIRST_SEED + 700 + number)
        stack = Stack(
            channels=list(truth.image),
            classes=truth.classes,
            cells=None,
            voxel_zyx_um=VOXEL,
            group="simulated",
            kind="simulated",
        )
        found = masks(segmented(stack, MODEL))
        counts = [np.bincount(c.ravel(), minlength=4)[[LIVE, DEAD]].astype(float) for c in (found, truth.classes)]
        share = [100 * c[0] / c.sum() if c.sum() else np.nan for c in counts]
        rows.append({"pair": (f"simulated {number}",), "found": share[0], "true": share[1], "counts": counts})
    return rows


def calibrated(composed: list[dict[str, object]], simulated: list[dict[str, object]], what: str) -> Intervals:
    """Intervals of viability (points), or of the live or dead volume (ratio), that hold on either kind of stack.

    Each pair of sources is a group. Calibrated on each kind, the wider is kept: many easy stacks of one kind would let
    too many of the other lie outside.
    """

    def of_kind(rows: list[dict[str, object]]) -> Intervals:
        if what == "viability":
            known = [r for r in rows if np.isfinite(r["found"]) and np.isfinite(r["true"])]
            true, found = (np.array([r[k] for r in known]) for k in ("true", "found"))
            return calibrate(true, found, [r["pair"] for r in known], INTERVAL_LEVEL, on=ON, follow=False)
        k = ("live", "dead").index(what)
        known = [r for r in rows if r["counts"][0][k] > 0 and r["counts"][1][k] > 0]
        found, true = (np.array([r["counts"][side][k] for r in known]) for side in (0, 1))
        return calibrate(true, found, [r["pair"] for r in known], INTERVAL_LEVEL, "log", on=ON)

    return max((of_kind(composed), of_kind(simulated)), key=lambda found: found.half_width)


def inside(rows: list[dict[str, object]], simulated: list[dict[str, object]], what: str) -> tuple[int, int]:
    """Count the compositions whose truth lies in an interval calibrated without either of their sources."""
    hits = []
    for row in rows:
        rest = [r for r in rows if not set(r["pair"]) & set(row["pair"])]
        if what == "viability":
            found, true = row["found"], row["true"]
        else:
            found, true = (row["counts"][side][("live", "dead").index(what)] for side in (0, 1))
        if not (np.isfinite(found) and np.isfinite(true) and found > 0 and true > 0):
            continue
        low, high = ends([found], calibrated(rest, simulated, what))
        hits.append(low[0] <= true <= high[0])
    return sum(hits), len(hits)


def composed(folder: Path, keep: bool) -> None:
    rows = compositions(folder)
    whole = [r for r in rows if r["whole"]]
    for some, which in ((rows, "all"), (whole, "labelled in full")):
        near = [float(np.mean(r["near"])) for r in some]
        off = [abs(r["found"] - r["true"]) for r in some if np.isfinite(r["found"])]
        print(f"{len(some)} compositions, {which}: Dice near labels {interval(near)} (bar {MEAN_DICE})")
        print(f"  viability: mean error {np.mean(off):.1f} points, median {np.median(off):.1f}")
    simulated = drawn()
    for what in ("viability", "live", "dead"):
        hits, count = inside(whole, simulated, what)
        low, high = wilson_interval(hits / count, count)
        own = calibrated(whole, simulated, what)
        print(
            f"{what}: {hits / count:.0%} ({low:.0%} to {high:.0%}) of {count} labelled in full inside (bar {INSIDE:.0%}); "
            f"half-width {own.half_width:.3g} {own.scale}, {own.groups} groups, level {own.level}"
        )
    if keep:
        write(rows, simulated)


def write(rows: list[dict[str, object]], simulated: list[dict[str, object]]) -> None:
    """Put what the twins told into the bundled card."""
    card: ModelCard = find_model(MODEL)[0]
    told = tuple(
        Metric(
            name=f"dice {name} near labels",
            value=round(float(np.mean([r["near"][k] for r in rows])), 4),
            on="compositions, both sources left out",
            n=len(rows),
            from_holdout_model=True,
        )
        for k, name in enumerate(("live", "dead"))
    )
    kept = tuple(m for m in card.metrics if "compositions" not in m.on)
    whole = [r for r in rows if r["whole"]]
    further = {f"{what}_um3": calibrated(whole, simulated, what) for what in ("live", "dead")}
    own = calibrated(whole, simulated, "viability")
    changed = {"metrics": (*kept, *told), "intervals": own, "further_intervals": further}
    print(write_card(card.model_copy(update=changed), BUNDLED_MODELS))


def reference_outlines(one: OneColour, share: float) -> np.ndarray:
    """What lies inside the outline at a share of the brightness of each labelled nucleus, within its surroundings."""
    grey = ndimage.median_filter(one.image, (1, 3, 3)).astype(np.float64)
    away, nearest = ndimage.distance_transform_edt(one.cells == 0, sampling=one.voxel_zyx_um, return_indices=True)
    region = np.where(away <= AROUND_UM, one.cells[tuple(nearest)], 0)
    found = np.zeros(region.shape, bool)
    for number, where in enumerate(ndimage.find_objects(region), start=1):
        if where is not None:
            own, cell = region[where] == number, one.cells[where] == number
            ground, bright = grey[where][own].min(), grey[where][cell].max()
            found[where] |= own & (grey[where] >= ground + share * (bright - ground))
    return found


def outlines(folder: Path | None) -> None:
    """The slider against outlines at a share of brightness, and against a threshold on the probability instead.

    Each stack by its twin; without a folder, those that the bundled model has not seen, by that model.
    """
    shares, thresholds = (0.3, 0.5, 0.7), np.linspace(0.1, 0.95, 18)
    by_light, by_probability = {s: [] for s in shares}, {s: [] for s in shares}
    for one in sources():
        if one.sparse or (folder is None and one.pair.group not in UNSEEN):
            continue
        model = MODEL if folder is None else str(folder / f"{twin_id(twins_of(one.pair.group)[0])}.json")
        stack = without_dead(one)
        p = np.asarray(segmented(stack, model).output("probability").array)[0]
        for share in shares:
            truth = reference_outlines(one, share)
            by_light[share].append(
                dice(masks(segmented(stack, model, outline_percent=round(100 * share))) == LIVE, truth)
            )
            by_probability[share].append([dice(p > t, truth) for t in thresholds])
    for share in shares:
        best = np.mean(by_probability[share], axis=0)
        print(
            f"outline at {share:.0%} of brightness: Dice {np.mean(by_light[share]):.3f} by brightness within the network's "
            f"cells; {best.max():.3f} by the best threshold on the probability ({thresholds[best.argmax()]:.2f}, chosen "
            "knowing the answer)"
        )


def bundled() -> None:
    """The bundled model on each stack beside Otsu's masks; it was trained on all but :data:`UNSEEN`."""
    for one in sources():
        truth = one.cells > 0
        found = dice(masks(segmented(without_dead(one), MODEL)) == LIVE, truth)
        grey = ndimage.median_filter(one.image, (1, 3, 3))
        otsu = max(dice(g > threshold_otsu(g), truth) for g in (one.image, grey))
        seen = "not seen" if one.pair.group in UNSEEN else "trained on"
        print(f"{one.pair.group} ({seen}): Dice {found:.3f}; Otsu {otsu:.3f}", flush=True)


def main(arguments: list[str]) -> None:
    """Arguments: ``train FOLDER``, ``bundled [outlines]``, or ``FOLDER [write | outlines]``."""
    print(describe())
    if not arguments:
        print("skipped: name the folder of the twins, see the docstring")
        return
    try:
        if arguments[0] == "train":
            train(Path(arguments[1]))
        elif "outlines" in arguments:
            outlines(None if arguments[0] == "bundled" else Path(arguments[0]))
        elif arguments[0] == "bundled":
            bundled()
        else:
            alone(Path(arguments[0]))
            composed(Path(arguments[0]), "write" in arguments)
    except VitascopeError as error:
        print(f"skipped: {error}")
