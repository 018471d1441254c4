"""Focus and exposure of every image of a plate, before anything is run on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from vitascope.core.errors import VitascopeError
from vitascope.core.flags import join_flags
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.status import Status
from vitascope.io.plates.plate import Plate, Site
from vitascope.ops.intensity.quality import look
from vitascope.stats.plate_normalise import robust_z

FOCUS_Z, CONTRAST_Z = -3.0, -3.5
MOST_SATURATED_PERCENT = 1.0
NUMBERS = ("focus", "contrast_percent", "brightness_percent", "saturated_percent", "black_percent")


def image_quality(plate: Plate, channel: int = 0) -> ProgressGenerator[pd.DataFrame]:
    """Measure focus, contrast and exposure of all images, the middle plane of each, one image in memory at a time.

    Parameters
    ----------
    plate : Plate
    channel : int, >= 0

    Yields
    ------
    Progress
        Images.

    Returns
    -------
    DataFrame
        One row for each image: ``image``, ``plate``, ``well``, ``field``, ``time``, ``status`` (OK, WARN or FAILED),
        ``flags``, the numbers of :func:`vitascope.ops.intensity.quality.look`, and ``message``. Blurred and
        empty wells are told by robust z-scores of the logarithms over the plate: ``focus_outlier`` below -3,
        ``contrast_outlier`` below -3.5; ``saturated`` from 1 %. Images that cannot be read keep their row.
    """
    rows = []
    for number, site in enumerate(plate):
        yield Progress(number, len(plate), "Looking at the wells")
        rows.append(_row(site, channel))
    table = pd.DataFrame(rows)
    flags: list[list[str]] = [[] for _ in rows]
    for name, word, least in (
        ("focus", "focus_outlier", FOCUS_Z),
        ("contrast_percent", "contrast_outlier", CONTRAST_Z),
    ):
        values = np.log(table[name].astype(float).where(table[name] > 0))
        for i in np.flatnonzero(robust_z(values, values) < least):
            flags[i].append(word)
    for i in np.flatnonzero(table["saturated_percent"] >= MOST_SATURATED_PERCENT):
        flags[i].append("saturated")
    noticed = [join_flags(tuple(words)) for words in flags]
    table["flags"] = [own or more for own, more in zip(table["flags"], noticed, strict=True)]
    table["status"] = [
        status if status == Status.FAILED else str(Status.of_flags(words))
        for status, words in zip(table["status"], flags, strict=True)
    ]
    return table


def _row(site: Site, channel: int) -> dict[str, Any]:
    place = site.place
    row: dict[str, Any] = {
        "image": site.id,
        "plate": place.plate,
        "well": place.well,
        "field": place.field,
        "time": place.time,
        "status": str(Status.OK),
        "flags": "",
        **dict.fromkeys(NUMBERS, np.nan),
        "message": "",
    }
    try:
        image = site.open()
        plane = np.asarray(image.plane(c=min(channel, image.sizes["C"] - 1), z=image.sizes["Z"] // 2))
    except VitascopeError as error:
        return {**row, "status": str(Status.FAILED), "flags": error.flag, "message": str(error)}
    low, high = _scale(plane)
    return {**row, **look(plane, low, high)}


def _scale(plane: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Give the ends of the camera's scale: those of the number type, or of 12 and 14 bit where no pixel lies above."""
    if plane.dtype.kind not in "iu":
        return 0.0, 1.0
    top = int(plane.max(initial=0))
    ends = [int(np.iinfo(plane.dtype).max)]
    if plane.dtype.itemsize > 1:
        ends = [2**bits - 1 for bits in (12, 14, 16, plane.dtype.itemsize * 8)]
    return 0.0, float(next(end for end in ends if top <= end))
