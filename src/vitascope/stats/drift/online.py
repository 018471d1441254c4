"""The online test: one image after another, an alarm when the last few no longer look like the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vitascope.core.errors import InputError, ReaderError
from vitascope.stats.drift.kernels import Floats
from vitascope.stats.drift.reference import Reference
from vitascope.stats.drift.step import Step
from vitascope.stats.drift.thresholds import ERT, WINDOW, check_settings


class DetectorState(BaseModel):
    """All that a detector remembers beside its reference; plain JSON."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    reference_sha256: str
    window: int
    ert: int
    seen: int = Field(ge=0)
    since: int = Field(ge=0)
    scores: list[list[float]]
    with_reference: list[float]


class Detector:
    """Watches a series of images; a step is one image or well, never a crop.

    Parameters
    ----------
    reference : Reference
    window : int
        Images that are compared with the reference at a time.
    ert : int
        Expected run time: the mean number of steps from the first full window to a false alarm.
    model_sha256 : str, optional
        Of the network whose features will be given; checked if given.
    channels : sequence of str
        Of the images; checked if given.

    Raises
    ------
    ModelError
        If the features are of another network.
    InputError
        If the channels differ, or the reference is too small for the window.
    ParameterError
        If window or ERT are out of range.

    Attributes
    ----------
    seen : int
        Images so far.
    """

    def __init__(
        self,
        reference: Reference,
        window: int = WINDOW,
        ert: int = ERT,
        *,
        model_sha256: str | None = None,
        channels: Sequence[str] = (),
    ) -> None:
        reference.check_origin(reference.model_sha256 if model_sha256 is None else model_sha256, channels)
        check_settings(window, ert, len(reference.points))
        self.reference = reference
        self.thresholds = reference.thresholds_for(window, ert)
        self.seen = 0
        self._since = 0
        self._scores: Floats = np.empty((0, reference.scores.shape[1]))
        self._with_reference: Floats = np.empty(0)

    def update(self, feature: ArrayLike, look: ArrayLike | None = None) -> Step:
        """Take the features of the next image, shape (D,), and how it looks, shape (L,), if the reference knows that.

        Returns
        -------
        Step

        Raises
        ------
        InputError
            If they are NaN or of another length; the image does not count, and the next one may be given.
        """
        seen = None if look is None else np.asarray(look)[None]
        what = f"The features of image {self.seen + 1}"
        return self.step(self.reference.project(np.asarray(feature)[None], seen, what))

    def step(self, score: Floats) -> Step:
        """Take the next image by its score on the reference's axes, shape (1, K + L), see :meth:`Reference.project`."""
        near = self.reference.kernel(score, self.reference.scores).mean()
        window = self.thresholds.window
        self._scores = np.concatenate([self._scores, score])[-window:]
        self._with_reference = np.append(self._with_reference, near)[-window:]
        self.seen += 1
        self._since += 1
        if self._since < window:
            return Step(None, None, None)
        gram = self.reference.kernel(self._scores, self._scores)
        pairs = float(gram.sum() - np.trace(gram)) / (window * (window - 1))
        statistic = pairs + self.reference.within - 2 * float(self._with_reference.mean())
        threshold = self.thresholds.at(self._since - window)
        return Step(statistic, threshold, statistic > threshold)

    def restart(self) -> None:
        """Begin with an empty window, as after an alarm that was seen to."""
        self._since = 0
        self._scores, self._with_reference = self._scores[:0], self._with_reference[:0]

    def state(self) -> dict[str, Any]:
        """Return what :meth:`resume` needs, as plain JSON; it does not grow with the images seen."""
        return DetectorState(
            reference_sha256=self.reference.sha256,
            window=self.thresholds.window,
            ert=self.thresholds.ert,
            seen=self.seen,
            since=self._since,
            scores=self._scores.tolist(),
            with_reference=self._with_reference.tolist(),
        ).model_dump()

    @classmethod
    def resume(cls, reference: Reference, state: Mapping[str, Any]) -> Detector:
        """Go on where another detector stopped; every later step is the same to the last bit.

        Raises
        ------
        ReaderError
            If the state is damaged.
        InputError
            If it is of another reference.
        """
        try:
            old = DetectorState.model_validate(dict(state))
        except (ValidationError, TypeError, ValueError) as error:
            raise ReaderError("The saved state of the drift test is damaged.", "Begin it anew.") from error
        if old.reference_sha256 != reference.sha256:
            raise InputError(
                f"The saved state of the drift test is not of the reference {reference.name}.",
                "Take the reference it was begun with, or begin anew.",
            )
        detector = cls(reference, old.window, old.ert)
        held, components = min(old.since, old.window), reference.scores.shape[1]
        fits = len(old.scores) == len(old.with_reference) == held and {len(row) for row in old.scores} <= {components}
        if not fits or old.since > old.seen:
            raise ReaderError("The saved state of the drift test is damaged.", "Begin it anew.")
        detector._scores = np.asarray(old.scores, np.float64).reshape(held, components)
        detector._with_reference = np.asarray(old.with_reference, np.float64)
        detector.seen, detector._since = old.seen, old.since
        return detector
