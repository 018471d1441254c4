"""What comes of choosing settings by points; light, for docks show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitascope.ops.objects.segment import Method

LEAST_POINTS = 10


@dataclass(frozen=True)
class PointedSettings:
    """What was chosen.

    Parameters
    ----------
    threshold : str
    min_contrast, min_area : float
        Of :class:`~vitascope.ops.objects.segment.SegmentParams`.
    f1 : float, 0 to 1
        Of points that were left out while settings were chosen.
    f1_before : float, 0 to 1
        Of the settings that were started from, on all points.
    found : int
        Points that lie in an object of their own, with what was chosen.
    extra : int
        Objects among the points that nobody pointed at.
    points : int
    """

    threshold: Method
    min_contrast: float
    min_area: float
    f1: float
    f1_before: float
    found: int
    extra: int
    points: int
