"""When an image was taken, as its file tells."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import tifffile

from vitascope.io.filenames.parse import is_tiff_name

_OME_DATE = re.compile(r"<(?:\w+:)?AcquisitionDate>\s*([0-9T:.+Z-]{10,40})\s*</")
_TIFF_DATE = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)")


def acquired_at(path: Path) -> str | None:
    """Return when a TIFF file was taken: OME's ``AcquisitionDate``, else the tag ``DateTime``; None where it is silent.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str or None
        ISO 8601, to be compared as text among files of one writer.
    """
    if not is_tiff_name(path.name):
        return None
    with suppress(Exception), tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if found := _OME_DATE.search(page.description or ""):
            return found[1]
        if "DateTime" in page.tags and (found := _TIFF_DATE.match(str(page.tags["DateTime"].value))):
            year, month, day, clock = found.groups()
            return f"{year}-{month}-{day}T{clock}"
    return None
