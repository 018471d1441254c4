"""What a calibration is given, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from vitascope.core.card import ModelCard
from vitascope.core.params import FormParams

LEAST_WELLS = 8
ERRORS, CURVE, NEXT, WELLS = "calibration.csv", "learning_curve.csv", "next_wells.csv", "wells.csv"


class CalibrateParams(FormParams):
    """What can be set for "Calibrate"."""

    start: str = Field(
        "auto",
        title="Start model",
        description="Model whose number is calibrated; auto takes that of 'run', in the dock the chosen one.",
        json_schema_extra={"advanced": True},
    )
    method: Literal["best", "line", "features", "blend", "network"] = Field(
        "best",
        title="Method",
        description="best: what errs least on wells left out. line: a line or curve on the start model's number. "
        "features: area, volume, darkness, texture and roundness of the organoids. blend: both. network: fine-tuning.",
    )
    network: bool = Field(
        False,
        title="Try fine-tuning too",
        description="Fine-tunes the network on the wells as well: six trainings, which take long on a processor.",
    )
    column: str = Field(
        "", title="Column", description="Column or kind of value in the sheet; empty takes atp, value, rlu, …"
    )
    group: str = Field(
        "",
        title="Keep together",
        description="Column of the sheet, such as day: wells of one never stand on both sides. Empty keeps plates "
        "apart, or within one plate rows.",
    )
    pattern: str = Field(
        "",
        title="Pattern",
        description="Pattern for file names, as --pattern takes it.",
        json_schema_extra={"advanced": True},
    )
    unit: str = Field("", title="Unit", description="Unit of the measured values; empty takes the start model's.")
    seed: int = Field(
        0,
        title="Seed",
        description="Start of all random numbers.",
        ge=0,
        le=2**31 - 1,
        json_schema_extra={"advanced": True},
    )


@dataclass(frozen=True, eq=False)
class Calibration:
    """What came of a calibration.

    Parameters
    ----------
    card : ModelCard
        Of the calibrated model.
    path : Path
        Of the card.
    folder : Path
        Holds the tables as CSV.
    chosen : str
        The method that was kept.
    errors : DataFrame
        ``method, mae, low, high, wells, chosen``: on wells left out.
    curve : DataFrame
        ``wells, mae, low, high, kind``.
    next_wells : DataFrame
        ``rank, image, plate, well, gain, why``.
    apart : str
        What was kept apart: plates, rows, columns, wells or groups.
    problems : tuple of str
        Sentences on what was left out.
    """

    card: ModelCard
    path: Path
    folder: Path
    chosen: str
    errors: pd.DataFrame
    curve: pd.DataFrame
    next_wells: pd.DataFrame
    apart: str
    problems: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What a user is to know, in words."""
        errors = self.errors.set_index("method")["mae"]
        unit = self.card.targets[0].unit
        told = [
            f"Kept: {self.chosen}. It errs by {errors[self.chosen]:,.4g} {unit} on wells left out ({self.apart} kept "
            f"apart); always giving the median errs by {errors['constant']:,.4g}."
        ]
        if errors[self.chosen] >= errors["constant"]:
            told.append("That is no better than the median: do not use this model.")
        if self.card.intervals is None:
            told.append("With so few wells no interval can be given (9 at least).")
        expected = self.curve[self.curve["kind"] == "expected"]
        if len(expected):
            last = expected.iloc[-1]
            told.append(f"With {int(last['wells'])} wells some {last['mae']:,.4g} {unit} is to be expected.")
        if len(self.next_wells):
            named = self.next_wells["well"].where(self.next_wells["well"] != "", self.next_wells["image"])
            told.append(f"Measure these next: {', '.join(named)}.")
        return told
