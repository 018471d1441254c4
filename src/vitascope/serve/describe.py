"""What the service says of tasks, models and jobs."""

from __future__ import annotations

import datetime
from typing import Any

from vitascope.core.card import ModelCard
from vitascope.serve.job import JobRecord, JobState
from vitascope.tasks.spec import TaskSpec


def describe_task(spec: TaskSpec) -> dict[str, Any]:
    """Describe a task: what it is, its images, its main number, and the JSON schema of its parameters."""
    low, high = spec.interval
    return {
        "name": spec.name,
        "title": spec.title,
        "summary": spec.summary,
        "images": [
            {"name": role.name, "title": role.title, "description": role.description, "optional": role.optional}
            for role in spec.roles
        ],
        "headline": spec.headline,
        "headline_title": spec.headline_title,
        "headline_text": spec.headline_text,
        "low": low,
        "high": high,
        "model_is_automatic": spec.automatic,
        "params": spec.params.model_json_schema(),
    }


def describe_model(card: ModelCard) -> dict[str, Any]:
    """Describe a model by its card."""
    return {
        "id": card.id,
        "task": card.task,
        "title": card.title,
        "summary": card.summary,
        "limitations": card.limitations,
        "sha256": card.weights.sha256,
        "metrics": [metric.model_dump(mode="json") for metric in card.metrics],
        "data_is_simulated": card.data_is_simulated,
    }


def describe_job(job: JobRecord, progress: dict[str, Any] | None) -> dict[str, Any]:
    """Describe a job: state, progress, times, and why it failed."""
    told: dict[str, Any] = {
        "id": job.id,
        "task": job.request.task,
        "state": str(job.state),
        "progress": _progress(job, progress),
        "created": _time(job.created),
        "started": _time(job.started),
        "ended": _time(job.ended),
        "counts": job.counts or {},
        "error": job.error,
        "links": {"self": f"/v1/jobs/{job.id}", "events": f"/v1/jobs/{job.id}/events"},
    }
    if job.state in (JobState.DONE, JobState.FAILED):
        told["links"] |= {"result": f"/v1/jobs/{job.id}/result", "files": f"/v1/jobs/{job.id}/files"}
    return told


def _progress(job: JobRecord, progress: dict[str, Any] | None) -> dict[str, Any]:
    if job.state is JobState.DONE:
        return {"fraction": 1.0, "stage": "Done"}
    if job.state is JobState.RUNNING and progress is not None:
        return progress
    return {"fraction": 0.0, "stage": {"queued": "Waiting", "running": "Starting"}.get(str(job.state), "Ended")}


def _time(seconds: float | None) -> str | None:
    if not seconds:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
