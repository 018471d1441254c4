"""What a run gives back: pictures and labels on the input's grid, numbers, trust, and where they come from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from vitascope.core.formatting import is_number, number_text
from vitascope.core.late_import import import_late
from vitascope.core.status import Status
from vitascope.core.well import WellPosition

if TYPE_CHECKING:
    import pandas as pd

NUMBERS_SHOWN = 6
"""Numbers that a result shows of itself; the table holds all."""

WRITER = "vitascope.io.results.save"
"""Writes results; it stands above this room, and is imported when a result is written."""


@runtime_checkable
class ResultWriter(Protocol):
    """What a result uses of :data:`WRITER`."""

    def save_result(self, result: Result, folder: str | os.PathLike[str], /) -> Path:
        """Write pictures, tables and provenance to a folder."""

    def result_frame(self, result: Result, /) -> pd.DataFrame:
        """Return the rows under the columns of ``results.csv``."""


CONTROL, OF_CONTROL = "control", "of control"


def told_unit(unit: str, inputs: Iterable[Mapping[str, Any]]) -> str:
    """Return a unit as it may be told: a share of the control only where there was a control among the inputs.

    Examples
    --------
    >>> told_unit("of control", [{"role": "image"}]), told_unit("RLU", [])
    ('', 'RLU')
    """
    return unit if unit != OF_CONTROL or any(one.get("role") == CONTROL for one in inputs) else ""


TrustLevel = Literal["fits", "unsure", "outside", "unknown"]


@dataclass(frozen=True)
class ImageOutput:
    """A picture on the input's grid.

    Parameters
    ----------
    kind : str
        Folder it is written to, such as ``prediction`` or ``maps``.
    title : str
        What a layer is called, such as ``nuclei``.
    array : array, shape as ``axes``, float32, numpy, zarr or dask
    axes : str
        Letters of TCZYX in order.
    channel_names : tuple of str
        One per channel, also where the array has no C axis (then one).
    unit : str
        Unit of the values.
    limits : tuple of float
        Contrast limits (low, high) for display, in ``unit``.
    channel_limits : tuple of tuple of float
        The same for each channel, where they differ; else empty.
    colormap : str
        Name of the colour map the quantity always has.
    """

    kind: str
    title: str
    array: Any
    axes: str
    channel_names: tuple[str, ...]
    unit: str = ""
    limits: tuple[float, float] = (0.0, 1.0)
    colormap: str = "viridis"
    channel_limits: tuple[tuple[float, float], ...] = ()

    def limits_of(self, channel: int) -> tuple[float, float]:
        """Return the contrast limits of a channel."""
        return self.channel_limits[channel] if self.channel_limits else self.limits


@dataclass(frozen=True)
class LabelsOutput:
    """Objects on the input's grid, with their measurements.

    Parameters
    ----------
    kind : str
        Folder it is written to, such as ``labels``.
    title : str
        What a layer is called, such as ``nuclei masks``.
    array : array of uint32, shape as ``axes``
        0 is background, objects are 1…N.
    axes : str
        Letters of TCZYX in order; never C.
    table : DataFrame, N rows
        Column ``label`` holds 1…N, then the measurements, units in the names.
    listed : DataFrame or None
        Those of the rows that ``objects.csv`` gets; None for all. Numbers that are held back are in no file.
    """

    kind: str
    title: str
    array: Any
    axes: str
    table: pd.DataFrame
    listed: pd.DataFrame | None = None


@dataclass(frozen=True)
class Trust:
    """How far to rely on the numbers.

    Parameters
    ----------
    level : {"fits", "unsure", "outside", "unknown"}
        Against the domain of the model's card.
    reasons : tuple of str
        Sentences with numbers.
    """

    level: TrustLevel = "unknown"
    reasons: tuple[str, ...] = ()


class Provenance(BaseModel):
    """Where a number comes from; enough to repeat the run bit for bit."""

    model_config = ConfigDict(extra="forbid")

    task: str
    model: str
    model_sha256: str
    params: dict[str, Any]
    device: str
    precision: str
    device_name: str = ""
    inputs: list[dict[str, Any]]
    versions: dict[str, str]
    started: str
    seconds: float
    trust: str = "unknown"
    flags: list[str] = []
    input_scale: float | None = None
    input_inverted: bool | None = None


@dataclass(frozen=True)
class Result:
    """All that one run gives.

    Parameters
    ----------
    outputs : tuple of ImageOutput and LabelsOutput
    rows : tuple of mapping
        One row of numbers per time point (one in all for a single image); same keys in each. Where pictures end
        differently, ``status``, ``flags`` and ``message`` of each stand in its row.
    unit : str
        Unit of the main number.
    place : WellPosition
        Where the image was taken.
    name : str
        Name of the image.
    status : Status
    flags : tuple of str
        Words of :data:`vitascope.core.flags.FLAGS`.
    message : str
        The sentence behind REJECTED, FAILED or a warning.
    trust : Trust
    interval_level : float or None
        Nominal level of the interval, 0.9 for 90 %; None where there is none.
    tables : mapping of str to DataFrame
        Further tables, such as ``agreement``.
    provenance : Provenance or None
    scratch : object or None
        Keeps the temporary folder of lazily stored outputs alive as long as the result.
    features : array, shape (F,), float32, or None
        What the network's deepest layer makes of the image, in the mean over its crops and pictures: what images are
        compared by when one asks whether they drift. None where the model's card describes no training images.
    appearance : array, shape (6,), float32, or None
        Focus, brightness, contrast, density and finest detail of the raw image
        (:mod:`vitascope.ops.intensity.appearance`), in the mean over its pictures: whether and why images drift. None
        where there are no features.
    """

    outputs: tuple[ImageOutput | LabelsOutput, ...]
    rows: tuple[Mapping[str, Any], ...]
    unit: str
    place: WellPosition
    name: str
    status: Status = Status.OK
    flags: tuple[str, ...] = ()
    message: str = ""
    trust: Trust = Trust()
    interval_level: float | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    provenance: Provenance | None = None
    scratch: object | None = None
    features: Any = None
    appearance: Any = None

    def output(self, kind: str) -> ImageOutput | LabelsOutput:
        """Return the first output of a kind, such as ``"labels"``.

        Raises
        ------
        KeyError
            If there is none.
        """
        for output in self.outputs:
            if output.kind == kind:
                return output
        raise KeyError(f"There is no '{kind}' here, only {[o.kind for o in self.outputs]}.")

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write pictures, tables and provenance, the same files as the dock and the command line.

        Parameters
        ----------
        folder : path
            Made where it is not there; never one that holds the results of a run.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder holds another run, or cannot be written.
        """
        return import_late(WRITER, ResultWriter).save_result(self, folder)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the numbers as a table: one row for each time point, the columns of ``results.csv``."""
        return import_late(WRITER, ResultWriter).result_frame(self)

    def __repr__(self) -> str:
        """Say in a few lines what was run, what came out, and how far to trust it."""
        of = f"{self.provenance.task}, {self.provenance.model}" if self.provenance else "nothing was run"
        lines = [f"Result of '{self.name}' ({of}): {self.status}"]
        numbers = {k: number_text(v) for k, v in (self.rows[0] if self.rows else {}).items() if is_number(v)}
        told = ", ".join(f"{name} {text}" for name, text in list(numbers.items())[:NUMBERS_SHOWN])
        if told:
            first = f"first of {len(self.rows)} rows: " if len(self.rows) > 1 else ""
            lines.append(f"  {first}{told}{', …' if len(numbers) > NUMBERS_SHOWN else ''}")
        if self.outputs:
            lines.append("  outputs: " + ", ".join(f"{o.kind} ({o.title}, {o.axes})" for o in self.outputs))
        lines.append(f"  trust: {' '.join([self.trust.level, *self.trust.reasons[:1]])}")
        lines += [f"  flags: {', '.join(self.flags)}"] if self.flags else []
        lines += [f"  {self.message}"] if self.message else []
        return "\n".join(lines)
