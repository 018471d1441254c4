"""What a job is: what was asked for, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vitascope.io.results.images import Format

UPLOADS, RESULTS_FOLDER, OUTCOME, LOCK = "images", "results", "outcome.json", ".lock"


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobRequest(BaseModel):
    """What is to be run. Names are those of uploaded files, or of files below the service's root."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    task: str = Field(description="Name of the task; see /v1/tasks.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="Parameters of the task; those that are left out have their default."
    )
    files: tuple[str, ...] = Field((), description="Images below the service's root, by name: files or folders.")
    references: tuple[str, ...] = Field(
        (), description="Second images below the root, such as the real stain, once for each image, in order."
    )
    plate: str | None = Field(
        None, description="Plate below the root, or '.' for the uploaded images: it is run as a plate."
    )
    map: str | None = Field(None, description="Plate map below the root: treatment, dose and controls.")
    pattern: str | None = Field(None, max_length=500, description="Pattern of file names, '{well}_f{field}.tif'.")
    axes: str | None = Field(None, max_length=6, description="Axes of each file out of TCZYX, where they do not tell.")
    pixel_size_um: float | None = Field(
        None, gt=0, description="Pixel size of all images.", json_schema_extra={"unit": "µm"}
    )
    planes: Literal["stack", "projection"] | None = Field(
        None, description="What to read where an instrument wrote both."
    )
    format: Format = Field("auto", description="Pictures as tif or zarr; auto takes zarr above 2 GiB.")
    uploads: tuple[str, ...] = Field((), json_schema_extra={"readOnly": True}, description="Images that were sent.")
    uploaded_references: tuple[str, ...] = Field((), json_schema_extra={"readOnly": True}, description="As sent.")
    uploaded_map: str | None = Field(None, json_schema_extra={"readOnly": True}, description="As sent.")


@dataclass(frozen=True)
class JobRecord:
    """A job as the queue holds it.

    Parameters
    ----------
    id : str
    client : str
        Who sent it.
    request : JobRequest
    state : JobState
    attempts : int
        How often it was started.
    created, started, ended : float or None
        Seconds since 1970.
    error : mapping or None
        ``message``, ``hint`` and ``flag``, of one that failed.
    counts : mapping
        Images by status, of one that ended.
    fingerprint : str
        Of what was sent, to know a repeated request.
    """

    id: str
    client: str
    request: JobRequest
    state: JobState = JobState.QUEUED
    attempts: int = 0
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    error: dict[str, str] | None = None
    counts: dict[str, int] | None = None
    fingerprint: str = ""


class Outcome(BaseModel):
    """How a job ended, as its worker writes it down."""

    state: JobState
    error: dict[str, str] | None = None
    counts: dict[str, int] = {}


def job_folder(data: Path, job_id: str) -> Path:
    """Return the folder of a job; ids are our own hexadecimal digits and never lead out of it."""
    return data / "jobs" / job_id
