"""A recipe: everything that makes a model, in one YAML file that can be run again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator

from vitascope.core.aliases import Aliased, TaskName, with_first_keys
from vitascope.core.card import Architecture, InputSpec, ModelId, Target
from vitascope.core.errors import InputError, ReaderError, describe
from vitascope.core.params import describe_validation
from vitascope.core.paths import training_data
from vitascope.core.training_params import AugmentParams, CropFilter, TargetPreparation, TrainingParams
from vitascope.io.models.yaml import read_yaml

MAX_BYTES = 1 << 20
MOST_DIFFERENCES = 6
ABSENT = "nothing"
LATER_FIELDS = (
    '"denoise":"none",',
    '"left_out":[],',
    '"whole_pixels":false,',
    ',"mask":false,"mask_block_px":111',
    ',"phases":false,"alone":0.0,"alone_cells":64,"merged":{}',
    ',"composed_of":[],"folds":5,"lots":[]',
    ',"mix":[]',
    ',"boxes":[]',
)
"""Fields that recipes of earlier versions had not, at their defaults, as they stand in JSON."""

COMPARE = "Start from that of a bundled model: vitascope models show ID --recipe."


class RecipePart(Aliased):
    """A part of a recipe: frozen, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImagePair(RecipePart):
    """One image with its truth: pictures (``targets``), or numbers of the whole image (``labels``).

    ``image`` and ``targets`` are file names, or globs for planes and channels, inside the data set's folder.
    ``montage`` names rows, columns and side in px of a picture that is a grid of single cells. ``regions`` is a label
    picture: what is 0 in it is neither trained on nor measured. ``left_out`` names rectangles that count as little,
    such as debris: first row, row behind the last, first column, column behind the last.
    """

    image: str = Field(description="File of the image, or a glob of its planes and channels.")
    targets: dict[str, str] = Field({}, description="File of the truth by target.")
    labels: dict[str, float] = Field({}, description="Numbers of the image by target, such as 1 for its class.")
    regions: str = Field("", description="File of a label picture; what is 0 in it does not count.")
    left_out: tuple[tuple[int, int, int, int], ...] = Field(
        (), description="Rectangles that do not count, such as debris: rows from and to, columns from and to."
    )
    montage: tuple[int, int, int] | None = Field(None, description="Rows, columns and side in px of single cells.")
    group: str = Field("", description="Well, plate, patient or class: what must not stand on both sides of a split.")
    treatment: str = Field("", description="What replicates share, such as compound and dose.")
    channel: int | None = Field(None, ge=0, description="Channel of the image, from 0; empty for the one names tell.")
    target_channel: int | None = Field(None, ge=0, description="Channel of the truth's file, from 0.")
    target_shift_px: tuple[int, int] = Field(
        (0, 0), description="Rows and columns that the truth is moved by to lie on the image."
    )
    ignore: tuple[tuple[int, int, int, int], ...] = Field(
        (), description="Rectangles that do not count: first row, behind the last, first column, behind the last."
    )


class PairSource(RecipePart):
    """Images and stains that are found, not listed: paired by name."""

    images: str = Field(description="Glob of the images inside the data set's folder, such as 'DIC/*.tif'.")
    targets: dict[str, str] | str = Field(
        description="Glob of the stains, such as 'DAPI/*.tif'; of several stains one by target."
    )


class LabelledImageSource(RecipePart):
    """Images with numbers that are found, not listed: by folder, or in a table.

    Without a table the folders are the classes. A table (CSV) names each image by ``image``, or by ``plate``, ``well``
    and ``field`` as its file name tells them; ``label`` is its class, or the targets have columns of their names.
    """

    table: str = Field("", description="CSV with a row for each image; empty takes the folders as classes.")
    label: str = Field("label", description="Column of the class.")
    classes: dict[str, str] = Field({}, description="Target that a cell of that column means; empty where they agree.")
    image: str = Field("image", description="Column of the images' file names.")
    group: tuple[str, ...] = Field((), description="Columns that make a group: well, plate, replicate.")
    control: dict[str, str] = Field(
        {},
        description="Column and value that mark controls; numbers are divided by the controls' median of the group.",
    )
    treatment: tuple[str, ...] = Field((), description="Columns that replicates share, such as compound and dose.")
    taken: str = Field(
        "", description="Column of the day or date an image was taken; empty goes by the file name's time."
    )
    pattern: str = Field("", description="Pattern for file names, as --pattern takes it.")
    boxes: tuple[str, ...] = Field(
        (),
        description="For 'viability' with a network that counts: names of the boxes of living and of dead cells, in "
        "Pascal VOC files beside the images; the loss 'places' learns from them.",
    )

    @model_validator(mode="after")
    def _of_two_kinds(self) -> LabelledImageSource:
        if len(self.boxes) not in (0, 2):
            raise ValueError("'boxes' names two kinds: those of living and those of dead cells")
        return self


