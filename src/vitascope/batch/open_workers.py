"""Open whoever does the work of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence

from vitascope.batch.workers import ThreadWorkers, Workers

TOKEN_VARIABLE = "VITASCOPE_TOKEN"
"""Environment variable of a service's token, for commands."""


def is_service(scheduler: str | None) -> bool:
    """Tell whether an address is that of a service rather than of a dask scheduler.

    Examples
    --------
    >>> is_service("http://node17:8765"), is_service("tcp://node17:8786"), is_service(None)
    (True, False, False)
    """
    return scheduler is not None and scheduler.startswith(("http://", "https://"))


def open_workers(
    scheduler: str | None,
    workers: int | None,
    needed: Sequence[str] = (),
    side_by_side: bool = False,
    token: str | None = None,
) -> Workers:
    """Open the workers of a run.

    Parameters
    ----------
    scheduler : str or None
        Address of a dask scheduler, such as ``tcp://node17:8786``, or of a service, such as ``http://node17:8765``.
    workers : int or None
        Processes to start on this machine; None works in threads of this one.
    needed : sequence of str
        Paths that the workers of a cluster must be able to see.
    side_by_side : bool
        Of threads, see :class:`ThreadWorkers`.
    token : str, optional
        Of a service; by default that of the environment, ``VITASCOPE_TOKEN``.

    Raises
    ------
    ParameterError, OutputError, MissingPackageError, ReaderError
        See :mod:`vitascope.batch.cluster` and :mod:`vitascope.batch.server_workers`.
    """
    if is_service(scheduler):
        from vitascope.batch.server_workers import ServerWorkers

        return ServerWorkers(scheduler or "", token or os.environ.get(TOKEN_VARIABLE) or None)
    if scheduler is None and workers is None:
        return ThreadWorkers(side_by_side=side_by_side)
    from vitascope.batch.cluster import ClusterWorkers  # distributed is loaded where it is wanted

    return ClusterWorkers(scheduler, workers, needed)
