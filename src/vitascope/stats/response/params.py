"""The settings of a dose-response analysis; forms, help and docs show the text of the fields."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vitascope.core.params import FormParams
from vitascope.stats.response.position import Correction

Normalisation = Literal["auto", "none", "negative", "controls", "plate"]
Weights = Literal["equal", "replicates", "tukey", "interval"]
IntervalKind = Literal["profile", "delta", "bootstrap"]
Scatter = Literal["auto", "blocks", "equal", "unequal"]
Direction = Literal["either", "falls", "rises"]

_ADVANCED = {"advanced": True}


class ResponseParams(FormParams):
    """How curves are fitted and judged."""

    parameters: Literal[2, 3, 4] = Field(
        4,
        title="Parameters",
        description="Parameters of the log-logistic curve: 4 fits both plateaus, slope and midpoint; 3 holds the lower "
        "plateau at 0; 2 holds the upper plateau at the control too.",
    )
    direction: Direction = Field(
        "either", title="Direction", description="Whether values must fall or rise with the dose for a curve to count."
    )
    normalise: Normalisation = Field(
        "auto",
        title="Normalise to",
        description="negative: percent of the negative controls of the plate; controls: 0 % the positive, 100 % the "
        "negative controls; plate: percent of the plate's treated wells; none: as given; auto: negative where the "
        "plate has such controls, else as given.",
    )
    robust: bool = Field(
        True,
        title="Robust",
        description="Take the median of the controls instead of their mean.",
        json_schema_extra={**_ADVANCED},
    )
    correct: Correction = Field(
        "none",
        title="Correct for place",
        description="Free values of the place on the plate before the fit: edge, rows, columns, rows_columns or all. "
        "Effects are told by how far wells lie off their own curve, and controls off each other.",
    )
    weights: Weights = Field(
        "equal",
        title="Weights",
        description="equal; replicates: by their scatter at each dose; tukey: far points count less; interval: by the "
        "wells' own intervals.",
        json_schema_extra={**_ADVANCED},
    )
    outliers: Literal["none", "rout"] = Field(
        "none",
        title="Outliers",
        description="Which points to leave out by rule; rout: those that a robust curve finds at a false discovery "
        "rate of 1 %. They are recorded.",
    )
    outside_wells: Literal["keep", "leave_out"] = Field(
        "keep",
        title="Wells outside the model",
        description="Whether wells that the model was not made for, or whose live dye leaks, count.",
    )
    interval: IntervalKind = Field(
        "profile",
        title="Interval",
        description="How the interval of the IC50 is found: from the profile of the likelihood, by the delta method "
        "(fast, too short for few points), or by the bootstrap (slow).",
        json_schema_extra={**_ADVANCED},
    )
    scatter: Scatter = Field(
        "auto",
        title="Scatter",
        description="What intervals take for granted. blocks: wells of one plate and day scatter alike, and a curve "
        "over several of them differs between them too; equal: all wells scatter alike wherever they stand; unequal: "
        "each well may scatter in its own way, as where values vary in proportion to their size, or a share is exact "
        "near its ends; auto: blocks where there are several, else unequal where a test says so. Never makes an "
        "interval narrower than equal does.",
        json_schema_extra={**_ADVANCED},
    )
    fit_controls: bool = Field(
        False,
        title="Controls in the fit",
        description="Let the negative controls of the plate count as wells of dose zero in each curve, so that they "
        "show its upper plateau where few doses do.",
        json_schema_extra={**_ADVANCED},
    )
    level: float = Field(
        0.95,
        title="Level",
        description="Share of such intervals that hold the true value.",
        gt=0,
        lt=1,
        json_schema_extra={**_ADVANCED},
    )
    beyond: Literal["censor", "tenfold"] = Field(
        "censor",
        title="Beyond the doses",
        description="censor: an IC50 beyond the doses is given as > top dose or < lowest dose; tenfold: as a number up "
        "to ten times the top dose, infinite beyond.",
        json_schema_extra={**_ADVANCED},
    )
    flat_p: float = Field(
        0.05,
        title="Flat above p",
        description="A curve that is no better than a constant, by F-test at this level, is flat.",
        gt=0,
        lt=1,
        json_schema_extra={**_ADVANCED},
    )
    control: float | None = Field(
        None,
        title="Level of controls",
        description="Level of untreated wells, for values that come as percent (100) or share (1) of the control.",
        gt=0,
    )
    top: float | None = Field(
        None, title="Top", description="Value at which to hold the upper plateau.", json_schema_extra={**_ADVANCED}
    )
    bottom: float | None = Field(
        None, title="Bottom", description="Value at which to hold the lower plateau.", json_schema_extra={**_ADVANCED}
    )
    hill: float | None = Field(
        None, title="Hill slope", description="Slope to hold, above 0.", gt=0, json_schema_extra={**_ADVANCED}
    )
    dose_unit: str = Field(
        "", title="Unit of doses", description="Unit of doses that the table does not tell.", max_length=40
    )
    unit: str = Field("", title="Unit of values", description="Unit of the values as given.", max_length=40)
    resamples: int = Field(
        999,
        title="Resamples",
        description="Draws of the bootstrap.",
        ge=99,
        le=99999,
        json_schema_extra={**_ADVANCED},
    )
    seed: int = Field(
        0, title="Seed", description="Start of the random numbers.", ge=0, json_schema_extra={**_ADVANCED}
    )
