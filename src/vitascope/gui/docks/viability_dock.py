"""The dock Viability."""

from __future__ import annotations

from vitascope.gui.docks.wells_dock import WellsDock
from vitascope.tasks import viability


class ViabilityDock(WellsDock):
    """Viability."""

    spec = viability.SPEC
