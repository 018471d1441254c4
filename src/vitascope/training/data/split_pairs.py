"""Which pairs, or which of their rows, are trained on and which are kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitascope.core.card import ModelCard
from vitascope.core.errors import TrainingError
from vitascope.engine.load_model import find_family
from vitascope.recipes.finetune import FineTuneParams, TrainingPair
from vitascope.recipes.recipe import Split
from vitascope.tasks.registry import find_task
from vitascope.tasks.training_data import SplitRule, Truth
from vitascope.training.data.samples import PARTS
from vitascope.training.data.split_groups import drawn_parts
from vitascope.training.data.split_rows import RowPlan, plan_rows

LEAST_GROUPS = 3
ADD_CLASSES = "Add images: three wells or patients of each class are enough."
SHARE = 0.2
SAME_PICTURE = 0.98
LEAST_CROP_PX = 32
ROOM = 1.42
"""Side of the area against that of a crop that is turned by any angle in it."""


def split_by_group(params: FineTuneParams) -> dict[str, Any]:
    """Return a recipe's split that keeps a share of the groups apart, near-duplicates together."""
    return {
        "by": "group",
        "validation_fraction": SHARE,
        "test_fraction": SHARE,
        "seed": params.seed,
        "near_duplicates": SAME_PICTURE,
        "force_leak": params.force_leak,
    }


def split_pairs(
    tree: dict[str, Any], card: ModelCard, pairs: Sequence[TrainingPair], params: FineTuneParams
) -> tuple[str, list[str]]:
    """Plan the split of pairs; returns it in words, and what to warn of."""
    groups = sorted({pair.group or pair.name for pair in pairs})
    data = find_task(card.task).trained_on
    if data.split is SplitRule.VOLUMES_OR_ROWS:
        return _split_volumes(tree, groups) if len(groups) > 1 else _split_rows(tree, card, pairs, params)
    if len(groups) >= LEAST_GROUPS:
        tree["split"] = split_by_group(params)
        kept = max(1, round(SHARE * len(groups)))
        rest = len(groups) - 2 * kept
        if not pairs[0].values:
            _fit_crop(tree, min(min(p.image.shape_yx) for p in pairs))
        if data.truth is Truth.CLASSES and not pairs[0].values:
            return _words_of_classes(pairs, Split.model_validate(tree["split"])), []
        return f"by group: {rest} to train on, {kept} to validate and {kept} to test on", []
    if data.split is SplitRule.GROUPS:
        told = "One image is" if len(groups) == 1 else f"{len(groups)} images are"
        raise TrainingError(f"{told} too few: one each is kept apart to validate and to test on.", "Add images.")
    return _split_rows(tree, card, pairs, params)


def _words_of_classes(pairs: Sequence[TrainingPair], split: Split) -> str:
    """Tell the split of images with painted classes, and refuse one that leaves a single class to train on.

    Raises
    ------
    TrainingError
        If all images together show one class, or those that would be trained on do.
    """
    names = pairs[0].classes
    shown: dict[str, set[int]] = {}
    for pair in pairs:
        shown.setdefault(pair.group or pair.name, set()).update(
            int(k) for k in np.unique(np.asarray(pair.painted)) if k
        )
    counts = ", ".join(f"{sum(k in ids for ids in shown.values())} of {name}" for k, name in enumerate(names, 1))
    if len(set().union(*shown.values())) < 2:
        raise TrainingError(f"All images show one class only ({counts}): there is nothing to tell apart.", ADD_CLASSES)
    # a group's class is that of its last labelled image, see split_samples
    part_of = drawn_parts(
        split, {g: tuple(float(k == max(ids)) for k in range(1, len(names) + 1)) for g, ids in shown.items()}
    )
    told = {part: [g for g in shown if part_of[g] == part] for part in PARTS}
    if len(set().union(*(shown[g] for g in told["train"]))) < 2:
        raise TrainingError(
            f"Of {len(shown)} images ({counts}) some are kept apart to validate and to test on; those left to train on "
            "do not show two classes.",
            ADD_CLASSES,
        )
    train, validation, test = (len(told[part]) for part in PARTS)
    return f"by group: {train} to train on, {validation} to validate and {test} to test on ({counts})"


