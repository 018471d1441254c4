"""The dock of models: what there is, what is known of each, and moving them; training runs; two models compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import getopenfilename, getsavefilename
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from vitascope.core.card import ModelCard
from vitascope.core.errors import VitascopeError
from vitascope.core.paths import BUNDLED_MODELS, user_models
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import ImageOutput, Result
from vitascope.gui.common.dock import Dock
from vitascope.gui.common.layout import make_note
from vitascope.gui.common.runner import Runner, RunOutcome
from vitascope.gui.layers.add import add_result
from vitascope.gui.layers.snapshot import Snapshot, snapshot_layers
from vitascope.gui.run.active_image import source_images
from vitascope.gui.run.model_box import CardWindow, metric_text
from vitascope.gui.train.bring_dialog import Answers, BringQuestion, bring, takes_planes
from vitascope.gui.train.compare_box import CompareBox
from vitascope.gui.train.import_dialog import ImportQuestion
from vitascope.gui.train.keep_dialog import KeepQuestion, middle_pictures
from vitascope.gui.train.runs_box import RunsBox
from vitascope.gui.train.stability_box import StabilityBox
from vitascope.io.models.archive import FOREIGN, SUFFIX, delete_model, export_model, import_model, rename_model
from vitascope.io.models.cards import find_cards, read_card
from vitascope.tasks.good_image import GoodImage
from vitascope.tasks.late_modules import load_exchange, load_graph_domain, load_graph_import, load_quantise
from vitascope.tasks.registry import find_task, task_title

if TYPE_CHECKING:
    import napari.viewer

WIDTH_PX = 460
DELETE, SURE = "Delete", "Really delete?"
COLUMNS = ("Model", "Task", "Where", "Accuracy")
PACKAGES = f"One file of ours (*{SUFFIX});;bioimage.io package (*.zip);;Network as ONNX (*.onnx)"


class ModelsDock(Dock):
    """Models.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    runner : Runner, optional
        Runs in a thread by default; tests give one that runs at once.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, runner: Runner | None = None) -> None:
        super().__init__(napari_viewer, runner)
        self._after: Callable[[Any], None] = self._say
        self.list, self.note = ModelList(), make_note()
        self.runs = RunsBox(self._text_colour)
        self.compare = CompareBox(self._text_colour)
        self.stability = StabilityBox(self._text_colour)
        self.tabs = QTabWidget()
        tabs = {"Models": self.list, "Training runs": self.runs, "Compare": self.compare, "Stability": self.stability}
        for name, part in tabs.items():
            self.tabs.addTab(part, name)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 8)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.note)
        self.note.hide()
        self.setMinimumWidth(WIDTH_PX)
        self.list.spoke.connect(self._say)
        self.list.changed.connect(self.compare.reload)
        self.list.asked.connect(lambda title, steps: self._start(title, steps, self._exchanged))
        self.list.changed.connect(self.stability.reload)
        self.stability.asked.connect(lambda title, steps: self._start(title, steps, self.stability.show_study))
        self.compare.asked.connect(lambda title, steps: self._start(title, steps, self.compare.show_comparison))
        self.runs.spoke.connect(self._say)
        self.list.bring_button.clicked.connect(self._ask_bring)
        self.list.domain_button.clicked.connect(self.fit_domain)
        self.list.quantise_button.clicked.connect(self.quantise)
        self.runner.ended.connect(self._ended)

    def showEvent(self, event: Any) -> None:  # noqa: N802, Qt's name
        """Look for new models and runs whenever the dock comes up."""
        self.list.reload()
        self.runs.reload()
        self.compare.reload()
        self.stability.reload()
        super().showEvent(event)

    def _start(self, title: str, steps: Callable[[], ProgressGenerator[Any]], after: Callable[[Any], None]) -> None:
        self._after = after
        self._say(f"{title} …")
        self.tabs.setEnabled(False)
        try:
            self.runner.start(title, steps)
        except VitascopeError as error:
            self.tabs.setEnabled(True)
            self._say(error.in_dock)

    def _ended(self, outcome: RunOutcome) -> None:
        if not self._open:
            return
        self.tabs.setEnabled(True)
        self._say("" if outcome.kind == "done" else f"{outcome.message} {outcome.hint}".strip() or "Cancelled.")
        if outcome.kind == "done":
            self._after(outcome.value)

    def _ask_bring(self) -> None:
        name, _ = getopenfilename(self, "Bring a model", filters="Networks (*.onnx *.zip *.pt *.pth *.p *.ckpt)")
        if name:
            self.ask_bring(Path(name))

    def ask_bring(self, path: Path) -> None:
        """Show what is guessed of a network, and bring it in; it is tried on the chosen image layer."""
        image = self._chosen_images()[:1]
        name = image[0].name if image else ""
        try:
            planes = bool(image) and takes_planes(image[0].micrograph())
            guess = load_graph_import().guess(path, planes_for_channels=planes)
        except VitascopeError as error:
            self._say(error.in_dock)
            return
        question = BringQuestion(path, guess, name, self)
        question.answered.connect(
            lambda answers: self.bring(path, answers, image[0] if image and answers.tried else None)
        )
        question.open()

    def _chosen_images(self) -> list[Snapshot]:
        """Return the selected image layers, or the first one where none is selected."""
        chosen = [layer for layer in self._viewer.layers if layer in self._viewer.layers.selection]
        layers = source_images(chosen) or source_images(self._viewer.layers)[:1]
        return [snapshot_layers([layer]) for layer in layers]

    def bring(self, path: Path, answers: Answers, image: Snapshot | None) -> None:
        """Bring in a network that is run as it is; what it answers to the image is shown before it is kept."""

        def show(found: Any) -> None:
            model, text, result = found
            if result is None or image is None:
                self._exchanged(text)
                return
            output = result.outputs[0]
            assert isinstance(output, ImageOutput)
            self._say("Look at each picture, then keep or discard the network.")
            question = KeepQuestion(model, output.channel_names, middle_pictures(output), self)
            question.kept.connect(lambda names: self._keep(model, text, names, result, image))
            question.discarded.connect(lambda: self._discard(model))
            question.open()

        take = image.micrograph if image is not None else None
        self._start(f"Trying {path.name}", lambda: bring(path, answers, take), show)

    def _keep(self, model: str, text: str, names: Sequence[str], result: Result, image: Snapshot) -> None:
        load_graph_import().name_outputs(model, names)
        output = result.outputs[0]
        assert isinstance(output, ImageOutput)
        output = replace(output, channel_names=tuple(names))
        add_result(self._viewer, replace(result, outputs=(output,)), image.frame)
        self._exchanged(text)

    def _discard(self, model: str) -> None:
        delete_model(model)
        self._exchanged(f"'{model}' was not kept.")

    def fit_domain(self) -> None:
        """Describe the selected image layers in the card of the chosen network, so that others can be judged."""
        self._with_images(
            "Fitting the domain of",
            lambda model, images: load_graph_domain().fit_domain(model, images),
            lambda card: card.training["notes"][-1],
        )

    def quantise(self) -> None:
        """Let the chosen model compute in 8 bit, as the selected image layers tell."""
        self._with_images("Quantising", lambda model, images: load_quantise().quantise(model, images), _int8_text)

    def _with_images(
        self,
        title: str,
        steps: Callable[[str, Sequence[GoodImage]], ProgressGenerator[ModelCard]],
        told: Callable[[ModelCard], str],
    ) -> None:
        model = self.list.chosen()
        images = [GoodImage(one.name, one.micrograph) for one in self._chosen_images()]
        if not images:
            self._say("Open images that it does well on, and select their layers.")
            return
        self._start(
            f"{title} {model} on {', '.join(one.name for one in images)}",
            lambda: steps(model, images),
            lambda card: self._exchanged(told(card)),
        )

    def _exchanged(self, text: str) -> None:
        self.list.reload()
        self.compare.reload()
        self._say(text)

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))


