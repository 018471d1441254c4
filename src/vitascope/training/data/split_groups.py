"""Split images by group, so that no replicate stands on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitascope.core.errors import TrainingError
from vitascope.io.filenames.parse import natural
from vitascope.ops.geometry.duplicates import join_duplicates
from vitascope.ops.geometry.field_overlap import join_overlaps
from vitascope.recipes.recipe import Split
from vitascope.training.data.leakage import refuse_leak
from vitascope.training.data.samples import PARTS, Sample


@dataclass(frozen=True)
class PlannedSplit:
    """How the images of a recipe's tables will be split.

    Parameters
    ----------
    groups, images : dict of str to int
        In each part: train, validation, test.
    problems : tuple of str
        What is wrong with the tables.
    """

    groups: dict[str, int]
    images: dict[str, int]
    problems: tuple[str, ...]


def merge_near_duplicates(samples: Sequence[Sample], r: float) -> list[Sample]:
    """Give images that nearly are one picture the group of the first of them.

    Parameters
    ----------
    samples : sequence of Sample
        Squares of one size.
    r : float
        Correlation above which two are one.
    """
    names = join_duplicates(
        [np.asarray(s.planes[0], np.float64) for s in samples], [s.labelled.group for s in samples], r
    )
    return [replace(s, labelled=replace(s.labelled, group=n)) for s, n in zip(samples, names, strict=True)]


def merge_overlaps(samples: Sequence[Sample]) -> list[Sample]:
    """Give fields that overlap in part the group of the first of them."""
    wells = [(s.labelled.images.place.plate, s.labelled.images.place.well) for s in samples]
    names = join_overlaps(
        [s.planes[0] for s in samples],
        [s.labelled.group for s in samples],
        wells,
        [s.place_um for s in samples],
    )
    return [replace(s, labelled=replace(s.labelled, group=n)) for s, n in zip(samples, names, strict=True)]


def split_samples(samples: Sequence[Sample], split: Split, forced: list[str] | None = None) -> dict[str, list[Sample]]:
    """Split by group: those named, else a share of the groups of each class, drawn by the split's seed.

    Leaks that the split forces are put down in ``forced``.

    Raises
    ------
    TrainingError
        If a group is named that is not there, the same picture stands in two groups, or nothing is left to train on.
    """
    owner: dict[bytes, str] = {}
    for sample in samples:
        digest = hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in sample.planes)).digest()
        if owner.setdefault(digest, sample.labelled.group) != sample.labelled.group:
            refuse_leak(
                split,
                f"{sample.labelled.images.name} is the picture of the group {owner[digest]} too.",
                "A replicate must not stand on both sides of a split: name one group for both.",
                forced if forced is not None else [],
            )
    classes = {s.labelled.group: tuple(s.numbers.tolist()) for s in samples}
    taken = {s.labelled.group: s.labelled.taken for s in sorted(samples, key=lambda s: natural(s.labelled.taken))}
    part_of = planned_parts(split, classes, taken)
    parts = {part: [s for s in samples if part_of.get(s.labelled.group) == part] for part in PARTS}
    if not parts["train"]:
        raise TrainingError(f"{len(classes)} group(s) are too few: none is left to train on.", "Add groups.")
    return parts


def planned_parts(split: Split, classes: dict[str, tuple[float, ...]], taken: Mapping[str, str]) -> dict[str, str]:
    """Return the part of each group: by name, in the order of time, or drawn.

    Parameters
    ----------
    split : Split
    classes : dict of str to tuple of float
        The numbers of each group.
    taken : mapping of str to str
        When the last image of each group was taken.
    """
    if split.train_groups or split.test_groups:
        return named_parts(split, list(classes))
    return timed_parts(split, taken) if split.along == "time" else drawn_parts(split, classes)


def timed_parts(split: Split, taken: Mapping[str, str]) -> dict[str, str]:
    """Keep the groups taken last to test on, those before them to validate on; what was taken together stays together.

    Parameters
    ----------
    split : Split
        Shares of the groups; of a time that holds the border, all go to the later part.
    taken : mapping of str to str
        When the last image of each group was taken: numbers are compared as numbers.

    Raises
    ------
    TrainingError
        If nothing tells when the images of a group were taken.

    Examples
    --------
    >>> split = Split(by="group", along="time", test_fraction=0.25)
    >>> timed_parts(split, {"a": "day 2", "b": "day 10", "c": "day 1", "d": "day 3"})["b"]
    'test'
    """
    unknown = sorted(group for group, time in taken.items() if not time)
    if unknown:
        raise TrainingError(
            f"Nothing tells when the images of '{unknown[0]}' were taken, and the split goes along time.",
            "Name a column of the table as 'taken', or name files so that they tell their time.",
        )
    order = sorted(taken, key=lambda group: (natural(taken[group]), group))
    test, validation = (
        max(round(share * len(order)), 1 if share else 0) for share in (split.test_fraction, split.validation_fraction)
    )
    borders = (len(order) - test - validation, len(order) - test)
    starts = [natural(taken[order[b]]) if 0 <= b < len(order) else None for b in borders]
    parts = {}
    for group in order:
        own = natural(taken[group])
        late = starts[1] is not None and own >= starts[1]
        middle = starts[0] is not None and own >= starts[0]
        parts[group] = "test" if late else "validation" if middle else "train"
    return parts


def named_parts(split: Split, groups: Sequence[str]) -> dict[str, str]:
    """Return the part of each group that the split names; those not named are trained on, if none is named for it."""
    named = {
        g: part
        for part, names in zip(PARTS, (split.train_groups, split.validation_groups, split.test_groups), strict=True)
        for g in names
    }
    missing = sorted(set(named) - set(groups))
    if missing:
        raise TrainingError(f"There is no group '{missing[0]}'.", f"Groups: {', '.join(groups)}.")
    rest = "" if split.train_groups else "train"
    return {g: named.get(g, rest) for g in groups}


def drawn_parts(split: Split, classes: dict[str, tuple[float, ...]]) -> dict[str, str]:
    """Draw the groups kept apart, the same share of each class (at least one where the share is not 0)."""
    rng = np.random.default_rng(split.seed)
    found: dict[str, str] = {}
    kinds = dict.fromkeys(classes.values())
    together = len(kinds) > len(classes) / 2  # numbers, not classes: there is nothing to keep the shares of
    for kind in [None] if together else kinds:
        own = [g for g, k in classes.items() if kind is None or k == kind]
        order = [own[i] for i in rng.permutation(len(own))]
        test, validation = (
            max(round(share * len(order)), 1 if share else 0)
            for share in (split.test_fraction, split.validation_fraction)
        )
        for i, g in enumerate(order):
            found[g] = "test" if i < test else "validation" if i < test + validation else "train"
    return found


def describe_split(parts: dict[str, list[Sample]]) -> str:
    """Say in words which groups stand where."""
    verbs = dict(zip(PARTS, ("trained on", "validated on", "tested on"), strict=True))
    told = []
    for part in PARTS:
        groups = sorted({s.labelled.group for s in parts[part]})
        if groups:
            told.append(f"{verbs[part]} {', '.join(groups)}")
    return "by group: " + "; ".join(told)
