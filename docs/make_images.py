"""Take the pictures of the documentation from the running program: ``python docs/make_images.py`` (needs a screen)."""

from __future__ import annotations

import time
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
SIZE_PX = (1500, 940)
LIMIT_S = 300.0


def wait(app: object, seconds: float, done: object = lambda: False) -> None:
    """Let the window work for a while, or until something is done."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not done():  # type: ignore[operator]
        app.processEvents()  # type: ignore[attr-defined]
        time.sleep(0.02)


def main() -> None:
    """Run the demo and photograph its window."""
    import napari
    from napari.qt import get_qapp

    from vitascope.gui.demo import start

    app = get_qapp()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE_PX)
    dock = start(viewer)
    wait(
        app,
        LIMIT_S,
        lambda: any(type(layer).__name__ == "Labels" for layer in viewer.layers) and not dock.runner.running,
    )
    viewer.reset_view()
    wait(app, 2.0)
    IMAGES.mkdir(exist_ok=True)
    viewer.screenshot(str(IMAGES / "dock.png"), canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    main()
