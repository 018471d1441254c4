"""What a picture of a well or spheroid looks like on its own pixels, before a number is made of it, and what helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitascope.core.card import ModelCard
from vitascope.ops.wells.flaws import FLAWS, FOCUS_PX, SIDES_PX, evened_out, measure_flaws
from vitascope.ops.wells.squares import Region, Squares

MOST = {"shading": 0.22, "meniscus": 0.20, "bubbles": 0.006}
"""Pictures are flagged above: a ground that falls by a fifth from edge to edge or from the middle to the rim, and
bubbles over so much of the square. Cards may say otherwise under their domain's statistics."""

UNEVEN = ("shading", "meniscus")
EVENED = "flat_fielded"


@dataclass(frozen=True)
class NativeLook:
    """A picture as it is to be judged.

    Parameters
    ----------
    planes : list of array, each (Y, X)
        As they came, or with their light evened out.
    flags : tuple of str
    """

    planes: list[Any]
    flags: tuple[str, ...]

    @property
    def evened(self) -> bool:
        """Whether the light was evened out."""
        return EVENED in self.flags


def look_at(card: ModelCard, planes: Sequence[Any], square: Squares, *, flat_field: bool) -> NativeLook:
    """Measure focus, light, meniscus and bubbles of a picture, and even its light out where that is wanted and needed.

    Parameters
    ----------
    card : ModelCard
        Its domain may hold the range of ``native_focus``; without one, focus is not judged.
    planes : sequence of array, each (Y, X)
        As they came.
    square : Squares
        What the model looks at of the middle one.
    flat_field : bool
        Whether uneven light is divided out; the flag ``flat_fielded`` says so.
    """
    round_well = card.input.crop_to == "well"
    region = square.region
    found = measure_flaws(square, round_well=round_well)
    flags = flaw_flags(card, found, region)
    kept = list(planes)
    if flat_field and any(flag in UNEVEN for flag in flags):
        evened = [one for p in planes if (one := evened_out(np.asarray(p), region, round_well=round_well)) is not None]
        if len(evened) == len(kept):
            after = Squares(evened[len(planes) // 2], region, SIDES_PX)
            again = flaw_flags(card, measure_flaws(after, round_well=round_well), region)
            if not any(flag in UNEVEN for flag in again):
                kept, flags = list(evened), (EVENED, *again)
    return NativeLook(kept, flags)


def flaw_flags(card: ModelCard, found: dict[str, float], region: Region) -> tuple[str, ...]:
    """Return the words for what is beyond a card's ranges.

    What was made smaller looks sharper than it is: the upper end holds for squares of enough pixels only.
    """
    ranges = card.domain.statistics if card.domain is not None else {}
    most = {name: ranges[name][2] if name in ranges else MOST.get(name, np.inf) for name in FLAWS}
    flags = [name for name in MOST if found[name] > most[name]]
    focus = found["native_focus"]
    if "native_focus" in ranges and focus < ranges["native_focus"][0]:
        flags.append("out_of_focus")
    if region.side >= FOCUS_PX and focus > most["native_focus"]:
        flags.append("oversharp")
    return tuple(flags)
