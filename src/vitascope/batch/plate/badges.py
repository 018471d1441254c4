"""One badge for each well: how far to rely on it, by the agreement that is expected and by drift, with both reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vitascope.batch.drift.in_words import since
from vitascope.core.card import SIMULATED
from vitascope.core.formatting import is_number
from vitascope.core.result import Trust, TrustLevel
from vitascope.core.status import JUDGED
from vitascope.core.well import Well
from vitascope.io.models.cards import saw_no_real_image

ORDER: tuple[TrustLevel, ...] = ("fits", "unknown", "unsure", "outside")


def well_badges(frame: pd.DataFrame, drift: Mapping[str, Any]) -> dict[Well, Trust]:
    """Judge the wells of a plate; of several images in a well the worst counts.

    Parameters
    ----------
    frame : DataFrame
        Rows of ``results.csv``, as far as they are there.
    drift : mapping
        What the run's watch found, see :meth:`vitascope.batch.drift.watch.PlateWatch.summary`; empty without one.

    Returns
    -------
    dict of Well to Trust
        Of the wells that were judged. None "fits" a model that saw simulated images only. An image in an alarm of
        drift is "unsure" at least; its reasons tell the expected agreement, where the model has one, and the drift,
        where the plate was watched.
    """
    wells = dict(zip(frame["image"], frame["well"], strict=True)) if len(frame) else {}
    told = _drift_reasons(drift, {str(image): str(well) for image, well in wells.items()})
    models = frame["model"].dropna().astype(str).unique() if "model" in frame else ()
    simulated = {model for model in models if saw_no_real_image(model)}
    found: dict[Well, Trust] = {}
    for row in frame.to_dict("records"):
        if row.get("status") not in JUDGED:
            continue
        level, reasons = _of_card({str(key): value for key, value in row.items()})
        if str(row.get("model")) in simulated:
            level, reasons = max(level, "unknown", key=ORDER.index), [SIMULATED, *reasons]
        drifted = told.get(str(row["image"]))
        if drifted is not None:
            reasons.append(drifted[1])
            level = max(level, "unsure", key=ORDER.index) if drifted[0] else level
        well, one = Well.parse(row["well"]), Trust(level, tuple(reasons))
        if well not in found or ORDER.index(level) > ORDER.index(found[well].level):
            found[well] = one
    return found


def _of_card(row: Mapping[str, Any]) -> tuple[TrustLevel, list[str]]:
    flags = str(row.get("flags") or "").split(";")
    level: TrustLevel = "outside" if "outside_model" in flags else "unsure" if "unsure" in flags else "fits"
    low, high = row.get("expected_pcc_low"), row.get("expected_pcc_high")
    if is_number(low) and is_number(high):
        return level, [f"Expected agreement with a real stain {low:.2f} to {high:.2f} (PCC)"]
    return level, []


def _drift_reasons(drift: Mapping[str, Any], wells: Mapping[str, str]) -> dict[str, tuple[bool, str]]:
    """Say of each image that was tested whether it lies in an alarm, and in words."""
    found: dict[str, tuple[bool, str]] = {}
    began = ""
    begins = set(drift.get("alarms", ()))
    for image, (_, _, alarm) in drift.get("steps", {}).items():
        began = image if image in begins else began
        if alarm:
            found[image] = True, since([began], drift.get("causes", {}), lambda name: wells.get(name, name))
        elif alarm is not None:
            found[image] = False, f"No drift from '{drift['reference']}'"
    return found
