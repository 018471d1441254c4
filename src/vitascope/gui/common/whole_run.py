"""How far a whole run is, from the stages that it tells one by one: one bar that never goes back."""

from __future__ import annotations

import re

from qtpy.QtWidgets import QProgressBar

from vitascope.core.progress import Progress

FIRST_SHARE = 0.85
"""Of what is left, for a stage that counts: the first, which computes, is much longer than what follows."""

BAR_STEPS = 1000
_PICTURE = re.compile(r"\((?P<number>\d+) of (?P<count>\d+)\)\Z")


class WholeRun:
    """Puts the stages of a run together.

    How many stages follow is not known. Each that counts takes a fixed share of what is left; one that does not takes
    nothing. Where a stage names the picture, "(2 of 7)", each picture has an equal part of the bar.

    Examples
    --------
    >>> whole = WholeRun()
    >>> [round(whole(Progress(*at)), 3) for at in [(0, 1, "Starting"), (5, 10, "Predicting"), (9, 10, "Predicting")]]
    [0.0, 0.425, 0.765]
    """

    def __init__(self) -> None:
        self._stage = ""
        self._picture = (1, 1)
        self._start = self._inside = self._share = 0.0

    def __call__(self, progress: Progress) -> float:
        """Return the share of the run that is done, 0 to 1; never less than before."""
        named = _PICTURE.search(progress.stage)
        if named is not None:
            picture = int(named["number"]), int(named["count"])
            if picture != self._picture:
                self._picture, self._stage, self._inside = picture, "", 0.0
        if progress.stage != self._stage:
            self._stage, self._start = progress.stage, self._inside
        if progress.total > 1:
            room = FIRST_SHARE * (1 - self._start)
            inside = self._start + room * min(1.0, progress.done / progress.total)
            self._inside = max(self._inside, inside)
        number, count = self._picture
        self._share = max(self._share, (number - 1 + self._inside) / count)
        return self._share


def show_share(bar: QProgressBar, share: float) -> None:
    """Show how far a run is; a bar that moves to and fro before anything is counted."""
    bar.setRange(0, BAR_STEPS if share > 0 else 0)
    bar.setValue(round(BAR_STEPS * share))
