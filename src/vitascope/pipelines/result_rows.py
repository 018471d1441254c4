"""The rows of a run on one picture or several, each with a status and flags of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vitascope.core.errors import InputError
from vitascope.core.result import Trust
from vitascope.core.status import Status
from vitascope.engine.select_planes import SelectedPlanes
from vitascope.pipelines.output_grid import OutputGrid

OUTSIDE = "Outside what the model knows: no number is given."


class PictureRows:
    """Rows as they come, picture by picture.

    A row of several says by ``status``, ``flags`` and ``message`` how its own picture ended; a single picture's are
    those of the result.

    Parameters
    ----------
    grid : OutputGrid
    names : sequence of str
        Columns of the numbers, the main one first.
    shared : sequence of str
        Flags of the image as a whole.
    """

    def __init__(self, grid: OutputGrid, names: Sequence[str], shared: Sequence[str]) -> None:
        self._grid, self._names, self._shared = grid, tuple(names), tuple(shared)
        self._rows: list[dict[str, Any]] = []
        self._flags: list[tuple[str, ...]] = []
        self._messages: list[str] = []

    def __len__(self) -> int:
        """Return how many pictures are done."""
        return len(self._rows)

    def add(self, picture: SelectedPlanes, numbers: Sequence[float], flags: Sequence[str], trust: Trust) -> None:
        """Note the numbers of a picture; NaN for none, since it lies outside what the model knows."""
        self._rows.append({**self._grid.where(picture), **dict(zip(self._names, numbers, strict=True))})
        self._flags.append(tuple(flags))
        self._messages.append(f"{OUTSIDE if math.isnan(numbers[0]) else ''} {' '.join(trust.reasons)}".strip())

    def refuse(self, picture: SelectedPlanes, error: InputError) -> None:
        """Note that a picture cannot be judged: one among many keeps its place.

        Raises
        ------
        InputError
            The same, where there is no other picture.
        """
        if len(self._grid.pictures) == 1:
            raise error
        self._rows.append({**self._grid.where(picture), **dict.fromkeys(self._names, math.nan)})
        self._flags.append((error.flag,))
        self._messages.append(str(error))

    @property
    def refused(self) -> bool:
        """Whether no picture has a number."""
        return all(math.isnan(row[self._names[0]]) for row in self._rows)

    def flags(self) -> tuple[str, ...]:
        """Return the flags of the image and of its pictures, each once."""
        return tuple(dict.fromkeys([*self._shared, *(f for flags in self._flags for f in flags)]))

    def message(self, trust: Trust) -> str:
        """Return the sentence of the run: why there is no number, or what makes it unsure."""
        if self.refused and len(set(self._messages)) == 1:
            return self._messages[0]
        return f"{OUTSIDE if self.refused else ''} {' '.join(trust.reasons)}".strip()

    def finished(self, more: Sequence[str] = ()) -> tuple[Mapping[str, Any], ...]:
        """Return the rows, with their statuses where there are several; ``more`` are flags of the run."""
        if len(self._rows) == 1:
            return tuple(self._rows)
        found = []
        for row, own, message in zip(self._rows, self._flags, self._messages, strict=True):
            flags = tuple(dict.fromkeys([*self._shared, *own, *more]))
            status = Status.REJECTED if math.isnan(row[self._names[0]]) else Status.of_flags(flags)
            found.append({**row, "status": status, "flags": flags, "message": message})
        return tuple(found)
