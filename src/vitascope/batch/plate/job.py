"""What is to be run on a plate, and what two runs must have in common to share a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitascope.batch.drift.watch import Drift
from vitascope.batch.open_workers import is_service
from vitascope.core.errors import ParameterError
from vitascope.core.params import RunParams
from vitascope.io.plates.plate import Plate
from vitascope.io.tables.plate_map import PlateMap
from vitascope.tasks.spec import TaskSpec


@dataclass(frozen=True)
class PlateJob:
    """What is to be run.

    Parameters
    ----------
    spec : TaskSpec
    plate : Plate
    params : RunParams
    out : Path
        Folder for the results; an unfinished run in it is resumed.
    plate_map : PlateMap or None
        What is in each well; its columns are put into the tables.
    scheduler : str or None
        Address of a dask scheduler, or of a service (``http://…``).
    workers : int or None, >= 1
        Processes on this machine; None works in threads of this one.
    pixel_size_um : float or None
        Of all images, where the files do not tell it.
    axes : str or None
    pattern : str or None
        Pattern that the plate was opened with, to open it again from its results.
    redo : bool
        Whether to run again what failed or was incomplete.
    command : str
        As the user gave it, for the provenance.
    planes : {"stack", "projection"} or None
        What the plate was opened with, where it holds both.
    drift : Drift or None
        Reference that the images are compared with while they run.
    """

    spec: TaskSpec
    plate: Plate
    params: RunParams
    out: Path
    plate_map: PlateMap | None = None
    scheduler: str | None = None
    workers: int | None = None
    pixel_size_um: float | None = None
    axes: str | None = None
    pattern: str | None = None
    redo: bool = False
    command: str = ""
    planes: str | None = None
    drift: Drift | None = None

    def __post_init__(self) -> None:
        """Refuse two kinds of workers at once."""
        if self.scheduler is not None and self.workers is not None:
            raise ParameterError(
                "Workers and a scheduler were given.", "A scheduler has its own workers: leave one out."
            )
        if self.drift is not None and is_service(self.scheduler):
            raise ParameterError(
                "Drift is told by features, which a service keeps to itself.",
                "Leave --drift out, or compute the plate on this machine or a cluster.",
                dock="Take no drift reference, or a device of this machine.",
            )


def run_identity(job: PlateJob) -> dict[str, Any]:
    """Return what two runs must have in common to share a folder."""
    return {
        "task": job.spec.name,
        "plate": job.plate.name,
        "params": job.params.model_dump(mode="json"),
        "pixel_size_um": job.pixel_size_um,
        "axes": job.axes,
        "planes": job.planes,
    }


def check_same_run(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to mix two runs in one folder.

    Raises
    ------
    ParameterError
        Naming what differs.
    """
    flat = [{**one, **one["params"]} for one in (before, now)]
    names = [name for name in dict.fromkeys([*flat[0], *flat[1]]) if name != "params"]
    differing = [
        f"{name} was {flat[0].get(name)} and is {flat[1].get(name)}"
        for name in names
        if flat[0].get(name) != flat[1].get(name)
    ]
    if differing:
        raise ParameterError(
            f"The folder holds another run: {'; '.join(differing[:3])}.",
            "Choose another folder, or repeat the run with what it began with.",
        )
