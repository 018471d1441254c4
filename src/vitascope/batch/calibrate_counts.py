"""Choose how nuclei are counted by nuclei that someone pointed at, and keep it as a named setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import Result
from vitascope.io.atomic import check_writable, write_json
from vitascope.io.models.cards import find_model
from vitascope.ops.objects.pointed import choose_by_points
from vitascope.ops.objects.pointed_settings import PointedSettings
from vitascope.ops.objects.segment import SegmentParams
from vitascope.tasks.run import start
from vitascope.tasks.stain import SPEC


def calibrate_counts(
    image: Any, points_yx: NDArray[np.floating], out: Path, *, pixel_size_um: float | None = None, **values: Any
) -> ProgressGenerator[PointedSettings]:
    """Predict the stain of an image, choose threshold, smallest object and least signal by points, and write them.

    Parameters
    ----------
    image : Micrograph, array or path
        One picture.
    points_yx : array, shape (N, 2)
        Rows and columns of all nuclei in a part of the image, ten or more, px.
    out : Path
        JSON file: what ``vitascope run stain --settings`` reads; it is called after its name.
    pixel_size_um : float, optional
    **values
        Parameters of the task ``stain`` to start from.

    Raises
    ------
    InputError
        If the points are too few or outside, or the image holds several pictures.
    """
    check_writable(out.parent)
    steps = start(SPEC.name, image, pixel_size_um=pixel_size_um, **{**values, "masks": True, "abstain": False})
    result: Result = yield from steps
    assert result.provenance is not None
    prediction = result.output("prediction")
    picture = np.asarray(prediction.array)
    if len(result.rows) > 1:
        raise InputError("The image holds several pictures; points are of one.", "Give one plane, one time.")
    picture = picture.reshape(-1, *picture.shape[-2:])[0]
    chosen = yield from choose_by_points(picture, points_yx, _start(result))
    settings = {"threshold": chosen.threshold, "min_contrast": chosen.min_contrast, "min_area": chosen.min_area}
    kept = {name: value for name, value in values.items() if name in ("object_diameter_px", "invert", "channel")}
    write_json(
        out,
        {
            "task": SPEC.name,
            "name": out.stem,
            "settings": {**kept, **settings},
            "measured": {
                "points": chosen.points,
                "found": chosen.found,
                "extra": chosen.extra,
                "f1_of_points_left_out": round(chosen.f1, 4),
                "f1_before": round(chosen.f1_before, 4),
                "model": result.provenance.model,
            },
        },
    )
    return chosen


def _start(result: Result) -> SegmentParams:
    """Return how nuclei were found in a run."""
    assert result.provenance is not None
    params = result.provenance.params
    card, _ = find_model(result.provenance.model)
    diameter = params.get("object_diameter_px")
    if not isinstance(diameter, int | float):
        typical, scale = card.input.object_diameter_px, result.rows[0].get("input_scale") or 1.0
        diameter = None if typical is None else typical / float(scale)
    return SegmentParams(
        threshold=params["threshold"],
        diameter_px=diameter,
        block_diameters=params["block_diameters"],
        min_contrast=params["min_contrast"],
        split=params["split_touching"],
        min_area=params["min_area"],
        max_area=params["max_area"],
        min_solidity=params["min_solidity"],
    )
