"""The dock Estimate ATP."""

from __future__ import annotations

from vitascope.gui.docks.wells_dock import WellsDock
from vitascope.tasks import atp


class AtpDock(WellsDock):
    """Estimate ATP."""

    spec = atp.SPEC