class AmountSource(RecipePart):
    """Images whose amount stands in a table: CSV or XLSX, a plate's grid or a list of wells or images.

    ``table`` names it inside the data set's folder, or a glob such as ``*/ATP_*.xlsx``: then each table speaks for the
    images in its own folder, which is its plate.
    """

    table: str = Field(description="File, or a glob with one table for each plate.")
    column: str = Field("", description="Column of the amount in a list; empty takes atp, value, rlu or luminescence.")
    by: Literal["", "image", "well", "plate"] = Field("", description="What makes a group, instead of columns.")
    group: tuple[str, ...] = Field((), description="Columns that make a group; empty for the plate.")
    pattern: str = Field("", description="Pattern for file names, as --pattern takes it.")


class RealWells(RecipePart):
    """A folder of real pictures that wells are composed of; what is read is in it, not below it."""

    folder: str = Field(description="Under VITASCOPE_DATA, or relative to the recipe.")
    pattern: str = Field("*.tif", description="Which files; names tell the well, planes of one well belong together.")
    field_um: float | None = Field(
        None, gt=0, description="Side of the square in the middle of a picture; empty where it shows a whole well."
    )


class SimulatedSource(RecipePart):
    """Images drawn when the recipe runs, with known truth; the same seed gives the same images."""

    kind: Literal["wells", "spheroids", "composed"] = Field(
        description="What is drawn, or that wells are composed of real organoids."
    )
    count: int = Field(ge=1, le=100_000, description="Number of images.")
    seed: int = Field(0, ge=0, description="Start of all random numbers.")
    side_px: int = Field(ge=32, le=4096, description="Side of an image.")
    groups: int = Field(10, ge=1, description="Plates that the images are spread over.")
    composed_of: tuple[RealWells, ...] = Field((), description="Real wells, for 'composed'.")
    folds: int = Field(
        5,
        ge=1,
        description="For 'composed': real wells are dealt to so many lots. A plate is composed of one lot, and all "
        "plates of a lot are one group, 'sources0' and so on.",
    )
    lots: tuple[int, ...] = Field((), description="For 'composed': take these lots only; empty for all.")
    alive: float | None = Field(
        None,
        ge=0,
        le=1,
        description="For wells: living share of every organoid, instead of what the drug leaves. Data sets that "
        "differ in it alone show the same organoids in the same places.",
    )

    @model_validator(mode="after")
    def _composed_of_something(self) -> SimulatedSource:
        if (self.kind == "composed") != bool(self.composed_of):
            raise ValueError("'composed_of' names the real wells that 'composed' ones are made of, and only theirs")
        if any(not 0 <= lot < self.folds for lot in self.lots):
            raise ValueError("'lots' are numbered from 0 to below 'folds'")
        return self


class RenderedLight(RecipePart):
    """Transmitted light drawn through stains: cells as they are, optics at random; the stain of nuclei stays the truth.

    The image of a pair then names the stains of its cytoplasm, as a file or a glob.
    """

    views: int = Field(8, ge=1, le=1000, description="Pictures that are drawn of each field.")
    seed: int = Field(0, ge=0, description="Start of all random numbers.")
    nucleus_px: float = Field(26.0, gt=2, description="Typical nucleus of the field, px.")


