"""The thread of a run, which never keeps the program from ending.

napari, as it quits, waits for all threads of Qt's pool, however long; loading a model or measuring a plan takes many
seconds and cannot be cut short. So a run has a thread of its own. As Python ends, the run is cancelled and given a
moment to close itself; then the process ends all the same. That is as safe as pulling the plug: files are written
whole or not at all, and a plate resumes from its journal.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from superqt.utils import GeneratorWorker

GRACE_S = 1.5
"""How long a run may take to close itself after the program was left."""


class RunWorker(GeneratorWorker[Any, Any, Any]):  # type: ignore[misc]
    """A worker in a thread of its own, that is stopped by cancelling its run.

    One that quits by itself would leave the run where it stands, to be closed while Python goes down; a run that is
    cancelled closes itself, in its thread.
    """

    cancel: Callable[[], None]

    def start(self) -> None:
        """Start; napari knows of the worker, and asks it to quit with the others."""
        self._worker_set.add(self)
        self._finished.connect(self._set_discard)
        thread = threading.Thread(target=self.run, name="vitascope run", daemon=True)
        _exit.watch(thread, self.cancel)
        thread.start()

    def quit(self) -> None:
        """Cancel the run."""
        self.cancel()


class _Exit:
    """Waits for the end of the main thread, then ends what still runs."""

    def __init__(self) -> None:
        self._watched: list[tuple[threading.Thread, Callable[[], None]]] = []
        self._watcher: threading.Thread | None = None

    def watch(self, thread: threading.Thread, cancel: Callable[[], None]) -> None:
        """End this thread with the program, too."""
        self._watched = [(one, end) for one, end in self._watched if one.is_alive()] + [(thread, cancel)]
        if self._watcher is None:
            # no daemon: Python waits for it, and only then takes itself apart
            self._watcher = threading.Thread(target=self._wait, name="vitascope exit")
            self._watcher.start()

    def _wait(self) -> None:
        threading.main_thread().join()
        running = [(thread, cancel) for thread, cancel in self._watched if thread.is_alive()]
        for _, cancel in running:
            cancel()
        end = time.monotonic() + GRACE_S
        for thread, _ in running:
            thread.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread, _ in running):
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            os._exit(0)


_exit = _Exit()
