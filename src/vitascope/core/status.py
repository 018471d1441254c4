"""How one image of a run ended: the words of the ``status`` column."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from vitascope.core.flags import without_notes


class Status(StrEnum):
    """How an image ended; files and tables hold the text.

    Examples
    --------
    >>> Status("WARN") is Status.WARN, f"{Status.WARN}", Status.WARN == "WARN"
    (True, 'WARN', True)
    """

    OK = "OK"
    WARN = "WARN"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    INCOMPLETE = "INCOMPLETE"

    @classmethod
    def of_flags(cls, flags: Collection[str]) -> Status:
        """Return the status of an image that has its numbers: WARN, or OK where there are no flags but notes.

        Examples
        --------
        >>> print(Status.of_flags(()), Status.of_flags(("tile_reduced",)), Status.of_flags(("saturated",)))
        OK OK WARN
        """
        return cls.WARN if without_notes(flags) else cls.OK


JUDGED = (Status.OK, Status.WARN)
"""Of images that have numbers."""

NOT_DONE = (Status.FAILED, Status.INCOMPLETE)
"""Of images that may succeed when they are run again; REJECTED ones never do."""
