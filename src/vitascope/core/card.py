"""The model card: all that is known of a model, in one JSON file beside its weights."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from vitascope.core.aliases import Aliased, TaskName
from vitascope.core.errors import ModelError
from vitascope.core.graph_spec import GraphSpec
from vitascope.core.params import describe_validation
from vitascope.core.readout import Readout

MODEL_ID = re.compile(r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")
RESERVED = re.compile(r"\A(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?\Z")
"""Names that Windows keeps for devices, whatever stands behind a dot."""
ENDINGS = (".json", ".safetensors", ".onnx", ".")
"""Ends of names by which a model would be taken for a file, or that a file system drops."""


def check_id(value: str) -> str:
    """Return an id that can be a file name everywhere.

    Raises
    ------
    ValueError
    """
    if not MODEL_ID.match(value):
        raise ValueError("must be 1 to 64 characters out of a-z, 0-9, dot, dash, underscore")
    if RESERVED.match(value):
        raise ValueError(f"must not be '{value}': Windows keeps this name for a device")
    if value.endswith(ENDINGS):
        raise ValueError("must not end like a file: .json, .safetensors, .onnx or a dot")
    return value


CARD_VERSION = 3
"""The newest kind of card that this version reads: 2 for networks that are run as they are, 3 for calibrated models, 1
for all others."""


def _version_of(text: str | bytes) -> int:
    """Return the version that a card says it is of; 0 where it says none, or is no card."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return 0
    version = tree.get("card_version") if isinstance(tree, dict) else None
    return version if isinstance(version, int) else 0


ModelId = Annotated[str, AfterValidator(check_id)]


