"""What tifffile logs is kept from the user: what matters is checked and said in words."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_tifffile() -> Iterator[None]:
    """Keep tifffile's log lines of this thread from the user."""
    thread = threading.get_ident()

    def other_threads_only(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("tifffile")
    logger.addFilter(other_threads_only)
    try:
        yield
    finally:
        logger.removeFilter(other_threads_only)
