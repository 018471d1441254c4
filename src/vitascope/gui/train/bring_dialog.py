"""What is asked before a network of another program is brought in, to be run as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QDialog, QDialogButtonBox, QLineEdit, QVBoxLayout, QWidget

from vitascope.core.errors import VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import Result
from vitascope.gui.common.layout import add_row, make_form, make_note
from vitascope.io.models.archive import delete_model
from vitascope.tasks.late_modules import load_graph_import
from vitascope.tasks.registry import TASKS

WIDTH_PX = 460
NORMALISE = (
    ("as the file says, else mean and standard deviation", ""),
    ("mean 0, standard deviation 1", "zscore"),
    ("median 0, distance of the quartiles 1", "median_iqr"),
    ("darkest pixel 0, brightest 1", "minmax"),
    ("1 % of pixels below 0, 1 % above 1", "percentile:1:99"),
    ("grey values as they are", "none"),
)
"""How images are prepared, in words, and as the command line says it."""

LOOK = (
    "Look at each picture: nothing but your eye tells whether it is what its name says. If two are swapped, delete '{}'"
)


@dataclass(frozen=True)
class Answers:
    """What was answered.

    Parameters
    ----------
    name, outputs, normalise : str
        As the command ``models import`` takes them.
    pixel_size_um : float or None
    tried : bool
        Whether it is tried on the open image.
    """

    name: str
    outputs: str
    normalise: str
    pixel_size_um: float | None
    tried: bool


class BringQuestion(QDialog):  # type: ignore[misc]
    """Asks what a file does not say of its network.

    Parameters
    ----------
    path : Path
        Of the file.
    image : str
        Name of the open image that it can be tried on; empty for none.
    """

    answered = Signal(object)
    """:class:`Answers`."""

    def __init__(self, path: Path, image: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Bring {path.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.name, self.outputs, self.pixel_size = QLineEdit(), QLineEdit(), QLineEdit()
        self.normalise, self.tried, self.fault = QComboBox(), QCheckBox(), make_note()
        self.name.setPlaceholderText("after the file")
        self.outputs.setPlaceholderText("as the file says; such as nuclei, membrane")
        self.pixel_size.setPlaceholderText("not known: images are never rescaled")
        for text, told in NORMALISE:
            self.normalise.addItem(text, told)
        self.tried.setText(f"Try it on '{image}'" if image else "Try it on the open image (there is none)")
        self.tried.setChecked(bool(image))
        self.tried.setEnabled(bool(image))
        note = make_note()
        note.setText(
            "The network is run as it is, and gives its own values, unscaled. It is looked through and tried in a "
            "process of its own first, which takes up to two minutes. Nobody told what it was trained on: it is never "
            "marked as fitting your images."
        )
        form = make_form()
        add_row(form, "Name", self.name, "Of the new model: a-z, 0-9, dot, dash and underscore.")
        add_row(
            form, "Pictures out", self.outputs, "Names of the pictures that it answers with, in its order, by commas."
        )
        add_row(form, "Normalisation", self.normalise, "How the whole image is prepared, as the network was trained.")
        add_row(form, "Pixel size (µm)", self.pixel_size, "Of the images it was trained on.")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        for part in (self.tried, note, self.fault, self.buttons):
            layout.addWidget(part)
        self.fault.hide()
        self.resize(WIDTH_PX, self.sizeHint().height())

    def accept(self) -> None:
        """Say what was answered, if the pixel size is a number."""
        text = self.pixel_size.text().strip().replace(",", ".")
        try:
            size = float(text) if text else None
        except ValueError:
            self.fault.setText(f"'{text}' is no pixel size. Write a number in µm, or leave it empty.")
            self.fault.show()
            return
        self.answered.emit(
            Answers(
                name=self.name.text().strip(),
                outputs=self.outputs.text(),
                normalise=str(self.normalise.currentData()),
                pixel_size_um=size,
                tried=self.tried.isChecked(),
            )
        )
        super().accept()


def bring(
    path: Path, answers: Answers, image: Callable[[], Micrograph] | None
) -> ProgressGenerator[tuple[str, Result | None]]:
    """Import a network, and run it on an image where it is to be tried: it is kept only if it runs.

    Returns
    -------
    tuple of str, and Result or None
        What is said, and the result on the image.
    """
    yield Progress(0, 1, "trying the network")
    task = next(spec for spec in TASKS if spec.runs_graphs)
    taken = image() if image is not None else None
    card = load_graph_import().import_graph(
        path,
        task.name,
        answers.name,
        outputs=answers.outputs,
        normalise=answers.normalise,
        pixel_size_um=answers.pixel_size_um,
        planes_for_channels=taken is not None and taken.sizes["C"] == 1 < taken.sizes["Z"],
    )
    if taken is None:
        return f"Brought '{card.id}'. {' '.join(card.training['notes'][1:])}", None
    try:
        result = yield from task.start({"image": taken}, task.make_params(model=card.id))
    except (VitascopeError, GeneratorExit):
        delete_model(card.id)
        raise
    return f"Brought '{card.id}'. {LOOK.format(card.id)} and bring it again.", result
