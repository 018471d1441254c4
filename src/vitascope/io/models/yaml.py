"""YAML as plain values: nothing in it can execute, and a few lines cannot stand for more than fits into memory."""

from __future__ import annotations

from typing import Any

import yaml

from vitascope.core.errors import ReaderError, describe

MAX_VALUES, MAX_DEPTH = 100_000, 16
"""Naming a list in a list in a list, a few lines of YAML can unfold to any number of values."""


def read_yaml(text: str) -> Any:
    """Read YAML text: numbers, text, true and false, dates, lists and mappings.

    Parameters
    ----------
    text : str

    Returns
    -------
    object

    Raises
    ------
    ReaderError
        If it is no YAML, asks for more than plain values, or unfolds to more than 100,000 of them.

    Examples
    --------
    >>> read_yaml("planes: [0, 2]")
    {'planes': [0, 2]}
    """
    try:
        tree = yaml.safe_load(text)
    except RecursionError as error:
        raise ReaderError("It is nested too deeply.") from error
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        # beside its own errors, for dates and numbers that are none
        raise ReaderError(f"It is no YAML of plain values: {describe(error)}.") from error
    if _is_endless(tree):
        raise ReaderError(f"It is nested too deeply, or unfolds to more than {MAX_VALUES:,} values.")
    return tree


def _is_endless(tree: Any) -> bool:
    level, seen = [tree], 1
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict | list):
                inner += value.values() if isinstance(value, dict) else value
            if seen + len(inner) > MAX_VALUES:
                return True
        seen, level = seen + len(inner), inner
    return bool(level)
