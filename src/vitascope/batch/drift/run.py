"""Make a reference of images one trusts, and test others against it: the one way for commands, docks and scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from vitascope.batch.drift.features import image_features
from vitascope.batch.drift.references import DriftRecord, note_test, now, register_reference, write_reference
from vitascope.core.errors import InputError, ModelError
from vitascope.core.progress import ProgressGenerator
from vitascope.io.atomic import check_writable
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.models.cards import find_cards, read_card
from vitascope.io.tables.csv_append import write_csv
from vitascope.stats.drift.online import Detector
from vitascope.stats.drift.reference import Reference, fit_reference
from vitascope.stats.drift.series import check_length, run_series
from vitascope.stats.drift.thresholds import ERT, WINDOW, check_settings

DRIFT = "drift.csv"


@dataclass(frozen=True)
class DriftReport:
    """What a series of images came to.

    Parameters
    ----------
    table : DataFrame
        As ``drift.csv``, see :func:`vitascope.stats.drift.series.drift_table`.
    out : Path or None
        What was written.
    failed : tuple of tuple of str
        Name and sentence of the images that have no features.
    causes : dict of str to str
        Of each alarm, by the image at which it began, in words; empty where it is not known.
    """

    table: pd.DataFrame
    out: Path | None
    failed: tuple[tuple[str, str], ...]
    causes: dict[str, str] = field(default_factory=dict)

    @property
    def first_alarm(self) -> str:
        """The image of the first alarm; empty for none."""
        ringing = self.table[self.table["drift_alarm"].eq(1).fillna(False)]
        return str(ringing["image"].iloc[0]) if len(ringing) else ""

    @property
    def alarms(self) -> int:
        """Images at which the statistic lay above its threshold."""
        return int(self.table["drift_alarm"].fillna(0).sum())


def make_reference(
    groups: Sequence[ImageGroup],
    model: str,
    name: str,
    *,
    out: Path | None = None,
    register: bool = True,
    window: int = WINDOW,
    ert: int = ERT,
    pixel_size_um: float | None = None,
    axes: str | None = None,
) -> ProgressGenerator[tuple[Reference, tuple[tuple[str, str], ...], tuple[str, ...]]]:
    """Make a reference of images one trusts.

    Parameters
    ----------
    groups : sequence of ImageGroup
        20 images at least; 500 are good.
    model : str
        Id, or path of a card.
    name : str
    out : Path, optional
        File to write it to, ``….drift``.
    register : bool
        Whether to keep it for this user under its name.
    window, ert : int
        See :class:`vitascope.stats.drift.online.Detector`; thresholds of others are found when they are asked for.
    pixel_size_um, axes
        Of all images, where the files do not tell.

    Yields
    ------
    Progress

    Returns
    -------
    tuple
        The reference; name and sentence of the images that were left out because they could not be used; and names of
        those in it on which the model is not to be relied on.

    Raises
    ------
    InputError, ModelError, ParameterError
        If there are too few images, they are all the same, channels are mixed, or model or name cannot be used.
    OutputError
        If it cannot be written.
    """
    if out is not None:
        check_writable(out.absolute().parent)
    found = yield from image_features(groups, model, pixel_size_um=pixel_size_um, axes=axes)
    reference = fit_reference(
        found.table,
        name=name,
        model=found.model,
        model_sha256=found.model_sha256,
        channels=found.channels,
        appearances=found.appearances,
        window=window,
        erts=(ert,),
    )
    if out is not None:
        write_reference(reference, out)
    if register:
        register_reference(reference)
    return reference, found.failed, found.outside


def run_drift_test(
    groups: Sequence[ImageGroup],
    reference: Reference,
    *,
    out: Path | None = None,
    source: str = "",
    window: int = WINDOW,
    ert: int = ERT,
    pixel_size_um: float | None = None,
    axes: str | None = None,
) -> ProgressGenerator[DriftReport]:
    """Test images against a reference, in the order given, and write ``drift.csv``.

    Parameters
    ----------
    groups : sequence of ImageGroup
        In the order in which they were taken.
    reference : Reference
    out : Path, optional
        Folder for ``drift.csv``.
    source : str
        What the record of this user calls them.
    window, ert : int
    pixel_size_um, axes
        Of all images, where the files do not tell.

    Yields
    ------
    Progress

    Returns
    -------
    DriftReport

    Raises
    ------
    InputError, ModelError, ParameterError
        If there are fewer images than the window, or they or the settings do not go with the reference.
    OutputError
        If the table cannot be written.
    """
    if out is not None:
        check_writable(out)
    check_settings(window, ert, len(reference.points))
    check_length(len(groups), window)  # before any image is run
    model = model_of(reference)
    found = yield from image_features(groups, model, pixel_size_um=pixel_size_um, axes=axes)
    channels = {one for one in found.channels if one}
    if len(channels) > 1:
        raise InputError(
            f"The images have mixed channels: {' and '.join(sorted('+'.join(one) for one in channels)[:2])}.",
            "Give images of one set of channels.",
        )
    detector = Detector(
        reference,
        window,
        ert,
        model_sha256=found.model_sha256,
        channels=next(iter(channels), ()),
    )
    series = run_series(found.names, found.table, detector, appearances=found.appearances)
    tested = series.table
    rows = tested.set_index("image").reindex([group.name for group in groups]).reset_index()
    # that of the whole set stands in the last row, of an image that has no features too
    p = float(tested["drift_p"].iloc[-1])
    rows["drift_p"] = [math.nan] * (len(rows) - 1) + [p]
    report = DriftReport(rows, out, found.failed, {name: cause.words for name, cause in series.causes.items()})
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_csv(out / DRIFT, [rows])
    steps = int(tested["drift_statistic"].notna().sum())
    note_test(
        DriftRecord(
            sha256=reference.sha256,
            at=now(),
            source=source,
            images=len(tested),
            steps=steps,
            alarms=report.alarms,
            first_alarm=report.first_alarm,
            statistic=float(tested["drift_statistic"].max()) if steps else None,
            p=p,
            excess=series.excess,
            cause=report.causes.get(report.first_alarm, ""),
        )
    )
    return report


def model_of(reference: Reference) -> str:
    """Return the path of the card of the network that a reference's features are of.

    Raises
    ------
    ModelError
        If no model here has its weights.
    """
    for path in find_cards().values():
        if read_card(path).weights.sha256 == reference.model_sha256:
            return str(path)
    raise ModelError(
        f"The reference {reference.name} was made with the model {reference.model}, and no model here has its weights.",
        "Import that model, or make a reference with one that is here.",
    )
