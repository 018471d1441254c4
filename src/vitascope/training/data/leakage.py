"""Splits that leak are refused, unless the user insists; then the card says so."""

from __future__ import annotations

from vitascope.core.errors import TrainingError
from vitascope.recipes.recipe import Split


def refuse_leak(split: Split, description: str, hint: str, forced: list[str]) -> None:
    """Refuse a leak, or put it down where the split forces it.

    Parameters
    ----------
    split : Split
    description : str
        What leaks, in one sentence.
    hint : str
    forced : list of str
        What was forced so far; added to.

    Raises
    ------
    TrainingError
    """
    if not split.force_leak:
        raise TrainingError(description, hint)
    forced.append(description)


def leak_words(forced: list[str]) -> str:
    """Return what the card says of forced leaks; empty without any.

    Examples
    --------
    >>> leak_words(["Row 3 is in both."])
    '; LEAKS, as the user insisted: Row 3 is in both.'
    """
    return f"; LEAKS, as the user insisted: {' '.join(dict.fromkeys(forced))}" if forced else ""
