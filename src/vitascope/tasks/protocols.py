"""What modules that need torch offer to those that must not load it: the seam, as the type checker sees it.

Menus, docks and commands know these protocols; :mod:`vitascope.tasks.late_modules` and the specs hand the modules out.
A test has mypy compare each module with its protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from vitascope.core.params import RunParams
from vitascope.tasks.training_data import Truth

if TYPE_CHECKING:  # a menu that lists the tasks loads no recipes and no pandas
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vitascope.core.card import InputSpec, Metric, ModelCard, Normalisation
    from vitascope.core.denoising import Denoised, DenoiseParams
    from vitascope.core.micrograph import Micrograph
    from vitascope.core.progress import ProgressGenerator
    from vitascope.core.result import Result
    from vitascope.recipes.calibration import CalibrateParams, Calibration
    from vitascope.recipes.finetune import CheckedPair, Estimate, FineTuneParams, SetUp, TableData, TrainingPair
    from vitascope.recipes.recipe import Recipe
    from vitascope.recipes.stack_pair import StackFigures, StackPair, StackTrainParams
    from vitascope.stats.stain_tiers import Tiers
    from vitascope.tasks.comparison import Comparison
    from vitascope.tasks.good_image import GoodImage
    from vitascope.tasks.graph_guess import Guess
    from vitascope.tasks.stability import Stability

Params = TypeVar("Params", bound=RunParams, contravariant=True)


@runtime_checkable
class PipelineModule(Protocol[Params]):
    """How a task is run: ``pipelines/<task>.py``, for the task's own parameters."""

    def run(self, inputs: Mapping[str, Micrograph], params: Params, /) -> ProgressGenerator[Result]:
        """Run on images by role."""


@runtime_checkable
class SettlingModule(Protocol[Params]):
    """How a task learns what all images of a run share: in ``pipelines/<task>.py``."""

    def settle(self, images: Sequence[Callable[[], Micrograph]], params: Params, /) -> ProgressGenerator[RunParams]:
        """Look at some of the images, and return the parameters that hold for all."""


@runtime_checkable
class TrainingModule(Protocol):
    """How models of a task are made and measured: ``training/tasks/<task>.py``."""

    def run_training(
        self, recipe: Recipe, recipe_folder: Path, out: Path, start_from: str | None = None, device: str = "auto"
    ) -> ProgressGenerator[Path]:
        """Train a model, write its card and weights, and return the path of the card."""

    def run_evaluation(
        self, model: str, recipe: Recipe, recipe_folder: Path, device: str = "auto"
    ) -> ProgressGenerator[list[Metric]]:
        """Measure a model on the test part of a recipe's data."""


@runtime_checkable
class SearchModule(Protocol):
    """How the best values of a recipe are found."""

    def search(
        self, recipe: Recipe, recipe_folder: Path, study_file: Path, trials: int, device: str = "auto"
    ) -> ProgressGenerator[Recipe]:
        """Try values, and return the recipe with the best ones."""


@runtime_checkable
class StabilityModule(Protocol):
    """How a model suffers when images are made worse: ``training/stability/study.py``."""

    def run_stability(
        self,
        model: str,
        recipe: Recipe,
        folder: Path,
        out: Path | None = None,
        *,
        corruptions: Sequence[str] = (),
        severities: Sequence[int] = (),
        most: int = 12,
    ) -> ProgressGenerator[Stability]:
        """Run a study on the images of a recipe."""


@runtime_checkable
class FineTuningModule(Protocol):
    """How fine-tuning is set up, the same for all tasks: ``training/finetune.py``."""

    def set_up_pairs(
        self, name: str, start: str, pairs: Sequence[TrainingPair], params: FineTuneParams, scratch: bool = False
    ) -> ProgressGenerator[SetUp]:
        """Write pairs, and the recipe of a run that fine-tunes a model on them."""

    def set_up_table(
        self, name: str, start: str, data: TableData, params: FineTuneParams, scratch: bool = False
    ) -> SetUp:
        """Write the recipe of a run that fine-tunes a model on the images of a table, or of folders."""

    def with_start_defaults(self, recipe: Recipe, start_from: str) -> Recipe:
        """Complete a recipe that starts from a model by what the dock takes, where it says nothing itself."""

    def estimate(self, recipe: Recipe, folder: Path, device: str = "auto") -> ProgressGenerator[Estimate]:
        """Measure a few real steps, to tell how long a run will take and how much memory."""

    def discard(self, ready: SetUp) -> None:
        """Take back what was set up."""

    def warm_up(self) -> None:
        """Load what is loaded with the first training."""


@runtime_checkable
class CalibrationModule(Protocol):
    """A model of wells calibrated on one laboratory's plate: ``training/calibration/calibrate.py``."""

    def calibrate(
        self, images: Path, values: Path, out: Path, name: str, params: CalibrateParams
    ) -> ProgressGenerator[Calibration]:
        """Compare ways to calibrate, and make a model of the best."""


