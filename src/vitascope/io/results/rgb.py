"""Pictures in red, green and blue that any program shows: PNG and TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError
from vitascope.io.atomic import atomic_write


def write_rgb(path: Path, picture: NDArray[Any]) -> None:
    """Write a colour picture, whole or not at all.

    Parameters
    ----------
    path : Path
        ``.png``, else TIFF.
    picture : array, shape (Y, X, 3), uint8

    Raises
    ------
    InputError
        If it is no such picture.
    OutputError
        If it cannot be written.
    """
    if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
        raise InputError(f"{picture.shape} {picture.dtype} is no picture of three colours, 8 bit each.")
    import imagecodecs
    import tifffile

    with atomic_write(path) as file:
        if path.suffix.lower() == ".png":
            file.write(imagecodecs.png_encode(np.ascontiguousarray(picture)))
        else:
            tifffile.imwrite(file, picture, photometric="rgb", compression="zlib")
