"""How well a segmentation agrees with the truth, voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Overlap:
    """Voxels of one class that were found rightly, found wrongly, and missed."""

    right: int
    wrong: int
    missed: int

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN where the class is neither there nor found."""
        return _share(2 * self.right, 2 * self.right + self.wrong + self.missed)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN)."""
        return _share(self.right, self.right + self.wrong + self.missed)

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN where nothing was found."""
        return _share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN where there is nothing."""
        return _share(self.right, self.right + self.missed)


def count_overlap(found: NDArray[Any], truth: NDArray[Any], value: int) -> Overlap:
    """Compare where two arrays of classes have a value; where the truth is 0 (not labelled) nothing counts.

    Examples
    --------
    >>> count_overlap(np.array([2, 2, 1, 2]), np.array([2, 1, 2, 0]), 2)
    Overlap(right=1, wrong=1, missed=1)
    """
    labelled = truth > 0
    mine, there = (found == value) & labelled, truth == value
    right = int(np.count_nonzero(mine & there))
    return Overlap(right, int(np.count_nonzero(mine)) - right, int(np.count_nonzero(there)) - right)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
