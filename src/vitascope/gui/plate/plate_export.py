"""Writing the plate that is open as OME-Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.compat import getsavefilename
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from vitascope.core.errors import VitascopeError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.gui.common.runner import CANCELLING, Runner, RunOutcome, in_words
from vitascope.io.plates.plate import Plate

if TYPE_CHECKING:
    from vitascope.io.plates.ome_zarr_write import Export

TITLE = "Save as OME-Zarr …"


class PlateExportButton(QPushButton):  # type: ignore[misc]
    """Writes a plate, and stops on the next click.

    Parameters
    ----------
    runner : Runner
    """

    spoke = Signal(str)
    """How far it is, and how it ended."""

    def __init__(self, runner: Runner, parent: QWidget | None = None) -> None:
        super().__init__(TITLE, parent)
        self.runner = runner
        self._plate: Plate | None = None
        self.setToolTip("Write all images of the plate as one OME-Zarr in the layout of plates (0.5).")
        self.clicked.connect(self._ask_or_cancel)
        self.runner.progressed.connect(self._show_progress)
        self.runner.ended.connect(self._ended)
        self.set_plate(None)

    def set_plate(self, plate: Plate | None) -> None:
        """Write this plate next."""
        self._plate = plate
        self.setEnabled(plate is not None or self.runner.running)

    def _ask_or_cancel(self) -> None:
        if self.runner.running:
            self.runner.cancel()
            self.spoke.emit(CANCELLING)
        elif self._plate is not None:
            name, _ = getsavefilename(self, "Save the plate as OME-Zarr", f"{self._plate.name}.zarr")
            if name:
                self.save(Path(name))

    def save(self, path: Path) -> None:
        """Write the plate; ``.zarr`` is added to the name where it lacks."""
        plate = self._plate
        if plate is None:
            return
        whole = path if path.suffix.lower() == ".zarr" else path.with_name(f"{path.name}.zarr")

        def steps() -> ProgressGenerator[Export]:
            from vitascope.io.plates.ome_zarr_write import export_plate  # writers are loaded when they are wanted

            return export_plate(plate, whole)

        try:
            self.setText("Cancel")
            self.runner.start(f"Save as OME-Zarr: {plate.name}", steps)
        except VitascopeError as error:
            self.setText(TITLE)
            self.spoke.emit(error.in_dock)

    def _show_progress(self, progress: Progress, seconds_left: float | None) -> None:
        if not self.runner.cancelling:
            self.spoke.emit(in_words(progress, seconds_left))

    def _ended(self, outcome: RunOutcome) -> None:
        self.setText(TITLE)
        self.setEnabled(self._plate is not None)
        if outcome.kind == "done":
            self.spoke.emit(said(outcome.value))
        else:
            self.spoke.emit(f"{outcome.message} {outcome.hint}".strip() or "Cancelled; nothing was left behind.")


def said(done: Export) -> str:
    """Say how a plate was written."""
    left_out = f" {len(done.failed)} could not be read, such as {done.failed[0][0]}." if done.failed else ""
    return f"{done.written} images written to {done.path}.{left_out}"
