"""Drug-induced liver injury: margin of safety, ranks, and how well it tells injurious compounds.

The margin of safety is IC50 / Cmax: the lower, the more likely a drug injures the liver at the concentration it reaches
in blood.

References
----------
NViR (seed 001) and its public code: IC50 of control-normalised values, margin of safety IC50 / Cmax, area under the ROC
curve. Chen et al., Drug Discov. Today 21:648 (2016): DILIrank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vitascope.core.dose_unit import unit_name
from vitascope.core.errors import InputError
from vitascope.stats.response.cells import read_column, split_unit, unit_in_name, unit_scale
from vitascope.stats.response.result import ResponseResult
from vitascope.stats.response.roc import RocComparison, compare_areas, roc_area

DILI_COLUMNS = ("compound", "cmax", "cmax_unit", "mos", "mos_low", "mos_high", "relation", "rank", "rank_low",
                "rank_high", "label", "reason")  # fmt: skip
DRAWS = 4000
NO_CURVE = "No curve was fitted for this compound."
_LABELS = {
    "most-dili-concern": 1.0, "less-dili-concern": 1.0, "no-dili-concern": 0.0, "dili": 1.0, "positive": 1.0,
    "pos": 1.0, "yes": 1.0, "true": 1.0, "1": 1.0, "1.0": 1.0, "negative": 0.0, "neg": 0.0, "no": 0.0, "false": 0.0,
    "0": 0.0, "0.0": 0.0, "non-dili": 0.0, "no dili": 0.0,
}  # fmt: skip


def read_label(text: Any) -> float:
    """1 for compounds that injure the liver, 0 for those that do not, NaN for others, such as ambiguous ones.

    Words of DILIrank's ``vDILIConcern`` are read with and without their ``v``: most and less concern are 1, no concern
    is 0, ambiguous is neither.

    Examples
    --------
    >>> read_label("vMost-DILI-Concern"), read_label("vNo-DILI-Concern"), read_label("Ambiguous DILI-concern")
    (1.0, 0.0, nan)
    """
    word = str(text).strip().casefold()
    return _LABELS.get(word, _LABELS.get(word.removeprefix("v"), math.nan))


def read_cmax(table: pd.DataFrame) -> pd.DataFrame:
    """Read compounds with Cmax and label, in our layout or with DILIrank's columns.

    Parameters
    ----------
    table : DataFrame
        ``compound`` (or ``treatment``, ``Compound Name``, ``drug``), ``cmax``, its unit in the cell, in ``cmax_unit``
        or in the name (``Cmax (µg/mL)``), and ``label`` (or ``vDILIConcern``, ``dili``).

    Returns
    -------
    DataFrame
        ``key`` (the name in lower case), ``name`` (as it is written), ``cmax``, ``cmax_unit``, ``label``,
        ``reason``; a compound that stands there twice with different numbers has none, and the reason.

    Raises
    ------
    InputError
        If there is no column of compounds, none of Cmax or several.
    """
    known = {str(name).strip().casefold().replace(" ", "_"): name for name in table.columns}

    def column(*names: str) -> Any:
        return next((known[name] for name in names if name in known), None)

    name, cmax = column("compound", "treatment", "compound_name", "drug", "name"), _cmax_column(table)
    label, unit = column("label", "vdiliconcern", "dili", "dili_concern"), column("cmax_unit", "unit")
    for found, what in ((name, "compound"), (cmax, "cmax")):
        if found is None:
            raise InputError(f"The table of Cmax has no column '{what}'.", f"It has: {', '.join(map(str, table))}.")
    rows, of_name = [], unit_in_name(str(cmax))
    for i, cell in enumerate(read_column(table[cmax].tolist())):
        reason = f"Cmax: {cell.problem}." if cell.problem else ""
        if not reason and not cell.value > 0:
            reason = "Cmax is missing." if math.isnan(cell.value) else "Cmax must lie above zero."
        of_row = str(table[unit].iloc[i]).strip() if unit is not None else ""
        own = cell.unit or (of_row if of_row != "nan" else "") or of_name
        rows.append({
            "key": _key(table[name].iloc[i]), "name": str(table[name].iloc[i]).strip(),
            "cmax": math.nan if reason else cell.value,
            "cmax_unit": unit_name(own) if own else "",
            "label": read_label(table[label].iloc[i]) if label is not None else math.nan, "reason": reason,
        })  # fmt: skip
    read = pd.DataFrame(rows, columns=["key", "name", "cmax", "cmax_unit", "label", "reason"])
    read = read[read["key"] != ""].drop_duplicates(["key", "cmax", "cmax_unit", "label", "reason"])
    twice = read["key"].duplicated(keep=False)
    read.loc[twice, "cmax"] = math.nan
    read.loc[twice, "reason"] = "The table of Cmax has this compound twice, with different entries."
    return read.drop_duplicates("key")


def _cmax_column(table: pd.DataFrame) -> Any:
    """Return the column of Cmax, by its name without unit; None where there is none."""
    words = {name: re.sub("[^a-z]", "", split_unit(str(name))[0].casefold()) for name in table}
    exact = [name for name, word in words.items() if word == "cmax"]
    found = exact or [name for name, word in words.items() if word.startswith("cmax") and word != "cmaxunit"]
    if len(found) > 1:
        raise InputError(f"The table has several columns of Cmax: {', '.join(map(str, found))}.", "Keep one of them.")
    return found[0] if found else None


def _key(name: Any) -> str:
    return " ".join(str(name).casefold().split())


def margins_of_safety(result: ResponseResult, cmax: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Margin of safety of each curve, and its rank with an interval.

    Ranks run from 1 (lowest margin, most likely to injure). Their intervals come from drawing each log margin from its
    interval 4,000 times; margins that are bounds are drawn beyond them, evenly over a factor of ten.

    Parameters
    ----------
    result : ResponseResult
        Of one quantity; several curves of one compound (plates, days) are pooled by the median of their log IC50.
    cmax : DataFrame
        As :func:`read_cmax` takes it; where no unit is told µM is taken, and the reason says so.
    seed : int

    Returns
    -------
    DataFrame
        :data:`DILI_COLUMNS`, most dangerous first: a waterfall. Compounds without a margin stand last with the reason;
        compounds that showed no effect (flat) have their top dose as a bound. Compounds of the table of Cmax that have
        no curve stand last too.

    Raises
    ------
    InputError
        If the curves have no column ``treatment``.
    """
    highest = [fit.doses[1] if fit is not None else math.nan for fit in result.fits]
    return margins_of_curves(result.curves, highest, cmax, seed=seed)


