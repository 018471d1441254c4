"""How one image of a run ended: the words of the ``status`` column."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


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
        """Return the status of an image that has its numbers: OK, or WARN where there is something to know.

        Examples
        --------
        >>> print(Status.of_flags(()), Status.of_flags(("saturated",)))
        OK WARN
        """
        return cls.WARN if flags else cls.OK


JUDGED = (Status.OK, Status.WARN)
"""Of images that have numbers."""

NOT_DONE = (Status.FAILED, Status.INCOMPLETE)
"""Of images that may succeed when they are run again; REJECTED ones never do."""
