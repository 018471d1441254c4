"""Whether a well's place on the plate matters beside its dose, and values freed of that.

What a well differs from its own curve, or a control from the median of its kind, tells of its place: so a layout whose
doses follow the columns shows no column effect of its own. Effects are factors, since drying, warmth and light change a
signal by a share of it.

References
----------
Tukey, Exploratory Data Analysis (1977): sweeping by medians. Malo et al., Nat. Biotechnol. 24:167 (2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import ParameterError
from vitascope.core.well import Well
from vitascope.stats.plate_quality import LEAST_TESTED, position_effects, smallest_shape, z_prime

Correction = Literal["none", "edge", "rows", "columns", "rows_columns", "all"]
Floats = NDArray[np.float64]

PARTS: dict[str, tuple[str, ...]] = {
    "none": (), "edge": ("edge",), "rows": ("row",), "columns": ("column",), "rows_columns": ("row", "column"),
    "all": ("edge", "row", "column"),
}  # fmt: skip
LEAST_SHARE = 0.25
"""Wells expected below this share of the highest expectation do not count: noise outweighs a share of little."""
SWEEPS = 3
SIGNIFICANT_P = 0.01
"""With three tests a plate, one good plate in about thirty is flagged by chance."""
PLATE_COLUMNS = ("quantity", "n_negative", "n_positive", "z_prime", "robust_z_prime", "edge_percent", "edge_p", "row_p",
                 "column_p", "corrected", "flags")  # fmt: skip


def blocks_of(wells: pd.DataFrame, blocks: Sequence[str]) -> list[NDArray[np.intp]]:
    """Return the rows of each block, in the order of the table."""
    if not len(wells):
        return []
    if not blocks:
        return [np.arange(len(wells))]
    return [np.asarray(rows) for rows in wells.groupby(list(blocks), sort=False, dropna=False).indices.values()]


def places_of(names: Sequence[str]) -> list[Well] | None:
    """Read the names of wells; None where one is none."""
    try:
        return [Well.parse(name) for name in names]
    except ParameterError:
        return None


def ratios_to(values: Floats, expected: Floats) -> Floats:
    """Values over what is expected of them; NaN where little is expected, or nothing is known."""
    with np.errstate(invalid="ignore"):
        enough = expected > LEAST_SHARE * np.nanmax(expected, initial=0.0)
    ratios = np.full(len(values), np.nan)
    np.divide(values, expected, out=ratios, where=enough & np.isfinite(values))
    return ratios


def position_factors(places: Sequence[Well], ratios: Floats, how: Correction) -> Floats:
    """Factor of each well's place: its edge, row and column, each swept by medians.

    Parameters
    ----------
    places : sequence of Well
        Of one plate.
    ratios : array, shape (N,)
        From :func:`ratios_to`.
    how : {"none", "edge", "rows", "columns", "rows_columns", "all"}

    Returns
    -------
    array, shape (N,)
        1 where fewer than three wells of an edge, row or column are known.
    """
    rows, columns = smallest_shape(places)
    row, column = np.array([p.row for p in places]), np.array([p.column for p in places])
    lines = {
        "edge": ((row == 0) | (row == rows - 1) | (column == 0) | (column == columns - 1)).astype(int),
        "row": row,
        "column": column,
    }
    factor = np.ones(len(places))
    for _ in range(SWEEPS):
        for name in PARTS[how]:
            left = ratios / factor
            middle = np.nanmedian(left[lines["edge"] == 0] if name == "edge" else left) if _known(left, lines) else 1.0
            for line in np.unique(lines[name]):
                at = lines[name] == line
                if (name == "edge" and line == 0) or np.isfinite(left[at]).sum() < LEAST_TESTED or not middle > 0:
                    continue
                step = float(np.nanmedian(left[at]) / middle)
                factor[at] *= step if step > 0 else 1.0
    return factor


def _known(left: Floats, lines: dict[str, NDArray[np.int_]]) -> bool:
    """Whether there is something to compare the edge, and any line, with."""
    return bool(np.isfinite(left[lines["edge"] == 0]).sum() >= LEAST_TESTED)


def judge_blocks(
    wells: pd.DataFrame, blocks: Sequence[str], quantity: str, ratios: Floats, how: Correction
) -> tuple[pd.DataFrame, list[tuple[str, ...]]]:
    """Judge each plate by its controls and by place.

    Parameters
    ----------
    wells : DataFrame
        With ``well``, ``role``, ``value``, ``drifted`` and the columns of ``blocks``.
    blocks : sequence of str
    quantity : str
    ratios : array, one for each well
        From :func:`ratios_to`.
    how : str
        The correction that was made.

    Returns
    -------
    DataFrame, list of tuple of str
        The columns of ``blocks`` and :data:`PLATE_COLUMNS`, one row for each block; and for each well the flags that
        its plate brings.
    """
    told: list[tuple[str, ...]] = [()] * len(wells)
    found = []
    value, role = wells["value"].to_numpy(float), wells["role"].to_numpy(object)
    for rows in blocks_of(wells, blocks):
        negative, positive = (value[rows][role[rows] == one] for one in ("negative", "positive"))
        z, robust = z_prime(negative, positive), z_prime(negative, positive, robust=True)
        line = {name: wells[name].iloc[rows[0]] for name in blocks}
        places = places_of([str(name) for name in wells["well"].iloc[rows]])
        line |= {"quantity": quantity, "z_prime": z, "robust_z_prime": robust, "corrected": how}
        line |= {"n_negative": int(np.isfinite(negative).sum()), "n_positive": int(np.isfinite(positive).sum())}
        words: list[str] = ["low_z_prime"] if z < 0 else []
        if places is not None:
            effects = position_effects(places, ratios[rows], smallest_shape(places))
            line |= {"edge_percent": effects.edge_percent, "edge_p": effects.edge_p}
            line |= {"row_p": effects.row_p, "column_p": effects.column_p}
            tested = (
                ("edge_effect", effects.edge_p),
                ("row_effect", effects.row_p),
                ("column_effect", effects.column_p),
            )
            words += [word for word, p in tested if p < SIGNIFICANT_P]
        words += ["position_corrected"] if how != "none" and places is not None else []
        words += ["drift_alarm"] if wells["drifted"].iloc[rows].any() else []
        found.append({**line, "flags": ";".join(words)})
        for row in rows:
            told[row] = tuple(words)
    return pd.DataFrame(found, columns=[*blocks, *PLATE_COLUMNS]), told
