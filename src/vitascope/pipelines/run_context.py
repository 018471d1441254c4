"""What every run holds, whatever its task: clock and provenance, and how its result is put together."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.card import ModelCard
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.result import ImageOutput, LabelsOutput, Provenance, Result, Trust
from vitascope.core.status import Status
from vitascope.core.versions import versions
from vitascope.engine.device import describe_device
from vitascope.engine.execution_plan import Plan
from vitascope.io.results.provenance import describe_input
from vitascope.ops.intensity.appearance import appearance

P = TypeVar("P", bound=RunParams)


class RunContext(Generic[P]):
    """One run of a task; its clock starts when it is made.

    Parameters
    ----------
    task : str
    inputs : mapping of role to Micrograph
        With an ``image``.
    params : RunParams
        As the user gave them.
    """

    def __init__(self, task: str, inputs: Mapping[str, Micrograph], params: P) -> None:
        self._started, self._clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
        self.task, self.inputs, self.params = task, inputs, params
        self.image = inputs["image"]
        self._features: list[NDArray[np.float64]] = []
        self._appearances: list[NDArray[np.float32]] = []

    def keep_features(self, features: NDArray[np.float64], planes: Sequence[Any]) -> None:
        """Take note of the deepest features of a picture's crops, shape (crops, F), and of how it looks.

        Parameters
        ----------
        features : array, shape (crops, F)
        planes : sequence of array, each (Y, X)
            The picture as it was given; the middle plane is looked at.
        """
        if features.size:
            self._features.append(features.mean(axis=0))
            self._appearances.append(appearance(planes[len(planes) // 2]))

    def resolved(self, card: ModelCard, plan: Plan | None) -> dict[str, Any]:
        """Return the parameters with what ``auto`` stood for; without a plan nothing was computed."""
        found = self.params.model_dump(mode="json")
        if self.params.model == "auto":
            found["model"] = card.id
        return {**found, **plan.resolved()} if plan is not None else found

    def resolved_square(self, card: ModelCard, plan: Plan) -> dict[str, Any]:
        """Return the parameters of a network that sees one whole square: the tile is that square and no setting."""
        own = {"model": card.id, "tile_px": self.params.tile_px}
        return {**self.resolved(card, plan), **own}

    def provenance(
        self, card: ModelCard, plan: Plan | None, params: dict[str, Any], trust: Trust, flags: Sequence[str]
    ) -> Provenance:
        """Say where the numbers come from, as of now.

        Parameters
        ----------
        card : ModelCard
        plan : Plan or None
        params : dict
            See :meth:`resolved`.
        trust : Trust
        flags : sequence of str
        """
        return Provenance(
            task=self.task,
            model=card.id,
            model_sha256=card.weights.sha256,
            params=params,
            device=plan.device if plan is not None else "none",
            precision=plan.precision if plan is not None else "none",
            device_name=describe_device(plan.device) if plan is not None else "",
            inputs=[describe_input(role, given) for role, given in self.inputs.items()],
            versions=versions(),
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(time.perf_counter() - self._clock, 3),
            trust=trust.level,
            flags=list(flags),
        )

    def result(
        self,
        card: ModelCard,
        plan: Plan | None,
        *,
        outputs: Sequence[ImageOutput | LabelsOutput],
        rows: Sequence[Mapping[str, Any]],
        unit: str,
        flags: Sequence[str],
        trust: Trust,
        params: dict[str, Any] | None = None,
        message: str | None = None,
        rejected: bool = False,
        interval_level: float | None = None,
        tables: Mapping[str, pd.DataFrame] | None = None,
        scratch: object | None = None,
    ) -> Result:
        """Put everything together.

        Parameters
        ----------
        card : ModelCard
        plan : Plan or None
            None where nothing was computed; its flags are added.
        params : dict, optional
            By default those of :meth:`resolved`.
        message : str, optional
            By default the reasons of the trust.
        rejected : bool
            Whether no picture has a number.
        outputs, rows, unit, flags, trust, interval_level, tables, scratch
            See :class:`vitascope.core.result.Result`.
        """
        all_flags = tuple(dict.fromkeys([*flags, *(plan.flags if plan is not None else ())]))
        params = self.resolved(card, plan) if params is None else params
        return Result(
            outputs=tuple(outputs),
            rows=tuple(rows),
            unit=unit,
            place=self.image.place,
            name=self.image.name,
            status=Status.REJECTED if rejected else Status.of_flags(all_flags),
            flags=all_flags,
            message=" ".join(trust.reasons) if message is None else message,
            trust=trust,
            interval_level=interval_level,
            tables=tables or {},
            provenance=self.provenance(card, plan, params, trust, all_flags),
            scratch=scratch,
            features=_mean(self._features),
            appearance=_mean(self._appearances),
        )


def _mean(found: Sequence[NDArray[np.floating]]) -> NDArray[np.float32] | None:
    return np.asarray(np.mean(found, axis=0, dtype=np.float64), np.float32) if found else None
