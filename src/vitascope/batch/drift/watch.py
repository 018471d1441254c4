"""A plate watched while it runs: images count in the order they were taken, never in that in which they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitascope.batch.drift.references import DriftRecord, now
from vitascope.core.errors import ParameterError
from vitascope.io.filenames.parse import natural
from vitascope.io.images.acquired import acquired_at
from vitascope.io.models.cards import find_cards, find_model, read_card
from vitascope.io.plates.plate import Plate
from vitascope.ops.intensity.appearance import LOOKS
from vitascope.stats.drift.cause import CauseFinder
from vitascope.stats.drift.online import Detector
from vitascope.stats.drift.reference import Reference
from vitascope.stats.drift.series import scores_p
from vitascope.stats.drift.step import Step
from vitascope.stats.drift.thresholds import ERT, WINDOW

LEAST_IMAGES, MOST_IMAGES = 2, 1000


@dataclass(frozen=True)
class Drift:
    """What a plate is watched against.

    Parameters
    ----------
    reference : Reference
    window, ert : int
        See :class:`vitascope.stats.drift.online.Detector`.
    stop : bool
        Whether an alarm ends the run.
    given : str
        Name or file of the reference, as the user gave it, to repeat the run.
    """

    reference: Reference
    window: int = WINDOW
    ert: int = ERT
    stop: bool = False
    given: str = ""


class Sample:
    """Keeps so many of a series that any member has the same chance to be kept; the same each time.

    Parameters
    ----------
    most : int

    References
    ----------
    Vitter 1985, "Random sampling with a reservoir", algorithm R.
    """

    def __init__(self, most: int) -> None:
        self._most, self._seen = most, 0
        self._rng = np.random.default_rng(0)
        self.kept: list[NDArray[np.float32]] = []

    def add(self, one: NDArray[np.float32]) -> None:
        """Take the next member."""
        self._seen += 1
        if len(self.kept) < self._most:
            self.kept.append(one)
            return
        place = int(self._rng.integers(self._seen))
        if place < self._most:
            self.kept[place] = one


class PlateWatch:
    """Tests the images of a plate one after another, as soon as all before them are done.

    The answer depends on the features and their order alone: a run that was stopped and resumed, or shared out to
    several workers, gives the same.

    Parameters
    ----------
    drift : Drift
    order : sequence of str
        Names of all images, in the order in which they were taken.
    timed : bool
        Whether that order is known from the files.
    model_sha256 : str
        Of the network whose features come.

    Attributes
    ----------
    steps : dict of str to Step
        Of the images tested so far. Images without features (refused or failed), or with NaN in them, are no step.
    alarms : list of str
        Images at which an alarm began.
    """

    def __init__(self, drift: Drift, order: Sequence[str], model_sha256: str, timed: bool = True) -> None:
        self.drift, self.timed = drift, timed
        self._detector = Detector(drift.reference, drift.window, drift.ert, model_sha256=model_sha256)
        self._order, self._next = tuple(order), 0
        self._waiting: dict[str, tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]] = {}
        self._scores = Sample(MOST_IMAGES)
        self._ringing = False
        self._causes = CauseFinder(drift.reference.usual, drift.window)
        self.steps: dict[str, Step] = {}
        self.alarms: list[str] = []

    def add(
        self,
        found: Mapping[str, NDArray[np.float32] | None],
        looks: Mapping[str, NDArray[np.float32] | None] = MappingProxyType({}),
    ) -> list[str]:
        """Take the features of images that are done, and how these look; None for those that have none.

        Returns
        -------
        list of str
            Images at which an alarm began.

        Raises
        ------
        InputError
            If features are of another number than the reference's.
        """
        self._waiting.update({name: (feature, looks.get(name)) for name, feature in found.items()})
        begun: list[str] = []
        while self._next < len(self._order) and (name := self._order[self._next]) in self._waiting:
            feature, look = self._waiting.pop(name)
            self._next += 1
            if feature is None or not np.isfinite(feature).all():
                continue
            # runs begun before there were appearances have none: their features alone count
            seen = np.full((1, LOOKS), np.nan) if look is None else look[None]
            score = self.drift.reference.project(feature[None], seen, f"The features of {name}")
            self._scores.add(score[0].astype(np.float32))
            step = self.steps[name] = self._detector.step(score)
            self._causes.step(name, look, step)
            if step.alarm and not self._ringing:
                begun.append(name)
            self._ringing = bool(step.alarm)
        self.alarms += begun
        return begun

    def p(self) -> float | None:
        """Return the p of the images tested so far against the reference; None of fewer than two.

        Of more than :data:`MOST_IMAGES`, so many stand for all, the same each time, so that memory stays flat.
        """
        kept = self._scores.kept
        if len(kept) < LEAST_IMAGES:
            return None
        return scores_p(np.stack(kept).astype(np.float64), self.drift.reference)

    def summary(self, with_p: bool = True) -> dict[str, Any]:
        """Return all that was found, as plain JSON: reference, settings, the p of the whole, and each step."""
        reference = self.drift.reference
        return {
            "reference": reference.name,
            "reference_sha256": reference.sha256,
            "window": self.drift.window,
            "ert": self.drift.ert,
            "p": self.p() if with_p else None,
            "last": self.last,
            "alarms": list(self.alarms),
            "timed": self.timed,
            "causes": self.causes,
            "steps": {name: [step.statistic, step.threshold, step.alarm] for name, step in self.steps.items()},
        }

    def record(self, source: str, found: Mapping[str, Any]) -> DriftRecord:
        """Return what this user's record keeps of a plate; ``found`` is its :meth:`summary`."""
        full = [(s.statistic, s.threshold) for s in self.steps.values() if s.statistic is not None and s.threshold]
        return DriftRecord(
            sha256=self.drift.reference.sha256,
            at=now(),
            source=source,
            images=len(self.steps),
            steps=len(full),
            alarms=sum(bool(step.alarm) for step in self.steps.values()),
            first_alarm=self.alarms[0] if self.alarms else "",
            statistic=max((statistic for statistic, _ in full), default=None),
            p=found["p"],
            excess=max((statistic / threshold for statistic, threshold in full), default=None),
            cause=self.causes.get(self.alarms[0], "") if self.alarms else "",
        )

    @property
    def causes(self) -> dict[str, str]:
        """What images look like since each alarm, in words, by the image at which it began."""
        return {name: cause.words for name, cause in self._causes.found.items()}

    @property
    def last(self) -> str:
        """The image tested last; empty before the first."""
        return next(reversed(self.steps), "")


