"""The order of axes, TCZYX, and how an array of fewer dimensions is read."""

from __future__ import annotations

from collections.abc import Sequence

from vitascope.core.errors import InputError

TCZYX = "TCZYX"

DEFAULT_AXES = {2: "YX", 3: "ZYX", 4: "CZYX", 5: "TCZYX"}


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


def default_axes(shape: Sequence[int]) -> str:
    """Read an array that says nothing about its axes: YX, ZYX, CZYX or TCZYX by the number of dimensions.

    Raises
    ------
    InputError
        If the array has fewer than 2 or more than 5 dimensions, or a side of length zero.

    Examples
    --------
    >>> default_axes((7, 100, 100))
    'ZYX'
    """
    if len(shape) not in DEFAULT_AXES:
        raise InputError(
            f"The image has {len(shape)} dimensions; 2 to 5 can be read (YX up to TCZYX).",
            "Open one field or one time series.",
            flag="wrong_dimensions",
        )
    return DEFAULT_AXES[len(shape)]


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