class ModelList(QWidget):  # type: ignore[misc]
    """Lists the models at hand; the user's own can be renamed and deleted, all can be exported."""

    spoke = Signal(str)
    asked = Signal(str, object)
    """Title and steps of what takes a while."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table, self.name = QTableWidget(0, len(COLUMNS)), QLineEdit()
        self.details, self.rename_button = QPushButton("Details …"), QPushButton("Rename")
        self.delete_button = QPushButton(DELETE)
        self.details.setToolTip("All that is known of the model: data, accuracy, licence, and when not to trust it.")
        self.rename_button.setToolTip("Gives the chosen model the name in the field.")
        self.delete_button.setToolTip("Deletes the chosen model's files, at the second click.")
        self.export_button, self.import_button = QPushButton("Export …"), QPushButton("Import …")
        self.bring_button = QPushButton("Bring a model …")
        self.domain_button = QPushButton("Fit a domain on these images")
        self.quantise_button = QPushButton("Quantise on these images")
        self._paths: dict[str, Path] = {}
        self._lay_out()
        self.table.itemSelectionChanged.connect(self._chosen)
        self.details.clicked.connect(self.show_details)
        self.rename_button.clicked.connect(self.rename)
        self.delete_button.clicked.connect(self.delete)
        self.export_button.clicked.connect(self._ask_export)
        self.import_button.clicked.connect(self._ask_import)
        self.reload()

    def _lay_out(self) -> None:
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(COLUMNS.index("Accuracy"), QHeaderView.ResizeMode.Stretch)
        self.table.setAccessibleName("Models at hand")
        self.name.setPlaceholderText("new name")
        self.name.setAccessibleName("New name")
        self.export_button.setToolTip("As one file to give away, as a bioimage.io package, or its network as ONNX.")
        self.import_button.setToolTip("From one file of ours, a bioimage.io package, a network as ONNX, or weights.")
        self.bring_button.setToolTip("A network of another program (ONNX), to be run as it is.")
        self.domain_button.setToolTip(
            "For a network of another program: the selected image layers are ones it does well on. Others are then "
            "judged by them."
        )
        self.quantise_button.setToolTip(
            "Lets a model of stains compute in 8 bit, faster on processors without bf16. Select two image layers or "
            "more: half of them tell how it rounds, the other half how near to 32 bit it stays."
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addWidget(self.table, 1)
        for row in (
            (self.details, self.export_button, self.import_button, self.bring_button),
            (self.name, self.rename_button, self.delete_button),
            (self.domain_button, self.quantise_button),
        ):
            across = QHBoxLayout()
            for part in row:
                across.addWidget(part)
            column.addLayout(across)

    def reload(self) -> None:
        """Look for models again; the chosen one stays."""
        before = self.chosen()
        self._paths = find_cards()
        self.table.setRowCount(len(self._paths))
        for row, (id_, path) in enumerate(self._paths.items()):
            card = read_card(path)
            figure = metric_text(card.metrics[0]) if card.metrics else "not measured"
            for column, text in enumerate((id_, task_title(card.task), place(path), figure)):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{card.summary}\n{figure}")  # of a long figure only the beginning is seen
                item.setData(Qt.ItemDataRole.UserRole, id_)
                self.table.setItem(row, column, item)
            if id_ == before:
                self.table.selectRow(row)
        self._chosen()

    def choose(self, model: str) -> None:
        """Choose a model."""
        self.table.selectRow(list(self._paths).index(model))

    def chosen(self) -> str:
        """Return the id of the chosen model; empty without one."""
        items = self.table.selectedItems()
        return str(items[0].data(Qt.ItemDataRole.UserRole)) if items else ""

    def _chosen(self) -> None:
        model = self.chosen()
        own = model in self._paths and place(self._paths[model]) == "yours"
        self.delete_button.setText(DELETE)
        card = self.card() if own else None
        self.domain_button.setEnabled(card is not None and card.graph is not None)
        self.quantise_button.setEnabled(card is not None and card.graph is None and find_task(card.task).rounds)
        for part in (self.details, self.export_button):
            part.setEnabled(bool(model))
        for part in (self.name, self.rename_button, self.delete_button):
            part.setEnabled(own)

    def show_details(self) -> None:
        """Open the whole card."""
        CardWindow(self.card(), self).show()

    def card(self) -> ModelCard:
        """Return the card of the chosen model."""
        return read_card(self._paths[self.chosen()])

    def rename(self) -> None:
        """Give the chosen model the name that stands in the field."""
        self._do(lambda: f"Renamed to '{rename_model(self.chosen(), self.name.text().strip()).id}'.")

    def delete(self) -> None:
        """Delete the chosen model, at the second click."""
        if self.delete_button.text() == DELETE:
            self.delete_button.setText(SURE)
            return
        self._do(lambda: f"Deleted '{delete_model(self.chosen()).stem}'.")

    def _do(self, work: Callable[[], str]) -> None:
        try:
            said = work()
        except VitascopeError as error:
            said = error.in_dock
        self.reload()
        self.changed.emit()
        self.spoke.emit(said)

    def _ask_export(self) -> None:
        name, _ = getsavefilename(self, "Export", basedir=f"{self.chosen()}{SUFFIX}", filters=PACKAGES)
        if name:
            self.export(Path(name))

    def export(self, path: Path) -> None:
        """Write the chosen model as one file: of ours, for bioimage.io (``.zip``), or its network (``.onnx``)."""
        model = self.chosen()

        def steps() -> ProgressGenerator[str]:
            yield Progress(0, 1, "writing")
            if path.suffix == ".zip":
                load_exchange().export_bioimageio(model, path)
            elif path.suffix == ".onnx":
                load_exchange().export_onnx(model, path)
            else:
                export_model(model, path)
            return f"'{model}' was written to {path.name}."

        self.asked.emit(f"Exporting {model}", steps)

    def _ask_import(self) -> None:
        kinds = " ".join(f"*{ending}" for ending in (SUFFIX, *FOREIGN))
        name, _ = getopenfilename(self, "Import", filters=f"Models ({kinds})")
        if name:
            self.ask_import(Path(name))

    def ask_import(self, path: Path) -> None:
        """Add a model from one file; of a file of another program it is asked first whose network it has."""
        if path.suffix not in FOREIGN:
            self.import_file(path)
            return
        question = ImportQuestion(path, list(self._paths), self.chosen(), self)
        question.answered.connect(lambda like, name: self.import_file(path, like, name))
        question.open()

    def import_file(self, path: Path, like: str = "", name: str = "") -> None:
        """Add a model from one file to the user's own.

        Parameters
        ----------
        path : Path
        like, name : str
            For a file of another program: the model whose network it has, and the name of the new one.
        """

        def steps() -> ProgressGenerator[str]:
            yield Progress(0, 1, "reading")
            foreign = path.suffix in FOREIGN
            card = load_exchange().import_foreign(path, like, name) if foreign else import_model(path)
            return f"Imported '{card.id}' ({card.licence})."

        self.asked.emit(f"Importing {path.name}", steps)


def place(path: Path) -> str:
    """Say whose a model is."""
    if path.parent == BUNDLED_MODELS:
        return "bundled"
    return "yours" if path.parent.resolve() == user_models().resolve() else "shared"


def _int8_text(card: ModelCard) -> str:
    return card.int8.text if card.int8 is not None else ""