class AmountFit(RecipePart):
    """How the range of amounts is cut into bins; the range itself is that of the data set.

    Ins-ATP (seed 000), sections 3.2.3 and 3.3.
    """

    bins: int = Field(20, ge=1, le=1 << 20, description="Bins of the range, where no width is given.")
    bin_width: float | None = Field(None, gt=0, description="Width R of a bin in the target's unit.")
    sampling: Literal["balanced", "random"] = Field(
        "balanced", description="Whether training images are drawn from all bins equally often."
    )
    nothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the drawn images that have an amount of 0, such as wells redrawn dead; 0 leaves them to "
        "their bin.",
    )


class TrunkWeights(RecipePart):
    """Weights that the extractor of a network starts from, such as ImageNet's, in a file of the user's.

    A safetensors file with the names of torchvision's ``resnet18``, beside the recipe or under ``VITASCOPE_DATA``.
    """

    file: str = Field(description="Name of the file.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hash of the file.")


class MosaicBags(RecipePart):
    """Bags made of single cells: as many as fit, laid out side by side, each cell once.

    A bag has class i when the share of its cells that are of class i exceeds ``thresholds[i]``.
    """

    rows: tuple[int, int] = Field((6, 10), description="Least and greatest rows and columns of cells.")
    thresholds: dict[str, float] = Field(description="Share of cells above which a bag has a class, by class.")
    cell_px: int | None = Field(None, ge=8, description="Side of the middle of each tile that is laid out; all of it.")
    validation_bags: int = Field(60, ge=1, description="Bags to validate on.")
    test_bags: int = Field(200, ge=1, description="Bags to test on.")
    one_cell: bool = Field(False, description="Train on one cell of each bag, under the bag's labels.")
    phases: bool = Field(
        False, description="Lay bags anywhere against the grid of instances, not with its corner on theirs only."
    )
    alone: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the steps that train on whole tiles of one cell, under its class, at any place.",
    )
    alone_cells: int = Field(64, ge=1, description="Tiles of such a step.")
    merged: dict[str, tuple[str, ...]] = Field(
        {}, description="Classes that count as one where tiles of one cell are measured too, by the name of them all."
    )


class VolumeTraining(RecipePart):
    """For the task ``spheroid``: what volumes are trained on. The recipe's ``loss`` holds the shares of the losses.

    Pairs of the data sets have a target ``classes`` (a volume with 0 not labelled, 1 background, 2 live, 3 dead), or
    are stacks of one colour with ``live`` or ``dead`` cells numbered. Each live one is composed with each dead one, but
    for itself, and for what the split keeps apart from it.
    """

    simulated: tuple[int, int, int] = Field(
        (0, 0, 0), description="Simulated spheroids for training, validation and test."
    )
    diameters_um: tuple[float, float] = Field((120.0, 220.0), description="Of the simulated ones, least and greatest.")
    keep_px: int | None = Field(
        None, ge=32, description="Side of the middle column that is kept of larger simulated volumes; empty keeps all."
    )
    fields: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the simulated volumes that are a field within their spheroid, as large objectives show: "
        "cut out before they are normalised.",
    )
    sparse: tuple[str, ...] = Field((), description="Label files that are not complete.")
    dead_each: int | None = Field(
        None, ge=1, description="Dead stacks that each live one is laid with, in turn; empty takes all."
    )
    alone: bool = Field(
        False, description="Whether each live stack is trained on without a dead dye too, as stacks of one dye come."
    )
    pixel_size_um: float | None = Field(None, gt=0, description="Of the data, where the files do not tell.")
    z_step_um: float | None = Field(None, gt=0, description="The same between planes.")
    crop_planes: int = Field(12, ge=4, multiple_of=4, description="Planes of a crop.")
    gamma: float = Field(2.0, ge=0, description="Of the focal loss.")
    density_sigma_um: float = Field(8.0, gt=0, description="Gaussian that the density of cells is smoothed by.")


