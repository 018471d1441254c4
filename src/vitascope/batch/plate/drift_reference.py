"""A reference of wells that a plate run has computed already: their features lie in its journal."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from vitascope.batch.plate.journal import Journal
from vitascope.core.errors import InputError, ModelError
from vitascope.stats.drift.reference import Reference, fit_reference
from vitascope.stats.drift.thresholds import ERT, WINDOW


def reference_of_results(
    folder: Path, name: str, images: Collection[str] | None = None, *, window: int = WINDOW, ert: int = ERT
) -> Reference:
    """Make a reference of images of a plate run; nothing is computed again.

    Parameters
    ----------
    folder : Path
        Results of a plate run.
    name : str
    images : collection of str, optional
        Names of the images to trust; by default all that have features.
    window, ert : int
        See :class:`vitascope.stats.drift.online.Detector`.

    Returns
    -------
    Reference

    Raises
    ------
    InputError
        If too few of them have features, or these are all the same.
    ModelError
        If the run does not say which model it used.
    ReaderError
        If there is no plate run.
    """
    with Journal(folder, read_only=True) as journal:
        found = {n: f for n, f in journal.features() if f is not None and (images is None or n in images)}
        looks = [look for n, look in journal.appearances() if n in found]
        about = next(journal.provenances(), None)
    if not found:
        raise InputError(
            "No image of this run has features.", "Run the plate again into another folder: older runs kept none."
        )
    if about is None:
        raise ModelError("The run does not say which model it used.", "Run the plate again into another folder.")
    return fit_reference(
        np.stack(list(found.values())),
        name=name,
        model=about.model,
        model_sha256=about.model_sha256,
        appearances=None if any(look is None for look in looks) else np.stack([np.asarray(one) for one in looks]),
        window=window,
        erts=(ert,),
    )