def _split_rows(
    tree: dict[str, Any], card: ModelCard, pairs: Sequence[TrainingPair], params: FineTuneParams
) -> tuple[str, list[str]]:
    """Plan the split of pictures or volumes by rows, with a guard band as wide as the network's reach."""
    heights = [pair.image.shape_yx[0] for pair in pairs]
    reach = find_family(card.architecture).halo_px
    volumes = find_task(card.task).trained_on.truth is Truth.VOLUMES
    if volumes:
        first, end = _rows_of_cells(pairs)
        told = "The cells that are painted lie on"
        rows = plan_rows(end - first, max(heights), reach, params.force_leak, first, told)
        _check_cells(pairs, rows)
    else:
        rows = plan_rows(min(heights), max(heights), reach, params.force_leak)
    tree["split"] = {"by": "region", **rows.split, "force_leak": params.force_leak}
    if tree.get("refit"):
        end = max(heights) if tree["refit"]["on"] == "all" else rows.split["test_rows"][0][0] - reach
        least = min(end, min(heights), *(pair.image.shape_yx[1] for pair in pairs))
        tree["refit"] |= {"train_rows": [[0, end]], "crop_px": _crop_for(tree, least)}
    _fit_crop(tree, min(rows.train_rows, *(pair.image.shape_yx[1] for pair in pairs)))
    what = "volume" if volumes else "image"
    count = len({pair.group or pair.name for pair in pairs})
    whose = f"The rows of one {what} are" if count == 1 else f"The rows of {count} {what}s are"
    these = f"this {what}" if count == 1 else f"these {what}s"
    warning = (
        f"{whose} split: the figures will hold for {these}, not for others. "
        f"Add {what}s of {LEAST_GROUPS} wells or patients to know more."
    )
    return rows.description, [warning, *rows.warnings]


def _rows_of_cells(pairs: Sequence[TrainingPair]) -> tuple[int, int]:
    """Return the rows, from the first to behind the last, on which all volumes have painted cells."""
    found = [np.flatnonzero((np.asarray(p.painted) > 1).any(axis=(0, 2))) for p in pairs if p.painted is not None]
    rows = [(int(f[0]), int(f[-1]) + 1) for f in found if f.size]
    return (max(a for a, _ in rows), min(b for _, b in rows)) if rows else (0, 0)


def _check_cells(pairs: Sequence[TrainingPair], rows: RowPlan) -> None:
    """Refuse rows that hold no painted cells: nothing could be learnt or measured there."""
    for part, what in (("train_rows", "train on"), ("validation_rows", "validate on"), ("test_rows", "test on")):
        (first, end), *_ = rows.split[part]
        if not any((np.asarray(p.painted)[:, first:end] > 1).any() for p in pairs if p.painted is not None):
            raise TrainingError(
                f"Rows {first}-{end - 1}, kept to {what}, hold no painted cells ({rows.description}).",
                f"Paint cells there too, or add spheroids: {LEAST_GROUPS} or more are split whole.",
            )


def _split_volumes(tree: dict[str, Any], groups: Sequence[str]) -> tuple[str, list[str]]:
    kept = list(groups[-2:]) if len(groups) >= LEAST_GROUPS else list(groups[1:])
    names = {"validation_groups": kept[:1], "test_groups": kept[1:]}
    tree["split"] = {"by": "group", **names}
    description = (
        f"by volume: {len(groups) - len(kept)} to train on, {len(kept[:1])} to validate, {len(kept[1:])} to test on"
    )
    few = f"{len(groups)} volume(s): without three there is none to test on, and the card will have no figures."
    return description, [] if len(groups) >= LEAST_GROUPS else [few]


def _fit_crop(tree: dict[str, Any], least_side: int) -> None:
    """Take smaller crops where the images want it."""
    if least_side < LEAST_CROP_PX:
        raise TrainingError(
            f"Only {least_side} px are left to train on; crops of {LEAST_CROP_PX} px are the least.",
            "Add larger images.",
        )
    tree["crop_px"] = _crop_for(tree, least_side)


def _crop_for(tree: dict[str, Any], least_side: int) -> int:
    """Return the largest crop, up to the recipe's, that an area holds; of a picture, turned by any angle."""
    turned = find_task(str(tree["task"])).trained_on.turned
    fitting = int(least_side / (ROOM if turned else 1)) // 16 * 16
    return min(int(tree.get("crop_px", 256)), max(fitting, LEAST_CROP_PX))
