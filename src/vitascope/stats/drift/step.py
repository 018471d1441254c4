"""What the online test says of one more image."""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """What one more image says.

    Parameters
    ----------
    statistic, threshold : float or None
        Squared MMD of the window, and what it is compared with; None before the first full window.
    alarm : bool or None
        Whether the statistic lies above the threshold.
    """

    statistic: float | None
    threshold: float | None
    alarm: bool | None
