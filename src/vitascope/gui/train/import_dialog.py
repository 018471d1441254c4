"""What is asked before a file of another program becomes a model: whose network it has, and a name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QLineEdit, QVBoxLayout, QWidget

from vitascope.gui.common.layout import add_row, make_form, make_note

SAID = "as the file says (made by vitascope)"
SELF_TOLD = (".zip", ".onnx")
"""Endings of files that say it themselves where they were made by vitascope."""

WIDTH_PX = 420


class ImportQuestion(QDialog):  # type: ignore[misc]
    """Asks for the model whose network a file has, and for a name.

    Parameters
    ----------
    path : Path
        Of the file.
    models : sequence of str
        At hand.
    chosen : str
        Model that is offered first.
    """

    answered = Signal(str, str)
    """Model whose network it has, and name; both empty for what the file says."""

    def __init__(self, path: Path, models: Sequence[str], chosen: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Import {path.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.like, self.name, note = QComboBox(), QLineEdit(), make_note()
        told = path.suffix in SELF_TOLD
        for text, model in ([(SAID, "")] if told else []) + [(m, m) for m in models]:
            self.like.addItem(text, model)
        if not told:
            self.like.setCurrentIndex(max(0, self.like.findData(chosen)))
        stem = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.stem.lower()).strip("._-")
        self.name.setText("" if told else stem[:58])
        self.name.setPlaceholderText("as the file says" if told else "name of the new model")
        note.setText(
            "Weights are read into the network of a model that is here, and images are prepared as for that model. "
            "A network as ONNX is run once beside it: where both differ, nothing is imported."
        )
        form = make_form()
        add_row(form, "Network of", self.like, "The model whose network was built just as that of the file.")
        add_row(form, "Name", self.name, "Of the new model: a-z, 0-9, dot, dash and underscore.")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(note)
        layout.addWidget(self.buttons)
        self.resize(WIDTH_PX, self.sizeHint().height())

    def accept(self) -> None:
        """Say what was answered."""
        self.answered.emit(str(self.like.currentData()), self.name.text().strip())
        super().accept()
