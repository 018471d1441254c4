"""Drain a run off the main thread, and turn its end - done, cancelled or failed - into a value.

What napari's workers do with exceptions and with ``quit`` leaves a dock hanging or silent (an exception ends as
"completed", a ``RuntimeError`` without any signal, a stopped generator is never closed). So nothing is ever raised out
of the worker: one generator steps the run, looks at an event between steps, closes the run itself and returns an
:class:`RunOutcome`.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from napari.qt.threading import create_worker
from napari.utils.notifications import show_warning
from napari.utils.progress import cancelable_progress
from qtpy.QtCore import QObject, Signal

from vitascope.core.errors import VitascopeError, describe
from vitascope.core.progress import Progress, ProgressGenerator, StopEarly
from vitascope.core.training_params import EpochProgress
from vitascope.gui.common.run_thread import RunWorker
from vitascope.gui.common.whole_run import BAR_STEPS, WholeRun

logger = logging.getLogger(__name__)

LEAST_PAUSE_S = 0.05
"""Progress is shown this often at most, however fast the steps come."""

CANCELLING = "Cancelling: the step under way is ended first."
"""What docks say between the click on Cancel and the end: loading a model, say, cannot be cut short."""

MakeSteps = Callable[[], ProgressGenerator[Any]]
Work = Callable[[], Generator[Progress, None, "RunOutcome"]]


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Parameters
    ----------
    kind : {"done", "cancelled", "failed"}
    value : object
        What the run returned, if it is done.
    message, hint : str
        What went wrong and what to do, if it failed.
    """

    kind: Literal["done", "cancelled", "failed"]
    value: Any = None
    message: str = ""
    hint: str = ""


def drain(
    make_steps: MakeSteps, cancelled: threading.Event, stopped: threading.Event | None = None
) -> Generator[Progress, None, RunOutcome]:
    """Step a run to its end; every exception becomes an :class:`RunOutcome`, and the run is always closed.

    Parameters
    ----------
    make_steps : callable
        Starts the run; called in the worker's thread, for it may load much.
    cancelled : Event
        Looked at before each step.
    stopped : Event, optional
        The same; a training that is under way then ends early, and keeps the best.
    """
    steps: ProgressGenerator[Any] | None = None
    last, stage = 0.0, ""
    progress: Progress | None = None
    told = False
    try:
        steps = make_steps()
        while not cancelled.is_set():
            try:
                if stopped is not None and stopped.is_set() and isinstance(progress, EpochProgress) and not told:
                    told = True
                    progress = steps.throw(StopEarly())
                else:
                    progress = next(steps)
            except StopIteration as stop:
                return RunOutcome("done", stop.value)
            now = time.monotonic()
            ended = isinstance(progress, EpochProgress) and progress.preview
            if ended or progress.stage != stage or progress.done >= progress.total or now - last >= LEAST_PAUSE_S:
                last, stage = now, progress.stage
                yield progress
        return RunOutcome("cancelled")
    except Exception as error:
        return failure(error)
    finally:
        if steps is not None:
            steps.close()


def failure(error: Exception) -> RunOutcome:
    """Say what went wrong: our own errors in their words, others by name with the details in the log."""
    if isinstance(error, VitascopeError):
        return RunOutcome("failed", error, error.message, error.dock_hint)
    from vitascope.batch.item import (
        traceback_summary,  # readers come with it, and opening a dock shall not wait for them
    )

    logger.error("A run ended unexpectedly: %s at %s", type(error).__name__, traceback_summary(error))
    if isinstance(error, MemoryError):
        return RunOutcome(
            "failed", error, "Memory ran out.", "Close other programs, or use a smaller part of the image."
        )
    sentence = f"Something unexpected went wrong: {describe(error)} ({type(error).__name__})."
    return RunOutcome("failed", error, sentence, LOG_HINT)


LOG_HINT = "The details are in the log (Help ▸ Show logs)."


class TimeLeft:
    """Estimates the time left from the progress within a stage.

    Parameters
    ----------
    clock : callable
        Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage = ""
        self._start = (0.0, 0)

    def __call__(self, progress: Progress) -> float | None:
        """Return the seconds left; None before anything can be said."""
        now = self._clock()
        if progress.stage != self._stage:
            self._stage, self._start = progress.stage, (now, progress.done)
            return None
        began, done = self._start
        if progress.done <= done:
            return None
        return (now - began) / (progress.done - done) * max(0, progress.total - progress.done)


def in_words(progress: Progress, seconds_left: float | None) -> str:
    """Say where a run stands.

    Examples
    --------
    >>> in_words(Progress(3, 12, "Predicting"), 8.2)
    'Predicting: 3 of 12, about 9 s left'
    """
    counted = f": {progress.done} of {progress.total}" if progress.total > 1 else ""
    if seconds_left is None or seconds_left < 0.5:
        return f"{progress.stage}{counted}"
    if seconds_left < 90:
        return f"{progress.stage}{counted}, about {int(seconds_left) + 1} s left"
    return f"{progress.stage}{counted}, about {round(seconds_left / 60)} min left"


class ActivityBar(cancelable_progress):  # type: ignore[misc]
    """A bar in napari's activity dock whose Cancel acts at once, not at the next step."""

    def __init__(self, title: str, on_cancel: Callable[[], None]) -> None:
        self._on_cancel = on_cancel
        self.drawing = False
        """Whether the bar is being drawn, which lets other events through."""
        super().__init__(desc=title, total=0)

    def cancel(self) -> None:
        """Pass the click on."""
        super().cancel()
        self._on_cancel()

    def show(self, share: float, description: str) -> None:
        """Show how much of the whole run is done, 0 to 1."""
        self.drawing = True
        try:
            if share > 0 and self.total != BAR_STEPS:
                self.reset(total=BAR_STEPS)
            if self.desc != f"{description}: ":
                self.set_description(description)
            self.update(round(BAR_STEPS * share) - self.n)
        finally:
            self.drawing = False


