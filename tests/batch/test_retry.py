import errno
import os
import time

import pytest

from vitascope.batch import retry
from vitascope.batch.retry import passing_fault, retried
from vitascope.core.errors import InputError, ReaderError
from vitascope.core.progress import Progress, run_to_end


class Drive:
    """A drive that fails a number of times before it answers; each failure as a library might wrap it."""

    def __init__(self, failures, error, wrapped=False):
        self.failures, self.error, self.wrapped, self.attempts = failures, error, wrapped, 0

    def __call__(self):
        self.attempts += 1
        yield Progress(0, 1, "Reading")
        if self.attempts <= self.failures:
            if not self.wrapped:
                raise self.error
            try:
                raise self.error
            except OSError as error:
                raise ReaderError("It cannot be read.") from error
        return self.attempts


PASSING = [OSError(code, os.strerror(code)) for code in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTUNREACH)]


@pytest.mark.parametrize("error", PASSING)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_drive_that_answers_again_gives_the_image(error, wrapped, tmp_path):
    drive, told = Drive(2, error, wrapped), []
    assert run_to_end(retried(lambda: drive(), (0.01, 0.2, 9.0), (tmp_path / "a.tif",)), told.append) == 3
    waits = [progress.stage for progress in told if "trying again" in progress.stage]
    assert waits
    assert all(os.strerror(error.errno).lower() in stage for stage in waits)


@pytest.mark.parametrize("error", PASSING)
def test_a_drive_that_never_answers_is_said_so_after_the_last_wait(error, tmp_path):
    drive = Drive(99, error)
    with pytest.raises(ReaderError, match=r"'a\.tif' could not be read: the drive did not answer") as caught:
        run_to_end(retried(lambda: drive(), (0.01, 0.02), (tmp_path / "a.tif",)))
    assert drive.attempts == 3
    assert "network or the drive" in caught.value.hint


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        InputError("It is empty."),
        ValueError("x"),
    ],
)
def test_what_does_not_pass_is_not_tried_again(error, tmp_path):
    drive = Drive(99, error)
    with pytest.raises(type(error)):
        run_to_end(retried(lambda: drive(), (5.0,), (tmp_path / "a.tif",)))
    assert drive.attempts == 1


def test_a_file_whose_folder_is_gone_is_waited_for(tmp_path):
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert passing_fault(gone, (tmp_path / "a.tif",)) is None
    assert passing_fault(gone, (tmp_path / "share" / "a.tif",)) == "its folder is gone"
    assert passing_fault(gone) is None


def test_a_wait_can_be_cancelled_at_once():
    steps = retried(Drive(99, PASSING[0]).__call__, (60.0,), ())
    next(step for step in steps if "trying again" in step.stage)
    clock = time.monotonic()
    steps.close()
    assert time.monotonic() - clock < 10 * retry.TICK_S


def test_windows_numbers_count_too():
    error = OSError(errno.EINVAL, "The specified network name is no longer available")
    assert passing_fault(error) is None
    error.winerror = 64
    assert passing_fault(error) == "the specified network name is no longer available"
