"""What a plate run gave, in one line of words: how many wells are done, which look empty, which are unlike others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from vitascope.core.status import JUDGED, NOT_DONE, Status
from vitascope.io.filenames.parse import natural

EMPTY = frozenset({"empty_well", "contrast_outlier", "constant"})
UNLIKE = frozenset({"unsure", "outside_model"})
MOST_NAMED = 3

SENTENCE = re.compile(r"The ([a-z ]+?) is (\S+); training images lie between (\S+) and (\S+?)\.(?= |$)")
"""As :func:`vitascope.engine.domain.assess_domain` says it."""

DIRECTIONS = {
    "brightness": ("darker", "brighter"),
    "contrast": ("of less contrast", "of more contrast"),
    "sharpness": ("blurrier", "sharper"),
    "balance of bright and dark": ("with more dark parts", "with more bright parts"),
}


def plate_in_words(frame: pd.DataFrame) -> str:
    """Say what became of the wells of a plate.

    Parameters
    ----------
    frame : DataFrame
        Rows of ``results.csv``, as far as they are there.

    Returns
    -------
    str
        Empty where there is no row.

    Examples
    --------
    >>> plate_in_words(pd.DataFrame({"well": ["A1", "A2"], "status": ["OK", "WARN"],
    ...                              "flags": ["tile_reduced", "empty_well"], "message": ["", ""]}))
    '2 wells done; A2 looks empty'
    """
    wells: dict[str, list[dict[str, object]]] = {}
    for row in frame.astype(object).where(frame.notna(), "").astype({"well": str}).to_dict("records"):
        wells.setdefault(str(row["well"]), []).append({str(key): value for key, value in row.items()})
    ended = {well: {str(row.get("status", "")) for row in rows} for well, rows in wells.items()}
    done = [well for well, words in ended.items() if words & set(JUDGED)]
    told = [f"{_count(len(done), 'well')} done"] if done else []
    flags = {w: {f for row in rows for f in str(row.get("flags", "")).split(";")} for w, rows in wells.items()}
    empty = [well for well in wells if flags[well] & EMPTY]
    if empty:
        told.append(f"{_named(empty)} {'looks' if len(empty) == 1 else 'look'} empty")
    unlike = [well for well in done if flags[well] & UNLIKE and well not in empty]
    if unlike:
        how = directions(str(row.get("message", "")) for well in unlike for row in wells[well])
        told.append(f"{_named(unlike)} unlike the training wells{': ' if how else ''}{', '.join(how)}")
    for words, status in (("rejected", (Status.REJECTED,)), ("without a result", NOT_DONE)):
        lost = [well for well, found in ended.items() if found & set(status) and well not in done and well not in empty]
        told += [f"{_named(lost)} {words}"] if lost else []
    return "; ".join(told)


def directions(messages: Iterable[str]) -> list[str]:
    """Tell in what images differ from the training images, the most frequent first.

    Examples
    --------
    >>> directions(["The sharpness is 0.9; training images lie between 0.1 and 0.4."])
    ['sharper']
    """
    found: Counter[str] = Counter()
    for message in messages:
        for name, value, low, _ in SENTENCE.findall(message):
            if name in DIRECTIONS:
                found[DIRECTIONS[name][_number(value) >= _number(low)]] += 1
    return [word for word, _ in found.most_common()]


def _named(wells: Sequence[str]) -> str:
    """Name a few wells; of more, how many they are."""
    return ", ".join(sorted(wells, key=natural)) if len(wells) <= MOST_NAMED else str(len(wells))


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