class CardPart(Aliased):
    """A part of a card: frozen, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Architecture(CardPart):
    """A network of ours by name, and what it is built with."""

    name: str = Field(description="Name of the network, such as unet.")
    arguments: dict[str, Any] = Field({}, description="What it is built with, such as in_channels.")


class Normalisation(CardPart):
    """How pixels become network input: one linear map for the whole image, never per tile.

    ``percentile`` maps the ``low`` and ``high`` percentile to 0 and 1, ``minmax`` the extremes (eq. 24 of Pankova
    2022), ``standard`` subtracts the median and divides by the standard deviation, ``median_iqr`` by the distance of
    the quartiles. ``background`` divides by the
    median and subtracts 1: the light that is missing or too much against the ground, whatever the exposure. ``zscore``
    cuts what lies beyond the ``low`` and ``high`` percentile, subtracts the mean and divides by the standard deviation
    of what is left (SIM-spheroid, section 2.2). ``dataset`` does not look at the image: it subtracts the mean of the
    training set and divides by its standard deviation, channel by channel (Kraus 2016, section 4.3). ``clip`` bounds
    the result.
    """

    method: Literal["percentile", "minmax", "standard", "background", "zscore", "dataset", "median_iqr"] = Field(
        description="How the linear map is found."
    )
    low: float = Field(0.1, ge=0, le=100, description="Lower percentile, where the method has one.")
    high: float = Field(99.9, ge=0, le=100, description="Upper percentile, where the method has one.")
    clip: tuple[float, float] | None = Field(None, description="Bounds of the result; empty for none.")
    per: Literal["image", "plane", "field", "plate"] = Field(
        "image",
        description="What shares a map: a plane, all planes of one time (image), of all times (field), or all images "
        "of a plate.",
    )
    means: tuple[float, ...] = Field((), description="For 'dataset': grey value that becomes 0, of each channel.")
    stds: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (), description="For 'dataset': standard deviation of each channel, in grey values."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Normalisation:
        # The other way round every pixel would become the same number, without a word.
        if self.low >= self.high or (self.clip is not None and self.clip[0] >= self.clip[1]):
            raise ValueError("the lower limit must lie below the upper one")
        if len(self.means) != len(self.stds):
            raise ValueError("as many stds as means are wanted")
        return self


class InputSpec(CardPart):
    """What the network wants to see."""

    modality: str = Field(description="Such as phase contrast, bright-field, DIC.")
    channels: tuple[str, ...] = Field(min_length=1, description="Names of the channels, in order.")
    also_called: dict[str, tuple[str, ...]] = Field({}, description="Other names that a channel has in files.")
    planes: int = Field(1, ge=1, description="Planes of a z-stack taken as network channels.")
    spatial_dims: Literal[2, 3] = Field(2, description="2 for pictures, 3 for volumes.")
    pixel_size_um: float | None = Field(None, gt=0, description="None where the training data do not tell.")
    z_step_um: float | None = Field(None, gt=0, description="For volumes: distance of planes on the network's grid.")
    pixel_size_note: str = Field("", description="In words, where the pixel size is not certain.")
    object_diameter_px: float | None = Field(None, gt=0, description="Typical object, in training pixels.")
    normalisation: Normalisation = Field(description="How pixels become network input.")
    median: Literal["volume", "plane"] = Field(
        "volume",
        description="Filters noise from volumes: of 3 x 3 x 3 voxels, or of 3 x 3 in each plane, where planes lie far "
        "apart.",
    )
    crop_to: Literal["none", "well", "spheroid", "centre"] = Field(
        "none",
        description="What is found in the image, cut out as a square and brought to side_px first; 'centre' takes the "
        "largest square in the middle.",
    )
    side_px: int | None = Field(None, ge=16, le=4096, description="Side of that square on the network's grid.")
    ground: Literal["as_is", "even"] = Field(
        "as_is",
        description="'even' divides the square first by the light that it has without anything in it, a smooth "
        "surface: empty ground is 1 then, whatever the exposure and the shading.",
    )

    @model_validator(mode="after")
    def _square_has_a_side(self) -> InputSpec:
        if self.crop_to != "none" and self.side_px is None:
            raise ValueError("what is cut out needs a side_px")
        if self.ground == "even" and self.crop_to == "none":
            raise ValueError("only of what is cut out the ground can be made even")
        return self

    @property
    def is_light_missing(self) -> bool:
        """Whether 0 is the light of empty ground and 1 that light once more: pictures laid over each other multiply."""
        how = self.normalisation
        return how.method == "background" or (
            self.ground == "even" and how.method == "dataset" and set(how.means) | set(how.stds) == {1.0}
        )


class Target(CardPart):
    """One output of the network."""

    name: str = Field(description="What the output is called, such as the stain.")
    unit: str = Field("normalised", description="Unit of its values.")
    source_low: float | None = Field(None, description="Grey value of the stain that became 0.")
    source_high: float | None = Field(None, description="Grey value of the stain that became 1.")
    masks: bool = Field(False, description="Whether objects can be segmented in it.")
    colormap: str = Field("viridis", description="Colour map that the quantity always has.")
    shows: str = Field("", description="In words, what its voxels or pixels are, where the name does not say.")


class DataSource(CardPart):
    """What the model was trained on, with credit."""

    name: str
    url: str = ""
    licence: str
    credit: str
    description: str = ""
    sha256: dict[str, str] = {}


class Metric(CardPart):
    """A measured figure, with its interval and what it was measured on."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    level: float | None = None
    unit: str = ""
    on: str
    n: int | None = None
    from_holdout_model: bool = Field(
        False, description="Measured on the twin trained without the test data, not on this model."
    )


class IntervalProfile(CardPart):
    """How far truths lie below and above a number."""

    value: float
    below: float = Field(gt=0)
    above: float = Field(gt=0)


class Intervals(CardPart):
    """Split-conformal calibration: half-widths on a scale, by group; where there is a profile, multiples of it."""

    level: float | None = Field(gt=0, lt=1, description="None where too few groups were there to know it.")
    scale: Literal["linear", "log"] = "linear"
    half_width: float = Field(ge=0)
    groups: int = Field(ge=1)
    on: str
    profile: tuple[IntervalProfile, ...] = Field(
        (), description="How far errors reach at some numbers, in between linearly; empty where all reach alike."
    )

    @field_validator("profile")
    @classmethod
    def _rising(cls, value: tuple[IntervalProfile, ...]) -> tuple[IntervalProfile, ...]:
        if any(b.value <= a.value for a, b in pairwise(value)):
            raise ValueError("the numbers of the profile do not rise")
        return value


