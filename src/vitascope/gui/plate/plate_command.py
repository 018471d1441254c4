"""A plate run as the command or the Python that does the same."""

from __future__ import annotations

import shlex
from typing import Any

from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.tables import MAP
from vitascope.gui.run.export import python_call, setting_words


def plate_command(job: PlateJob) -> str:
    """Write a plate run as a command that does the same; its map is the one that the run leaves with its results."""
    words = ["vitascope", "plate", str(job.plate.path), "--plate", job.plate.name, "--task", job.spec.name]
    words += ["-o", str(job.out)]
    options = {
        "--map": None if job.plate_map is None else job.out / MAP,
        "--pattern": job.pattern,
        "--planes": job.planes,
        "--pixel-size-um": job.pixel_size_um,
        "--workers": job.workers,
        "--scheduler": job.scheduler,
        "--drift": None if job.drift is None else job.drift.given,
    }
    words += [str(word) for option, value in options.items() if value is not None for word in (option, value)]
    words += ["--redo"] if job.redo else []
    words += ["--stop-on-drift"] if job.drift is not None and job.drift.stop else []
    return shlex.join(words + setting_words(_settings(job)))


def plate_python(job: PlateJob) -> str:
    """Write a plate run as Python that does the same, by the public functions only."""
    how: dict[str, Any] = {"pattern": job.pattern, "axes": job.axes, "pixel_size_um": job.pixel_size_um}
    read = python_call("vitascope.read_plate", [str(job.plate.path)], plate=job.plate.name, **how)
    more = {
        "plate_map": None if job.plate_map is None else str(job.out / MAP),
        "workers": job.workers,
        "scheduler": job.scheduler,
        "redo": job.redo or None,
        "drift": None if job.drift is None else job.drift.given,
        "stop_on_drift": (job.drift is not None and job.drift.stop) or None,
    }
    rest = python_call("", [str(job.out)], **more, **_settings(job))
    lines = [f"plate = {read}", f"report = vitascope.run_plate(plate, {job.spec.name!r}, {rest[1:]}"]
    lines.append("print(report.counts)")
    if job.workers is None:
        return "\n".join(["import vitascope", "", *lines, ""])
    # processes of their own import the script again
    return "\n".join(["import vitascope", "", 'if __name__ == "__main__":', *(f"    {line}" for line in lines), ""])


def _settings(job: PlateJob) -> dict[str, Any]:
    """Parameters other than their defaults."""
    defaults = job.spec.params.make().model_dump()
    return {n: v for n, v in job.params.model_dump().items() if v != defaults[n]}
