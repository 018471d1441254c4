"""Small pictures of wells for a report: the image where it still lies, and what the number rests on."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import VitascopeError
from vitascope.core.result import LabelsOutput
from vitascope.io.results.read import SavedPicture, read_picture

SIDE_PX = 220
KINDS = ("maps", "prediction", "probability", "density", "labels")
"""Folders of pictures, the one that explains a number best first."""


def picture_of(folder: Path, image: str) -> tuple[str, str] | None:
    """Return title and data URL of the picture that explains an image's number; None where there is none."""
    for kind in KINDS:
        for path in sorted((folder / kind).glob(f"{image}.ome.*")) if (folder / kind).is_dir() else ():
            try:
                found = read_picture(path, pd.DataFrame(), {image})
                if found is not None:
                    return explained([found])
            except (VitascopeError, OSError, ValueError):
                continue
    return None


def explained(pictures: Sequence[SavedPicture]) -> tuple[str, str] | None:
    """Return title and data URL of the picture that explains best; None for none."""
    ordered = sorted(
        (one for one in pictures if one.output.kind in KINDS), key=lambda one: KINDS.index(one.output.kind)
    )
    if not ordered:
        return None
    output = ordered[0].output
    flat = flattened(np.asarray(output.array), output.axes)
    if isinstance(output, LabelsOutput):
        return output.title, data_url(np.where(flat > 0, flat % 20 + 1, 0), "tab20")
    return output.title, data_url(flat, "magma")


def image_url(pixels: Iterable[Any] | NDArray[Any], axes: str) -> str:
    """Return a data URL of an image in grey."""
    return data_url(flattened(np.asarray(pixels), axes), "gray")


def flattened(array: NDArray[Any], axes: str) -> NDArray[np.float64]:
    """Brightest of all planes, the first of all times and channels, no larger than a thumbnail; shape (Y, X)."""
    for axis in "TC":
        if axis in axes:
            array, axes = array.take(0, axis=axes.index(axis)), axes.replace(axis, "")
    if "Z" in axes:
        array = array.max(axis=axes.index("Z"))
    step = max(1, -(-max(array.shape) // SIDE_PX))
    return np.asarray(array[::step, ::step], np.float64)


def data_url(values: NDArray[np.float64], colours: str) -> str:
    """Write values as PNG into a URL, stretched from their 1 % to their 99.8 % quantile."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (1, 99.8)) if finite.size else (0.0, 1.0)
    file = io.BytesIO()
    shown = np.nan_to_num(values, nan=low)
    imsave(file, shown, cmap=colormaps[colours], vmin=low, vmax=max(high, low + 1e-9), format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
