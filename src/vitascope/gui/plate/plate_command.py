"""A plate run as the command that does the same."""

from __future__ import annotations

import shlex

from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.tables import MAP
from vitascope.gui.run.export import setting_words


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
    }
    words += [str(word) for option, value in options.items() if value is not None for word in (option, value)]
    words += ["--redo"] if job.redo else []
    defaults = job.spec.params.make().model_dump()
    return shlex.join(words + setting_words({n: v for n, v in job.params.model_dump().items() if v != defaults[n]}))
