"""Start the service, and end it in good order."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn
from filelock import FileLock, Timeout

from vitascope.core.errors import OutputError, ParameterError, describe
from vitascope.io.atomic import output_error
from vitascope.serve.access import Gate
from vitascope.serve.app import GRACE_S, Service, create_app
from vitascope.serve.job_store import JobStore
from vitascope.serve.patience import timely_protocol
from vitascope.serve.settings import ServiceSettings, check_settings
from vitascope.serve.supervisor import Supervisor
from vitascope.serve.tokens import read_tokens

LOCK, INCOMING = ".service.lock", "incoming"
MOST_CONNECTIONS, BACKLOG = 1000, 1024
MOST_OPEN_FILES = 65536
CLOSE_S = 2
"""How long open connections may take when the service ends."""


def serve(settings: ServiceSettings) -> None:
    """Run the service until it is asked to end (SIGTERM, Ctrl-C).

    Raises
    ------
    ParameterError, OutputError, ReaderError
        If it cannot be started as asked; nothing is left behind then.
    """
    check_settings(settings)
    tokens = read_tokens(settings.token_file) if settings.token_file is not None else ()
    listening = _listen(settings.host, settings.port)
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        lock = FileLock(settings.data / LOCK, timeout=0, thread_local=False)
        lock.acquire()
    except Timeout as error:
        listening.close()
        raise OutputError(
            f"Another service works on '{settings.data}'.", "End it first, or choose another --data."
        ) from error
    except OSError as error:
        listening.close()
        raise output_error(settings.data, error) from error
    try:
        _allow_open_files()
        _keep_uploads_in(settings.data / INCOMING)
        store = JobStore(settings.data)
        service = Service(settings, store, Supervisor(settings, store), tokens)
        config = uvicorn.Config(
            Gate(create_app(service), settings),
            http=timely_protocol(settings.patience),
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=CLOSE_S,
            lifespan="on",
        )
        logging.getLogger("uvicorn").propagate = False
        for name in ("multipart", "python_multipart"):  # a line for each broken form: whoever sends them is told
            logging.getLogger(name).setLevel(logging.ERROR)
        signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn ends in good order, and then raises it again
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        sys.stdout.write(f"vitascope serves at http://{host}:{listening.getsockname()[1]}/\n")
        sys.stdout.flush()
        _Server(config, service).run(sockets=[listening])
    finally:
        listening.close()
        lock.release()


class _Server(uvicorn.Server):
    """A server that tells its jobs at once that it is asked to end, not only when its connections are closed."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._service.supervisor.begin_to_stop(GRACE_S)
        super().handle_exit(sig, frame)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, number)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)  # who comes from now on waits until the service answers
    except (OSError, OverflowError) as error:
        raise ParameterError(
            f"The service cannot listen at {host}, port {port}: {describe(error)}.", "Choose another --port or --host."
        ) from error
    return found


def _allow_open_files() -> None:
    """Let this process hold as many files open as the system lets it: a request may bring thousands."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if wanted > soft:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_uploads_in(folder: Path) -> None:
    """Let what is being sent lie beside the jobs, on a disk that was chosen for it, and drop what was cut short."""
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        left.unlink(missing_ok=True)
    tempfile.tempdir = str(folder)
