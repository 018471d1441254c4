"""The task ``stain``: label-free image in, predicted fluorescence, masks and measurements out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic.config import JsonDict

from vitascope.core.params import RunParams
from vitascope.tasks.spec import Role, TaskSpec
from vitascope.tasks.training_data import SplitRule, TrainingData, Truth

ADVANCED: JsonDict = {"advanced": True}


class StainParams(RunParams):
    """What can be set for "Predict nuclei"."""

    channel: str | None = Field(
        None,
        title="Channel",
        description="Label-free channel of the image, by name or by number from 0; empty takes the only one, or the "
        "one whose name says so.",
    )
    planes: tuple[int, ...] | None = Field(
        None,
        title="Planes",
        description="Planes of the z-stack to use, from 0, as many as the model wants; empty takes all of them, or "
        "those spread evenly over the stack.",
    )
    masks: bool = Field(True, title="Find objects", description="Segment the predicted stain and measure every object.")
    flips: bool = Field(
        False,
        title="Average over flips",
        description="Predict the mirrored image too and average: twice the time, a little more accurate. Only mirrors "
        "that the model was trained with are used.",
        json_schema_extra=ADVANCED,
    )
    rescale: bool = Field(
        True,
        title="Match pixel size",
        description="Bring the image to the pixel size of the model first; results come back on its own pixels.",
        json_schema_extra=ADVANCED,
    )
    object_diameter_px: float | None = Field(
        None,
        title="Object diameter",
        description="Typical diameter of a nucleus in your image. Where pixel sizes are unknown, the image is scaled "
        "so that nuclei have the size the model was trained with; empty scales by pixel size only.",
        gt=2,
        le=2000,
        json_schema_extra={"advanced": True, "unit": "px"},
    )
    blend: Literal["exact", "border", "gaussian"] = Field(
        "exact",
        title="Stitching",
        description="exact: tiles overlap by all the network sees, no seam; border: 256 px windows that keep their "
        "centre, as in the thesis; gaussian: windows blended by a bell curve.",
        json_schema_extra=ADVANCED,
    )
    border_px: int = Field(
        32,
        title="Border",
        description="For 'border' and 'gaussian' stitching: how much of each 256 px window is left out (or overlaps) "
        "on every side.",
        ge=0,
        le=112,
        multiple_of=16,
        json_schema_extra={"advanced": True, "unit": "px"},
    )
    threshold: Literal["local", "minimum", "iterative", "mixture"] = Field(
        "local",
        title="Threshold",
        description="local: against the neighbourhood, best under uneven light; minimum: valley of the histogram, "
        "faster; iterative: halfway between the means; mixture: crossing of two bell curves.",
        json_schema_extra=ADVANCED,
    )
    block_diameters: float = Field(
        3.7,
        title="Neighbourhood of threshold",
        description="For the local threshold: size of the neighbourhood in object diameters (111 px where the diameter "
        "is unknown).",
        gt=0.5,
        le=20,
        json_schema_extra={"advanced": True, "unit": "diameters"},
    )
    min_contrast: float = Field(
        0.1,
        title="Least predicted signal",
        description="Predicted signal below this is background, whatever the threshold says; 0 switches it off.",
        ge=0,
        lt=1,
        json_schema_extra={"advanced": True, "unit": "of 1"},
    )
    min_area: float = Field(
        0.15,
        title="Smallest object",
        description="Objects smaller than this share of a typical object's area are left out.",
        ge=0,
        le=10,
        json_schema_extra={"advanced": True, "unit": "typical areas"},
    )
    max_area: float = Field(
        4.0,
        title="Largest object",
        description="Objects larger than this many typical objects' areas are left out.",
        gt=0,
        le=1000,
        json_schema_extra={"advanced": True, "unit": "typical areas"},
    )
    min_solidity: float = Field(
        0.8,
        title="Least convexity",
        description="Area over that of the convex hull; jagged objects below this are left out.",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True, "unit": "of 1"},
    )
    split_touching: bool = Field(
        True, title="Split touching objects", description="Cut clumps at their waists.", json_schema_extra=ADVANCED
    )


SPEC = TaskSpec(
    name="stain",
    title="Predict nuclei",
    verb="Predict nuclei",
    summary="Predict a fluorescent stain from a label-free image, find the nuclei and measure them.",
    params=StainParams,
    pipeline="vitascope.pipelines.stain",
    training="vitascope.training.tasks.stain",
    roles=(
        Role("image", "Image", "Label-free image: phase contrast, bright-field or DIC; a plane or a z-stack."),
        Role(
            "reference",
            "Real stain",
            "The same field with the real stain, to see how well the prediction agrees.",
            optional=True,
        ),
    ),
    headline="objects",
    headline_title="Nuclei",
    plot="objects",
    runs_graphs=True,
    trained_on=TrainingData(
        truth=Truth.PICTURES,
        hint="The real stain of the same field, or a Labels layer with painted objects.",
        classes=("background", "foreground"),
        split=SplitRule.GROUPS_OR_ROWS,
        turned=True,
    ),
)
