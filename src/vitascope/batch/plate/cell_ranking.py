"""The wells of a plate run ranked by their whole cells, from its journal."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from vitascope.batch.plate.journal import Journal
from vitascope.core.status import JUDGED
from vitascope.io.results.folder import OBJECTS
from vitascope.io.tables.csv_append import write_csv
from vitascope.stats.cell_ranking import rank_wells

RANKING = "cell_ranking.csv"
CELLS = "cells"
"""What whole cells are called among the objects of an image."""

PLACE = ["plate", "well", "time"]
NO_MEASURES = frozenset({"image", "objects", "label", "parent", "at_border", "z", *PLACE})
POSITIONS = "centroid_"


def write_cell_ranking(journal: Journal, results: pd.DataFrame) -> None:
    """Write :data:`RANKING` of a run that found whole cells; nothing for others.

    Parameters
    ----------
    journal : Journal
    results : DataFrame
        One row for each image, with ``image``, ``status`` and where it was taken.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    cells = list(whole_cells(journal.pieces(OBJECTS))) if OBJECTS in journal.table_names() else []
    if cells:
        write_csv(journal.folder / RANKING, [rank_cells(pd.concat(cells, ignore_index=True), results)])


def whole_cells(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Give the cells among objects, without those that go on beyond their image and those without a nucleus."""
    for piece in pieces:
        if "at_border" in piece and "objects" in piece:
            found = piece[(piece["objects"] == CELLS) & (piece["at_border"] == 0) & (piece["parent"] > 0)]
            if len(found):
                yield found.dropna(axis="columns", how="all")


def rank_cells(cells: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """Rank wells within their plate and time by every measure of their whole cells.

    Parameters
    ----------
    cells : DataFrame
        As of :func:`whole_cells`, with ``image``, and ``time`` in a series.
    results : DataFrame
        See :func:`write_cell_ranking`; cells of images that could not be judged are left out.

    Returns
    -------
    DataFrame
        See :func:`vitascope.stats.cell_ranking.rank_wells`.
    """
    judged = results[results["status"].isin(JUDGED)].drop_duplicates("image")
    here = cells.drop(columns=[name for name in PLACE[:2] if name in cells])
    own = [name for name in PLACE if name not in here]
    here = here.merge(judged[["image", *own]], on="image")
    measures = [
        str(name)
        for name in here
        if name not in NO_MEASURES and not str(name).startswith(POSITIONS) and pd.api.types.is_numeric_dtype(here[name])
    ]
    return rank_wells(here, ["plate", "time"], measures)
