"""Pictures of a result as PNG, for a browser: maps in their colours and limits, labels as coloured areas."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.errors import ParameterError, ReaderError
from vitascope.core.result import ImageOutput
from vitascope.io.results.read import read_notes, read_picture

LONGEST_PX = 1024


def preview_png(path: Path) -> bytes:
    """Draw one picture of a result: its first time and channel, its middle plane, at most 1024 px long.

    Raises
    ------
    ParameterError
        If it is no picture of ours.
    """
    try:
        notes = read_notes(path)
        saved = read_picture(path, pd.DataFrame(), {notes.get("image", "")}) if notes else None
    except ReaderError:  # whose words may name folders of this machine
        saved = None
    if saved is None:
        raise ParameterError("There is no preview of this file.", "Only pictures of a result have one.")
    plane = _plane(saved.output.array, saved.output.axes)
    if isinstance(saved.output, ImageOutput):
        return _png(_coloured(plane, saved.output.limits_of(0), saved.output.colormap))
    return _png(_label_colours(plane))


def _plane(array: Any, axes: str) -> NDArray[np.generic]:
    sizes = dict(zip(axes, array.shape, strict=True))
    step = max(1, -(-max(sizes["Y"], sizes["X"]) // LONGEST_PX))
    index = tuple(slice(None, None, step) if a in "YX" else sizes[a] // 2 if a == "Z" else 0 for a in axes)
    return np.asarray(array[index])


def _coloured(plane: NDArray[np.generic], limits: tuple[float, float], name: str) -> NDArray[np.uint8]:
    from matplotlib import colormaps

    low, high = limits
    values = np.clip((np.nan_to_num(plane.astype(np.float32), nan=low) - low) / max(high - low, 1e-12), 0, 1)
    chosen = name if name in colormaps else "gray"
    return np.asarray(colormaps[chosen](values, bytes=True)[..., :3], np.uint8)


def _label_colours(plane: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Give each label a colour of its own, always the same; the background is black."""
    from matplotlib import colormaps

    colours = np.asarray(colormaps["tab20"](np.arange(20), bytes=True)[..., :3], np.uint8)
    labels = plane.astype(np.int64)
    return np.where((labels > 0)[..., None], colours[labels % 20], 0).astype(np.uint8)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from matplotlib.image import imsave

    out = io.BytesIO()
    imsave(out, pixels, format="png")
    return out.getvalue()
