"""The task ``stain``: label-free image in, predicted fluorescence, masks and measurements out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
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
    targets: tuple[str, ...] | None = Field(
        None,
        title="Targets",
        description="Stains to predict, of those that the model knows, by name; empty predicts all of them.",
    )
    masks: bool = Field(True, title="Find objects", description="Segment the predicted stain and measure every object.")
    overlay: bool = Field(
        False,
        title="Overlay",
        description="Write a picture of ER in red, cells in green and nuclei in blue too, where the model predicts two "
        "of them.",
        json_schema_extra=ADVANCED,
    )
    doubt: bool = Field(
        False,
        title="Doubt",
        description="Predict mirrored images too and write, pixel by pixel, how far the answers lie apart: up to four "
        "times the time. The prediction stays what it is.",
        json_schema_extra=ADVANCED,
    )
    cells: bool = Field(
        False,
        title="Find whole cells and organelles",
        description="Grow a cell from every nucleus, and measure ER, mitochondria and the bright perinuclear part in "
        "it, where the model predicts them; needs a stain of nuclei and one of cell bodies.",
    )
    er_method: Literal["mended", "thesis"] = Field(
        "mended",
        title="ER by",
        description="mended: mask after the local threshold, neighbourhood of six nuclei; thesis: Algorithm 4 as "
        "printed, which finds too much.",
        json_schema_extra=ADVANCED,
    )
    golgi_level: Annotated[float, Field(ge=0, lt=1)] | Literal["set", "image"] = Field(
        "set",
        title="Golgi brighter than",
        description="With whole cells: the bright perinuclear part is what rises above this, background taken off. "
        "set: the 90th percentile inside the cells of all images of the run, learnt from up to 24 of them first; wells "
        "with much and with little are then judged alike. image: that of each picture; a tenth of its cells is then "
        "bright whatever there is.",
        json_schema_extra={"advanced": True, "unit": "of 1"},
    )
    steps: bool = Field(
        False,
        title="Show steps",
        description="With whole cells: write every step of finding them and their organelles as pictures too.",
        json_schema_extra=ADVANCED,
    )
    correction: str | None = Field(
        None,
        title="Correction",
        description="File of a linear correction of intensities, as 'vitascope compare-stain --fit-correction' makes "
        "it from a real stain of the same kind; empty leaves predictions as they are.",
        json_schema_extra=ADVANCED,
    )
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
    object_diameter_px: Annotated[float, Field(gt=2, le=2000)] | Literal["auto"] = Field(
        "auto",
        title="Object diameter",
        description="Typical diameter of a nucleus in your image: the image is scaled so that nuclei have the size the "
        "model was trained with. auto: about four scales are tried, and the image stays as it is unless another one is "
        "clearly better. Pixel sizes known on both sides win.",
        json_schema_extra={"advanced": True, "unit": "px"},
    )
    plate_levels: str | None = Field(
        None,
        title="Grey levels of the plate",
        description="For a model that is normalised by plate: the grey value that becomes 0 and how many make 1, as "
        "ZERO:UNIT of each channel in its order, by commas. Runs of a plate find them and record them here; empty for "
        "all other models.",
        json_schema_extra=ADVANCED,
    )
    invert: Literal["auto", "yes", "no"] = Field(
        "auto",
        title="Swap bright and dark",
        description="auto: both are tried, and the image stays as it is unless the other is clearly better.",
        json_schema_extra=ADVANCED,
    )
    abstain: bool = Field(
        True,
        title="Hold back numbers that are likely wrong",
        description="Where the expected agreement with a real stain is too low, numbers are left empty; pictures and "
        "masks are still there.",
        json_schema_extra=ADVANCED,
    )
    least_expected: float = Field(
        0.4,
        title="Least expected agreement",
        description="Numbers are held back where the lower end of the expected agreement (PCC) lies below this.",
        ge=-1,
        le=1,
        json_schema_extra={"advanced": True, "unit": "PCC"},
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
    cut: Annotated[float, Field(gt=0, lt=1)] | Literal["card", "thesis"] = Field(
        "card",
        title="Cut of masks",
        description="For models that were trained on masks, such as of whole cells: what is predicted brighter than "
        "this is inside. card: where areas came out right on images that were held out of the model's training; "
        "thesis: 0.8.",
        json_schema_extra={"advanced": True, "unit": "of 1"},
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

    @property
    def to_settle(self) -> bool:
        """Whether the level of brightness is to be learnt from all images of a run before the first one."""
        return self.cells and self.golgi_level == "set"

    @field_validator("targets", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        """Read names written as one text: ``er, agp``."""
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip()) or None
        return value

    @field_validator("object_diameter_px", mode="before")
    @classmethod
    def _empty_is_auto(cls, value: Any) -> Any:
        return "auto" if value is None else value


SPEC = TaskSpec(
    name="stain",
    title="Predict nuclei",
    verb="Predict nuclei",
    summary="Predict a fluorescent stain from a label-free image, find the nuclei and measure them.",
    params=StainParams,
    pipeline="vitascope.pipelines.stain",
    settling="vitascope.pipelines.stain",
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
    source="Pankova (2022) AI-based fluorescent labeling for cell line development. Master thesis, Düsseldorf.",
    plot="objects",
    runs_graphs=True,
    rounds=True,
    trained_on=TrainingData(
        truth=Truth.PICTURES,
        hint="The real stain of the same field, or a Labels layer with painted objects.",
        classes=("background", "foreground"),
        split=SplitRule.GROUPS_OR_ROWS,
        turned=True,
    ),
    compartment="Nuclei",
)