class DataSet(RecipePart):
    """Where the data come from: by name, URL and hash; never fetched without being asked."""

    name: str = Field(description="What the data set is called.")
    url: str = Field(description="Where to get it; it is never fetched.")
    licence: str = Field(description="Licence of the data.")
    credit: str = Field(description="Who made the data.")
    description: str = Field("", description="What the data are, for the card.")
    folder: str = Field(description="Under VITASCOPE_DATA, or relative to the recipe.")
    sha256: dict[str, str] = Field(
        {}, description="Hash of every file that is used; it may be left out where files are found, not listed."
    )
    axes: str = Field("", description="Axes of each image file, as --axes takes them, where the files do not tell.")
    pairs: tuple[ImagePair, ...] | PairSource = Field(
        (),
        description="Images with their truth, listed one by one; or globs of both, paired by name: {images: "
        "'DIC/*.tif', targets: 'DAPI/*.tif'}.",
    )
    laboratory: str = Field(
        "",
        description="For 'stain': who took the images. Laboratories are trained on evenly, each stain is scaled within "
        "its own, and a split by group keeps laboratories apart.",
    )
    share: float = Field(1.0, gt=0, description="How often the laboratory is drawn, against others.")
    rendered: RenderedLight | None = Field(None, description="Draw transmitted light through stains.")
    voxel_zyx_um: tuple[float, float, float] | None = Field(
        None, description="For 'spheroid': voxel of the stacks (z, y, x) in µm, where it is not that of all data."
    )
    class_ids: dict[str, int] = Field(
        {},
        description="Ids that the classes were painted with, where they were not 1, 2, 3 …; the files beside the "
        "recipe are numbered anew.",
    )
    labelled_images: LabelledImageSource | None = Field(
        None, description="Images with a class or a number, found by folder or in a table."
    )
    amounts: AmountSource | None = Field(None, description="Images with a measured amount, from tables of plates.")
    simulated: SimulatedSource | None = Field(None, description="Images drawn when the recipe runs.")

    @model_validator(mode="after")
    def _of_one_kind(self) -> DataSet:
        if (
            bool(self.pairs) + sum(kind is not None for kind in (self.labelled_images, self.amounts, self.simulated))
            != 1
        ):
            raise ValueError(
                "a data set lists 'pairs', or says under 'labelled_images' or 'amounts' where they are found, or is "
                "'simulated'"
            )
        return self

    @property
    def listed(self) -> tuple[ImagePair, ...]:
        """The pairs that are listed; none where they are found."""
        return () if isinstance(self.pairs, PairSource) else self.pairs


class Split(RecipePart):
    """What is trained on and what is kept apart.

    ``region``: rows ``[first, last + 1]`` of every image; between training rows and those kept apart lies a gap, best
    as wide as the network's reach (the card says so where it is narrower). ``group``: whole groups (image, well,
    plate, patient; of montages single cells), named, or a share drawn by ``seed``.
    """

    by: Literal["region", "group"] = Field(description="Rows of images, or whole groups.")
    train_rows: tuple[tuple[int, int], ...] = Field(
        (), description="Rows to train on, from the first to behind the last."
    )
    validation_rows: tuple[tuple[int, int], ...] = Field((), description="Rows to validate on.")
    test_rows: tuple[tuple[int, int], ...] = Field((), description="Rows to test on.")
    train_groups: tuple[str, ...] = Field((), description="Groups to train on; empty for all that are not kept apart.")
    validation_groups: tuple[str, ...] = Field((), description="Groups to validate on.")
    test_groups: tuple[str, ...] = Field((), description="Groups to test on.")
    validation_fraction: float = Field(0.0, ge=0, lt=1, description="Share of the groups drawn to validate on.")
    test_fraction: float = Field(0.0, ge=0, lt=1, description="Share of the groups drawn to test on.")
    seed: int = Field(0, ge=0, description="Start of the drawing of groups.")
    along: Literal["", "time", "laboratory"] = Field(
        "",
        description="For images with a number: 'time' keeps the groups taken last to test on and those before them "
        "to validate on; 'laboratory' keeps whole laboratories together, as the data sets name them, whatever their "
        "groups.",
    )
    near_duplicates: float = Field(
        0.0, ge=0, lt=1, description="Images that correlate by more than this stay together; 0 does not look."
    )
    force_leak: bool = Field(False, description="Train although the split leaks; the card then says that it does.")

    @model_validator(mode="after")
    def _possible(self) -> Split:
        rows = (*self.train_rows, *self.validation_rows, *self.test_rows)
        if any(not 0 <= first < end for first, end in rows):
            raise ValueError("rows go from a first one to behind the last one, as in [0, 576]")
        if self.by == "region" and not self.train_rows:
            raise ValueError("a split by region names rows to train on")
        named = [*self.train_groups, *self.validation_groups, *self.test_groups]
        if not self.force_leak and (twice := sorted({g for g in named if named.count(g) > 1})):
            raise ValueError(f"the group {twice[0]} stands on both sides of the split")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("the shares kept apart leave nothing to train on")
        return self


