"""Wells and where on a plate an image was taken."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vitascope.core.errors import ParameterError

PLATE_SHAPES = {6: (2, 3), 12: (3, 4), 24: (4, 6), 48: (6, 8), 96: (8, 12), 384: (16, 24), 1536: (32, 48)}
_WELL = re.compile(r"\A([A-Za-z]|[Aa][A-Fa-f])0*([1-9]\d?)\Z")


@dataclass(frozen=True, order=True)
class Well:
    """One well of a plate.

    Parameters
    ----------
    row : int, 0-31
        0 is row A, 26 is row AA.
    column : int, 0-47
        0 is column 1.
    """

    row: int
    column: int

    def __post_init__(self) -> None:
        """Refuse a well outside the largest plate (1536)."""
        if not (0 <= self.row < 32 and 0 <= self.column < 48):
            raise ParameterError(
                f"Row {self.row + 1}, column {self.column + 1} is no well.", "Plates go from A01 to AF48."
            )

    @classmethod
    def parse(cls, text: str) -> Well:
        """Read ``A1``, ``A01``, ``a01`` or ``AF48``.

        Raises
        ------
        ParameterError
            If the text is no well of a plate of up to 1536 wells.

        Examples
        --------
        >>> Well.parse("b7") == Well.parse("B07")
        True
        """
        match = _WELL.match(text.strip())
        if match is None:
            raise ParameterError(f"'{text}' is no well.", "Write a row letter and a column number, such as B07.")
        letters = match[1].upper()
        row = ord(letters[-1]) - ord("A") + (26 if len(letters) == 2 else 0)
        return cls(row, int(match[2]) - 1)

    def __str__(self) -> str:
        """Return the padded name, such as ``B07`` or ``AF48``."""
        letters = chr(ord("A") + self.row) if self.row < 26 else "A" + chr(ord("A") + self.row - 26)
        return f"{letters}{self.column + 1:02d}"


@dataclass(frozen=True)
class WellPosition:
    """Where and when an image was taken; empty text where the name does not tell."""

    plate: str = ""
    well: str = ""
    field: str = ""
    time: str = ""
