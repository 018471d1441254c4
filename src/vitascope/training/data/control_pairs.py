"""Images beside the median control of their group, for networks that see both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vitascope.core.errors import InputError

if TYPE_CHECKING:
    from vitascope.training.data.samples import Sample


def pair_with_control(samples: Sequence[Sample]) -> list[Sample]:
    """Put beside each image the control of its group whose number is nearest to the controls' median.

    A control is never put beside itself, unless its group has no other.

    Parameters
    ----------
    samples : sequence of Sample
        Of one channel, those of controls marked.

    Returns
    -------
    list of Sample
        Of two channels: the image, then its control.

    Raises
    ------
    InputError
        If a group has no control.

    References
    ----------
    NViR (seed 001), the pair variant.
    """
    found = []
    for sample in samples:
        controls = [s for s in samples if s.labelled.control and s.labelled.group == sample.labelled.group]
        if not controls:
            raise InputError(
                f"The group '{sample.labelled.group}' has no control to put beside its images.",
                "Mark controls in the table and name their column under 'control', or set 'pair: false'.",
            )
        middle = float(np.median([c.numbers[0] for c in controls]))
        others = [c for c in controls if c is not sample] or controls
        nearest = min(others, key=lambda c: abs(float(c.numbers[0]) - middle))
        found.append(replace(sample, planes=[*sample.planes, *nearest.planes]))
    return found
