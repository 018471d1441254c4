"""Values brought to the controls of their plate, or to the plate as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vitascope.stats.plate_quality import centre_and_spread
from vitascope.stats.response.params import ResponseParams

BLOCKS = ("plate", "day", "time")
PERCENT = 100.0


@dataclass(frozen=True)
class Normalised:
    """Normalised values of a table.

    Parameters
    ----------
    value : array, float
        Percent, or as given where nothing was done; NaN where it could not be.
    scale : array, float
        Factor by which differences were stretched.
    how : list of str
        For each well ``none``, ``negative``, ``controls`` or ``plate``.
    problem : list of str
        For each well why it could not be normalised; empty if it was, or was not to be.
    notes : list of tuple of str
        Flags.
    """

    value: np.ndarray
    scale: np.ndarray
    how: list[str]
    problem: list[str]
    notes: list[tuple[str, ...]]


def normalise_wells(wells: pd.DataFrame, blocks: Sequence[str], params: ResponseParams) -> Normalised:
    """Normalise within blocks.

    Parameters
    ----------
    wells : DataFrame
        From :func:`vitascope.stats.response.wells.read_wells`.
    blocks : sequence of str
        Columns that tell blocks apart; each has its own controls.
    params : ResponseParams

    Returns
    -------
    Normalised
    """
    raw = wells["value"].to_numpy(float)
    done = Normalised(raw.copy(), np.ones(len(raw)), ["none"] * len(raw), [""] * len(raw), [()] * len(raw))
    if params.normalise == "none":
        return done
    keys = list(blocks)
    parts = wells.groupby(keys, sort=False, dropna=False).indices.values() if keys else [np.arange(len(wells))]
    for rows in parts:
        _normalise_block(wells, np.asarray(rows), params, done)
    return done


def _normalise_block(wells: pd.DataFrame, rows: np.ndarray, params: ResponseParams, done: Normalised) -> None:
    role, raw = wells["role"].to_numpy(object)[rows], wells["value"].to_numpy(float)[rows]
    dose, usable = wells["dose"].to_numpy(float)[rows], ~wells["excluded"].to_numpy(bool)[rows]

    def centre(mask: np.ndarray) -> float:
        return centre_and_spread(raw[mask], robust=params.robust)[0]

    notes: tuple[str, ...] = ()
    wanted, problem = params.normalise, ""
    negative = role == "negative"
    if not np.isfinite(raw[negative]).any() and wanted in ("negative", "controls"):
        negative, notes = usable & (dose == 0), ("zero_dose_as_control",)
    high, low = centre(negative), 0.0
    if wanted == "plate":
        high = centre(usable & (role == "treated"))
    elif wanted == "controls":
        low = centre(role == "positive")
    if wanted == "auto" and np.isnan(high):
        for row in rows:
            done.notes[row] = ("no_controls",)
        return
    name = {"auto": "negative"}.get(wanted, wanted)
    if np.isnan(high):
        problem = "the plate has no negative controls" if wanted != "plate" else "the plate has no treated wells"
    elif np.isnan(low):
        problem = "the plate has no positive controls"
    elif wanted == "controls" and high == low:
        problem = "the negative and positive controls of the plate are equal"
    elif wanted != "controls" and not high > 0:
        problem = f"the {'wells' if wanted == 'plate' else 'negative controls'} of the plate lie at or below zero"
    factor = np.nan if problem else PERCENT / (high - low)
    for row in rows:
        done.value[row], done.scale[row] = (done.value[row] - low) * factor, abs(factor)
        done.how[row], done.problem[row], done.notes[row] = name, problem, notes
