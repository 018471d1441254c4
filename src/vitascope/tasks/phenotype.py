"""The task ``phenotype``: image in, probabilities of classes, maps of what they rest on, and regions out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic.config import JsonDict

from vitascope.core.params import RunParams
from vitascope.tasks.spec import Role, TaskSpec
from vitascope.tasks.training_data import TrainingData, Truth

ADVANCED: JsonDict = {"advanced": True}


class PhenotypeParams(RunParams):
    """What can be set for "Phenotype"."""

    channels: tuple[str, ...] | None = Field(
        None,
        title="Channels",
        description="Channels of the image in the order of the model's, by name or by number from 0; empty takes those "
        "whose names tell.",
    )
    planes: tuple[int, ...] | None = Field(
        None,
        title="Planes",
        description="Planes of the z-stack to classify, each on its own, from 0; empty takes all of them.",
    )
    maps: bool = Field(
        True,
        title="Show what it rests on",
        description="Make the Jacobian map of each class, and the regions it outlines; without them only the numbers, "
        "in a third of the time.",
    )
    threshold: float | None = Field(
        None,
        title="Threshold",
        description="Map values above this are foreground, in units of the map; empty takes the model's own.",
        ge=0,
        json_schema_extra=ADVANCED,
    )
    smoothing: float | None = Field(
        None,
        title="Smoothing",
        description="How much neighbouring pixels pull on each other when the thresholded map is de-noised; 0 for not "
        "at all, empty takes the model's own.",
        ge=0,
        le=20,
        json_schema_extra=ADVANCED,
    )
    denoise: Literal["cut", "messages"] = Field(
        "cut",
        title="De-noise by",
        description="cut: the best labelling, exactly; messages: loopy belief propagation, as in the paper.",
        json_schema_extra=ADVANCED,
    )
    min_region_px: float | None = Field(
        None,
        title="Smallest region",
        description="Regions of fewer pixels are left out; empty takes a twentieth of a typical cell.",
        ge=0,
        json_schema_extra={"advanced": True, "unit": "px"},
    )
    instances: Literal["auto", "all", "centre"] = Field(
        "auto",
        title="What counts",
        description="all: every place of the image; centre: only the cell in the middle, for crops of single cells, "
        "judged by the pooling layer; auto: centre where the image is no larger than two and a half cells.",
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
        title="Cell diameter",
        description="Typical diameter of a cell in your image. Where pixel sizes are unknown, the image is scaled so "
        "that cells have the size the model was trained with; empty scales by pixel size only.",
        gt=2,
        le=2000,
        json_schema_extra={"advanced": True, "unit": "px"},
    )

    @field_validator("channels", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, str | int):
            value = (value,)
        return tuple(str(v) for v in value) if isinstance(value, list | tuple) else value


SPEC = TaskSpec(
    name="phenotype",
    title="Phenotype",
    verb="Classify",
    summary="Tell which phenotypes an image shows, where in it, and how sure that is.",
    params=PhenotypeParams,
    pipeline="vitascope.pipelines.phenotype",
    training="vitascope.training.tasks.phenotype",
    roles=(
        Role("image", "Image", "Microscopy image with the channels that the model takes, or a crop of one cell."),
        Role(
            "region",
            "Counts only",
            "Picture that is above 0 where the image counts, such as the inside of the well.",
            optional=True,
        ),
    ),
    headline="probability",
    headline_title="Probability",
    source=(
        "Kraus, Ba, Frey (2016) Classifying and segmenting microscopy images with deep multiple instance "
        "learning. Bioinformatics 32:i52, doi:10.1093/bioinformatics/btw252."
    ),
    headline_text="predicted",
    plot="probabilities",
    trained_on=TrainingData(
        truth=Truth.CLASSES,
        hint="Labels layer: {classes}. Or a Points or Shapes layer that has a feature with the class.",
    ),
)
