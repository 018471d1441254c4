"""Run a task on a whole plate, and lose nothing: what is done is in the journal, and a run resumes from it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from vitascope.batch.drift.references import note_test
from vitascope.batch.drift.watch import PlateWatch, check_goes_with, order_taken
from vitascope.batch.item import ENDS_THE_RUN, Item, ItemResult, Work, failed, file_signature
from vitascope.batch.open_workers import is_service, open_workers
from vitascope.batch.plate.job import PlateJob, check_same_run, run_identity
from vitascope.batch.plate.journal import JOURNAL, Journal, has_journal
from vitascope.batch.plate.levels import with_levels
from vitascope.batch.plate.lock import LOCK, locked
from vitascope.batch.plate.tables import MAP, write_plate_results
from vitascope.batch.workers import Chunk, StoppedError, WorkerDiedError, Workers
from vitascope.core.errors import ModelError, ParameterError, ReaderError, VitascopeError
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.core.status import NOT_DONE
from vitascope.io.atomic import TEMPORARY, check_writable
from vitascope.io.models.cards import find_model
from vitascope.io.results.images import remove
from vitascope.io.results.plate_images import PlatePictures

WAIT_S = 0.1
"""How long to wait for workers before looking whether the run was cancelled."""

CHUNK_S, MOST_IN_CHUNK = 0.25, 32
"""Images that take less than this share a task, so that handing out tasks never counts."""

NOTE_DRIFT_S = 5.0
"""How often what the watch found so far is noted for those who look at a run under way."""

LOOK_AGAIN_S = (1.0, 3.0, 10.0)
"""How long to wait before images are read again that failed and whose files were changed since."""


@dataclass(frozen=True)
class PlateReport:
    """How a plate ended.

    Parameters
    ----------
    out : Path
    counts : dict of str to int
        Images by status.
    computed : int
        Images that this run computed; the others were done before.
    drift_alarms : tuple of str
        Images at which an alarm of drift began, in the order in which they were taken.
    drift_causes : dict of str to str
        What the images look like since then, by image, as far as it is known.
    drift_tested : tuple of int or None
        Images that were compared, and how many are compared at a time; None without a watch.
    drift_timed : bool
        Whether the files tell when their images were taken; otherwise wells count in their order on the plate.
    stopped_by_drift : bool
        Whether the run ended there, as was asked for.
    """

    out: Path
    counts: dict[str, int] = field(default_factory=dict)
    computed: int = 0
    drift_alarms: tuple[str, ...] = ()
    drift_causes: dict[str, str] = field(default_factory=dict)
    drift_tested: tuple[int, int] | None = None
    drift_timed: bool = True
    stopped_by_drift: bool = False

    @property
    def complete(self) -> bool:
        """Whether all images are done, and none failed or is incomplete."""
        return not any(self.counts.get(status) for status in ("", *NOT_DONE))


@dataclass(frozen=True)
class PlateProgress(Progress):
    """Progress of a plate.

    Parameters
    ----------
    name : str
        Image that ended last.
    ended : tuple of ItemResult
        Images that ended since the step before.
    """

    name: str = ""
    ended: tuple[ItemResult, ...] = ()


def run_plate(job: PlateJob, open_with: Callable[..., Workers] = open_workers) -> ProgressGenerator[PlateReport]:
    """Run a task on the images of a plate, or resume a run that was stopped.

    Parameters
    ----------
    job : PlateJob
    open_with : callable
        Opens the workers, see :func:`vitascope.batch.open_workers.open_workers`.

    Yields
    ------
    PlateProgress

    Returns
    -------
    PlateReport

    Raises
    ------
    OutputError
        If the folder cannot be written, before or during the run, or another run writes to it. What was finished
        stays, and the same command resumes from there.
    ParameterError, ModelError
        If a parameter or the model cannot be used, or the folder holds a run of other parameters.
    ReaderError
        If the folder of the plate went away during the run.
    VitascopeError
        If the scheduler or the service went away.
    """
    if job.out.absolute() == job.plate.path.absolute():
        raise ParameterError(
            f"The results cannot lie among the images of the plate, in '{job.out}'.", "Choose another folder."
        )
    if job.params.model != "auto" and not is_service(job.scheduler):  # which knows its own models
        find_model(job.params.model, job.spec.name)
    if job.plate_map is not None:
        job.plate_map.check(job.plate)
    if job.drift is not None:
        check_goes_with(job.drift, job.spec.name, job.params.model)
    check_writable(job.out)
    new = not job.out.exists()
    try:
        with locked(job.out, job.command or f"{job.spec.name} on {job.plate.name}"), Journal(job.out) as journal:
            run = _Run(job, journal)
            run.begin()
            yield from run.work_through(open_with)
            yield PlateProgress(len(job.plate), len(job.plate), "Writing the tables", run.last, run.just_ended())
            run.note_drift()
            write_plate_results(journal, job.plate, job.plate_map)
            watch = run.watch
            return PlateReport(
                out=job.out,
                counts=journal.counts(),
                computed=run.computed,
                drift_alarms=tuple(watch.alarms) if watch is not None else (),
                drift_causes=watch.causes if watch is not None else {},
                drift_tested=(len(watch.steps), watch.drift.window) if watch is not None else None,
                drift_timed=watch is None or watch.timed,
                stopped_by_drift=run.stopped,
            )
    except BaseException:
        _leave_nothing(job.out, new)
        raise


class _Run:
    """What one run knows on the way."""

    def __init__(self, job: PlateJob, journal: Journal) -> None:
        self.job, self.journal = job, journal
        self.computed = 0
        self.params = job.params
        self.work = Work(job.spec, PlatePictures(job.out, job.spec.name))
        self.waiting: deque[Item] = deque()
        self.suspects: deque[Item] = deque()
        self.died: set[str] = set()
        self.died_alone: set[str] = set()
        self.flying: dict[int, Chunk] = {}
        self.failed: list[tuple[Item, str]] = []
        self.looks = 0
        self.not_before_s = 0.0
        self.last = ""
        self._ended: list[ItemResult] = []
        self._mean_s: float | None = None
        self.watch: PlateWatch | None = None
        self.stopped = False
        self._noted_s = 0.0

    # -- the journal ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Compare with what the folder holds, and find out what is left to do."""
        job, journal = self.job, self.journal
        for leftover in job.out.rglob(f"{TEMPORARY}*"):
            remove(leftover)
        finished = journal.finished()
        if finished:
            check_same_run(journal.get("asked"), run_identity(job))
        else:
            now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
            journal.set(asked=run_identity(job), started=now, plan=None, model_sha256=None)
        source: dict[str, object] = {
            "path": str(job.plate.path.absolute()),
            "pattern": job.pattern,
            "planes": job.planes,
        }
        source |= {"pixel_size_um": job.pixel_size_um, "axes": job.axes}
        journal.set(command=job.command, source=source, shape=[job.plate.rows, job.plate.columns])
        journal.set(starts=(journal.get("starts") or 0) + 1)
        journal.expect([(site.id, site.place) for site in job.plate])
        if job.plate_map is not None:
            job.plate_map.save(job.out / MAP)
        plan = journal.get("plan")
        if plan is not None:
            self.params = job.spec.make_params(**plan)
        again = [
            site.id for site in job.plate if site.id in finished and self._is_stale(*finished[site.id], site.paths)
        ]
        journal.forget(again)
        for site in job.plate:
            if site.id not in finished or site.id in again:
                read = partial(site.open, job.pixel_size_um, job.axes)
                self.waiting.append(Item(site.id, site.place, {job.spec.roles[0].name: read}, site.paths))
        if job.drift is not None:
            order = order_taken(job.plate)
            self.watch = PlateWatch(job.drift, order.images, job.drift.reference.model_sha256, order.timed)
            # alarms of before were seen: they stop no run again
            self.watch.add(dict(journal.features()), dict(journal.appearances()))

    def note_drift(self) -> None:
        """Put what the watch found into the journal, for the tables and the record of this user."""
        if self.watch is not None and self.job.drift is not None:
            found = self.watch.summary()
            self.journal.set(drift=found)
            if self.computed:
                note_test(self.watch.record(self.job.plate.name, found))

    def _is_stale(self, status: str, signature: str, paths: tuple[Path, ...]) -> bool:
        if self.job.redo and status in NOT_DONE:
            return True
        return signature != file_signature(paths)

    def keep(self, images: list[ItemResult]) -> None:
        """Note images in the journal, all at once.

        Raises
        ------
        ReaderError
            If the plate is no longer there: then what could not be read is not noted.
        ModelError
            If the model is not the one that the run began with.
        """
        bad = [done for done in images if done.status in NOT_DONE]
        gone = bool(bad) and not self.job.plate.path.exists()
        good = [done for done in images if done not in bad] if gone else images
        self._settle_plan(good)
        self.journal.record(good)
        self.computed += len(good)
        if self.watch is not None:
            looks = {done.name: done.appearance for done in good}
            begun = self.watch.add({done.name: done.features for done in good}, looks)
            if time.monotonic() - self._noted_s > NOTE_DRIFT_S:
                self.journal.set(drift=self.watch.summary(with_p=False))
                self._noted_s = time.monotonic()
            self.stopped = self.stopped or bool(begun and self.watch.drift.stop)
        if gone:
            raise ReaderError(
                f"The plate '{self.job.plate.path}' went away during the run.",
                "Start the same command again when it is back: it resumes where it stopped.",
            )

    def _settle_plan(self, images: list[ItemResult]) -> None:
        known = self.journal.get("model_sha256")
        for done in images:
            provenance = done.provenance
            if provenance is None:
                continue
            if known is None and provenance.device != "none":
                known = provenance.model_sha256
                self.journal.set(plan=provenance.params, model_sha256=known)
                self.params = self.job.spec.make_params(**provenance.params)
            elif known is not None and provenance.model_sha256 != known:
                raise ModelError(
                    f"The model '{provenance.model}' was changed since this run began.",
                    "Bring the old one back, or choose another folder.",
                )

    # -- the work ---------------------------------------------------------------------------------------------------

    def work_through(self, open_with: Callable[..., Workers]) -> ProgressGenerator[None]:
        """Hand out images until all are done."""
        if not self.waiting:
            return
        levels = with_levels(self.job, self.params)
        self.params = yield from map_progress(levels, lambda at: PlateProgress(at.done, at.total, at.stage))
        job = self.job
        if not self._settled:
            images = [partial(site.open, job.pixel_size_um, job.axes) for site in job.plate]
            settling = job.spec.settle(images, self.params)
            self.params = yield from map_progress(
                settling, lambda at: PlateProgress(self._count(), len(job.plate), at.stage)
            )
        yield PlateProgress(self._count(), len(self.job.plate), "Starting workers")
        needed = (str(job.out.absolute()), str(job.plate.path.absolute()))
        workers = open_with(job.scheduler, job.workers, needed, job.spec.side_by_side)
        try:
            if self.params.threads is None and not is_service(job.scheduler):
                self.params = self.params.changed(threads=workers.threads)
            while not self.stopped and (self.waiting or self.suspects or self.flying or self._written_since()):
                workers.limit(self.params.threads or 1)
                self._hand_out(workers)
                yield PlateProgress(self._count(), len(job.plate), job.spec.verb, self.last, self.just_ended())
                self._take_in(workers.wait(WAIT_S))
        finally:
            workers.stop()

    def _count(self) -> int:
        waiting = len(self.waiting) + len(self.suspects) + sum(len(chunk.items) for chunk in self.flying.values())
        return len(self.job.plate) - waiting

    def just_ended(self) -> tuple[ItemResult, ...]:
        """Return the images that ended since this was asked last."""
        ended, self._ended = tuple(self._ended), []
        return ended

    @property
    def _settled(self) -> bool:
        return self.journal.get("plan") is not None

    def _written_since(self) -> bool:
        """Put the failed images back whose files were changed since: an instrument may still be writing them."""
        changed = [item for item, signature in self.failed if file_signature(item.paths) != signature]
        self.failed = []
        if not changed or self.looks == len(LOOK_AGAIN_S):
            return False
        self.not_before_s = time.monotonic() + LOOK_AGAIN_S[self.looks]
        self.looks += 1
        self.journal.forget([item.name for item in changed])
        self.computed -= len(changed)
        self.waiting.extend(changed)
        return True

    def _hand_out(self, workers: Workers) -> None:
        if time.monotonic() < self.not_before_s:
            return
        settled = self._settled
        ending = ENDS_THE_RUN if settled else (*ENDS_THE_RUN, ParameterError, ModelError)
        slots = workers.slots if settled else 1  # the first image resolves what is "auto", for all
        while self.waiting and len(self.flying) < slots:
            count = self._in_chunk() if settled else 1
            items = [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]
            self._submit(workers, items, ending)
        # Whoever may have killed a worker runs alone, so that no innocent one is taken along.
        if self.suspects and not self.waiting and not self.flying:
            self._submit(workers, [self.suspects.popleft()], ending)

    def _in_chunk(self) -> int:
        if self._mean_s is None or (self.watch is not None and self.watch.drift.stop):
            return 1  # an alarm stops the run before the next image, not after a handful
        return max(1, min(MOST_IN_CHUNK, int(CHUNK_S / max(self._mean_s, 1e-6))))

    def _submit(self, workers: Workers, items: Iterable[Item], ending: tuple[type[Exception], ...]) -> None:
        chunk = Chunk(self.work, tuple(items), self.params, ending)
        self.flying[id(chunk)] = chunk
        workers.submit(chunk)

    def _take_in(self, ended: list[tuple[Chunk, list[ItemResult] | BaseException]]) -> None:
        found: list[ItemResult] = []
        error: BaseException | None = None
        for chunk, result in ended:
            del self.flying[id(chunk)]
            if isinstance(result, list):
                found += result
                both = zip(chunk.items, result, strict=True)
                self.failed += [(item, done.signature) for item, done in both if done.status in NOT_DONE]
            elif isinstance(result, WorkerDiedError):
                found += self._died(chunk)
            else:
                self.waiting.extendleft(reversed(chunk.items))
                error = result
        if found:
            self.keep(found)
            self.last = found[-1].name
            self._ended += found
            mean = sum(done.seconds for done in found) / len(found)
            self._mean_s = mean if self._mean_s is None else 0.8 * self._mean_s + 0.2 * mean
        if isinstance(error, StoppedError):
            return
        if error is not None:
            raise error

    def _died(self, chunk: Chunk) -> list[ItemResult]:
        """Put the images of a worker that died aside; one that was alone with it twice has failed."""
        item = chunk.items[0]
        alone = len(chunk.items) == 1 and item.name in self.died  # those put aside before run with nobody else
        if alone and item.name in self.died_alone:
            error = VitascopeError(
                "Its worker died, twice.",
                "Memory may have run out, or a library failed; the other images are not concerned.",
                flag="worker_died",
            )
            return [failed(item, item.name, error)]
        if alone:
            self.died_alone.add(item.name)
        self.suspects.extend(chunk.items)
        self.died.update(item.name for item in chunk.items)
        return []


def _leave_nothing(out: Path, new: bool) -> None:
    """Take a folder away again that holds no image of a run that never began."""
    if not new or not has_journal(out):
        return
    with Journal(out, read_only=True) as journal:
        if journal.finished():
            return
    if {path.name for path in out.iterdir()} <= {JOURNAL, LOCK, MAP}:
        for path in out.iterdir():
            path.unlink()
        out.rmdir()