class Refit(RecipePart):
    """Training once more from the start on more of the data, for as many epochs as were best.

    ``all``: of the whole; the figures then are those of the first training, its twin. ``but_test``: the validation part
    is trained on too, and the new model is measured on the test part.
    """

    on: Literal["but_test", "all"] = Field(description="What the last training sees.")
    train_rows: tuple[tuple[int, int], ...] = Field((), description="For a split by region.")
    crop_px: int | None = Field(None, ge=32, multiple_of=16, description="Of the larger area; empty for the same.")


class Recipe(RecipePart):
    """How to make one model."""

    task: TaskName = Field(description="Task that the model is for, such as stain.")
    id: ModelId = Field(description="Name of the model; -o of the command gives another.")
    title: str = Field(description="What docks call the model.")
    summary: str = Field(description="One line for the docks: trained on what, how good.")
    limitations: str = Field(description="In words, when not to trust the model.")
    licence: str = Field(description="Licence of the model.")
    credit: str = Field(description="Whom to credit for it.")
    data: tuple[DataSet, ...] = Field((), description="Data sets to train on.")
    split: Split = Field(description="What is trained on and what is kept apart.")
    input: InputSpec = Field(description="What the network sees.")
    targets: tuple[Target, ...] = Field(min_length=1, description="Outputs of the network.")
    target_preparation: TargetPreparation = Field(TargetPreparation(), description="What is done to the stain.")
    target_percentiles: tuple[float, float] = Field(
        (1.0, 99.9), description="Percentiles of the stain that become 0 and 1."
    )
    network: Architecture = Field(description="Network, and what it is built with.")
    trunk: TrunkWeights | None = Field(None, description="Weights that the extractor starts from.")
    mosaic: MosaicBags | None = Field(None, description="For 'phenotype': bags laid out of single cells.")
    volumes: VolumeTraining | None = Field(None, description="For 'spheroid': what volumes are trained on.")
    amounts: AmountFit = Field(AmountFit(), description="For 'atp': how the range is cut into bins.")
    mix: tuple[tuple[float, float], ...] = Field(
        (),
        description="For 'viability': how often numbers occur where the images come from, as number and share: of "
        "images up to the first number, of those above it up to the second, and so on. Training draws them so.",
    )
    map_truth: str = Field(
        "", description="Channel whose Otsu mask the maps' threshold and smoothing are chosen by; empty for none."
    )
    map_threshold: Literal["per_class", "single"] = Field(
        "per_class",
        description="Whether each class's maps are scaled to a threshold of their own, or one threshold holds for "
        "their plain sum, as in the paper (Kraus 2016, section 4.4).",
    )
    loss: dict[str, float] = Field({"pcc": 1.0}, min_length=1, description="Losses by name, with weights.")
    crop_px: int = Field(256, ge=32, multiple_of=16, description="Side of the crops that are trained on.")
    augment: AugmentParams = Field(AugmentParams(), description="How crops are varied.")
    keep: CropFilter = Field(CropFilter(), description="Which crops are drawn.")
    training: TrainingParams = Field(TrainingParams(), description="How long and how to train.")
    refit: Refit | None = Field(None, description="Whether to train once more on more of the data at the end.")
    twin_metrics: str = Field("", description="Id of the twin whose test figures the card shows as its twin's.")
    start_from: str = Field("", description="Model whose weights training starts from; empty for none.")

    @model_validator(mode="after")
    def _of_something(self) -> Recipe:
        if not self.data and (self.volumes is None or not self.volumes.simulated[0]):
            raise ValueError("a recipe names data")
        if self.task != "stain" and any(isinstance(data.pairs, PairSource) for data in self.data):
            raise ValueError("pairs of images and stains that are found by name are for the task 'stain'")
        ends = [end for end, _ in self.mix]
        if ends != sorted(set(ends)) or any(share <= 0 for _, share in self.mix):
            raise ValueError("the numbers of a mix rise, and its shares are above 0")
        return self

    def changed(self, values: dict[str, Any]) -> Recipe:
        """Return a copy with fields replaced by dotted name, for instance ``training.learning_rate``: for a search.

        Raises
        ------
        InputError
            If a name is unknown or a value out of bounds.
        """
        tree = self.model_dump()
        for name, value in values.items():
            *path, last = name.split(".")
            branch = tree
            for key in path:
                branch = branch.get(key) if isinstance(branch, dict) else None  # type: ignore[assignment]
            if not isinstance(branch, dict) or last not in branch:
                raise InputError(f"A recipe has no field '{name}'.", f"Known at the top: {', '.join(tree)}.")
            branch[last] = value
        return parse_recipe(tree, self.id)

    def differences(self, other: Recipe) -> list[str]:
        """Say field by field in what another recipe differs from this one, at most the first lines of it.

        Examples
        --------
        ``["training.learning_rate: 0.001, now 0.01", …]``
        """
        mine, others = (dict(_leaves(one.model_dump(mode="json"))) for one in (self, other))
        names = [name for name in {**mine, **others} if mine.get(name, ABSENT) != others.get(name, ABSENT)]
        told = [f"{name}: {_short(mine.get(name, ABSENT))}, now {_short(others.get(name, ABSENT))}" for name in names]
        more = len(told) - MOST_DIFFERENCES
        return told if more <= 0 else [*told[:MOST_DIFFERENCES], f"and {more} more"]

    def fingerprint(self) -> str:
        """Return a hash of all that shapes the weights; checkpoints of another fingerprint are refused.

        It is taken over the first names of the keys, and without later fields that are at their defaults, so that
        training begun by an earlier version resumes.
        """
        text = with_first_keys(self.model_dump_json())
        for later in LATER_FIELDS:
            text = text.replace(later, "")
        return hashlib.sha256(text.encode()).hexdigest()


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through a tree of plain values; yield dotted names and what stands there."""
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from YAML.

    Raises
    ------
    ReaderError
        If the file cannot be read or is no YAML.
    InputError
        Naming the fields that are missing, unknown or wrong.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReaderError("It is too large for a recipe.")
        tree = read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReaderError(f"The recipe {path.name} cannot be read: {describe(error)}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise ReaderError(f"The recipe {path.name} is no text.", "Check that it is YAML text.") from error
    except ReaderError as error:
        raise ReaderError(f"The recipe {path.name} cannot be read. {error.message}", COMPARE) from error
    return parse_recipe(tree, path.name)


def parse_recipe(tree: Any, source: str) -> Recipe:
    """Validate plain values as a recipe."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"The recipe {source} is not valid: {describe_validation(error)}", COMPARE) from error


