import datetime
import logging
import sys

import pytest
import typer

from vitascope.cli.console import plain_errors, with_progress_bar
from vitascope.core.errors import InputError, VitascopeError
from vitascope.core.progress import Progress


def test_an_error_is_a_sentence_and_a_hint_on_stderr(capsys):
    with pytest.raises(typer.Exit) as caught, plain_errors():
        raise InputError("The image is empty.", "Check the file.")
    assert caught.value.exit_code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Error: The image is empty.\nHint: Check the file.\n"


def test_without_a_hint_there_is_no_line_for_it(capsys):
    with pytest.raises(typer.Exit), plain_errors():
        raise VitascopeError("No.")
    assert capsys.readouterr().err == "Error: No.\n"


def test_ctrl_c_is_code_130(capsys):
    with pytest.raises(typer.Exit) as caught, plain_errors():
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert "Cancelled" in capsys.readouterr().err


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError), plain_errors():
        raise ZeroDivisionError


def steps(closed):
    try:
        yield Progress(0, 2, "counting")
        yield Progress(1, 2, "counting")
        return "done"
    finally:
        closed.append(True)


@pytest.mark.fault("I12")
def test_without_a_terminal_nothing_is_drawn(capsys):
    closed = []
    assert with_progress_bar(steps(closed)) == "done"
    assert capsys.readouterr() == ("", "")
    assert closed == [True]


def test_without_a_terminal_each_thing_that_ends_gets_its_line_with_the_time(capsys):
    def log(at):
        return [f"{at.stage} {at.done}", "twice"] if at.done else ()

    assert with_progress_bar(steps([]), log) == "done"
    out, err = capsys.readouterr()
    assert out == ""
    times, texts = zip(*(line.split("  ", 1) for line in err.splitlines()), strict=True)
    assert texts == ("counting 1", "twice")
    for time in times:
        age = datetime.datetime.now() - datetime.datetime.strptime(time, "%Y-%m-%d %H:%M:%S")
        assert 0 <= age.total_seconds() < 60


class Terminal:
    """A stream that says it is a terminal and keeps what is drawn."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return True

    def fileno(self):
        raise OSError


def test_on_a_terminal_the_stage_and_the_count_are_drawn(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    def counting():
        for i in range(3):
            yield Progress(i, 3, "Predicting tiles")
        return 7

    assert with_progress_bar(counting()) == 7
    assert "Predicting tiles" in terminal.text
    assert "2/3" in terminal.text


def test_what_is_wrong_with_data_is_said_once(capsys):
    log = logging.getLogger("vitascope.recipes.measured_images")
    with plain_errors():
        for sentence in ("'<LOD' is no amount.", "'<LOD' is no amount.", "No image."):
            log.warning("%s", sentence)
    assert capsys.readouterr().err == "Warning: '<LOD' is no amount.\nWarning: No image.\n"
    assert not logging.getLogger("vitascope").handlers
