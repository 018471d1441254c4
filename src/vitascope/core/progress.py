"""Progress without callbacks: a run is a generator that yields where it stands and returns what it made."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Parameters
    ----------
    done : int, >= 0
        Units finished (tiles, images, epochs).
    total : int, >= 1
        Units in all; constant within a stage.
    stage : str
        What is being done, in the user's words.
    """

    done: int
    total: int
    stage: str


ProgressGenerator = Generator[Progress, None, T]


def map_progress(steps: ProgressGenerator[T], tell: Callable[[Progress], Progress]) -> ProgressGenerator[T]:
    """Go through a run, and say with each of its steps what ``tell`` makes of it; closed, it closes the run."""
    try:
        while True:
            try:
                at = next(steps)
            except StopIteration as stop:
                value: T = stop.value
                return value
            yield tell(at)
    finally:
        steps.close()


class StopEarly(Exception):  # noqa: N818, it is a wish and no error
    """Thrown into a run that gets better the longer it takes: end now, and return the best so far."""


def run_to_end(steps: ProgressGenerator[T], on_progress: Callable[[Progress], None] | None = None) -> T:
    """Drain a run and return its result.

    Parameters
    ----------
    steps : generator of Progress returning T
    on_progress : callable, optional
        Called with every Progress; an exception it raises closes the run.

    Returns
    -------
    T
        What the generator returns.

    Examples
    --------
    >>> def count():
    ...     yield Progress(1, 1, "count")
    ...     return 42
    >>> run_to_end(count())
    42
    """
    try:
        while True:
            progress = next(steps)
            if on_progress is not None:
                on_progress(progress)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        steps.close()
