import pytest

from vitascope.core.progress import Progress, run_to_end


def count(closed):
    try:
        for i in range(3):
            yield Progress(i, 3, "counting")
        return "three"
    finally:
        closed.append(True)


def test_draining_gives_the_result_and_every_step():
    seen, closed = [], []
    assert run_to_end(count(closed), seen.append) == "three"
    assert [p.done for p in seen] == [0, 1, 2]
    assert closed == [True]


def test_an_error_of_the_listener_closes_the_run():
    closed = []

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_to_end(count(closed), stop)
    assert closed == [True]


def test_an_error_of_the_run_reaches_the_caller():
    def fail():
        yield Progress(0, 1, "failing")
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        run_to_end(fail())
