import threading
import time
import warnings

import pytest

from gui_support import at_once
from vitascope.core.errors import InputError, VitascopeError
from vitascope.core.progress import Progress
from vitascope.gui.common.runner import Runner, RunOutcome, TimeLeft, drain, in_words


def counting(total=3, closed=None):
    def steps():
        try:
            for i in range(total):
                yield Progress(i, total, f"Stage {i}")
            return "value"
        finally:
            if closed is not None:
                closed.append(True)

    return steps


def exhaust(generator):
    steps = []
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as stop:
            return steps, stop.value


def test_a_run_that_ends_gives_its_value_and_every_stage():
    closed = []
    steps, outcome = exhaust(drain(counting(3, closed), threading.Event()))
    assert outcome == RunOutcome("done", "value")
    assert [s.stage for s in steps] == ["Stage 0", "Stage 1", "Stage 2"]
    assert closed == [True]


@pytest.mark.fault("H09")
def test_a_cancelled_run_is_closed_before_its_next_step():
    closed, cancelled = [], threading.Event()
    run = drain(counting(100, closed), cancelled)
    next(run)
    cancelled.set()
    assert exhaust(run) == ([], RunOutcome("cancelled"))
    assert closed == [True]


@pytest.mark.fault("H07")
@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (InputError("Too small.", "Take a larger one."), "Too small.", "Take a larger one."),
        (RuntimeError("CUDA error: no"), "Something unexpected went wrong: CUDA error: no (RuntimeError).", "log"),
        (MemoryError(), "Memory ran out.", "Close other programs"),
        (KeyError(), "Something unexpected went wrong: it holds something that is not known here (KeyError).", "log"),
    ],
)
@pytest.mark.parametrize("early", [True, False])
def test_every_error_becomes_an_outcome_in_words(error, message, hint, early):
    def steps():
        if not early:
            yield Progress(0, 1, "a")
        raise error
        yield

    _, outcome = exhaust(drain(steps, threading.Event()))
    assert (outcome.kind, outcome.message) == ("failed", message)
    assert hint in outcome.hint


def test_an_error_while_starting_becomes_an_outcome():
    def make():
        raise InputError("No.")

    assert exhaust(drain(make, threading.Event()))[1].message == "No."


def test_the_log_tells_no_folders(caplog):
    def steps():
        raise ValueError("x")
        yield

    exhaust(drain(steps, threading.Event()))
    assert "ValueError at runner.py" in caplog.text
    assert "/" not in caplog.records[-1].getMessage()


def test_fast_steps_are_thinned_but_the_last_and_new_stages_are_shown():
    def steps():
        for i in range(1000):
            yield Progress(i + 1, 1000, "fast")
        yield Progress(0, 1, "next")

    seen, _ = exhaust(drain(steps, threading.Event()))
    assert len(seen) < 500
    assert Progress(1000, 1000, "fast") in seen
    assert seen[-1].stage == "next"


def test_the_time_left_is_that_of_the_stage():
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    assert left(Progress(2, 10, "a")) is None
    now[0] = 4.0
    assert left(Progress(4, 10, "a")) == pytest.approx(4 / 2 * 6)
    assert left(Progress(0, 5, "b")) is None


@pytest.mark.parametrize(
    ("progress", "left", "words"),
    [
        (Progress(0, 1, "Starting"), None, "Starting"),
        (Progress(3, 12, "Predicting"), None, "Predicting: 3 of 12"),
        (Progress(3, 12, "Predicting"), 8.2, "Predicting: 3 of 12, about 9 s left"),
        (Progress(3, 12, "Predicting"), 600, "Predicting: 3 of 12, about 10 min left"),
        (Progress(12, 12, "Predicting"), 0.0, "Predicting: 12 of 12"),
    ],
)
def test_progress_is_said_in_words(progress, left, words):
    assert in_words(progress, left) == words


def outcomes(runner):
    found = []
    runner.ended.connect(found.append)
    return found


def test_a_run_at_once_reports_its_end_once(qtbot):
    runner = Runner(at_once, activity=False)
    ended = outcomes(runner)
    runner.start("a run", counting())
    assert ended == [RunOutcome("done", "value")]
    assert not runner.running


