"""What stands in the dock Response: wells, settings, what was changed by hand, and the curves; no Qt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from vitascope.batch.response.inputs import WellTable, read_response_table
from vitascope.batch.response.outputs import WELLS, ResponseJob
from vitascope.batch.response.script import as_command, as_python
from vitascope.batch.response.views import CurveView
from vitascope.core.errors import InputError
from vitascope.io.results.folder import RESULTS
from vitascope.io.tables.csv_append import write_csv
from vitascope.stats.response.params import ResponseParams

BY_HAND = "left out by hand"
HOLDS = {"top": "hold_top", "bottom": "hold_bottom"}
SOURCE = "_source"


@dataclass(frozen=True)
class Edits:
    """What was changed by hand.

    Parameters
    ----------
    left_out : frozenset of int
        Rows of the table.
    held : dict
        Value of each plateau that is held: by rows of the curve and ``top`` or ``bottom``.
    """

    left_out: frozenset[int] = frozenset()
    held: tuple[tuple[tuple[int, ...], str, float], ...] = ()


@dataclass
class Analysis:
    """Wells of one or several sources, and what is done to them; every change can be undone.

    Parameters
    ----------
    sources : list of Path
    wells : WellTable
    """

    sources: list[Path]
    wells: WellTable
    edits: Edits = field(default_factory=Edits)
    _undo: list[Edits] = field(default_factory=list)

    @classmethod
    def open(cls, sources: list[Path]) -> Analysis:
        """Read sources and put their wells together.

        Raises
        ------
        VitascopeError
            If one cannot be read, or tells no doses.
        """
        found = [read_response_table(source) for source in sources]
        parts = [one.table.assign(**{SOURCE: number}) for number, one in enumerate(found)]
        several = len(parts) > 1
        for number, (part, source) in enumerate(zip(parts, sources, strict=True)):
            if several and ("plate" not in part or not part["plate"].astype(str).str.strip().any()):
                parts[number] = part.assign(plate=source.stem)
        table = pd.concat(parts, ignore_index=True)
        notes = tuple(note for one in found for note in one.notes)
        further = tuple(one.source for one in found[1:])
        return cls(list(sources), replace(found[0], table=table, notes=notes, further=further))

    @property
    def table(self) -> pd.DataFrame:
        """The wells as they are fitted: with what is left out and held by hand."""
        table = self.wells.table.drop(columns=SOURCE, errors="ignore").copy()
        if self.edits.left_out:
            own = table["excluded"].astype(object) if "excluded" in table else pd.Series("", table.index, dtype=object)
            own[sorted(self.edits.left_out)] = "yes"
            table["excluded"] = own
        for rows, name, value in self.edits.held:
            column = HOLDS[name]
            if column not in table:
                table[column] = float("nan")
            table.loc[list(rows), column] = value
        return table

    def job(self, value: str, params: ResponseParams, out: Path | None = None) -> ResponseJob:
        """Return the fit of a quantity."""
        if value not in self.wells.table:
            raise InputError(f"There is no column '{value}'.", "Choose another quantity.")
        saved = None if self.as_read or out is None else out / WELLS
        source, settings = self._script(value, params, saved)
        command = as_command(source, value, settings, out)
        return ResponseJob(
            wells=replace(self.wells, table=self.table), values=(value,), out=out, params=params, command=command
        )

    # -- by hand ----------------------------------------------------------------------------------------------------

    def toggle(self, row: int) -> None:
        """Leave a point out, or take it back."""
        self._change(replace(self.edits, left_out=self.edits.left_out ^ {row}))

    def hold(self, view: CurveView, name: str, value: float) -> None:
        """Hold a plateau of one curve at a value."""
        rows = tuple(int(row) for row in view.points.index)
        others = tuple(one for one in self.edits.held if (one[0], one[1]) != (rows, name))
        self._change(replace(self.edits, held=(*others, (rows, name, float(value)))))

    def free(self, view: CurveView) -> None:
        """Let both plateaus of one curve be fitted again."""
        rows = tuple(int(row) for row in view.points.index)
        self._change(replace(self.edits, held=tuple(one for one in self.edits.held if one[0] != rows)))

    def held(self, view: CurveView) -> dict[str, float]:
        """Plateaus of a curve that are held."""
        rows = tuple(int(row) for row in view.points.index)
        return {name: value for own, name, value in self.edits.held if own == rows}

    def _change(self, edits: Edits) -> None:
        self._undo.append(self.edits)
        self.edits = edits

    def undo(self) -> bool:
        """Take the last change back; False where there is none."""
        if not self._undo:
            return False
        self.edits = self._undo.pop()
        return True

    @property
    def can_undo(self) -> bool:
        """Whether something was changed."""
        return bool(self._undo)

    def image_of(self, row: int) -> tuple[Path, str, str]:
        """Return the folder, image and well that a point comes from."""
        line = self.wells.table.loc[[row]].iloc[0].to_dict()
        number = int(line.get(SOURCE, 0))
        source = self.sources[number]
        return source if source.is_dir() else source.parent, str(line.get("image") or ""), str(line.get("well") or "")

    # -- the same from a script -------------------------------------------------------------------------------------

    @property
    def as_read(self) -> bool:
        """Whether a script on the source alone fits the same: one source, and nothing changed by hand."""
        return len(self.sources) == 1 and self.edits == Edits()

    def save_wells(self, path: Path) -> None:
        """Write the wells as they are fitted, for a script to read.

        Raises
        ------
        InputError
            If the file is one that the wells were read from.
        OutputError
            If the file cannot be written.
        """
        if any(path.resolve() in (one.resolve(), (one / RESULTS).resolve()) for one in self.sources):
            raise InputError(f"'{path.name}' is what the wells were read from.", "Give another name.")
        write_csv(path, [self.table])

    def scripts(self, value: str, params: ResponseParams, wells: Path | None = None) -> tuple[str, str]:
        """Return the lines of Python and the command that fit the same, of the source or of wells that were saved."""
        source, settings = self._script(value, params, wells)
        return as_python(source, value, settings), as_command(source, value, settings)

    def _script(self, value: str, params: ResponseParams, wells: Path | None) -> tuple[Path, ResponseParams]:
        if wells is None:
            return self.sources[0], params
        told = not params.unit and value == self.wells.headline  # a table of wells does not tell the run's unit
        return wells, params.model_copy(update={"unit": self.wells.unit}) if told else params
