"""How the sides of a tensor run along a picture, and what becomes of two that are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction


@dataclass(frozen=True)
class Along:
    """A side of a tensor that runs along the picture: element i depends on pixels i step + low to i step + high.

    Parameters
    ----------
    letter : str
        ``y`` or ``x``.
    step, low, high : Fraction
        Pixels of the input.
    """

    letter: str
    step: Fraction = Fraction(1)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)

    def over(self, step: Fraction | int, first: Fraction | int, last: Fraction | int) -> Along:
        """Return the side of an answer whose element i takes elements i step + first to i step + last."""
        s = self.step
        return replace(self, step=s * step, low=s * first + self.low, high=s * last + self.high)


Part = tuple[int, Along | None]
"""Length of a factor of a side, and how it runs."""

Side = Along | tuple[Part, ...] | None
"""How a side runs: along the picture, as several sides put together, or not."""

Sides = tuple[Side, ...]


class WholePicture(Exception):  # noqa: N818, no fault
    """An operation looks at the whole picture, or at what cannot be told from it."""


def joined(a: Side, b: Side) -> Side:
    """Return how a side runs that takes from two.

    Raises
    ------
    WholePicture
        If they run otherwise.
    """
    if a is None or b is None or a == b:
        return a if b is None else b
    if not isinstance(a, Along) or not isinstance(b, Along) or (a.letter, a.step) != (b.letter, b.step):
        raise WholePicture
    return replace(a, low=min(a.low, b.low), high=max(a.high, b.high))


def merged(all_sides: Sequence[Sides]) -> Sides:
    """Return how the sides of a tensor run that takes from several.

    Raises
    ------
    WholePicture
        If they run otherwise.
    """
    found = all_sides[0]
    for other in all_sides[1:]:
        if len(other) != len(found):
            raise WholePicture
        found = tuple(joined(a, b) for a, b in zip(found, other, strict=True))
    return found


def apart_from(sides: Sides, axes: set[int]) -> Sides:
    """Return sides as they are, if none of some runs along the picture.

    Raises
    ------
    WholePicture
        If one does.
    """
    if any(sides[n % len(sides)] is not None for n in axes):
        raise WholePicture
    return sides
