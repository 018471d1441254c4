"""Put a training run down in the records, epoch by epoch; what cannot be put down never stops a run."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Sequence

from vitascope.core.errors import VitascopeError
from vitascope.core.paths import run_records
from vitascope.core.progress import Progress, ProgressGenerator, StopEarly
from vitascope.core.training_params import EpochProgress
from vitascope.core.versions import versions
from vitascope.io.models.training_log import RunRecord, put_record
from vitascope.io.models.weights import sha256_of_bytes
from vitascope.recipes.recipe import Recipe
from vitascope.training.loop.loop import Trained

logger = logging.getLogger(__name__)


class TrainingRecord:
    """One training run on its way into the records.

    Parameters
    ----------
    recipe : Recipe
    fingerprint : str
        Of recipe and parent; a resumed run keeps its record.
    parent : str
        Id and SHA-256 of the starting model; empty for none.
    device : str
    """

    def __init__(self, recipe: Recipe, fingerprint: str, parent: str, device: str) -> None:
        self._base = RunRecord(
            key=sha256_of_bytes(fingerprint.encode())[:16],
            model=recipe.id,
            task=recipe.task,
            status="running",
            parent=parent,
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            device=device,
            recipe=recipe.model_dump_json(),
            versions=versions(),
        )
        self._history: Sequence[Mapping[str, float]] = ()

    def note(self, status: str, history: Sequence[Mapping[str, float]] | None = None, card_sha256: str = "") -> None:
        """Put down where the run stands; nothing before its first epoch ended."""
        self._history = history if history is not None else self._history
        if not self._history:
            return
        try:
            put_record(run_records(), self._base.now(status, card_sha256), self._history)
        except VitascopeError as error:
            logger.warning("The training run was not recorded: %s", error)


def recorded(steps: ProgressGenerator[Trained], run: TrainingRecord, stage: str = "") -> ProgressGenerator[Trained]:
    """Drain a training run and put it down after each epoch; whatever is thrown in goes to the run.

    With a ``stage`` it is a part of a run whose curves were put down already: it is shown as that stage, no more.
    """
    try:
        progress: Progress = next(steps)
        while True:
            if isinstance(progress, EpochProgress) and progress.preview and not stage:
                run.note("running", progress.history)
            try:
                yield Progress(progress.done, progress.total, stage) if stage else progress
            except StopEarly as stop:
                begun = isinstance(progress, EpochProgress) and (progress.done > 0 or not stage)
                progress = steps.throw(stop) if begun else next(steps)
            else:
                progress = next(steps)
    except StopIteration as end:
        trained: Trained = end.value
        return trained
    except GeneratorExit:
        steps.close()
        run.note("paused")
        raise
    except Exception:
        run.note("failed")
        raise