class Order(NamedTuple):
    """The order in which images count: their ids, and whether it is that of times that all files tell."""

    images: list[str]
    timed: bool


def order_taken(plate: Plate) -> Order:
    """Return the ids of a plate's images in the order in which they were taken.

    That is by the times that all files tell (OME ``AcquisitionDate``, TIFF ``DateTime``); where one does not, or all
    tell the same, by point of time and then well by well.
    """
    taken = {site.id: acquired_at(site.paths[0]) if site.paths else None for site in plate}
    if len(taken) > 1 and all(taken.values()) and len(set(taken.values())) > 1:
        return Order(sorted(taken, key=lambda name: str(taken[name])), True)
    return Order([site.id for site in sorted(plate, key=lambda site: natural(site.place.time))], False)


def check_goes_with(drift: Drift, task: str, model: str) -> None:
    """Refuse a reference that is of another network than the one to be run, before anything is run.

    Raises
    ------
    ParameterError
        If the model is to be chosen by itself and none of the task has the reference's weights.
    ModelError
        If the weights differ.
    """
    if model == "auto":
        known = [read_card(path).weights.sha256 for path in find_cards(task).values()]
        if drift.reference.model_sha256 not in known:
            raise ParameterError(
                f"The drift reference {drift.reference.name} is of the model {drift.reference.model}, and none for "
                f"'{task}' has its weights.",
                "Choose a reference made with a model of this task.",
            )
        return
    drift.reference.check_origin(find_model(model, task)[0].weights.sha256)


def drift_columns(found: Mapping[str, Any] | None) -> Callable[[str], dict[str, Any]]:
    """Return what gives the columns of an image: ``drift_statistic, drift_p, drift_alarm``; nothing without a watch.

    ``drift_p`` is that of the whole plate, in the row of the image that was taken last.
    """
    if not found:
        return lambda name: {}
    steps, last, p = found["steps"], found["last"], found["p"]

    def columns(name: str) -> dict[str, Any]:
        statistic, _, alarm = steps.get(name, (None, None, None))
        return {
            "drift_statistic": statistic,
            "drift_p": p if name == last else None,
            "drift_alarm": None if alarm is None else int(alarm),
        }

    return columns
