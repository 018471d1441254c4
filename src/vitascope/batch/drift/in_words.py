"""Drift in one line: since which image, and what it looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

UNTIMED = "The files do not all tell when they were taken: the wells were compared in their order on the plate."


def too_few(images: int, window: int) -> str:
    """Say that no alarm could come, since images do not fill one window; empty where they do.

    Examples
    --------
    >>> too_few(5, 10)
    'Drift could not be told: 5 images are fewer than the window of 10.'
    """
    return f"Drift could not be told: {images} images are fewer than the window of {window}." if images < window else ""


def mostly_outside(outside: int, images: int) -> str:
    """Say that a model is not to be relied on for half of a reference's images or more; empty where it is.

    Examples
    --------
    >>> mostly_outside(3, 22)
    ''
    >>> mostly_outside(22, 22)
    '22 of 22 images lie outside what the model was trained on, as noise and empty fields do: the reference tells \
whether others look like these, not whether the model can be trusted. Look at them first.'
    """
    if not outside or 2 * outside < images:
        return ""
    return (
        f"{outside} of {images} images lie outside what the model was trained on, as noise and empty fields do: the "
        "reference tells whether others look like these, not whether the model can be trusted. Look at them first."
    )


def since(alarms: Sequence[str], causes: Mapping[str, str], name_of: Callable[[str], str] = str) -> str:
    """Say when drift began and what the images look like since; empty without an alarm.

    Parameters
    ----------
    alarms : sequence of str
        Images at which an alarm began, in order.
    causes : mapping of str to str
        By image; see :data:`vitascope.stats.drift.cause.DIRECTIONS`.
    name_of : callable
        Names an image, such as by its well.

    Examples
    --------
    >>> since(["p_D07"], {"p_D07": "blurred"}, lambda image: image[2:])
    'Drift since D07: blurred'
    >>> since(["D07", "F01"], {})
    'Drift since D07; another alarm after it'
    """
    if not alarms:
        return ""
    cause = causes.get(alarms[0], "")
    more = len(alarms) - 1
    told = f"Drift since {name_of(alarms[0])}{f': {cause}' if cause else ''}"
    return told + (f"; {'another alarm' if more == 1 else f'{more} more alarms'} after it" if more else "")
