"""One image on both sides of a split: its rows, with a guard band between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitascope.core.errors import TrainingError
from vitascope.recipes.recipe import Split
from vitascope.training.data.leakage import leak_words, refuse_leak

TRAIN_SHARE = 0.6
LEAST_TRAIN = 32
LEAST_KEPT = 32
ONE_IMAGE = "Rows of the same images are trained on and kept apart: the figures hold for these images, not for others."


@dataclass(frozen=True)
class RowPlan:
    """Which rows are for what.

    Parameters
    ----------
    split : dict
        The recipe's ``train_rows``, ``validation_rows`` and ``test_rows``.
    train_rows : int
        How many rows are trained on.
    description : str
    warnings : tuple of str
    """

    split: dict[str, Any]
    train_rows: int
    description: str
    warnings: tuple[str, ...] = ()


def plan_rows(
    height: int, tallest: int, reach: int, force: bool = False, first: int = 0, subject: str = "The image has"
) -> RowPlan:
    """Split rows in three, with a band as wide as the network sees between what is trained on and what is kept.

    Parameters
    ----------
    height : int
        Rows that all images have.
    tallest : int
        Rows of the tallest one.
    reach : int, px
        How far a pixel of the network's output sees.
    force : bool
        Whether to narrow the band where the image is too small for it.
    first : int
        Row that the ``height`` rows begin at, where what is to be learnt lies on some only; the rows before are trained
        on too, those behind tested on.
    subject : str
        How the error begins, before the number of rows.

    Raises
    ------
    TrainingError
        If the image is too small.

    Examples
    --------
    >>> plan_rows(512, 512, 96).description
    'by rows: 0-303 to train on, a guard band of 96, 400-455 to validate and 456-511 to test on'
    """
    guard = reach
    room = height - guard
    if room < LEAST_TRAIN + 2 * LEAST_KEPT:
        guard = max(0, height - LEAST_TRAIN - 2 * LEAST_KEPT)
        if not force or height < LEAST_TRAIN + 2 * LEAST_KEPT:
            raise TrainingError(
                f"{subject} {height} rows; {reach} lie between what is trained on and what is kept apart, and "
                f"{LEAST_TRAIN + 2 * LEAST_KEPT} more are the least.",
                "Take a larger image, or images of three wells or patients.",
            )
        room = height - guard
    train = max(LEAST_TRAIN, min(round(TRAIN_SHARE * height / 16) * 16, room - 2 * LEAST_KEPT) // 16 * 16)
    end = first + train
    kept = end + guard
    middle = kept + (height - train - guard) // 2
    split = {
        "train_rows": [[0, end]],
        "validation_rows": [[kept, middle]],
        "test_rows": [[middle, tallest]],
    }
    description = (
        f"by rows: 0-{end - 1} to train on, a guard band of {guard}, {kept}-{middle - 1} to validate and "
        f"{middle}-{tallest - 1} to test on"
    )
    narrow = f"The guard band is {guard} rows wide, a pixel sees {reach}: kept rows are predicted from trained ones."
    return RowPlan(split, train, description, (narrow,) if guard < reach else ())


def describe_rows(split: Split, gap: int | None, reach: int, forced: list[str]) -> str:
    """Say which rows are for what, whether the gap between them is narrower than the reach, and what leaks by force.

    Examples
    --------
    >>> describe_rows(Split(by="region", train_rows=((0, 64),), test_rows=((88, 96),)), 24, 24, [])
    'trained on rows 0-63; tested on rows 88-95'
    """
    description = "; ".join(
        f"{what} rows {', '.join(f'{a}-{b - 1}' for a, b in rows)}"
        for what, rows in (
            ("trained on", split.train_rows),
            ("validated on", split.validation_rows),
            ("tested on", split.test_rows),
        )
        if rows
    )
    if gap is not None and gap < reach:
        description += f"; only {gap} rows lie between training rows and those kept apart, an output pixel sees {reach}"
    return description + leak_words(forced)


def check_gaps(split: Split, forced: list[str]) -> int | None:
    """Return the narrowest gap, in rows, between training rows and those kept apart; None if none are.

    Leaks that the split forces are put down in ``forced``.

    Raises
    ------
    TrainingError
        If rows of two parts overlap, or training rows touch others.
    """
    narrowest: int | None = None
    for kept in (*split.validation_rows, *split.test_rows):
        for used in split.train_rows:
            gap = _gap(kept, used)
            if gap <= 0:
                refuse_leak(
                    split,
                    f"Rows {kept[0]}-{kept[1] - 1} are kept apart, but overlap or touch training rows "
                    f"{used[0]}-{used[1] - 1}.",
                    "Leave a gap between them, best as wide as the network's reach.",
                    forced,
                )
            narrowest = gap if narrowest is None else min(gap, narrowest)
    for test in split.test_rows:
        for validation in split.validation_rows:
            if _gap(test, validation) < 0:
                description = f"Rows {test[0]}-{test[1] - 1} are both tested and validated on."
                refuse_leak(split, description, "Take different rows.", forced)
    return narrowest


def _gap(first: tuple[int, int], second: tuple[int, int]) -> int:
    """Count the rows between two bands; 0 where they touch, negative where they overlap."""
    return max(first[0], second[0]) - min(first[1], second[1])
