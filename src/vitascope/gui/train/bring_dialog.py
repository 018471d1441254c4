"""What is asked before a network of another program is brought in, to be run as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QDialog, QDialogButtonBox, QLineEdit, QVBoxLayout, QWidget

from vitascope.core.errors import ParameterError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import Result
from vitascope.gui.common.layout import add_row, make_form, make_note
from vitascope.io.models.cards import check_model_id, find_cards
from vitascope.tasks.graph_guess import Guess
from vitascope.tasks.late_modules import load_graph_import
from vitascope.tasks.registry import TASKS

WIDTH_PX = 500
NORMALISE = (
    ("mean 0, standard deviation 1", "zscore"),
    ("median 0, distance of the quartiles 1", "median_iqr"),
    ("darkest pixel 0, brightest 1", "minmax"),
    ("1 % of pixels below 0, 1 % above 1", "percentile:1:99"),
    ("0.1 % of pixels below 0, 0.1 % above 1", "percentile:0.1:99.9"),
    ("grey values as they are", "none"),
)
"""How images are prepared, in words, and as the command line says it."""

PER = (
    ("each image: all planes of a time", "image"),
    ("each plane alone", "plane"),
    ("each field: all planes and times", "field"),
    ("each plate: all of its images", "plate"),
)
"""What shares a normalisation."""


@dataclass(frozen=True)
class Answers:
    """What was answered.

    Parameters
    ----------
    name : str
        As the command ``models import`` takes it.
    told : mapping
        As a file of ``--spec`` says it.
    tried : bool
        Whether it is tried on the open image.
    """

    name: str
    told: Mapping[str, Any]
    tried: bool


class BringQuestion(QDialog):  # type: ignore[misc]
    """Shows what is guessed of a network, to be confirmed or put right.

    Parameters
    ----------
    path : Path
        Of the file.
    guess : Guess
        What file, package and shapes tell.
    image : str
        Name of the open image that it can be tried on; empty for none.
    """

    answered = Signal(object)
    """:class:`Answers`."""

    def __init__(self, path: Path, guess: Guess, image: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Bring {path.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._guess = guess
        self.name, self.axes, self.channels = QLineEdit(), QLineEdit(guess.axes), QLineEdit(", ".join(guess.channels))
        self.outputs, self.divisor = QLineEdit(", ".join(guess.outputs)), QLineEdit(_text(guess.divisor))
        self.pixel_size, self.depth = QLineEdit(_text(guess.pixel_size_um)), QLineEdit(_text(guess.depth))
        self.normalise, self.per, self.tried, self.fault = QComboBox(), QComboBox(), QCheckBox(), make_note()
        self.name.setPlaceholderText("after the file")
        self.pixel_size.setPlaceholderText("not known: images are never rescaled")
        self.divisor.setPlaceholderText("found by trying")
        self.depth.setPlaceholderText("found by trying")
        self.normalise.setEditable(True)
        self.normalise.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        known = [told for _, told in NORMALISE]
        if guess.normalise and guess.normalise not in known:
            self.normalise.addItem(f"as the file says ({guess.normalise})", guess.normalise)
        for text, told in NORMALISE:
            self.normalise.addItem(text, told)
        self.normalise.setCurrentIndex(max(0, self.normalise.findData(guess.normalise)))
        for text, told in PER:
            self.per.addItem(text, told)
        self.per.setCurrentIndex(max(0, self.per.findData(guess.per)))
        self.tried.setText(f"Try it on '{image}', and look before it is kept" if image else "Try it (no image is open)")
        self.tried.setChecked(bool(image))
        self.tried.setEnabled(bool(image))
        self._lay_out()

    def _lay_out(self) -> None:
        guess, note = self._guess, make_note()
        depth = " Windows slide along z." if guess.depth else ""
        note.setText(
            " ".join(
                (
                    f"Its input is {guess.sides} ({guess.axes}).{depth}",
                    *guess.notes,
                    "It is run as it is, and gives its own values, unscaled. It is looked through and tried in a "
                    "process of its own first, which takes up to two minutes.",
                )
            )
        )
        form = make_form()
        rows = (
            ("Name", self.name, "Of the new model: a-z, 0-9, dot, dash and underscore."),
            ("Axes in", self.axes, "Of its input, in order: b batch, c channel, z plane, y, x. z without c: planes for "
             "channels."),
            ("Channels in", self.channels, "Of the image that it takes, by name, in its order."),
            ("Pictures out", self.outputs, "Names of the pictures that it answers with, in its order, by commas."),
            ("Normalisation", self.normalise, "How images are prepared, as the network was trained: choose, or write "
             "percentile:LOW:HIGH, zscore:LOW:HIGH or fixed:MEAN:SD."),
            ("Taken over", self.per, "Which pixels one normalisation is fitted to; never a tile. Of a plate it is "
             "found when the plate is run."),
            ("Pixel size (µm)", self.pixel_size, "Of the images it was trained on."),
            *((("Planes at once", self.depth, "How many planes it takes, where its file leaves that free."),)
              if "z" in guess.axes else ()),
            ("Sides, multiples of", self.divisor, "What height and width must be multiples of, in pixels."),
        )  # fmt: skip
        for title, editor, tip in rows:
            add_row(form, title, editor, tip)
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
        """Say what was answered, if sizes are numbers and the name is free."""
        name = self.name.text().strip()
        try:
            if name:
                check_new_name(name)
            size = _number(self.pixel_size.text(), float, "pixel size. Write a number in µm")
            divisor = _number(self.divisor.text(), int, "multiple. Write a whole number of pixels")
            depth = _number(self.depth.text(), int, "number of planes. Write a whole number")
            load_graph_import().parse_normalisation(self._normalise())
        except (ValueError, VitascopeError) as error:
            self.fault.setText(error.in_dock if isinstance(error, VitascopeError) else str(error.args[0]))
            self.fault.show()
            return
        told = {
            "axes": self.axes.text().strip(),
            "channels": self.channels.text(),
            "outputs": self.outputs.text(),
            "normalise": self._normalise(),
            "per": str(self.per.currentData()),
            "pixel_size_um": size,
            "divisor": divisor,
            "depth": depth if depth != self._guess.depth else None,
        }
        guessed = {"channels": ", ".join(self._guess.channels), "outputs": ", ".join(self._guess.outputs)}
        kept = {k: v for k, v in told.items() if v not in ("", None) and guessed.get(k) != v}
        self.answered.emit(Answers(name, kept, self.tried.isChecked()))
        super().accept()

    def _normalise(self) -> str:
        """Return what is chosen, or written, as the command line says it."""
        text = self.normalise.currentText().strip()
        chosen = self.normalise.findText(text)
        return str(self.normalise.itemData(chosen)) if chosen >= 0 else text


def check_new_name(name: str) -> None:
    """Refuse a name that no model can have, or that one has already.

    Raises
    ------
    ParameterError
    """
    check_model_id(name)
    if name in find_cards():
        raise ParameterError(f"There is a model '{name}' already.", "Give another name.")


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _number(text: str, kind: Callable[[str], Any], what: str) -> Any:
    """Read a number; None for an empty field.

    Raises
    ------
    ValueError
        In words.
    """
    text = text.strip().replace(",", ".")
    try:
        return kind(text) if text else None
    except ValueError as error:
        raise ValueError(f"'{text}' is no {what}, or leave it empty.") from error


def takes_planes(image: Micrograph | None) -> bool:
    """Tell whether several channels of a network are likely planes of this image."""
    return image is not None and image.sizes["C"] == 1 < image.sizes["Z"]


def bring(
    path: Path, answers: Answers, image: Callable[[], Micrograph] | None
) -> ProgressGenerator[tuple[str, str, Result | None]]:
    """Import a network, and run it on an image where it is to be tried: if it does not run, it is not kept.

    Returns
    -------
    tuple of str, str, and Result or None
        The model, what is said, and the result on the image.
    """
    yield Progress(0, 1, "trying the network")
    task = next(spec for spec in TASKS if spec.runs_graphs)
    taken = image() if image is not None else None
    card = load_graph_import().import_graph(
        path, task.name, answers.name, answers=answers.told, planes_for_channels=takes_planes(taken)
    )
    said = f"Brought '{card.id}'. {' '.join(card.training['notes'][1:])}"
    if taken is None:
        return card.id, said, None
    result = yield from load_graph_import().try_on(card, taken)
    return card.id, said, result
