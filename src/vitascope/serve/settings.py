"""What a service is started with, and what it takes at most."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from vitascope.core.errors import ParameterError
from vitascope.io.atomic import check_writable

GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """What is taken at most; beyond it a request is refused, or a job ends.

    Parameters
    ----------
    upload_bytes : int
        Of one request.
    files : int
        In one request.
    pixels : int
        Of all images of a job together, over all channels, planes and times.
    waiting : int
        Jobs that wait, of all users together.
    waiting_each : int
        Jobs that wait, of one user.
    job_seconds : float
        That a job may compute.
    memory_bytes : int
        That a worker process may hold; 0 for no limit of ours.
    free_bytes : int
        That stay free on the disk of the data folder.
    """

    upload_bytes: int = 4 * GIB
    files: int = 2000
    pixels: int = 4_000_000_000  # 15 GiB as float32: more does not fit a workstation
    waiting: int = 5000
    waiting_each: int = 2000
    job_seconds: float = 24 * 3600.0
    memory_bytes: int = 0
    free_bytes: int = GIB


@dataclass(frozen=True)
class Patience:
    """How long a client is waited for.

    Parameters
    ----------
    head_s : float
        For the head of a request.
    quiet_s : float
        For the next byte of a body; from then on, a body must have come at ``least_bytes_s`` on average.
    least_bytes_s : float
    write_s : float
        Until a piece of an answer is taken.
    """

    head_s: float = 20.0
    quiet_s: float = 30.0
    least_bytes_s: float = 1024.0
    write_s: float = 60.0


@dataclass(frozen=True)
class ServiceSettings:
    """What a service is started with.

    Parameters
    ----------
    root : Path
        Folder whose files jobs may name.
    data : Path
        Folder for jobs and their results; made where it is not there, and never served.
    host : str
        Address to listen on.
    port : int, 0 to 65535
        0 takes a free one.
    token_file : Path or None
    workers : int, >= 1
        Jobs that run at once, each in a process of its own.
    keep_days : float
        After which jobs that ended, and their results, are removed; 0 keeps them.
    limits : Limits
    patience : Patience
    """

    root: Path
    data: Path
    host: str = "127.0.0.1"
    port: int = 8765
    token_file: Path | None = None
    workers: int = 1
    keep_days: float = 30.0
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)


def check_settings(settings: ServiceSettings) -> None:
    """Refuse folders that are not there, and to listen to other machines without a token.

    Raises
    ------
    ParameterError, OutputError
    """
    if not settings.root.is_dir():
        raise ParameterError(f"The folder '{settings.root}' is not there.", "Give --root with the folder of images.")
    if settings.root.resolve().is_relative_to(settings.data.resolve()):
        raise ParameterError(
            "--root is, or lies in, the folder of --data.", "Choose another --data: what lies in it is never served."
        )
    if not is_loopback(settings.host) and settings.token_file is None:
        raise ParameterError(
            f"'{settings.host}' can be reached from other machines, and no token was given.",
            "Give --token-file, or leave --host at 127.0.0.1.",
        )
    check_writable(settings.data)


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "lab-pc")]
    [True, True, True, False, False]
    """
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