class Domain(CardPart):
    """What the training images looked like, to tell when an image lies outside.

    Statistics are taken over square crops of the prepared images: their 1, 50 and 99 % quantiles. The pooled deepest
    features of a crop are compared by their standardised distance: the root mean square of (feature - mean) / spread.
    """

    crop_px: int = Field(ge=16, multiple_of=16)
    crops: int = Field(ge=1)
    statistics: dict[str, tuple[float, float, float]]
    feature_mean: tuple[float, ...] = ()
    feature_std: tuple[Annotated[float, Field(gt=0)], ...] = ()
    distance_99: float | None = Field(
        None, description="99 % of crops of held-out groups lie below; None with a single group."
    )

    @model_validator(mode="after")
    def _paired(self) -> Domain:
        if len(self.feature_mean) != len(self.feature_std):
            raise ValueError("as many stds as means of features are wanted")
        return self


class ObjectErrors(CardPart):
    """How far numbers of objects were off on fields that were held out: quantiles of ln(real / predicted).

    The 5 and 95 % quantiles, over views of which as much agreement is expected as of images that are not "outside".
    """

    objects: tuple[float, float]
    mean_area: tuple[float, float]
    views: int = Field(ge=1)

    @field_validator("objects", "mean_area")
    @classmethod
    def _in_order(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("the lower quantile must not lie above the upper one")
        return value


class HomeAgreement(CardPart):
    """What is expected of images that look like the training images, measured where the model has not seen them.

    A linear discriminant tells them: the weighted sum of standardised statistics, each cut off at three standard
    deviations, reaches ``least``. What is bright in them (skewness) lies on the right side of ``skewness_limit``:
    below it where the training images are dark on bright (``dark``), else above.
    """

    statistics: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[Annotated[float, Field(gt=0)], ...]
    weights: tuple[float, ...]
    least: float
    dark: bool
    skewness_limit: float
    value: float
    low: float
    high: float
    views: int = Field(ge=1)


class CommitteeMember(CardPart):
    """Another bundled model whose prediction is compared with this one's, and how much they usually agree.

    Agreements are inverse hyperbolic tangents of correlations; ``mean`` and ``spread`` are those of the views that the
    expected agreement was learned from.
    """

    model: ModelId
    mean: float
    spread: float = Field(gt=0)


class ExpectedAgreement(CardPart):
    """How the correlation with the real stain is told from an image alone, learned where stains were known.

    Images that look like the training images are expected to do as those did that were held out (``home``). For all
    others: standardised statistics (:mod:`vitascope.engine.expected`), each cut off at ``limit`` standard deviations;
    the answer is the hyperbolic tangent of their weighted sum, and the interval ``value + low_by`` to
    ``value + high_by``, quantiles of what was left over on laboratories that were left out. One of the statistics may
    be what a ``committee`` of other models predicts. Scales and polarities are ranked by ``search``, where it is given.
    """

    statistics: tuple[str, ...] = Field(min_length=1, description="Names, in the order of the numbers.")
    mean: tuple[float, ...]
    spread: tuple[Annotated[float, Field(gt=0)], ...]
    weights: tuple[float, ...]
    intercept: float
    limit: float = Field(3.0, gt=0, description="Standard deviations that a statistic is cut off at.")
    low_by: float = Field(le=0)
    high_by: float = Field(ge=0)
    level: float = Field(0.8, gt=0, lt=1, description="Share of true values inside the interval.")
    fits: float = Field(0.7, description="Lower ends from here on fit.")
    unsure: float = Field(0.4, description="Lower ends from here on are unsure, below outside.")
    views: int = Field(ge=1, description="Views that it was learned from.")
    laboratories: tuple[str, ...] = Field(description="Who took them.")
    home: HomeAgreement | None = Field(None, description="Of images like the training images; None where not known.")
    errors: ObjectErrors | None = Field(None, description="Of numbers of objects; None where no interval is given.")
    committee: tuple[CommitteeMember, ...] = Field((), description="Models that are asked for a second opinion.")
    search: ExpectedAgreement | None = Field(None, description="What ranks scales and polarities; None for this one.")

    @model_validator(mode="after")
    def _alike_long(self) -> ExpectedAgreement:
        if not len(self.statistics) == len(self.mean) == len(self.spread) == len(self.weights):
            raise ValueError("statistics, mean, spread and weights must be equally long")
        return self


WEIGHTS_SUFFIX = {"safetensors": ".safetensors", "graph": ".onnx"}
"""Ending of the file of weights, by its kind."""


class Weights(CardPart):
    """The file of weights: numbers for a network of ours, or a whole network that is run as it is (a graph)."""

    kind: Literal["safetensors", "graph"] = "safetensors"
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    dtype: Literal["float16", "float32"]
    parameters: int

    @field_validator("file")
    @classmethod
    def _plain_name(cls, value: str, info: ValidationInfo) -> str:
        suffix = WEIGHTS_SUFFIX[info.data.get("kind", "safetensors")]
        if Path(value).name != value or not value.endswith(suffix):
            raise ValueError(f"must be the plain name of a {suffix} file beside the card")
        return value

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A card of a network of ours is, letter by letter, what older versions wrote and read.
        tree: dict[str, Any] = handler(self)
        if self.kind == "safetensors":
            tree.pop("kind", None)
        return tree


class RoundedLayer(CardPart):
    """How one convolution rounds to 8 bit; see :mod:`vitascope.engine.int8`."""

    scale: str = Field(description="What each channel of the input is divided by first: 16-bit floats in Base64.")
    low: float = Field(le=0, description="Ends of the range of the input that 256 steps share, after division.")
    high: float = Field(gt=0)
    shift: str = Field(description="What is added to each channel of the answer, to keep its mean; written alike.")

    @field_validator("scale", "shift")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not np.isfinite(cls.unpacked(value)).all():
            raise ValueError("holds numbers that are not finite")
        return value

    @field_validator("scale")
    @classmethod
    def _positive(cls, value: str) -> str:
        if not (cls.unpacked(value) > 0).all():
            raise ValueError("holds factors that are not positive")
        return value

    @staticmethod
    def packed(values: NDArray[np.float64]) -> str:
        """Write numbers as text; what a 16-bit float cannot hold is cut to its ends."""
        ends = np.finfo(np.float16)
        return base64.b64encode(np.clip(values, ends.min, ends.max).astype("<f2").tobytes()).decode()

    @staticmethod
    def unpacked(text: str) -> NDArray[np.float64]:
        """Read numbers that were written by :meth:`packed`.

        Raises
        ------
        ValueError
        """
        return np.frombuffer(base64.b64decode(text, validate=True), "<f2").astype(np.float64)


class Int8(CardPart):
    """How a network computes in whole numbers of 8 bit on processors, and how near to 32 bit its answers stay."""

    layers: tuple[RoundedLayer, ...] = Field(min_length=1, description="Convolutions in the order of computing.")
    pcc: float = Field(ge=-1, le=1, description="Least correlation with 32 bit inside objects, over all pictures.")
    change: float = Field(ge=0, description="Greatest relative change of a number in the results, in the mean.")
    changed_most: str = Field("", description="Which number that is.")
    images: int = Field(ge=1, description="Images that both were measured on, others than it was fitted on.")
    on: str = Field(description="Which images.")

    @property
    def agrees(self) -> bool:
        """Whether it may stand for 32 bit where nobody asked for it."""
        return self.pcc >= LEAST_INT8_PCC and self.change <= MOST_INT8_CHANGE

    @property
    def text(self) -> str:
        """Say how well it agrees with 32 bit, and whether it is taken by itself."""
        most = f" ({self.changed_most})" if self.changed_most else ""
        then = (
            "Taken by itself on processors without bf16 where it is faster."
            if self.agrees
            else f"Only on demand (--precision int8): {LEAST_INT8_PCC} and {MOST_INT8_CHANGE:.0%} are wanted."
        )
        return (
            f"In 8 bit: correlation with 32 bit inside objects {self.pcc:.5f} at least, numbers changed by "
            f"{self.change:.2%} at most{most}, on {self.images} image(s). {then}"
        )


LEAST_INT8_PCC, MOST_INT8_CHANGE = 0.999, 0.01
"""How near to 32 bit a network must stay in 8 bit to be taken by itself."""


SIMULATED = "The model was trained on simulated images only: how it does on real ones is not known."
"""Of a card whose ``data_is_simulated``: no image can be said to fit its model."""


class ModelCard(CardPart):
    """Everything known of a model; preprocessing travels with it."""

    card_version: Literal[1, 2, 3] = 1
    id: ModelId
    version: str = "1"
    task: TaskName
    title: str
    summary: str = Field(description="One line for the dock: trained on what, how good.")
    architecture: Architecture
    input: InputSpec
    targets: tuple[Target, ...] = Field(min_length=1)
    data: tuple[DataSource, ...]
    data_is_simulated: bool = Field(
        False, description="Whether no real image was trained on: how the model does on real ones is not known."
    )
    trained_on: tuple[str, ...] = Field(
        (), description="Fingerprints of the raw planes that were trained or validated on, to know them again."
    )
    split: str
    metrics: tuple[Metric, ...] = ()
    limitations: str = Field(description="In words, when not to trust the model.")
    licence: str
    credit: str = ""
    weights: Weights
    graph: GraphSpec | None = Field(None, description="How a network that is run as it is takes and gives pictures.")
    readout: Readout | None = Field(None, description="How the number of a calibrated model is read; empty for others.")
    domain: Domain | None = None
    intervals: Intervals | None = None
    further_intervals: dict[str, Intervals] = Field(
        {}, description="The same of other numbers than the main one, by their column."
    )
    picture_kind: str = Field("", description="Kind of pictures it is for, by which others are told apart.")
    expected: ExpectedAgreement | None = Field(
        None, description="How the agreement with the real stain is told; grades by its lower end."
    )
    default_params: dict[str, float] = Field(
        {}, description="What parameters of the task take where they are left empty, and scales of what it draws."
    )
    int8: Int8 | None = Field(None, description="How it computes in 8 bit; None where that was not tried.")
    parent: str = Field("", description="Model it was fine-tuned from: id and sha256.")
    recipe: str = ""
    training: dict[str, Any] = {}
    created: str = ""
    versions: dict[str, str] = {}

    @field_validator("targets")
    @classmethod
    def _told_apart(cls, value: tuple[Target, ...]) -> tuple[Target, ...]:
        if len({target.name.lower() for target in value}) < len(value):
            raise ValueError("two targets have the same name")
        return value

    @model_validator(mode="after")
    def _of_one_kind(self) -> ModelCard:
        graphs = (self.card_version == 2, self.weights.kind == "graph", self.graph is not None)
        if len(set(graphs)) > 1:
            raise ValueError(
                "a card of version 2 has weights of kind 'graph' and says how it is run, all others neither"
            )
        if (self.card_version == 3) != (self.readout is not None):
            raise ValueError("a card of version 3 says how its calibrated number is read, all others do not")
        if self.graph is not None and self.graph.channels != len(self.targets):
            raise ValueError(f"the graph gives {self.graph.channels} picture(s), but has {len(self.targets)} name(s)")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        tree: dict[str, Any] = handler(self)
        for later in ("graph", "readout", "int8"):
            if tree.get(later) is None:
                tree.pop(later, None)
        return tree

    @property
    def interval_flags(self) -> tuple[str, ...]:
        """What is to be said beside every interval of this model; of none, that a calibration had too few wells."""
        if self.intervals is None:
            return ("interval_unknown",) if self.calibrated else ()
        simulated = bool(self.data_is_simulated) or "simulated" in self.intervals.on
        unknown = self.intervals.level is None
        return (("interval_unknown",) if unknown else ()) + (("interval_simulated",) if simulated else ())

    @property
    def calibrated(self) -> bool:
        """Whether the model was calibrated on wells of one laboratory, in whatever way."""
        return self.readout is not None or "calibration" in self.training

    @property
    def network_channels(self) -> int:
        """Channels the network takes in: planes times channels."""
        return self.input.planes * len(self.input.channels)

    @classmethod
    def from_json(cls, text: str | bytes, source: str = "") -> ModelCard:
        """Read a card.

        Raises
        ------
        ModelError
            Naming the fields that are missing, unknown or wrong.
        """
        newer = _version_of(text)
        if newer > CARD_VERSION:
            raise ModelError(
                f"The model card {source} was made by a newer vitascope (card version {newer}).".replace("  ", " "),
                "Update vitascope to use it: pip install --upgrade vitascope.",
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ModelError(
                f"The model card {source} is not valid: {describe_validation(error)}".replace("  ", " "),
                "Ask whoever made the model for a card of this version.",
            ) from error
