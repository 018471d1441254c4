"""The plate while it is run: how far each well is, and the wells that are chosen with the mouse."""

from __future__ import annotations

from collections import Counter

from qtpy.QtWidgets import QVBoxLayout, QWidget

from vitascope.batch.plate.results import PlateResults
from vitascope.core.well import Well
from vitascope.gui.common.layout import make_note
from vitascope.gui.plate.heatmap import KNOWN_KINDS, Legend, colour_kinds
from vitascope.gui.plate.legend_bar import LegendBar
from vitascope.gui.plate.plate_view import PlateView
from vitascope.io.plates.plate import Plate
from vitascope.io.tables.plate_map import PlateMap

WAITING, WAITING_COLOUR = "waiting", "#6A6A6A"
WORST_FIRST = ("FAILED", "INCOMPLETE", "REJECTED", WAITING, "WARN", "OK")
"""What a well is called whose fields ended differently; one that is not done is never called good."""

STATUS_WORDS = {
    "OK": "good",
    "WARN": "with a warning",
    "REJECTED": "no number",
    "FAILED": "failed",
    "INCOMPLETE": "incomplete",
}
"""What the words of the tables mean."""

HEIGHT_PX = 110
CONTROLS = ("negative", "positive")
MOST_PREVIEWED = 4


class WellChoice(QWidget):  # type: ignore[misc]
    """The wells of a plate with their state; a frame drawn with the mouse chooses some for the preview."""

    def __init__(self) -> None:
        super().__init__()
        self._plate: Plate | None = None
        self._states: dict[Well, str] = {}
        self.grid, self.legend, self.note = (
            PlateView(self._describe, several=True, most_px=HEIGHT_PX),
            LegendBar(),
            make_note(),
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.grid, self.legend, self.note):
            column.addWidget(part)
        self.set_plate(None)

    def set_plate(self, plate: Plate | None) -> None:
        """Show another plate, nothing of it done."""
        self._plate = plate
        self.setVisible(plate is not None)
        self.grid.choose(())
        self.grid.set_current(None)
        self.show_progress(None)

    def show_progress(self, results: PlateResults | None) -> None:
        """Colour each well by how its images ended so far."""
        if self._plate is None:
            return
        found: dict[Well, set[str]] = {}
        ended = dict(zip(results.frame["image"], results.frame["status"], strict=True)) if results is not None else {}
        for site in self._plate:
            found.setdefault(site.well, set()).add(str(ended.get(site.id) or WAITING))
        self._states = {well: min(states, key=_rank) for well, states in found.items()}
        colours = {name: KNOWN_KINDS.get(name, WAITING_COLOUR) for name in WORST_FIRST}
        self.grid.set_colours(colour_kinds(self._states, (self._plate.rows, self._plate.columns), colours))
        self.grid.fill_with(self._plate.wells)
        counts = Counter(self._states.values())
        found_here = [name for name in reversed(WORST_FIRST) if counts[name]]
        told = {f"{counts[name]} {STATUS_WORDS.get(name, name)}": colours[name] for name in found_here}
        self.legend.show_legend(Legend(kinds=told), "Wells")

    def to_preview(self, plate_map: PlateMap | None) -> dict[Well, str]:
        """Return the wells to preview with their names: those chosen, else one negative and one positive control."""
        if self._plate is None:
            return {}
        imaged = self._plate.wells
        chosen = [well for well in imaged if well in self.grid.wells][:MOST_PREVIEWED]
        roles = {
            well: str(plate_map.row(self._plate.name, well).get("role") or "") if plate_map is not None else ""
            for well in imaged
        }
        if not chosen:
            firsts = (next((well for well in imaged if roles[well] == role), None) for role in CONTROLS)
            chosen = [well for well in firsts if well is not None]
        return {well: f"{roles[well]} {well}".strip() for well in chosen}

    def _describe(self, well: Well) -> str:
        state = self._states.get(well, "no image")
        return f"{well} · {STATUS_WORDS.get(state, state)}"


def _rank(state: str) -> int:
    return WORST_FIRST.index(state) if state in WORST_FIRST else len(WORST_FIRST)
