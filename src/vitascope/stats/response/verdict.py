"""What is said of a curve: its quality in one word, by stated rules, and the reason in a sentence.

The rules, the first that holds wins:

``no fit``
    Fewer points or doses than parameters, one dose, no usable values, several doses below zero, two phases, or the
    wrong direction.
``flat``
    No better than a constant, by F-test (p above 0.05).
``partial``
    The midpoint lies beyond the doses, or less than four fifths of the way between the plateaus lies within them on
    either side: a plateau is not seen.
``wide``
    The interval of the IC50 is open, not known, or spans more than a factor of ten.
``good``
    All others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from vitascope.stats.response.logistic import Floats

SEVERAL = 2
"""So many different doses below zero are no slip."""
SEEN = 0.8
WIDEST = 10.0
NOTHING, HALF = 0.5, 50.0


@dataclass
class Verdict:
    """Quality, reason and flags of one curve."""

    quality: str = "good"
    reason: str = ""
    flags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Effect:
    """What the top dose does, in the words of a biologist.

    Parameters
    ----------
    quantity, dose : str
        Name of what was measured; the top dose with its unit.
    before, after : float
        Response without treatment, or at low doses, and at the top dose.
    of_control : bool
        Whether ``before`` is the level of the controls, in percent.
    """

    quantity: str
    dose: str
    before: float
    after: float
    of_control: bool

    def __str__(self) -> str:
        """Say by how much the top dose changes the quantity."""
        if self.after == self.before:
            return f"the top dose of {self.dose} does not change {self.quantity}"
        verb = "lowers" if self.after <= self.before else "raises"
        if self.before > 0 and math.isfinite(self.after):
            percent = abs(100 * (1 - self.after / self.before))
            if percent < NOTHING:
                return f"the top dose of {self.dose} does not change {self.quantity}"
            only = "only " if percent < HALF else ""
            return f"the top dose of {self.dose} {verb} {self.quantity} by {only}{percent:.0f} %"
        return f"the top dose of {self.dose} {verb} {self.quantity} only from {self.before:.3g} to {self.after:.3g}"


def too_few(points: int, doses: int, needed: int, excluded: int) -> str:
    """Say why there are too few points for a curve; empty if there are enough."""
    lost = f" ({excluded} left out)" if excluded else ""
    if points == 0:
        return f"Could not be fitted: there is no usable value{lost}."
    if doses == 1:
        return f"Could not be fitted: there is only one dose{lost}; a curve needs several."
    if doses < needed:
        return f"Could not be fitted: only {doses} doses{lost} for a curve of {needed} parameters."
    if points < needed:
        return f"Could not be fitted: only {points} points{lost} for a curve of {needed} parameters."
    return ""


def wrong_direction(asked: str, falls: bool) -> str:
    """Say that a curve goes the other way than was asked for; empty if it does not."""
    if asked == "either" or (asked == "falls") == falls:
        return ""
    goes, wanted = ("fall", "rise") if falls else ("rise", "fall")
    return f"Could not be fitted: the values {goes} with the dose, and were to {wanted}."


def below_zero(doses: Floats) -> str:
    """Say that several doses lie below zero, as logarithms do: what is left of them would give a wrong IC50."""
    below = np.unique(doses[doses < 0])
    if len(below) < SEVERAL:
        return ""
    return (
        f"Could not be fitted: {len(below)} doses lie below zero, as logarithms do. Name them so in the column or the "
        "unit, such as 'log10 µM', and they are taken for these."
    )


def phase_reason(kind: str) -> str:
    """Say what two phases look like."""
    shape = {
        "two steps": "the response changes in two steps, not one",
        "turns back": "the response turns back at higher doses",
    }[kind]
    return f"Could not be fitted by one curve: {shape}."


def start_reason(quantity: str, lowest: str, percent: float) -> str:
    """Say that the fit places the start of the curve where controls show that it is not."""
    return (
        f"Could not be fitted: values still change at the lowest dose of {lowest}, where {quantity} stands at "
        f"{percent:.0f} % of the controls: no dose shows where the curve starts. Let the controls count as wells of "
        "dose zero (fit_controls), or take lower doses."
    )


def flat_reason(effect: Effect, p: float) -> str:
    """Say that no effect can be told from the scatter."""
    return f"Flat: {effect}; that cannot be told from the scatter (p = {p:.2g})."


def beyond_reason(effect: Effect, relation: str, lowest: str) -> str:
    """Say on which side of the doses the midpoint lies."""
    if relation == ">":
        return f"The IC50 lies above the doses tested: {effect}, and no lower limit of the response is seen."
    return f"The IC50 lies below the doses tested: the lowest dose of {lowest} already has more than half the effect."


def judge(
    relation: str, low: float, high: float, reached: tuple[float, float], zero_dose: bool, extrapolated: bool
) -> tuple[str, str]:
    """Quality and reason of a curve that was fitted and is not flat.

    Parameters
    ----------
    relation : str
        ``=``, ``>`` or ``<``.
    low, high : float
        Interval of the IC50; 0 and inf where it is open.
    reached : tuple of float, 0 to 1
        Share of the way between the plateaus at the lowest and at the highest dose.
    zero_dose : bool
        Whether wells of dose zero show the plateau at low doses.
    extrapolated : bool
        Whether the IC50 lies beyond the doses, given as a number on demand.

    Returns
    -------
    tuple of str
    """
    if relation != "=" or extrapolated:
        return "partial", ""
    if reached[1] < SEEN:
        return (
            "partial",
            f"The top dose reaches only {100 * reached[1]:.0f} % of the fitted effect: no plateau is seen.",
        )
    if reached[0] > 1 - SEEN and not zero_dose:
        return "partial", (
            f"The lowest dose already has {100 * reached[0]:.0f} % of the fitted effect: the start is not seen."
        )
    if not math.isfinite(low) or not math.isfinite(high) or low <= 0:
        told = math.isnan(low) or math.isnan(high)
        why = "there are no more points than parameters" if told else "the points allow IC50s beyond the doses tested"
        return "wide", f"The IC50 is not well known: {why}."
    if high / low > WIDEST:
        return "wide", f"The IC50 is not well known: its interval spans a factor of {high / low:.0f}."
    return "good", ""
