"""Grey levels that all images of a plate share, found before the first image is run."""

from __future__ import annotations

from functools import partial

from vitascope.batch.plate.job import PlateJob
from vitascope.core.params import RunParams
from vitascope.core.progress import ProgressGenerator
from vitascope.io.models.cards import find_model
from vitascope.tasks.late_modules import load_plate_levels


def with_levels(job: PlateJob, params: RunParams) -> ProgressGenerator[RunParams]:
    """Return parameters with the plate's grey levels, where the model is normalised by plate and none are given.

    Each image of the plate is read once for it (twice where pixels are no integers of 8 or 16 bits), whatever was done
    before: a run that is resumed has its levels in its plan and does not come here.

    Yields
    ------
    Progress
        One for each image.

    Raises
    ------
    InputError
        If all pixels of a channel are alike.
    """
    told = params.model_dump()
    if params.model == "auto" or told.get("plate_levels", "") is not None:
        return params
    card = find_model(params.model, job.spec.name)[0]
    if card.graph is None or card.input.normalisation.per != "plate":
        return params
    images = [(site.id, partial(site.open, job.pixel_size_um, job.axes)) for site in job.plate]
    found = yield from load_plate_levels().find_levels(card, images, told.get("channel"), told.get("planes"))
    changed: RunParams = params.changed(plate_levels=found)
    return changed
