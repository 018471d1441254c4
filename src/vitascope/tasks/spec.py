"""One definition of a task, from which its dock, command, batch and Python call are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vitascope.core.errors import ParameterError
from vitascope.core.late_import import import_late
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import Result
from vitascope.tasks.protocols import PipelineModule, SearchModule, SettlingModule, TrainingModule
from vitascope.tasks.training_data import TrainingData, Truth

RunFunction = Callable[[Mapping[str, Micrograph], RunParams], ProgressGenerator[Result]]
MEASURED_NUMBERS = TrainingData(truth=Truth.NUMBERS)
PlotName = Literal["", "objects", "probabilities", "depth"]


@dataclass(frozen=True)
class Role:
    """An input of a task.

    Parameters
    ----------
    name : str
        Key of the input, also the name of the keyword and the command's option.
    title : str
        What the form calls it.
    description : str
        What it is for, in a biologist's words.
    optional : bool
        Whether the task runs without it.
    """

    name: str
    title: str
    description: str
    optional: bool = False


@dataclass(frozen=True)
class TaskSpec:
    """What a task is; free of torch, Qt and napari.

    Parameters
    ----------
    name : str
        One word, the same in every folder, file, class, test and page.
    title : str
        What docks and menus call it.
    verb : str
        What the run button says.
    summary : str
        One sentence for menus and ``--help``.
    params : type of RunParams
        The frozen parameter model.
    pipeline : str
        Module whose ``run`` does the work, loaded only when it is wanted.
    training : str
        Module whose ``run_training`` and ``run_evaluation`` make and measure models.
    roles : tuple of Role
        Inputs; the first is the image.
    headline : str
        Column of the result rows that the dock shows large.
    headline_title : str
        What that number is.
    source : str
        Where the method comes from, as reports name it among the references.
    headline_text : str
        Column whose text stands before that number, such as the predicted class; empty for none.
    automatic : bool
        Whether a model can be chosen by the image; if not, the user says which one.
    side_by_side : bool
        Whether an image is so little work that several are run at once, with a core each; otherwise an image's network
        takes all cores.
    settling : str
        Module whose ``settle`` learns from all images of a run what they share; empty where there is nothing.
    searching : str
        Module whose ``search`` finds the best values of a recipe; empty for none.
    plot : str
        Which plot docks draw of a result: of objects or their agreement with a real stain, of the probabilities of
        classes, of live shares by depth; empty for none.
    trained_on : TrainingData
        What its models are trained on.
    kinds : mapping of str to str
        What a biologist calls the outputs of these titles; others are called by their title.
    map_words : mapping of str to str
        What the colours of the maps of these titles stand for, as the end of "The map shows …".
    labels_are_masks : bool
        Whether its labels are the picture that is shown, not outlines of objects in one.
    compartment : str
        What its objects are in profiles for pycytominer.
    against_control : tuple of str
        Further columns that are put in percent of the plate map's controls.
    runs_graphs : bool
        Whether networks of other programs are run as they are.
    rounds : bool
        Whether networks can be made to compute in 8 bit: those read window by window that answer with pictures.
    """

    name: str
    title: str
    verb: str
    summary: str
    params: type[RunParams]
    pipeline: str
    training: str
    roles: tuple[Role, ...]
    headline: str
    headline_title: str
    source: str = ""
    headline_text: str = ""
    automatic: bool = True
    side_by_side: bool = False
    settling: str = ""
    searching: str = ""
    plot: PlotName = ""
    trained_on: TrainingData = MEASURED_NUMBERS
    kinds: Mapping[str, str] = field(default_factory=dict)
    map_words: Mapping[str, str] = field(default_factory=dict)
    labels_are_masks: bool = False
    compartment: Literal["Cells", "Nuclei"] = "Cells"
    against_control: tuple[str, ...] = ()
    runs_graphs: bool = False
    rounds: bool = False

    @property
    def interval(self) -> tuple[str, str]:
        """Columns of the lower and upper end of the main number's interval: the number's own without its unit.

        Examples
        --------
        >>> from vitascope.tasks.registry import find_task
        >>> find_task("atp").interval, find_task("spheroid").interval
        (('atp_low', 'atp_high'), ('viability_low', 'viability_high'))
        """
        stem = self.headline.removesuffix("_percent")
        return f"{stem}_low", f"{stem}_high"

    def load(self) -> RunFunction:
        """Import the pipeline and return its ``run``."""
        module: PipelineModule[RunParams] = import_late(self.pipeline, PipelineModule)
        return module.run

    def settle(self, images: Sequence[Callable[[], Micrograph]], params: RunParams) -> ProgressGenerator[RunParams]:
        """Learn from the images of a run what all of them share, such as one level of brightness, before the first.

        Parameters
        ----------
        images : sequence of callable
            Each opens one.
        params : RunParams

        Returns
        -------
        RunParams
            Those given where there is nothing to learn.
        """
        if not self.settling or not params.to_settle or len(images) < 2:
            return params
        module: SettlingModule[RunParams] = import_late(self.settling, SettlingModule)
        return (yield from module.settle(images, params))

    def load_training(self) -> TrainingModule:
        """Import the module that trains and evaluates models of this task."""
        return import_late(self.training, TrainingModule)

    def load_search(self) -> SearchModule:
        """Import the module that searches the best values of a recipe.

        Raises
        ------
        ParameterError
            If there is none for this task.
        """
        if not self.searching:
            raise ParameterError(f"There is no search for the task {self.name}.", "Leave --search out.")
        return import_late(self.searching, SearchModule)

    def start(self, inputs: Mapping[str, Micrograph], params: RunParams) -> ProgressGenerator[Result]:
        """Load the pipeline and start a run on images by role."""
        return self.load()(inputs, params)

    def make_params(self, **values: Any) -> RunParams:
        """Build the task's parameters from plain values.

        Raises
        ------
        ParameterError
            Naming each field that is unknown or out of bounds.
        """
        params: RunParams = self.params.make(**values)
        return params
