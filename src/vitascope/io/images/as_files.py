"""An image as files, to be sent to another machine: those that it was read from, or a new OME-TIFF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.core.errors import ReaderError
from vitascope.core.micrograph import Micrograph
from vitascope.io.atomic import file_name
from vitascope.io.images.read import find_groups
from vitascope.io.images.write import PictureFile, write_ome_tiff


def as_files(image: Any, folder: Path, axes: str | None = None, pixel_size_um: float | None = None) -> list[Path]:
    """Return the files of an image.

    Parameters
    ----------
    image : Micrograph, array of 2 to 5 dimensions, or path
        Of a path the files themselves are returned, so that nothing about them changes.
    folder : Path
        Where a file is written for an image that has none.
    axes : str, optional
        For arrays: one letter per dimension.
    pixel_size_um : float, > 0, micrometre, optional
        For arrays.

    Returns
    -------
    list of Path

    Raises
    ------
    ReaderError
        If a path cannot be found, is more than one image, or a folder of zarr.
    InputError
        If an array is no image.
    """
    if isinstance(image, (str, os.PathLike)):
        groups = find_groups(image, ties="leave")
        if len(groups) != 1:
            raise ReaderError(f"The path is {len(groups)} images, not one.", "Send them one by one.")
        if any(path.is_dir() for path in groups[0].paths):
            raise ReaderError(f"'{groups[0].name}' is a folder of zarr and cannot be sent.", "Save it as OME-TIFF.")
        return list(groups[0].paths)
    if not isinstance(image, Micrograph):
        image = Micrograph.from_array(image, axes=axes, pixel_size_um=pixel_size_um)
    path = folder / f"{file_name(image.name)}.ome.tif"
    dtype = np.dtype(image.array.dtype).newbyteorder("=")
    picture = PictureFile(
        array=image.array,
        axes=image.axes,
        dtype="uint8" if dtype.kind == "b" else dtype.name,
        name=image.name,
        channel_names=image.channel_names or tuple(f"Channel {n}" for n in range(image.sizes["C"])),
        pixel_size_um=image.pixel_size_um,
        z_step_um=image.z_step_um,
    )
    write_ome_tiff(path, picture)
    return [path]
