"""Open whoever does the work of a run."""

from __future__ import annotations

from collections.abc import Sequence

from vitascope.batch.workers import ThreadWorkers, Workers


def open_workers(
    scheduler: str | None, workers: int | None, needed: Sequence[str] = (), side_by_side: bool = False
) -> Workers:
    """Open the workers of a run.

    Parameters
    ----------
    scheduler : str or None
        Address of a dask scheduler, such as ``tcp://node17:8786``.
    workers : int or None
        Processes to start on this machine; None works in threads of this one.
    needed : sequence of str
        Paths that the workers of a cluster must be able to see.
    side_by_side : bool
        Of threads, see :class:`ThreadWorkers`.

    Raises
    ------
    ParameterError, OutputError, MissingPackageError
        See :mod:`vitascope.batch.cluster`.
    """
    if scheduler is None and workers is None:
        return ThreadWorkers(side_by_side=side_by_side)
    from vitascope.batch.cluster import ClusterWorkers  # distributed is loaded where it is wanted

    return ClusterWorkers(scheduler, workers, needed)