def margins_of_curves(
    curves: pd.DataFrame, highest: Sequence[float], cmax: pd.DataFrame, *, seed: int = 0
) -> pd.DataFrame:
    """Margin of safety of each compound from a table of curves, such as ``curves.csv`` read again.

    Parameters
    ----------
    curves : DataFrame
        ``curves`` of a :class:`vitascope.stats.response.result.ResponseResult` of one quantity.
    highest : sequence of float
        Highest dose of each curve, in its unit.
    cmax, seed
        As for :func:`margins_of_safety`.

    Raises
    ------
    InputError
        If the curves have no column ``treatment``, or the table of Cmax lacks one.
    """
    if "treatment" not in curves:
        raise InputError("The curves have no column 'treatment'.", "Fit with by=[…, 'treatment'].")
    known = read_cmax(cmax).set_index("key")
    grouped = curves.assign(_highest=list(highest)).groupby("treatment", sort=False)
    rows = [_margin(str(name), part, known) for name, part in grouped]
    fitted = {_key(name) for name in grouped.groups}
    rows += [_without_curve(entry) for key, entry in known.to_dict("index").items() if key not in fitted]
    table = pd.DataFrame(rows, columns=list(DILI_COLUMNS))
    _rank(table, seed)
    return table.sort_values(["rank", "compound"], na_position="last", kind="stable").reset_index(drop=True)


