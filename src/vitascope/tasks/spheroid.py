"""The task ``spheroid``: calcein / PI stack in, live and dead voxels, viability and response out, in 3-D."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic.config import JsonDict

from vitascope.core.errors import InputError
from vitascope.core.params import RunParams
from vitascope.tasks.spec import Role, TaskSpec
from vitascope.tasks.training_data import SplitRule, TrainingData, Truth

ADVANCED: JsonDict = {"advanced": True}

LEAST_PLANES = 3


class SpheroidParams(RunParams):
    """What can be set for "Segment spheroid"."""

    channels: tuple[str, ...] | None = Field(
        None,
        title="Channels",
        description="The live and the dead dye, in this order, by name or by number from 0; empty takes those whose "
        "names tell.",
    )
    z_step_um: float | None = Field(
        None,
        title="Plane distance",
        description="Distance of two planes of the stack; empty takes the file's.",
        gt=0,
        le=1000,
        json_schema_extra={"unit": "µm"},
    )
    object_diameter_px: float | None = Field(
        None,
        title="Width of a cell",
        description="Width of a typical cell or nucleus; where the pixel size is not known, the stack is brought to "
        "the model's scale by it.",
        gt=0,
        le=10000,
        json_schema_extra={"unit": "px"},
    )
    outline_percent: int | None = Field(
        None,
        title="Outlines, loose ↔ tight",
        description="How far an outline lies on the way from the ground to the brightness of its cell: 30 is loose, 70 "
        "tight. The left end of the slider, or nothing, takes the outlines as the model learned them.",
        ge=30,
        le=70,
        json_schema_extra={"unit": "%", "slider": True},
    )
    live_voxels: Literal["auto", "nuclei", "cell bodies"] = Field(
        "auto",
        title="Live dye stains",
        description="Nuclei or whole cell bodies; 'auto' goes by the name of the channel. It is written beside the "
        "numbers and changes none.",
        json_schema_extra=ADVANCED,
    )
    control_live_um3: float | None = Field(
        None,
        title="Live volume of the control",
        description="Mean live volume of untreated control spheroids, for one stack alone. With a plate map it is not "
        "wanted: live volumes in percent of the map's controls are in the tables.",
        gt=0,
        json_schema_extra={"advanced": True, "unit": "µm³"},
    )
    least_diameter_um: float = Field(
        40.0,
        title="Smallest spheroid",
        description="What is smaller than a ball of this diameter is left out as debris, and counted; where nothing is "
        "as large, the bound is lowered.",
        gt=0,
        le=5000,
        json_schema_extra={"unit": "µm"},
    )
    shell_um: float = Field(
        20.0,
        title="Depth shells",
        description="Thickness of the shells, counted from the surface, that the live share is given for.",
        gt=0,
        le=1000,
        json_schema_extra={"advanced": True, "unit": "µm"},
    )
    rescale: bool = Field(
        True,
        title="Match voxel size",
        description="Bring the stack to the voxel size of the model first; results come back on its own voxels.",
        json_schema_extra=ADVANCED,
    )
    tile_px: int | None = Field(
        None,
        title="Tile",
        description="Side of the piece computed at once, half as deep; empty measures what is fastest and fits memory. "
        "It never changes the result.",
        ge=64,
        le=1024,
        multiple_of=4,
        json_schema_extra={"advanced": True, "unit": "px"},
    )

    @field_validator("channels", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        if isinstance(value, str | int):
            value = (value,)
        return tuple(str(v) for v in value) if isinstance(value, list | tuple) else value


SPEC = TaskSpec(
    name="spheroid",
    title="Segment spheroid",
    verb="Segment",
    summary="Find live and dead voxels of live / dead stained spheroids in 3-D, and measure viability and form.",
    params=SpheroidParams,
    pipeline="vitascope.pipelines.spheroid",
    training="vitascope.training.tasks.spheroid",
    searching="vitascope.training.tasks.spheroid_search",
    roles=(
        Role("image", "Stack", "Stack of planes with a live and a dead dye, such as calcein and propidium iodide."),
    ),
    headline="viability_percent",
    headline_title="Viability",
    source=(
        "CNN-based quantification of chemotherapeutic response in tumor spheroids using structured "
        "illumination. freederia, DEV Community."
    ),
    plot="depth",
    trained_on=TrainingData(
        truth=Truth.VOLUMES,
        hint="Labels layer: {classes}; 0 is ignored, a few painted slices are enough.",
        classes=("background", "live", "dead"),
        split=SplitRule.VOLUMES_OR_ROWS,
    ),
    kinds={"density": "cell density", "otsu": "cells by a plain threshold"},
    against_control=("live_um3",),
    labels_are_masks=True,
)


def check_stack(planes: int) -> None:
    """Refuse what is no stack.

    Raises
    ------
    InputError
        If there are fewer planes than :data:`LEAST_PLANES`.
    """
    if planes < LEAST_PLANES:
        raise InputError(
            f"The image has {planes} plane(s); a spheroid is judged in 3-D, from {LEAST_PLANES} planes up.",
            "Open the whole z-stack, or tell which axis is z (--axes CZYX).",
            flag="wrong_planes",
            dock="Open the whole z-stack, or choose under Dimensions which axis is z.",
        )
