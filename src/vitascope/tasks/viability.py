"""The task ``viability``: bright-field image of a spheroid in, its viability with an interval and a map out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.config import JsonDict

from vitascope.core.params import RunParams
from vitascope.tasks.spec import Role, TaskSpec
from vitascope.tasks.training_data import TrainingData, Truth

ADVANCED: JsonDict = {"advanced": True}


class ViabilityParams(RunParams):
    """What can be set for "Viability"."""

    channel: str | None = Field(
        None,
        title="Channel",
        description="Bright-field channel of the image, by name or by number from 0; empty takes the only one, or the "
        "one whose name says so.",
    )
    planes: tuple[int, ...] | None = Field(
        None,
        title="Planes",
        description="Planes of a stack to judge, each as a spheroid of its own, from 0; empty takes all of them.",
    )
    maps: bool = Field(
        True,
        title="Show what it rests on",
        description="Make a map of how much the number falls where a place is hidden, or of its integrated gradients.",
    )
    explain: Literal["occlusion", "integrated_gradients"] = Field(
        "occlusion",
        title="Map by",
        description="occlusion: hide one place after the other and see how the number changes; integrated_gradients: "
        "add up the gradients on the way from an empty field to the image.",
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
        description="Give no number for an image that looks unlike all the model knows; otherwise it is given and "
        "flagged.",
        json_schema_extra=ADVANCED,
    )


SPEC = TaskSpec(
    name="viability",
    title="Viability",
    verb="Estimate viability",
    summary="Estimate how much of a spheroid or of cells lives from a bright-field image, and show what that rests on.",
    params=ViabilityParams,
    pipeline="vitascope.pipelines.viability",
    training="vitascope.training.tasks.viability",
    roles=(
        Role("image", "Image", "Bright-field image of a spheroid or of cells, or a series of them over days."),
        Role(
            "control",
            "Control",
            "Image of an untreated spheroid of the same plate and day, for models that see both.",
            optional=True,
        ),
    ),
    headline="viability",
    headline_title="Viability",
    source=(
        "Non-invasive quantification of viability in spheroids using deep learning (2026) Front. Bioeng. "
        "Biotechnol., doi:10.3389/fbioe.2026.1797474."
    ),
    automatic=False,
    side_by_side=True,
    trained_on=TrainingData(truth=Truth.NUMBERS),
    kinds={"map": "viability map"},
    map_words={"map": "what each place adds to the viability (green) or takes from it (pink)"},
)
