"""A stain before and after its preparation, and which crops of it an exposure filter keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from vitascope.gui.common.layout import make_note
from vitascope.gui.common.runner import Launch, RunOutcome
from vitascope.gui.train.layer_pair import LayerPair
from vitascope.gui.train.train_plots import FigureBox
from vitascope.recipes.finetune import FineTuneParams
from vitascope.recipes.folder_pairs import FilePair

CROP_PX = 128
HEIGHT_PX = 190
MOST_PX = 512


@dataclass(frozen=True, eq=False)
class PreparedTarget:
    """A stain before and after.

    Parameters
    ----------
    before, after : array, shape (Y, X), float32
    kept : array, shape (rows, columns), bool
        Crops of 128 px that the exposure filter keeps; all of them without one.
    """

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    kept: NDArray[np.bool_]


def prepare_first(pair: LayerPair | FilePair, params: FineTuneParams) -> PreparedTarget:
    """Prepare the first stain of a pair as a training with these parameters would."""
    from vitascope.ops.intensity.target_preparation import (  # opening a dock shall not wait
        EXPOSURE,
        kept_crops,
        prepare_target,
    )

    stain = next(iter(pair.pair().targets.values())).astype(np.float32)
    after = prepare_target(stain, params.preparation)
    low, high = (float(v) for v in np.percentile(after, (1, 99.9)))
    scaled = np.clip((after - low) / (high - low or 1), 0, 1)
    kept = kept_crops(scaled, EXPOSURE, CROP_PX)
    return PreparedTarget(stain, after, kept if params.exposure_filter else np.ones_like(kept))


class PrepareBox(QWidget):  # type: ignore[misc]
    """Shows what preparation does to the first stain.

    Parameters
    ----------
    launch : Launch
        Does work off the main thread.
    text_colour : callable
        Gives the colour of text.
    """

    def __init__(self, launch: Launch, text_colour: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._launch, self._text_colour = launch, text_colour
        self.button, self.figure, self.note = QPushButton("See the prepared stain"), FigureBox(HEIGHT_PX), make_note()
        self.button.setToolTip("The first pair's stain before and after rolling ball, clipping and exposure filter.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.button, self.note, self.figure):
            column.addWidget(part)
        for part in (self.note, self.figure):
            part.hide()

    def show_pair(self, pairs: Sequence[LayerPair | FilePair], params: FineTuneParams) -> None:
        """Prepare the stain of the first pair that has one, and show it."""
        stained = [p for p in pairs if isinstance(p, FilePair) or ("" not in p.truths and p.pair().targets)]
        if not stained:
            self._say("Add a pair with a stain first.")
            return
        self._say("Preparing …")
        self._launch(lambda: prepare_first(stained[0], params), self._show)

    def _show(self, found: PreparedTarget | RunOutcome) -> None:
        if isinstance(found, RunOutcome):
            self._say(f"{found.message} {found.hint}".strip())
            return
        draw_prepared(self.figure.fresh(), found, self._text_colour())
        self.figure.show()
        self.figure.draw()
        self._say(f"{found.kept.sum()} of {found.kept.size} crops of {CROP_PX} px are drawn from.")

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.show()


def draw_prepared(figure: Any, found: PreparedTarget, colour: str = "black") -> None:
    """Draw a stain before and after; crops that are left out are darkened."""
    shade = np.repeat(np.repeat(np.where(found.kept, 1.0, 0.3), CROP_PX, 0), CROP_PX, 1)
    shade = np.pad(
        shade, [(0, max(0, n - s)) for n, s in zip(found.after.shape, shade.shape, strict=True)], mode="edge"
    )
    shade = shade[: found.after.shape[0], : found.after.shape[1]]
    step = max(1, -(-max(found.after.shape) // MOST_PX))
    for axes, title, picture, light in zip(
        figure.subplots(1, 2), ("before", "after"), (found.before, found.after), (1.0, shade), strict=True
    ):
        low, high = (float(v) for v in np.percentile(picture, (1, 99.8)))
        scaled = np.clip((picture - low) / (high - low or 1), 0, 1) * light
        axes.imshow(scaled[::step, ::step], cmap="magma", vmin=0, vmax=1)
        axes.set_title(title, fontsize="small", color=colour)
        axes.set_axis_off()