@pytest.mark.fault("E12")
def test_a_second_run_is_refused_by_name_while_one_is_going(qtbot):
    held = []
    first = Runner(lambda runner, work: held.append(runner), activity=False)
    first.start("first run", counting())
    second = Runner(at_once, activity=False)
    with pytest.raises(VitascopeError, match="'first run' is still running"):
        second.start("second run", counting())
    first.on_end(RunOutcome("cancelled"))
    ended = outcomes(second)
    second.start("second run", counting())
    assert ended[0].kind == "done"


def test_a_run_in_a_thread_reports_in_the_main_thread(qtbot):
    runner = Runner(activity=False)
    seen = []
    runner.progressed.connect(lambda progress, left: seen.append(threading.current_thread()))
    with qtbot.waitSignal(runner.ended, timeout=5000) as caught:
        runner.start("a run", counting())
    assert caught.args == [RunOutcome("done", "value")]
    assert set(seen) == {threading.main_thread()}


@pytest.mark.fault("H07")
def test_a_runtime_error_in_a_thread_does_not_leave_the_dock_waiting(qtbot):
    def steps():
        yield Progress(0, 2, "a")
        raise RuntimeError("out of memory")

    runner = Runner(activity=False)
    with qtbot.waitSignal(runner.ended, timeout=5000) as caught:
        runner.start("a run", steps)
    assert caught.args[0].kind == "failed"


@pytest.mark.fault("H09")
def test_cancel_acts_within_two_seconds(qtbot):
    closed = []

    def steps():
        try:
            while True:
                time.sleep(0.01)
                yield Progress(0, 1, "forever")
        finally:
            closed.append(True)

    runner = Runner(activity=False)
    with qtbot.waitSignal(runner.progressed, timeout=5000):
        runner.start("a run", steps)
    with qtbot.waitSignal(runner.ended, timeout=2000) as caught:
        runner.cancel()
    assert caught.args == [RunOutcome("cancelled")]
    assert closed == [True]


def test_a_worker_stopped_from_outside_closes_the_run(qtbot):
    closed = []

    def steps():
        try:
            while True:
                time.sleep(0.01)
                yield Progress(0, 1, "forever")
        finally:
            closed.append(True)

    runner = Runner(activity=False)
    with qtbot.waitSignal(runner.progressed, timeout=5000):
        runner.start("a run", steps)
    with qtbot.waitSignal(runner.ended, timeout=2000) as caught:
        runner.worker.quit()  # what napari does to every worker when it closes
    assert caught.args == [RunOutcome("cancelled")]
    assert closed == [True]


@pytest.mark.fault("H27")
def test_a_warning_in_the_worker_is_shown_once(qtbot, monkeypatch):
    shown = []
    monkeypatch.setattr("vitascope.gui.common.runner.show_warning", shown.append)

    def steps():
        for i in range(5):
            warnings.warn("mind this", UserWarning, stacklevel=1)
            time.sleep(0.06)
            yield Progress(i, 5, "a")
        return "value"

    runner = Runner(activity=False)
    with qtbot.waitSignal(runner.ended, timeout=5000) as caught:
        runner.start("a run", steps)
    qtbot.wait(20)
    assert caught.args[0].kind == "done"
    assert shown == ["mind this"]


def test_steps_that_come_while_the_bar_is_drawn_do_not_pile_up(monkeypatch):
    runner = Runner(lambda runner, work: None)
    runner.start("a run", counting())
    deep = []

    def drawn(bar, text):
        """As napari does: drawing lets events through, the next step among them."""
        deep.append(text)
        if len(deep) < 5:
            runner.on_step(Progress(0, 1, f"step {len(deep)}"))

    monkeypatch.setattr(type(runner._bar), "set_description", drawn)
    told = []
    runner.progressed.connect(lambda progress, left: told.append(progress.stage))
    runner.on_step(Progress(0, 1, "step 0"))
    assert deep == ["a run: step 0"]
    assert told == ["step 0", "step 1"]
    runner.on_end(RunOutcome("cancelled"))