class Runner(QObject):  # type: ignore[misc]
    """Runs one thing at a time, in all docks together, for they share the machine.

    Parameters
    ----------
    launch : callable, optional
        Starts the work; in a thread by default. Tests give one that does it at once.
    activity : bool
        Whether to show a bar in napari's activity dock.
    """

    progressed = Signal(object, object)
    """Progress, and the seconds left or None."""

    ended = Signal(object)
    """RunOutcome; emitted once for each run."""

    busy: ClassVar[Runner | None] = None
    """Who runs now, in the whole program."""

    def __init__(self, launch: Callable[[Runner, Work], None] | None = None, activity: bool = True) -> None:
        super().__init__()
        self.title = ""
        self._launch = launch or in_thread
        self._activity = activity
        self._cancelled, self._stopped = threading.Event(), threading.Event()
        self._drain: Generator[Progress, None, RunOutcome] | None = None
        self._bar: ActivityBar | None = None
        self._time_left, self._whole = TimeLeft(), WholeRun()
        self.share = 0.0
        """How much of the run is done, 0 to 1, over all its stages."""
        self._warned: set[str] = set()
        self.worker: RunWorker | None = None
        self.workers_left = 0
        """Workers that have not said yet that they finished; one may say so when the next run is already going."""

    def another(self) -> Runner:
        """Make a runner of the same kind, for another part of the same dock."""
        return Runner(self._launch, self._activity)

    @property
    def running(self) -> bool:
        """Whether a run of this runner is going."""
        return Runner.busy is self

    @property
    def cancelling(self) -> bool:
        """Whether a run was asked to stop and has not yet."""
        return self.running and self._cancelled.is_set()

    def start(self, title: str, make_steps: MakeSteps) -> None:
        """Start a run.

        Raises
        ------
        VitascopeError
            If another one is going, here or in another dock.
        """
        if Runner.busy is not None:
            raise VitascopeError(f"'{Runner.busy.title}' is still running.", "Wait until it is done, or cancel it.")
        Runner.busy, self.title = self, title
        self._cancelled, self._stopped = threading.Event(), threading.Event()
        self._time_left, self._whole, self._warned, self.share = TimeLeft(), WholeRun(), set(), 0.0
        self._drain = source = drain(make_steps, self._cancelled, self._stopped)
        # Making a bar lets other events through, clicks among them: the run is already known to be going.
        self._bar = ActivityBar(title, self.cancel) if self._activity else None

        def work() -> Generator[Progress, None, RunOutcome]:
            return (yield from source)

        self._launch(self, work)

    def cancel(self) -> None:
        """Ask the run to stop; it does before its next step."""
        self._cancelled.set()

    def stop_early(self) -> None:
        """Ask a training to end now and keep the best."""
        self._stopped.set()

    def on_step(self, progress: Progress) -> None:
        """Show where the run stands."""
        if not self.running:
            return
        left, self.share = self._time_left(progress), self._whole(progress)
        self.progressed.emit(progress, left)
        # Drawing the bar lets other events through: the next steps, which then do without it, and the end of the run.
        if self._bar is not None and not self._bar.drawing:
            self._bar.show(self.share, f"{self.title}: {progress.stage}")

    def on_warning(self, warning: tuple[Any, ...]) -> None:
        """Show a warning of the run, the same one once."""
        text = str(warning[0])
        if text not in self._warned:
            self._warned.add(text)
            logger.warning("%s", warnings.formatwarning(*warning[:4]))
            show_warning(text)

    def on_end(self, outcome: RunOutcome) -> None:
        """Report how the run ended."""
        if not self.running:
            return
        Runner.busy = None
        self._drain = None
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self.ended.emit(outcome)

    def on_finished(self) -> None:
        """Take care of a worker that was stopped from outside, as when napari closes: close the run here."""
        self.workers_left -= 1
        if self.workers_left:
            return
        source = self._drain
        if source is not None:
            source.close()
            self.on_end(RunOutcome("cancelled"))
        self.worker = None


def in_thread(runner: Runner, work: Work) -> None:
    """Do the work in a napari worker; the runner's methods are called back in the main thread."""
    worker = create_worker(work, _worker_class=RunWorker, _start_thread=False)
    worker.cancel = runner.cancel
    worker.yielded.connect(runner.on_step)
    worker.warned.connect(runner.on_warning)
    worker.returned.connect(runner.on_end)
    worker.finished.connect(runner.on_finished)
    runner.worker = worker
    runner.workers_left += 1
    worker.start()


Launch = Callable[[Callable[[], Any], Callable[[Any], None]], None]
"""Does work off the main thread, then something with its value on it."""


def in_background(work: Callable[[], Any], then: Callable[[Any], None]) -> None:
    """Work in a thread; an exception becomes an :class:`RunOutcome`, for napari loses them."""

    def safely() -> Any:
        try:
            return work()
        except Exception as error:
            return failure(error)

    worker = create_worker(safely, _start_thread=False)
    worker.returned.connect(then)
    worker.start()
