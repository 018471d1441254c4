"""Is this plate like that one? Two plate runs, or two sets of wells, compared by features that are there already."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitascope.batch.plate.journal import Journal
from vitascope.core.errors import InputError, ModelError
from vitascope.core.well import Well
from vitascope.io.atomic import check_writable
from vitascope.io.tables.csv_append import write_csv
from vitascope.ops.intensity.appearance import LOOKS
from vitascope.stats.drift.plates import PlateComparison, compare_plates

WELLS = "drift_wells.csv"


@dataclass(frozen=True, eq=False)
class WellFeatures:
    """Features of the images of some wells.

    Parameters
    ----------
    table : array, shape (N, F), float32
    looks : array, shape (N, 6), float32
        NaN of runs that kept no appearances.
    wells : tuple of str, length N
    model, model_sha256 : str
    """

    table: NDArray[np.float32]
    looks: NDArray[np.float32]
    wells: tuple[str, ...]
    model: str
    model_sha256: str


def features_of_wells(folder: Path, wells: Collection[str] = ()) -> WellFeatures:
    """Return the features of the images of a plate run, of some wells or all.

    Raises
    ------
    InputError
        If a well is none, or has no features.
    ReaderError
        If there is no plate run.
    """
    wanted = {str(Well.parse(well)) for well in wells}
    with Journal(folder, read_only=True) as journal:
        places = {entry.name: entry.place.well for entry in journal.entries()}
        known = [(name, feature) for name, feature in journal.features() if feature is not None]
        looks = dict(journal.appearances())
        about = next(journal.provenances(), None)
    found = [(n, f) for n, f in known if not wanted or str(Well.parse(places[n])) in wanted]
    missing = sorted(wanted - {str(Well.parse(places[name])) for name, _ in found})
    if missing or not found or about is None:
        raise InputError(
            f"{'Well ' + missing[0] if missing else 'The run'} in '{folder}' has no features.",
            "Give wells that were run; runs of older versions kept no features.",
        )
    nothing = np.full(LOOKS, np.nan, np.float32)
    seen = [looks.get(name) for name, _ in found]
    return WellFeatures(
        table=np.stack([feature for _, feature in found]),
        looks=np.stack([nothing if look is None else look for look in seen]),
        wells=tuple(places[name] for name, _ in found),
        model=about.model,
        model_sha256=about.model_sha256,
    )


def compare_runs(
    trusted: Path,
    other: Path,
    out: Path | None = None,
    *,
    trusted_wells: Collection[str] = (),
    other_wells: Collection[str] = (),
) -> PlateComparison:
    """Compare wells of a plate run with wells of another, or of the same, that are trusted.

    Parameters
    ----------
    trusted, other : Path
        Results of plate runs with one model.
    out : Path, optional
        Folder for ``drift_wells.csv``: ``well, images, distance, p, p_adjusted``, the most unlike first.
    trusted_wells, other_wells : collection of str
        All wells by default. Of one run they must not overlap.

    Returns
    -------
    PlateComparison

    Raises
    ------
    InputError
        If wells stand on both sides, or there are too few.
    ModelError
        If the runs are of different networks.
    OutputError
        If the table cannot be written.
    """
    if out is not None:
        check_writable(out)
    one, two = features_of_wells(trusted, trusted_wells), features_of_wells(other, other_wells)
    if one.model_sha256 != two.model_sha256:
        raise ModelError(
            f"The runs are of different networks, {one.model} and {two.model}.", "Run both plates with one model."
        )
    both = sorted(set(one.wells) & set(two.wells)) if trusted.resolve() == other.resolve() else []
    if both:
        raise InputError(f"The well {both[0]} stands on both sides.", "Name the wells of each side.")
    found = compare_plates(one.table, two.table, one.wells, two.wells, looks=_told_of_both(one, two))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_csv(out / WELLS, [found.wells])
    return found


def _told_of_both(one: WellFeatures, two: WellFeatures) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return how both sides look, in the numbers that are known of both; None where none is."""
    known = np.isfinite(one.looks).any(axis=0) & np.isfinite(two.looks).any(axis=0)
    return (one.looks[:, known], two.looks[:, known]) if known.any() else None
