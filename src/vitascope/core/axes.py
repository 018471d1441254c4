"""The order of axes, TCZYX, and how an array of fewer dimensions is read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from vitascope.core.errors import AxesUnknownError, InputError

TCZYX = "TCZYX"

UNKNOWN = "?"
"""Stands for a dimension that nothing tells."""

COLOUR_SAMPLES = (3, 4)
_WORDS = {"Z": "planes of focus", "T": "times", "C": "channels"}


def check_axes(axes: str, shape: Sequence[int]) -> str:
    """Check that an axes string names each dimension once and ends in YX.

    Parameters
    ----------
    axes : str
        Letters out of TCZYX, in any order; lower case is accepted.
    shape : sequence of int

    Returns
    -------
    str
        The axes in upper case.

    Raises
    ------
    InputError
        If letters are unknown, repeated, too many or too few, or Y or X is missing.

    Examples
    --------
    >>> check_axes("zyx", (7, 100, 100))
    'ZYX'
    """
    axes = axes.upper()
    if set(axes) - set(TCZYX) or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        raise InputError(
            f"The axes '{axes}' cannot be read.",
            "Name each dimension once out of T, C, Z, Y, X, for instance ZYX.",
            flag="wrong_dimensions",
        )
    check_length(axes, shape)
    return axes


def check_length(axes: str, shape: Sequence[int]) -> None:
    """Refuse axes that name more or fewer dimensions than there are.

    Raises
    ------
    InputError
    """
    if len(axes) != len(shape):
        raise InputError(
            f"The axes '{axes}' name {len(axes)} dimensions, but the image has {len(shape)}: {tuple(shape)}.",
            "Name one letter per dimension.",
            flag="wrong_dimensions",
        )


def possible_axes(ndim: int) -> tuple[str, ...]:
    """List the ways to read an array of so many dimensions, the likeliest first; Y and X always come last.

    Examples
    --------
    >>> possible_axes(3)
    ('ZYX', 'TYX', 'CYX')
    """
    if ndim == 2:
        return ("YX",)
    if ndim == 3:
        return ("ZYX", "TYX", "CYX")
    if ndim == 4:
        return ("CZYX", "TZYX", "TCYX", "ZCYX", "ZTYX", "CTYX")
    return ("TCZYX", "TZCYX", "CTZYX", "CZTYX", "ZTCYX", "ZCTYX") if ndim == 5 else ()


def default_axes(shape: Sequence[int], name: str = "") -> str:
    """Read an array that says nothing about its axes: YX; leading dimensions of length one mean nothing.

    Parameters
    ----------
    shape : sequence of int
    name : str
        Of the image, for the message.

    Raises
    ------
    AxesUnknownError
        If there is a third dimension: depth, time and channels look alike, and none of them is assumed.
    InputError
        If the array has fewer than 2 or more than 5 dimensions.

    Examples
    --------
    >>> default_axes((100, 100)), default_axes((1, 100, 100))
    ('YX', 'ZYX')
    """
    return complete_axes(UNKNOWN * max(len(shape) - 2, 0) + "YX"[-len(shape) :], shape, name)


def complete_axes(letters: str, shape: Sequence[int], name: str = "") -> str:
    """Give letters to the dimensions that nothing tells, where only one reading is left.

    A dimension of length one may be called anything. One that is the last of T, C and Z is that.

    Parameters
    ----------
    letters : str
        One out of TCZYXS for each dimension, ``?`` for those that nothing tells.
    shape : sequence of int
    name : str
        Of the image, for the message.

    Returns
    -------
    str
        Without ``?``.

    Raises
    ------
    AxesUnknownError
        If several readings are left.
    InputError
        If there are fewer than 2 dimensions or more than letters.

    Examples
    --------
    >>> complete_axes("?CYX", (1, 3, 20, 20)), complete_axes("T?CYX", (5, 4, 3, 20, 20))
    ('ZCYX', 'TZCYX')
    """
    unknown = [i for i, letter in enumerate(letters) if letter == UNKNOWN]
    free = [letter for letter in "ZCT" if letter not in letters]
    if len(shape) < 2 or len(unknown) > len(free):
        raise InputError(
            f"The image has {len(shape)} dimensions; 2 to 5 can be read (YX up to TCZYX).",
            "Open one field or one time series.",
            flag="wrong_dimensions",
        )
    long = [i for i in unknown if shape[i] > 1]
    if not long:
        return _put(letters, unknown, free)
    if len(unknown) == len(free) == 1:
        return _put(letters, unknown, free)
    raise _unknown(letters, shape, long, free, name)


def _put(letters: str, places: Sequence[int], chosen: Sequence[str]) -> str:
    found = list(letters)
    for place, letter in zip(places, chosen, strict=False):
        found[place] = letter
    return "".join(found)


def _unknown(
    letters: str, shape: Sequence[int], long: Sequence[int], free: Sequence[str], name: str
) -> AxesUnknownError:
    """Say what the image may be, and how to tell."""
    readings = []
    for chosen in permutations(free, len(long)):
        others = [i for i, letter in enumerate(letters) if letter == UNKNOWN and i not in long]
        rest = [letter for letter in free if letter not in chosen]
        readings.append(_put(_put(letters, long, chosen), others, rest))
    likely = possible_axes(len(shape))
    readings.sort(key=lambda one: likely.index(one) if one in likely else len(likely))
    if len(shape) == 3 and letters == "?YX" and shape[-1] in COLOUR_SAMPLES:
        readings[:0] = ["YXC", "YXS"]
    what = f"'{name}'" if name else "the image"
    sides = " x ".join(str(int(side)) for side in shape)
    counted = f"the dimensions {sides} of {what} are"
    if len(long) == 1:
        counted = f"the {shape[long[0]]} pictures of {what} ({sides}) are"
    ways = f"{_WORDS['Z']}, {_WORDS['T']} or {_WORDS['C']}" + (", or one colour picture" if "YXC" in readings else "")
    return AxesUnknownError(f"Nothing tells what {counted}: {ways}.", axes_hint(readings), readings=tuple(readings))


def axes_hint(readings: Sequence[str]) -> str:
    """Say how to name the axes of an image.

    Examples
    --------
    >>> axes_hint(("ZYX", "TYX"))
    'Name them with --axes (axes= in Python, axes: in a recipe): ZYX for planes of focus, TYX for times.'
    """
    told = [f"{one} for {_meaning(one)}" if len(one) == 3 else one for one in readings[:6]]
    return f"Name them with --axes (axes= in Python, axes: in a recipe): {', '.join(told)}."


def _meaning(axes: str) -> str:
    if axes[-1] == "S":
        return "a colour picture of equal red, green and blue"
    return "a colour picture, its red, green and blue as channels" if axes[-1] == "C" else _WORDS[axes[0]]


def check_shape(shape: Sequence[int]) -> None:
    """Refuse an image without pixels.

    Raises
    ------
    InputError
        If a side has length zero.
    """
    if 0 in shape:
        raise InputError(
            f"The image has no pixels: its shape is {tuple(shape)}.", "Check the file or the crop.", flag="empty_image"
        )
