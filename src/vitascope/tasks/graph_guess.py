"""What is guessed of a network of another program, for docks and commands that ask whether it is right."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Guess:
    """What file, package and shapes tell of a network, to be confirmed.

    Parameters
    ----------
    axes : str
    sides : str
        Of the input, in words.
    channels : tuple of str
    outputs : tuple of str
        Of the pictures that it answers with, as far as the file declares them.
    normalise : str
        As the command line says it; empty where it is not told.
    per : str
    pixel_size_um : float or None
    divisor : int or None
        What height and width must be multiples of, where it is told.
    depth : int or None
        Planes that it takes, where they are fixed.
    notes : tuple of str
    """

    axes: str
    sides: str
    channels: tuple[str, ...]
    outputs: tuple[str, ...]
    normalise: str
    per: str
    pixel_size_um: float | None
    divisor: int | None
    depth: int | None
    notes: tuple[str, ...] = ()
