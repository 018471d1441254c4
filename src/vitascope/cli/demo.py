"""``vitascope demo``: the main job on a bundled sample, in a window or, where there is no screen, into a folder."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.cli.run import image_lines, print_report
from vitascope.core.exit_codes import NO_OPENGL, PARTIAL
from vitascope.core.paths import SAMPLES
from vitascope.tasks.stain import SPEC

IMAGE, STAIN = "isl_phase.ome.tif", "isl_stains.ome.tif"
FOLDER = Path("vitascope-demo")
WINDOW = "vitascope.gui.demo"


def demo(
    headless: Annotated[bool, typer.Option("--headless", help="Open no window; write to a folder.")] = False,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the results, where no window is opened.")
    ] = FOLDER,
) -> None:
    """Predict nuclei on a bundled sample: in napari, or into a folder where there is no screen."""
    with plain_errors():
        reason = "" if headless else why_no_window()
        if not headless and not reason:
            reason = open_window()
            if not reason:
                return
        if reason:
            typer.echo(f"{reason} The results go to '{out}' instead.")
        complete = write_demo(out)
    if not complete:
        raise typer.Exit(PARTIAL)


def why_no_window() -> str:
    """Say why no window can be opened; empty if nothing speaks against it."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "There is no screen here."
    missing = [name for name in ("napari", "qtpy") if importlib.util.find_spec(name) is None]
    bindings = ("PySide6", "PyQt6", "PyQt5")
    if missing or not any(importlib.util.find_spec(name) for name in bindings):
        return "napari is not installed here (pip install 'vitascope[all]')."
    return ""


def open_window() -> str:
    """Open napari with the demo and wait until it is closed; say why if it could not be opened.

    The window is a program of its own: the command line does not import the docks, and a Qt that cannot start ends
    only that program.
    """
    with tempfile.TemporaryDirectory(prefix="vitascope-") as folder:
        opened = Path(folder) / "opened"
        code = subprocess.run([sys.executable, "-m", WINDOW, str(opened)], check=False).returncode
        if opened.exists():
            return ""
    if code == NO_OPENGL:
        return "The screen here has no OpenGL, which napari draws with."
    return f"napari could not be opened here (it ended with code {code})."


def write_demo(out: Path) -> bool:
    """Run the demo into a folder, previews as PNG beside the results; tell whether all was written."""
    from vitascope.batch.run_images import Job, run_images
    from vitascope.cli.previews import write_previews
    from vitascope.io.images.read import find_groups

    job = Job(
        spec=SPEC,
        groups=find_groups([SAMPLES / IMAGE]),
        params=SPEC.make_params(),
        out=out,
        references=find_groups([SAMPLES / STAIN]),
        command="vitascope demo --headless",
    )
    report = with_progress_bar(run_images(job), partial(image_lines, SPEC))
    print_report(report, SPEC)
    write_previews(SAMPLES / IMAGE, out)
    return report.complete
