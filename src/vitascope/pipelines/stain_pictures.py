"""What the task ``stain`` shows besides the prediction: an overlay of stains in red, green and blue, and the doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.core.card import ModelCard, Target
from vitascope.core.errors import ParameterError, ReaderError, describe
from vitascope.core.stain_names import COLOURS, overlay_stains
from vitascope.ops.intensity.mask import CUT, THESIS_CUT
from vitascope.ops.tiling.chunks import chunk_slices, read_piece
from vitascope.stats.linear_correction import Line, parse_corrections

FAINT, BRIGHT = 0.0, 1.0
"""Ends of the predicted scale, where 0 and 1 are the training stain's 1 and 99.9 % percentiles."""


def chosen_targets(targets: Sequence[Target], wanted: Sequence[str] | None) -> list[int]:
    """Return the numbers of the targets that were asked for, in the model's order; all where none is named.

    Raises
    ------
    ParameterError
        Naming one that the model does not predict.
    """
    if not wanted:
        return list(range(len(targets)))
    names = [target.name.lower() for target in targets]
    for name in wanted:
        if name.strip().lower() not in names:
            raise ParameterError(
                f"This model does not predict '{name}'.", f"It predicts {', '.join(t.name for t in targets)}."
            )
    asked = {name.strip().lower() for name in wanted}
    return [k for k, name in enumerate(names) if name in asked]


def cuts_of(card: ModelCard, wanted: float | str) -> dict[str, float]:
    """Return above which value each target is inside, of those that the model learnt as masks.

    Parameters
    ----------
    card : ModelCard
        ``default_params`` has ``cut_<target>`` for these.
    wanted : float or {"card", "thesis"}

    Raises
    ------
    ParameterError
        If a cut is asked for of a model that has no masks.
    """
    known = {t.name: card.default_params.get(f"{CUT}{t.name}") for t in card.targets}
    cuts = {name: value for name, value in known.items() if value is not None}
    if wanted == "card":
        return cuts
    if not cuts:
        raise ParameterError(
            f"'{card.id}' predicts stains, not masks: there is nothing to cut.",
            "Leave cut at 'card', or take a model that was trained with target_preparation.mask.",
        )
    return dict.fromkeys(cuts, THESIS_CUT if wanted == "thesis" else float(wanted))


def read_corrections(path: str | None) -> dict[str, Line]:
    """Read the file of a linear correction; nothing where none is named.

    Raises
    ------
    ReaderError
        If it cannot be read.
    InputError
        If it holds no corrections.
    """
    if not path:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReaderError(f"The correction {Path(path).name} cannot be read: {describe(error)}.") from error
    return parse_corrections(text, Path(path).name)


def correct_planes(lines: Mapping[str, Line], names: Sequence[str], planes: Sequence[Any]) -> None:
    """Correct predicted stains by their lines, in place and piece by piece; those without a line stay."""
    for name, plane in zip(names, planes, strict=True):
        line = lines.get(name)
        for window in chunk_slices(plane) if line is not None else ():
            assert line is not None
            plane[window] = np.float32(line.slope) * read_piece(plane, window) + np.float32(line.intercept)


def overlay_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return what the channels of an overlay are called: red, green and blue with the stain that each shows.

    Raises
    ------
    ParameterError
        If fewer than two of the stains have a colour.

    Examples
    --------
    >>> overlay_names(["nuclei", "er", "mito"])
    ('red er', 'green', 'blue nuclei')
    """
    shown = overlay_stains(names)
    if not shown:
        raise ParameterError(
            f"There is no overlay of {', '.join(names)}.",
            "It takes two of ER (red), cell or actin (green) and nuclei (blue).",
        )
    return tuple(f"{colour} {shown.get(colour, '')}".strip() for colour in COLOURS)


def draw_overlay(names: Sequence[str], planes: Sequence[Any], out: Sequence[Any]) -> None:
    """Write an overlay, piece by piece.

    Parameters
    ----------
    names : sequence of str
        Of the predicted stains.
    planes : sequence of array, (Y, X)
        The predicted stains.
    out : sequence of three arrays, (Y, X)
        Red, green and blue, 0 to 1; a colour that no stain has stays as it is.
    """
    by_name = dict(zip(names, planes, strict=True))
    for colour, plane in zip(COLOURS, out, strict=True):
        stain = overlay_stains(names).get(colour)
        if stain is None:
            continue
        for window in chunk_slices(plane):
            plane[window] = np.clip(read_piece(by_name[stain], window), FAINT, BRIGHT)


def mean_signal(names: Sequence[str], planes: Sequence[Any]) -> dict[str, float]:
    """Return the mean of each picture over all of it, by name in small letters."""
    found = {}
    for name, plane in zip(names, planes, strict=True):
        total = sum(float(read_piece(plane, w).sum(dtype=np.float64)) for w in chunk_slices(plane))
        found[name.lower()] = total / (plane.shape[0] * plane.shape[1])
    return found
