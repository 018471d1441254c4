"""A result in words: the headline, the flags and a short table, for people who do not read column names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitascope.core.errors import without_options
from vitascope.core.flags import FLAGS, is_note, without_notes
from vitascope.core.formatting import PROBABILITY, end_texts, interval_texts, is_number, number_text, quantity_text
from vitascope.core.result import ImageOutput, Result, told_unit
from vitascope.tasks.spec import TaskSpec

PLACES = ("time", "z")
REAL, INTERNAL = "real_", "logit_"
"""Beginnings of columns: measured in the real stain, and steps of a calculation that tell a user nothing."""
MANY = 4
NO_CONTROL = "; 1 is untreated in the training data"
"""Behind a number that is a share of controls which the user did not give."""
PERCENT = "%"
SIGNALS = ("mean", "total")
"""Beginnings of columns that sum up a picture, before the name of its channel."""

NO_NUMBER = ("dead_channel_missing",)
"""Flags that say why there is no main number: they stand before all else that is wrong with the image."""

HELD_BACK = "withheld"
SAID_BY_BADGE = ("unsure", "outside_model", HELD_BACK)
"""Flags that the badge, and the headline of a number that is held back, say in full."""


@dataclass(frozen=True)
class Headline:
    """The answer of a run.

    Parameters
    ----------
    number : str
        To be shown large.
    unit : str
    detail : str
        Interval, or what the number was made from; empty where there is neither.
    """

    number: str
    unit: str
    detail: str = ""


def headline(spec: TaskSpec, result: Result) -> Headline:
    """Put the main number first: one image's with its interval, or the range over several pictures."""
    values = [v for row in result.rows if is_number(v := row.get(spec.headline))]
    unit = shown_unit(result)
    if unit == PERCENT:
        unit = f"{PERCENT} {spec.headline_title.lower()}"  # a percentage alone does not say of what
    if spec.headline_text:
        return _in_text(spec, result, values) if values else Headline("No answer", "")
    if not values and any(spec.headline in row for row in result.rows):
        number = "Number held back" if HELD_BACK in result.flags else "No number"
        why = [FLAGS[flag].text for flag in result.flags if flag in NO_NUMBER]
        return Headline(number, "", " ".join([*why, without_options(result.message)]).strip())
    if not values:
        shown = ", ".join(n for o in result.outputs if isinstance(o, ImageOutput) for n in o.channel_names)
        return Headline(shown or "No number", "predicted" if shown else "")
    if len(values) > 1:
        least, most = (_rounded(spec, result.rows, value) for value in (min(values), max(values)))
        without = len(result.rows) - len(values)
        more = f"; {without} without a number" if without else ""
        if least == most:
            return Headline(least, unit, f"in each of {len(values)} pictures{more}")
        return Headline(f"{least} … {most}", unit, f"least and most of {len(values)} pictures{more}")
    row = next(row for row in result.rows if is_number(row.get(spec.headline)))
    low, high = (row.get(name) for name in spec.interval)
    detail = ""
    if is_number(low) and is_number(high):
        value, low_text, high_text = interval_texts(values[0], low, high)
        level = f"{result.interval_level:.0%} interval" if result.interval_level else "Interval, level unknown:"
        calibrated = "; calibrated on simulated images only" if "interval_simulated" in result.flags else ""
        return Headline(value, unit, f"{level} {low_text} to {high_text}{calibrated}{without_control(result)}")
    return Headline(number_text(values[0]), unit, detail)


def map_sentence(output: ImageOutput, what: str, unit: str) -> str:
    """Say what the colours of a map stand for.

    Parameters
    ----------
    output : ImageOutput
    what : str
        It shows, in words.
    unit : str
        Of its values; empty where they have none.

    Examples
    --------
    >>> adds = ImageOutput("maps", "contribution", None, "YX", ("map",), limits=(0.0, 0.0213))
    >>> map_sentence(adds, "the ATP that each place adds", "RLU/px")
    'The map shows the ATP that each place adds; its colours run from 0 to 0.0213 RLU per pixel.'
    """
    low, high = end_texts(*output.limits)
    return (
        f"The map shows {what}; its colours run from {low} to {high} {unit.replace('/px', ' per pixel')}".rstrip() + "."
    )


def shown_unit(result: Result) -> str:
    """Return the unit of the main number as it is shown: a share of the control only where there was a control."""
    return "" if without_control(result) else result.unit


def without_control(result: Result) -> str:
    """Say what 1 stands for, where the number is a share of a control and none was given; else empty."""
    inputs = result.provenance.inputs if result.provenance is not None else ()
    return NO_CONTROL if result.unit and not told_unit(result.unit, inputs) else ""


def _rounded(spec: TaskSpec, rows: Sequence[Mapping[str, Any]], value: float) -> str:
    """Write one of several numbers, rounded as its interval allows."""
    row = next(row for row in rows if row.get(spec.headline) == value)
    low, high = (row.get(name) for name in spec.interval)
    return interval_texts(value, low, high)[0] if is_number(low) and is_number(high) else number_text(value)


