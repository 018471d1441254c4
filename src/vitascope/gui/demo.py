"""The window of ``vitascope demo``: napari with the sample open, the dock open, and the prediction under way.

The command line may not import the docks, and the docks may not import the command line; it starts this module as a
program of its own (``python -m vitascope.gui.demo``). That also keeps a Qt that cannot start (a missing library ends
the whole process) from taking the command line along, which then writes the results to a folder instead.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from vitascope.core.exit_codes import NO_OPENGL
from vitascope.gui.samples import PHASE

STAIN_LAYER = "isl_stains DAPI"


def main(opened: Path | None = None) -> int:
    """Open the window and leave it to the user.

    Parameters
    ----------
    opened : Path, optional
        File that is made once the window is open, for whoever waits for it.

    Returns
    -------
    int
        Exit code: 0, or :data:`vitascope.core.exit_codes.NO_OPENGL`.
    """
    import napari
    from napari.qt import get_qapp

    get_qapp()
    if not can_draw():
        return NO_OPENGL
    viewer = napari.Viewer(title="vitascope demo")
    start(viewer)
    if opened is not None:
        opened.touch()
    napari.run()
    return 0


def can_draw() -> bool:
    """Tell whether there is OpenGL, without which napari cannot show a layer."""
    from qtpy.QtGui import QOpenGLContext

    return bool(QOpenGLContext().create())


def start(viewer: Any) -> Any:
    """Open the sample and the dock in a viewer, and start "Predict nuclei"; returns the dock."""
    viewer.open_sample("vitascope", "isl_phase")
    viewer.open_sample("vitascope", "isl_stains")
    _, dock = viewer.window.add_plugin_dock_widget("vitascope", "Predict nuclei")
    dock.input.main.choose(viewer.layers[PHASE.partition(".")[0]])
    dock.input.layer_boxes["reference"].choose(viewer.layers[STAIN_LAYER])
    for layer in viewer.layers:
        layer.visible = not layer.name.startswith("isl_stains")
    dock.run()
    return dock


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