def find_data(data: DataSet, recipe_folder: Path) -> Path:
    """Return the folder of a data set: under ``VITASCOPE_DATA``, else relative to the recipe; '.' is the recipe's own.

    Raises
    ------
    ReaderError
        If it is in neither place; the sentence says where to get it.
    """
    return find_folder(data.folder, data, recipe_folder)


def find_folder(folder: str, data: DataSet, recipe_folder: Path) -> Path:
    """Return a folder that a data set names, as :func:`find_data` looks for its own.

    Raises
    ------
    ReaderError
        If it is not there.
    """
    roots = (recipe_folder,) if folder == "." else (training_data(), recipe_folder)
    places = [root / folder for root in roots if root is not None]
    for place in places:
        if place.is_dir():
            return place
    raise ReaderError(
        f"The data set '{data.name}' is not on this machine.",
        f"Get it from {data.url} ({data.licence}), and set VITASCOPE_DATA to the folder that holds '{folder}'.",
    )


def check_files(data: DataSet, folder: Path) -> None:
    """Check every file of a data set against its hash.

    Raises
    ------
    ReaderError
        Naming the first file that is missing or differs.
    """
    for name, expected in data.sha256.items():
        path = folder / name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ReaderError(
                f"{name} of the data set '{data.name}' is missing or cannot be read.", f"Get it from {data.url}."
            ) from error
        if found != expected:
            raise ReaderError(
                f"{name} is not the file the recipe was written for (SHA-256 differs).", f"Get it from {data.url}."
            )