def _margin(name: str, part: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(DILI_COLUMNS, math.nan)
    row.update(compound=name, relation="", reason="", cmax_unit="")
    if _key(name) not in known.index:
        return row | {"reason": "The table of Cmax does not have this compound."}
    entry = known.loc[[_key(name)]].iloc[0].to_dict()
    row.update(cmax=float(entry["cmax"]), cmax_unit=entry["cmax_unit"], label=float(entry["label"]))
    if entry["reason"]:
        return row | {"reason": entry["reason"]}
    bounds = _pooled(part)
    if bounds is None:
        return row | {"reason": "; ".join(dict.fromkeys(part["reason"])) or "No curve could be fitted."}
    ic50, low, high, relation = bounds
    units = {"the IC50": str(part["ic50_unit"].iloc[0]), "Cmax": str(entry["cmax_unit"])}
    untold = [what for what, unit in units.items() if not unit]
    unit, of_cmax = (one or "µM" for one in units.values())
    row["cmax_unit"] = of_cmax
    (kind, size), (other, base) = unit_scale(unit), unit_scale(of_cmax)
    if kind != other:
        return row | {"reason": f"The IC50 is in {unit} and Cmax in {of_cmax}: there is no ratio."}
    factor = size / base / row["cmax"]
    row["reason"] = f"No unit of {' and '.join(untold)} is told: taken for µM." if untold else ""
    return row | {"mos": ic50 * factor, "mos_low": low * factor, "mos_high": high * factor, "relation": relation}


def _without_curve(entry: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Row of a compound that the table of Cmax has, and the curves have not."""
    row: dict[str, Any] = dict.fromkeys(DILI_COLUMNS, math.nan)
    told = {name: entry[name] for name in ("cmax", "cmax_unit", "label")}
    return row | told | {"compound": entry["name"], "relation": "", "reason": f"{NO_CURVE} {entry['reason']}".strip()}


def _pooled(part: pd.DataFrame) -> tuple[float, float, float, str] | None:
    """Median over the curves of a compound: IC50, ends and relation; flat curves count as above their top dose."""
    flat = (part["quality"] == "flat") & part["_highest"].notna()
    ic50 = part["ic50"].where(~flat, part["_highest"]).astype(float)
    relation = part["relation"].where(~flat, ">")
    usable = ic50.notna()
    if not usable.any():
        return None
    ordered = part.assign(_ic50=ic50, _relation=relation)[usable].sort_values("_ic50", kind="stable")
    ends = ordered["ic50_low"].where(ordered["_relation"] != ">", ordered["_ic50"]), ordered["ic50_high"]
    low, high = ends[0].fillna(0.0).astype(float), ends[1].fillna(math.inf).astype(float)
    if len(ordered) == 1:
        first: dict[str, Any] = {str(k): v for k, v in ordered.iloc[0].items()}
        own_low = first["ic50_low"] if first["_relation"] == ">" and first["ic50_low"] > 0 else low.iloc[0]
        return float(first["_ic50"]), float(own_low), float(high.iloc[0]), str(first["_relation"])
    middle = ordered.iloc[[(len(ordered) - 1) // 2, len(ordered) // 2]]
    with np.errstate(divide="ignore"):
        ends_of = [float(np.exp(np.median(np.log(end.to_numpy(float))))) for end in (low, high) if len(end)]
    value = float(np.exp(np.log(middle["_ic50"].to_numpy(float)).mean()))
    bounds = [word for word in middle["_relation"] if word != "="]
    return value, ends_of[0], ends_of[1], str(bounds[0]) if bounds else "="


def _rank(table: pd.DataFrame, seed: int) -> None:
    """Fill ranks and their 95 % intervals, in place."""
    rows = np.flatnonzero(table["mos"].notna())
    if not len(rows):
        return
    part = table.iloc[rows]
    mos, low, high = (np.log10(part[c].to_numpy(float).clip(1e-300, 1e300)) for c in ("mos", "mos_low", "mos_high"))
    # a name must not decide between equal margins: equal ones share their mean rank
    ranks = pd.Series(mos).rank(method="average").to_numpy()
    rng = np.random.default_rng(seed)
    order = np.argsort(part["compound"].to_numpy(str), kind="stable")
    normal = np.empty((DRAWS, len(rows)))
    even = np.empty_like(normal)
    normal[:, order], even[:, order] = rng.standard_normal(normal.shape), rng.random(normal.shape)
    left, right = (mos - np.maximum(low, mos - 1)) / 1.96, (np.minimum(high, mos + 1) - mos) / 1.96
    drawn = mos + np.where(normal < 0, left, right) * normal
    relation = part["relation"].to_numpy()
    drawn = np.where(relation == ">", mos + even, np.where(relation == "<", mos - even, drawn))
    each = drawn.argsort(axis=1).argsort(axis=1) + 1
    ends = np.quantile(each, [0.025, 0.975], axis=0)
    places = table.index[rows]
    table.loc[places, "rank"] = ranks
    table.loc[places, "rank_low"] = np.minimum(np.floor(ends[0]), ranks)
    table.loc[places, "rank_high"] = np.maximum(np.ceil(ends[1]), ranks)


def injury_score(margins: pd.DataFrame) -> np.ndarray:
    """Score for ROC curves: minus log10 of the margin of safety, higher for more dangerous compounds.

    A margin that is a lower bound (>) scores half a step of a factor of ten lower than one of the same number.
    """
    logs = np.log10(margins["mos"].to_numpy(float).clip(1e-300, 1e300))
    shift = margins["relation"].map({">": 0.5, "<": -0.5}).fillna(0.0).to_numpy(float)
    return np.asarray(-(logs + shift))


def injury_roc(margins: dict[Any, pd.DataFrame], level: float = 0.95) -> pd.DataFrame:
    """Area under the ROC curve of the margin of safety, by day or by any other key.

    Parameters
    ----------
    margins : dict
        Tables of :func:`margins_of_safety` by day.
    level : float, 0 to 1

    Returns
    -------
    DataFrame
        ``day, auc, low, high, level, positives, negatives, reason``.
    """
    rows = []
    for day, table in margins.items():
        area = roc_area(table["label"], injury_score(table), level)
        rows.append({"day": day, **area.__dict__})
    return pd.DataFrame(rows, columns=["day", "auc", "low", "high", "level", "positives", "negatives", "reason"])


def compare_with_assay(
    image: pd.DataFrame, assay: pd.DataFrame, *, margin: float, level: float = 0.95
) -> RocComparison:
    """Compare ROC areas of image-based and assay-based margins on the compounds that both have.

    Parameters
    ----------
    image, assay : DataFrame
        From :func:`margins_of_safety`.
    margin : float, >= 0
        Largest loss of area at which the image counts as not worse; state it before looking.
    level : float, 0 to 1
    """
    scores = [pd.Series(injury_score(t), index=t["compound"].map(_key)) for t in (image, assay)]
    labels = pd.Series(image["label"].to_numpy(float), index=image["compound"].map(_key))
    both = pd.concat([labels, *scores], axis=1, keys=["label", "image", "assay"], join="inner").dropna()
    return compare_areas(both["label"], both["image"], both["assay"], margin=margin, level=level)
