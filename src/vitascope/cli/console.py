"""How the command line speaks: progress on a terminal, a log elsewhere, errors as one sentence and a hint."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import typer

from vitascope.core.errors import VitascopeError
from vitascope.core.exit_codes import INTERRUPTED, USAGE
from vitascope.core.progress import Progress, ProgressGenerator, run_to_end

if TYPE_CHECKING:
    from vitascope.io.filenames.grouping import ImageGroup

T = TypeVar("T")

NOTHING_LEFT = "Cancelled: nothing half-done was left behind."


@contextmanager
def plain_errors(cancelled: str = NOTHING_LEFT) -> Iterator[None]:
    """Turn errors meant for the user into a sentence on stderr and exit code 2, and Ctrl-C into code 130.

    Parameters
    ----------
    cancelled : str
        What Ctrl-C leaves behind.
    """
    log, handler = logging.getLogger("vitascope"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("Warning: %(message)s"))
    handler.setLevel(logging.WARNING)
    handler.addFilter(_Once())
    log.addHandler(handler)
    try:
        yield
    except VitascopeError as error:
        typer.echo(f"Error: {error.message}", err=True)
        if error.hint:
            typer.echo(f"Hint: {error.hint}", err=True)
        raise typer.Exit(USAGE) from error
    except KeyboardInterrupt:
        typer.echo(cancelled, err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        log.removeHandler(handler)


class _Once(logging.Filter):
    """Lets each sentence pass once: data are looked at several times, and are wrong in the same way each time."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether it is new."""
        text = record.getMessage()
        new = text not in self._said
        self._said.add(text)
        return new


def group_images(images: list[str], pattern: str | None, planes: str | None = None) -> list[ImageGroup]:
    """Group files to images, and warn of those that are left out; arguments and errors of ``group_paths``."""
    from vitascope.io.images.read import group_paths

    groups, left_out = group_paths(images, pattern, planes=planes)
    for sentence in left_out:
        typer.echo(f"Warning: {sentence}", err=True)
    return groups


def with_progress_bar(steps: ProgressGenerator[T], log: Callable[[Progress], Iterable[str]] = lambda at: ()) -> T:
    """Drain a run, with a progress bar where stderr is a terminal, and lines with the time elsewhere.

    Parameters
    ----------
    steps : generator of Progress
    log : callable
        Gives the lines that a step is worth in a log: one for what ended with it, such as an epoch or an image.
    """
    if not sys.stderr.isatty():

        def tell(progress: Progress) -> None:
            for line in log(progress):
                typer.echo(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}", err=True)

        return run_to_end(steps, tell)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("Starting", total=None)

        def show(progress: Progress) -> None:
            images = getattr(progress, "images", 1)
            where = f"{getattr(progress, 'name', '')}: " if images > 1 else ""
            bars.update(bar, description=f"{where}{progress.stage}", total=progress.total, completed=progress.done)

        return run_to_end(steps, show)