@runtime_checkable
class PairCheckModule(Protocol):
    """What is wrong with a pair of image and truth: ``training/data/image_pairs.py``."""

    def check(self, pair: TrainingPair, spec: InputSpec, truth: Truth = Truth.PICTURES) -> CheckedPair:
        """Say what is wrong with a pair; nothing is raised for what can be said."""


@runtime_checkable
class StainTiersModule(Protocol):
    """Predicted against real stains: ``pipelines/stain_tiers.py``."""

    def compare_tiers(
        self,
        real: Mapping[str, Any],
        predicted: Mapping[str, Any],
        nucleus_px: float | None = None,
        pixel_size_um: float | None = None,
    ) -> ProgressGenerator[Tiers]:
        """Compare stains of one field by pixels, masks and single cells."""


@runtime_checkable
class DenoiseModule(Protocol):
    """Noise off one picture: ``training/noise2void.py``."""

    def denoise_picture(
        self, picture: NDArray[Any], params: DenoiseParams, device: str = "auto"
    ) -> ProgressGenerator[Denoised]:
        """Learn from a picture alone what in it is noise, and take it off."""


@runtime_checkable
class ExchangeModule(Protocol):
    """Models to and from other programs: ``exchange/api.py``."""

    def export_bioimageio(self, model: str, out: Path) -> Path:
        """Write a model as a bioimage.io package."""

    def export_onnx(self, model: str, out: Path) -> Path:
        """Write the network of a model as ONNX."""

    def import_foreign(self, path: Path, like: str = "", name: str = "") -> ModelCard:
        """Add a model from a file that is not of our own format."""

    def write_events(self, records: Path, out: Path) -> list[Path]:
        """Write the curve of each recorded training for TensorBoard."""


@runtime_checkable
class GraphImportModule(Protocol):
    """Networks of other programs, to be run as they are: ``exchange/graph_import.py``; needs no torch."""

    def import_graph(
        self,
        path: Path,
        task: str,
        name: str = "",
        *,
        spec: Path | None = None,
        outputs: str = "",
        normalise: str = "",
        pixel_size_um: float | None = None,
        planes_for_channels: bool = False,
        answers: Mapping[str, Any] | None = None,
    ) -> ModelCard:
        """Add a network to the user's models."""

    def guess(self, path: Path, *, planes_for_channels: bool = False) -> Guess:
        """Return what is to be confirmed before a network is tried."""

    def parse_normalisation(self, text: str) -> Normalisation:
        """Read a normalisation as the command line says it."""

    def try_on(self, card: ModelCard, image: Micrograph) -> ProgressGenerator[Result]:
        """Run a network on an image; if it does not run, it is deleted."""

    def name_outputs(self, model: str, names: Sequence[str]) -> ModelCard:
        """Give the pictures that a network answers with other names, in its order."""


@runtime_checkable
class GraphDomainModule(Protocol):
    """Domains of networks of other programs: ``pipelines/stain_domain.py``."""

    def fit_domain(self, model: str, images: Sequence[GoodImage]) -> ProgressGenerator[ModelCard]:
        """Describe images that a network does well on in its card."""


@runtime_checkable
class QuantiseModule(Protocol):
    """Networks in 8 bit: ``pipelines/quantise.py``."""

    def quantise(self, model: str, images: Sequence[GoodImage]) -> ProgressGenerator[ModelCard]:
        """Find how a model rounds to 8 bit, compare with 32 bit, and write both in its card."""


@runtime_checkable
class StackTrainingModule(Protocol):
    """Networks of volumes trained on stacks and their stains: ``training/fnet_stack.py``."""

    def train_on_stacks(
        self, pairs: Sequence[StackPair], params: StackTrainParams, out: Path, device: str = "auto"
    ) -> ProgressGenerator[StackFigures]:
        """Train, write the weights, and measure on rows that were held out."""


@runtime_checkable
class StackModelModule(Protocol):
    """A trained network of volumes kept as a model: ``exchange/fnet_model.py``."""

    def keep_stack_model(
        self,
        checkpoint: Path,
        name: str,
        stain: str,
        figures: StackFigures,
        params: StackTrainParams,
        sources: tuple[str, ...],
        pixel_size_um: float | None = None,
    ) -> ModelCard:
        """Make a model of weights that were trained."""


@runtime_checkable
class PlateLevelsModule(Protocol):
    """Grey levels that all images of a plate share: ``engine/plate_levels.py``; needs no torch."""

    def find_levels(
        self,
        card: ModelCard,
        images: Sequence[tuple[str, Callable[[], Micrograph]]],
        channel: str | None = None,
        planes: Sequence[int] | None = None,
    ) -> ProgressGenerator[str | None]:
        """Count the pixels of all images, and say which grey values become 0 and 1."""


@runtime_checkable
class ComparisonModule(Protocol):
    """Two models on the same data: ``training/compare_models.py``."""

    def compare(self, first: str, second: str, recipe: Recipe, recipe_folder: Path) -> ProgressGenerator[Comparison]:
        """Measure two models of one task on the test part of a recipe's data."""