def _in_text(spec: TaskSpec, result: Result, values: Sequence[float]) -> Headline:
    """Put a text first, such as the predicted class, and the number behind it; of several pictures, how many each."""
    texts = [str(row[spec.headline_text]) for row in result.rows if row.get(spec.headline_text)]
    if len(values) == 1:
        return Headline(texts[0], f"{result.unit} {values[0]:.2f}".strip())
    counts = {text: texts.count(text) for text in dict.fromkeys(texts)}
    told = ", ".join(f"{n} {text}" for text, n in sorted(counts.items(), key=lambda item: -item[1]))
    return Headline(max(counts, key=counts.__getitem__), f"in {max(counts.values())} of {len(texts)} pictures", told)


def flag_sentences(result: Result) -> list[str]:
    """Return what the warnings of a result mean, without those that the trust badge says."""
    return [FLAGS[flag].text for flag in without_notes(result.flags) if flag not in (*SAID_BY_BADGE, *NO_NUMBER)]


def note_sentences(result: Result) -> list[str]:
    """Return what the notes of a result mean, to be read on hover."""
    return [FLAGS[flag].text for flag in dict.fromkeys(result.flags) if is_note(flag)]


def quantity_of(name: str, result: Result, spec: TaskSpec | None = None) -> str:
    """Say what a column of a result holds, with the unit that only the result knows.

    Parameters
    ----------
    name : str
    result : Result
    spec : TaskSpec, optional
        Whose main number has the result's unit.
    """
    from vitascope.ops.objects.measure import column_names  # loaded with the first answer, not with the dock

    text = quantity_text(name)
    for output in (one for one in result.outputs if isinstance(one, ImageOutput)):
        for channel, ending in zip(output.channel_names, column_names(output.channel_names), strict=True):
            kind = name.removesuffix(f"_{ending}")
            if name == f"{PROBABILITY}{ending}":
                return f"Probability of {channel}"
            if kind in SIGNALS:
                known = spec.kinds.get(output.title, output.title) if spec is not None else output.title
                text = f"{quantity_text(kind)} {known}{'' if channel == output.title else f' {channel}'}"
                return f"{text} ({output.unit})" if output.unit else text
    if spec is None or name not in (spec.headline, *spec.interval) or spec.interval[0] not in _ordered(result.rows):
        return text  # a count has no unit but what is counted
    unit = shown_unit(result)
    return f"{text} ({unit})" if unit and not text.endswith(")") else text


def summary_table(result: Result, spec: TaskSpec | None = None) -> tuple[list[str], list[list[str]]]:
    """Lay the numbers of a result out as a table.

    Returns
    -------
    tuple of list of str and list of list of str
        Header and cells: for one picture a line for each quantity, for several a column for each picture, for many a
        line for each. Sizes in pixels are left out where they are known in µm. What was measured in a real stain too
        stands beside.
    """
    rows = list(result.rows)

    def words(name: str) -> str:
        return quantity_of(name, result, spec)

    names = [n for n in _ordered(rows) if n not in PLACES and any(is_number(row.get(n)) for row in rows)]
    names = [n for n in names if not (n.endswith("_px") and _um_name(n) in names) and not n.startswith(INTERNAL)]
    if len(rows) == 1 and any(n.startswith(REAL) for n in names):
        row = rows[0]
        names = [n for n in names if not n.startswith(REAL)]
        return ["", "Predicted", "Real"], [
            [words(n), number_text(row.get(n)), number_text(row[REAL + n]) if REAL + n in row else ""] for n in names
        ]
    if len(rows) > MANY:
        cells = [[_place(row, i), *(number_text(row.get(n)) for n in names)] for i, row in enumerate(rows)]
        return ["", *(words(n) for n in names)], cells
    header = ["", *(_place(row, i) if len(rows) > 1 else "Value" for i, row in enumerate(rows))]
    return header, [[words(n), *(number_text(row.get(n)) for row in rows)] for n in names]


def _um_name(name: str) -> str:
    stem = name.removesuffix("_px")
    return f"{stem}_um2" if "area" in stem else f"{stem}_um"


def _ordered(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _place(row: Mapping[str, Any], number: int) -> str:
    told = [f"{word} {row[key]}" for key, word in (("time", "t"), ("z", "z")) if row.get(key) is not None]
    return " ".join(told) or str(number)


def picture_text(row: Mapping[str, Any]) -> str:
    """Name a picture of many by what a biologist calls it: its well, with plate, field and plane where they are told.

    Examples
    --------
    >>> picture_text({"image": "p1_B07", "plate": "p1", "well": "B07"}), picture_text({"image": "wells", "z": 3})
    ('p1 B07', 'wells z 3')
    """
    field = str(row.get("field") or "")
    told = [str(row.get("plate") or ""), str(row.get("well") or ""), f"field {field}" if field else ""]
    if not row.get("well"):
        told = [str(row.get("image") or "")]
    if row.get("z") is not None:
        told.append(f"z {row['z']}")
    return " ".join(filter(None, told))
