"""Pictures of a result that any program shows: the image, the prediction over it, the outlines of the objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from vitascope.core.micrograph import Micrograph
from vitascope.core.result import ImageOutput, LabelsOutput
from vitascope.io.atomic import atomic_write
from vitascope.io.images.read import read_image
from vitascope.io.results.read import SavedRun, read_results

PREDICTED_RGB, OUTLINE_RGB = (0.34, 0.71, 0.91), (0.90, 0.62, 0.0)
"""Sky blue and orange of the palette of Okabe and Ito."""

CLIPPED_PERCENT = 0.3


def write_previews(image: Path, folder: Path) -> list[Path]:
    """Write ``input.png``, ``prediction.png`` and ``labels.png`` of a result folder that holds one image.

    Parameters
    ----------
    image : Path
        What was run on.
    folder : Path

    Returns
    -------
    list of Path
        Those that the results have pictures for.

    Raises
    ------
    ReaderError, OutputError
        If something cannot be read or written.
    """
    grey = as_grey(read_image(image))
    pictures = {"input": grey, **overlays(grey, read_results(folder))}
    return [_write(folder / f"{name}.png", picture) for name, picture in pictures.items()]


def as_grey(image: Micrograph) -> NDArray[np.float64]:
    """Return the middle plane as an RGB picture in [0, 1], its darkest and brightest pixels clipped."""
    plane = np.asarray(image.plane(z=image.sizes["Z"] // 2), np.float64)
    low, high = np.nanpercentile(plane, (CLIPPED_PERCENT, 100 - CLIPPED_PERCENT))
    scaled = np.nan_to_num(np.clip((plane - low) / max(high - low, 1e-30), 0, 1))
    return np.repeat(scaled[..., None], 3, axis=2)


def overlays(grey: NDArray[np.float64], run: SavedRun) -> dict[str, NDArray[np.float64]]:
    """Lay the first predicted channel, and the outlines of the objects, over the image."""
    found: dict[str, NDArray[np.float64]] = {}
    for picture in run.pictures:
        plane = np.asarray(picture.micrograph.plane())
        if isinstance(picture.output, LabelsOutput):
            lines = find_boundaries(plane, mode="inner")
            found["labels"] = np.where(lines[..., None], np.array(OUTLINE_RGB), grey)
        elif isinstance(picture.output, ImageOutput):
            low, high = picture.output.limits_of(0)
            signal = np.clip((plane - low) / (high - low), 0, 1)[..., None]
            found["prediction"] = grey * 0.6 * (1 - signal) + np.array(PREDICTED_RGB) * signal
    return dict(sorted(found.items(), reverse=True))


def _write(path: Path, picture: NDArray[Any]) -> Path:
    with atomic_write(path) as file:
        file.write(imagecodecs.png_encode(np.round(picture * 255).astype(np.uint8)))
    return path
