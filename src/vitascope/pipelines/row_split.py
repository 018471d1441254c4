"""One image on both sides of a split: its rows, with a guard band between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitascope.core.errors import TrainingError

TRAIN_SHARE = 0.6
LEAST_TRAIN = 32
LEAST_KEPT = 32


@dataclass(frozen=True)
class RowPlan:
    """Which rows are for what.

    Parameters
    ----------
    split : dict
        The recipe's ``train_rows``, ``validation_rows`` and ``test_rows``.
    train_rows : int
        How many rows are trained on.
    words : str
    warnings : tuple of str
    """

    split: dict[str, Any]
    train_rows: int
    words: str
    warnings: tuple[str, ...] = ()


def plan_rows(height: int, tallest: int, reach: int, force: bool = False) -> RowPlan:
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

    Raises
    ------
    TrainingError
        If the image is too small.

    Examples
    --------
    >>> plan_rows(512, 512, 96).words
    'by rows: 0-303 to train on, a guard band of 96, 400-455 to validate and 456-511 to test on'
    """
    guard = reach
    room = height - guard
    if room < LEAST_TRAIN + 2 * LEAST_KEPT:
        guard = max(0, height - LEAST_TRAIN - 2 * LEAST_KEPT)
        if not force or height < LEAST_TRAIN + 2 * LEAST_KEPT:
            raise TrainingError(
                f"The image has {height} rows; {reach} lie between what is trained on and what is kept apart, and "
                f"{LEAST_TRAIN + 2 * LEAST_KEPT} more are the least.",
                "Take a larger image, or images of three wells or patients.",
            )
        room = height - guard
    train = max(LEAST_TRAIN, min(round(TRAIN_SHARE * height / 16) * 16, room - 2 * LEAST_KEPT) // 16 * 16)
    first = train + guard
    middle = first + (height - first) // 2
    split = {
        "train_rows": [[0, train]],
        "validation_rows": [[first, middle]],
        "test_rows": [[middle, tallest]],
    }
    words = (
        f"by rows: 0-{train - 1} to train on, a guard band of {guard}, {first}-{middle - 1} to validate and "
        f"{middle}-{tallest - 1} to test on"
    )
    narrow = f"The guard band is {guard} rows wide, a pixel sees {reach}: kept rows are predicted from trained ones."
    return RowPlan(split, train, words, (narrow,) if guard < reach else ())
