"""The lines below a plate's column numbers: which are rows, what stands between and beside them, and their letters."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

from vitascope.core.errors import InputError
from vitascope.core.numbers import looks_like_number
from vitascope.core.well import Well
from vitascope.io.tables.read import Line

_LETTER = re.compile(r"(?:row\s*)?([A-Z]|A[A-F])\s*[:.)]?", re.IGNORECASE)
_WIDE = 24  # more columns than a plate of 384 has: the plate is one of 1536, with 32 rows
_APART = "Leave an empty line between the plate and what stands below it, and give each of its rows a letter."


def row_letter(text: str) -> str:
    """Return the row letter of a label, as it is written; empty where it is none.

    Examples
    --------
    >>> row_letter("b"), row_letter("Row C"), row_letter("AF"), row_letter("Mean")
    ('b', 'C', 'AF', '')
    """
    match = _LETTER.fullmatch(text.strip())
    return match[1] if match else ""


class GridRows:
    """Reads the lines of one block, and refuses by its line what belongs to no well.

    Parameters
    ----------
    file : str
    header : tuple of int and list of str
        The line with the column numbers.
    label_at : int
        Position of the row letters.
    columns : dict of int to int
        Column number by position.
    taken : set of int
        Positions that this block and those beside it read.
    is_statistic : callable
        Tells words such as ``Mean``.
    """

    def __init__(
        self,
        file: str,
        header: Line,
        label_at: int,
        columns: dict[int, int],
        taken: set[int],
        is_statistic: Callable[[str], bool],
    ) -> None:
        self._file, self._header, self._label_at, self._columns = file, header, label_at, columns
        self._taken, self._is_statistic = taken, is_statistic
        self._rows: list[tuple[str, int]] = []  # letter and line
        self._values: list[tuple[int, int, str, list[str]]] = []  # row, line, what stands at the end, cells
        self._closed = self._apart = False
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What stands in the block and is no value of a well."""
        return tuple(dict.fromkeys(self._notes))

    def read(self, lines: Sequence[Line]) -> int:
        """Read the lines up to the next block; returns how many belong to this one."""
        before = self._header[0]
        used = 0
        for at, (number, cells) in enumerate(lines):
            if self._line(number, cells, number > before + 1):
                used = at + 1
            before = number
        return used

    def _line(self, number: int, cells: list[str], apart: bool) -> bool:
        """Read one line; tells whether it is part of the block."""
        label = next((cell for cell in reversed(cells[: self._label_at + 1]) if cell), "")
        filled = [cells[place] for place in self._columns if place < len(cells) and cells[place]]
        letter = row_letter(cells[self._label_at]) if self._label_at < len(cells) else ""
        self._apart = self._apart or (apart and bool(self._rows))
        if letter and not (self._closed and self._is_legend(letter, filled)):
            self._row(letter, number, cells)
            return True
        if not filled:
            self._closed = self._closed or bool(label)
            return False
        if self._is_statistic(label):
            self._notes.append(f"Line {number} of '{self._file}' ('{label}') holds a statistic and is left out.")
            return not self._closed
        if self._closed or (label and apart):
            self._closed = True
            return False
        if not label and self._values and (end := self._end(number, cells)):
            self._values.append((len(self._rows) - 1, number, end, cells))
            return True
        if label and len(filled) == 1 and not looks_like_number(filled[0]) and self._has_numbers():
            self._closed = True
            self._notes.append(f"Line {number} of '{self._file}' ('{label}', '{filled[0]}') is left out.")
            return False
        what = f"is called '{label}'" if label else "has no row letter"
        raise InputError(f"Line {number} of '{self._file}' stands in a plate and {what}: '{filled[0]}' …", _APART)

    def _is_legend(self, letter: str, filled: list[str]) -> bool:
        """Tell whether a line below the block only begins like a row, as the key of letters does."""
        below = self._apart or any(letter == one for one, _ in self._rows)
        return not filled or (below and len(filled) == 1 and not looks_like_number(filled[0]))

    def _has_numbers(self) -> bool:
        """Tell whether the rows hold numbers: a word below them is then none of their values."""
        return any(
            place < len(cells) and looks_like_number(cells[place])
            for _, _, _, cells in self._values
            for place in self._columns
        )

    def _row(self, letter: str, number: int, cells: list[str]) -> None:
        twice = next((line for one, line in self._rows if one == letter), None)
        if twice is not None:
            raise InputError(
                f"The row {letter} stands twice in '{self._file}', in lines {twice} and {number}.",
                "Give each plate its own line of column numbers.",
            )
        self._rows.append((letter, number))
        self._values.append((len(self._rows) - 1, number, self._end(number, cells), cells))

    def _end(self, number: int, cells: list[str]) -> str:
        """Return what a line says at its end that it holds, and account for what else stands beside the columns."""
        header = self._header[1]
        words = []
        for place in range(min(self._columns), len(cells)):
            text = cells[place]
            if not text or place in self._taken:
                continue
            name = header[place] if place < len(header) else ""
            if self._is_statistic(name):
                self._notes.append(f"The column '{name}' of '{self._file}' holds a statistic and is left out.")
            elif place < max(self._columns) or looks_like_number(text):
                raise InputError(
                    f"Line {number} of '{self._file}' has the value '{text}' in a column without a number.",
                    "Write the number of its column above each value.",
                )
            elif name:
                self._notes.append(f"The column '{name}' beside the plate in '{self._file}' is left out.")
            else:
                words.append(text)
        return " ".join(words)

    def by_kind(self) -> list[tuple[str, dict[Well, str], dict[Well, tuple[int, int]]]]:
        """Return for each kind of value its name, the cells, and the line and position of each.

        Raises
        ------
        InputError
            If a row letter is not clear, or a kind stands twice in a row.
        """
        indices = self._indices()
        found: dict[str, tuple[dict[Well, str], dict[Well, tuple[int, int]]]] = {}
        several = len(self._values) > len(self._rows)
        ends = {end for _, _, end, _ in self._values}
        if not several and len(ends) > 1:
            self._notes += [
                f"'{end}' in line {n} of '{self._file}' is left out." for _, n, end, _ in self._values if end
            ]
        for row, number, end, cells in self._values:
            kind = end if several or len(ends) == 1 else ""
            values, places = found.setdefault(kind, ({}, {}))
            for place, column in self._columns.items():
                well = Well(indices[row], column - 1)
                if well in values:
                    raise InputError(
                        f"The well {well} has two values in '{self._file}', in lines {places[well][0]} and {number}.",
                        "Leave one of them out.",
                    )
                values[well] = cells[place] if place < len(cells) else ""
                places[well] = (number, place)
        return [(kind, values, places) for kind, (values, places) in found.items()]

    def _indices(self) -> list[int]:
        """Turn letters into rows; a to f may follow Z as rows 27 to 32, as some readers write plates of 1536."""
        letters = [letter for letter, _ in self._rows]
        plain = [Well.parse(f"{letter}1").row for letter in letters]
        late = [26 + row if letter in tuple("abcdef") else row for letter, row in zip(letters, plain, strict=True)]
        if plain == late:
            return self._single(plain)
        wide = max(self._columns.values()) > _WIDE
        if wide and _rises(late) and _rises(plain):
            number = next(n for letter, n in self._rows if letter in tuple("abcdef"))
            raise InputError(
                f"The rows in lower case (line {number} of '{self._file}') may be A to F or AA to AF.",
                "Write the letters as A to Z and AA to AF.",
            )
        return self._single(late if wide and _rises(late) else plain)

    def _single(self, rows: list[int]) -> list[int]:
        for at, row in enumerate(rows):
            if row in rows[:at]:
                first, again = self._rows[rows.index(row)], self._rows[at]
                raise InputError(
                    f"The row {first[0]} stands twice in '{self._file}', in lines {first[1]} and {again[1]}.",
                    "Give each plate its own line of column numbers.",
                )
        return rows


def _rises(rows: Sequence[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(rows))
