"""The last part of every dock: save, open the table, copy the run as Python or as a command."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.compat import isalive
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QGridLayout, QPushButton, QWidget

from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.gui.common.layout import make_note
from vitascope.gui.run.export import FinishedRun, as_command, as_python, save

if TYPE_CHECKING:
    from vitascope.gui.run.object_table import ObjectTable

SAVE = "Save results …"

Start = Callable[[Callable[[], ProgressGenerator[Any]], Callable[[Any], None], Callable[[str, str], None], str], None]
"""Starts steps; then what to do with their value, what to do on failure, and a title."""


class ExportBox(QWidget):  # type: ignore[misc]
    """Offers what can be taken out of the last run.

    Parameters
    ----------
    viewer : ViewerModel
    start : callable
        Runs steps off the main thread.
    """

    def __init__(self, viewer: Any, start: Start, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._start = viewer, start
        self._run: FinishedRun | None = None
        self._live = True
        self._labels: Labels | None = None
        self._table: ObjectTable | None = None
        self.buttons: dict[str, QPushButton] = {}
        self.said = make_note()
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 4, 8, 6)
        grid.setVerticalSpacing(4)
        for i, (name, text, tip, clicked) in enumerate(self._offers()):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(clicked)
            grid.addWidget(button, i // 2, i % 2)
            self.buttons[name] = button
        grid.addWidget(self.said, 2, 0, 1, 2)
        self.clear()

    def _offers(self) -> tuple[tuple[str, str, str, Callable[[], None]], ...]:
        return (
            ("save", SAVE, "Write pictures, tables and provenance to a folder.", self.choose_folder),
            ("table", "Open table", "Every object with its measurements, linked to the picture.", self.open_table),
            ("python", "Copy as Python", "Copy a script that repeats this run bit for bit.", self.copy_python),
            ("command", "Copy as command", "Copy a command that repeats this run bit for bit.", self.copy_command),
        )

    def clear(self) -> None:
        """Offer nothing."""
        self._run = self._labels = None
        self.said.hide()
        self.hide()

    def offer(self, run: FinishedRun, labels: Labels | None) -> None:
        """Offer a run, and the layer of its objects if it has one."""
        self._run, self._labels = run, labels
        self.said.hide()
        self.show()
        self.layers_changed()

    def layers_changed(self) -> None:
        """Offer the table only while the layer it belongs to is there."""
        here = self._labels is not None and self._labels in self._viewer.layers
        for name, button in self.buttons.items():
            button.setEnabled(self._live and (name != "table" or here))

    def set_live(self, live: bool) -> None:
        """Offer the run only while it answers what stands above it."""
        self._live = live
        self.layers_changed()

    def say(self, message: str, hint: str = "") -> None:
        """Say what became of saving or copying."""
        self.said.setText(f"{message} {hint}".strip())
        self.said.show()

    def open_table(self) -> None:
        """Open the table of objects; picking an object then goes to its line, and the other way."""
        if self._labels is None or self._labels not in self._viewer.layers:
            return
        self._viewer.layers.selection.active = self._labels
        self._labels.mode, self._labels.visible = "pick", True
        if self._table is None or not isalive(self._table) or not self._table.is_open:
            from vitascope.gui.run.object_table import ObjectTable  # pandas, which a dock without a table never needs

            self._table = ObjectTable(self._viewer, self._labels)
            self._viewer.window.add_dock_widget(self._table, name="Objects", area="right", tabify=True)
        self._table.show_layer(self._labels)
        self._table.come_to_front()

    def copy_python(self) -> None:
        """Put the run on the clipboard as Python."""
        self._copy(as_python)

    def copy_command(self) -> None:
        """Put the run on the clipboard as a command."""
        self._copy(as_command)

    def _copy(self, write: Callable[[FinishedRun], str]) -> None:
        if self._run is None:
            return
        run = self._run

        def steps() -> ProgressGenerator[str]:
            yield Progress(0, 1, "Checking the files")
            return write(run)

        self._start(steps, self._copied, self.say, "Copy")

    def _copied(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.say("Copied.")

    def choose_folder(self) -> None:
        """Ask where to, and save."""
        folder = QFileDialog.getExistingDirectory(self, "Save results to an empty folder")
        if folder:
            self.save_to(Path(folder))

    def save_to(self, folder: Path) -> None:
        """Save the run to a folder."""
        if self._run is not None:
            self._start(partial(save, self._run, folder), self._saved, self.say, "Save results")

    def _saved(self, folder: Path) -> None:
        self.say(f"Saved to {folder}.")
