"""The task ``atp``: bright-field image of a well in, its ATP with an interval and maps out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.config import JsonDict

from vitascope.core.params import RunParams
from vitascope.tasks.spec import Role, TaskSpec
from vitascope.tasks.training_data import TrainingData, Truth

DEFAULT_MODEL = "atp-organoid"
"""What 'auto' stands for."""

ADVANCED: JsonDict = {"advanced": True}


class AtpParams(RunParams):
    """What can be set for "Estimate ATP"."""

    channel: str | None = Field(
        None,
        title="Channel",
        description="Bright-field channel of the image, by name or by number from 0; empty takes the only one, or the "
        "one whose name says so.",
    )
    planes: tuple[int, ...] | None = Field(
        None,
        title="Planes",
        description="Planes of a stack to estimate, each as a well of its own, from 0; empty takes all of them.",
    )
    maps: bool = Field(
        True,
        title="Show what it rests on",
        description="Make the maps: attention or what each place contributes, as the model has it, and its percentile.",
    )
    views: Literal[1, 8] = Field(
        8,
        title="Ways to lay it down",
        description="Average number and maps over the eight ways to turn and mirror a well, so that they do not depend "
        "on which way is up; 1 is faster.",
        json_schema_extra=ADVANCED,
    )
    refine: Literal[1, 2, 4] = Field(
        1,
        title="Refine maps",
        description="Average maps over this many shifts of the grid each way, instead of blurring them; takes the "
        "square of it in time. The number stays that of the grid in place.",
        json_schema_extra=ADVANCED,
    )
    listed: int = Field(
        5,
        title="Places listed",
        description="How many of the places that count most are listed.",
        ge=0,
        le=1000,
        json_schema_extra=ADVANCED,
    )
    flat_field: bool = Field(
        True,
        title="Even out light",
        description="Divide a picture whose ground falls by more than a fifth, from edge to edge or from the middle to "
        "the rim, by its own ground first; it is said where that was done.",
        json_schema_extra=ADVANCED,
    )
    abstain: bool = Field(
        True,
        title="No number outside the model",
        description="Give no number for a well that looks unlike all the model knows; else it is given and flagged.",
        json_schema_extra=ADVANCED,
    )


SPEC = TaskSpec(
    name="atp",
    title="Estimate ATP",
    verb="Estimate ATP",
    summary="Estimate the ATP of organoids from a bright-field image of their well, and show what the number rests on.",
    params=AtpParams,
    pipeline="vitascope.pipelines.atp",
    training="vitascope.training.tasks.atp",
    roles=(Role("image", "Image", "Bright-field image of a whole well, or a stack with a well in each plane."),),
    headline="atp",
    headline_title="ATP",
    source="Ins-ATP: deep estimation of ATP for organoid based on high throughput microscopic images (2023).",
    side_by_side=True,
    trained_on=TrainingData(truth=Truth.NUMBERS, extensive=True),
    kinds={
        "contribution": "ATP map",
        "attention": "ATP attention",
        "organoids": "organoids seen",
        "percentile": "ATP percentile",
        "instances": "places",
    },
    map_words={
        "contribution": "the ATP that each place adds",
        "attention": "how much of the number each place decides",
    },
)
