"""Reading images: what the library, the command line and the viewer call."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.core.aliases import old_keywords
from vitascope.core.axes import axes_hint
from vitascope.core.errors import AxesUnknownError, ParameterError, ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.well import WellPosition
from vitascope.io.filenames import grouping
from vitascope.io.filenames.expand import is_zarr
from vitascope.io.filenames.grouping import ImageGroup, Inside
from vitascope.io.filenames.parse import is_tiff_name, split_suffix
from vitascope.io.images.limits import EAGER_BYTES
from vitascope.io.images.ome_sets import find_sets, open_set
from vitascope.io.images.ome_zarr import open_zarr
from vitascope.io.images.raster import open_raster
from vitascope.io.images.tiff import open_tiff
from vitascope.io.images.vendor import is_vendor_file, list_scenes, open_only_scene, open_scene
from vitascope.io.stores.mirror import fetch, local

__all__ = ["ImageGroup", "find_groups", "open_file", "open_group", "read_image", "read_images"]


def group_paths(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    pattern: str | None = None,
    *,
    ties: str = "ask",
    planes: str | None = None,
) -> tuple[list[ImageGroup], tuple[str, ...]]:
    """Turn files, folders and quoted globs into images, by what files say of the images in them, then by their names.

    Files whose OME-XML says that they hold parts of one image are one image. A file of a microscope with several
    images is as many. The headers of TIFF files are read where several are given, and those of CZI, LIF and ND2.
    Parameters, what is returned and errors are those of :func:`vitascope.io.filenames.grouping.group_paths`.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    return grouping.group_paths(given, pattern, ties=ties, planes=planes, look_inside=look_inside)


def find_groups(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str], pattern: str | None = None, *, ties: str = "ask"
) -> list[ImageGroup]:
    """Turn files, folders and quoted globs into images, as :func:`group_paths` does."""
    return group_paths(paths, pattern, ties=ties)[0]


def look_inside(paths: list[Path]) -> Inside:
    """Tell what files say of their images; one that cannot be read says nothing here, and why when it is opened."""
    fetch(path for path in paths if is_tiff_name(path.name) or is_vendor_file(path))
    sets = find_sets(paths) if sum(is_tiff_name(path.name) for path in paths) > 1 else []
    scenes = {}
    for path in paths:
        if is_vendor_file(path):
            with suppress(VitascopeError):
                scenes[path] = [(scene.index, scene.name, WellPosition()) for scene in list_scenes(path)]
    return Inside(sets, {path: found for path, found in scenes.items() if found})


@old_keywords
def read_images(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    pattern: str | None = None,
    pixel_size_um: float | None = None,
    axes: str | None = None,
) -> list[Micrograph]:
    """Turn files, folders and quoted globs into images.

    Parameters
    ----------
    paths : path or iterable of path
        Files that differ only in z are planes of one image, only in channel its channels.
    pattern : str, optional
        Pattern with named parts that overrides the layouts known by name.
    pixel_size_um : float, > 0, micrometre, optional
        Pixel size of all images, whatever the files say.
    axes : str, optional
        One letter out of TCZYX for each dimension of each file, whatever the files say.

    Returns
    -------
    list of Micrograph
        In the order of plate, well, field, time and name; large ones lazy.

    Raises
    ------
    ReaderError
        If a path cannot be read, or ends up in no image.
    InputError
        If a file is no image of real numbers in up to five dimensions.
    ParameterError
        If ``pattern``, ``pixel_size_um`` or ``axes`` cannot be used.
    """
    return [open_group(one, pixel_size_um, axes) for one in find_groups(paths, pattern, ties="leave")]


@old_keywords
def read_image(
    paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    pattern: str | None = None,
    pixel_size_um: float | None = None,
    axes: str | None = None,
    fallback_axes: str = "",
) -> Micrograph:
    """Read one image, from a file or from all its planes and channels; other parameters as in :func:`read_images`.

    Parameters
    ----------
    fallback_axes : str
        Axes where the files do not tell; ``axes`` holds whatever they say.

    Raises
    ------
    ReaderError
        If the paths are not exactly one image.
    """
    groups = find_groups(paths, pattern, ties="leave")
    if len(groups) != 1:
        raise ReaderError(
            f"The paths given are {len(groups)} images, not one: {', '.join(one.name for one in groups[:5])} …",
            "Give one file, or the planes and channels of one image.",
        )
    return open_group(replace(groups[0], axes=fallback_axes), pixel_size_um, axes)


def open_file(path: str | os.PathLike[str], axes: str | None = None, eager_bytes: int = EAGER_BYTES) -> Micrograph:
    """Open one file or zarr folder by what its name ends in.

    Parameters
    ----------
    path : path
    axes : str, optional
        One letter for each dimension, whatever the file says.
    eager_bytes : int
        Up to this size the pixels are read at once; larger images stay in the file.

    Returns
    -------
    Micrograph

    Raises
    ------
    ReaderError
        If it cannot be read.
    """
    path = local(path)
    fetch([path])
    suffix = split_suffix(path.name)[1]
    if is_tiff_name(path.name):
        return open_tiff(path, axes, eager_bytes)
    if is_vendor_file(path):
        return open_only_scene(path, axes)
    if suffix.endswith(".zarr") or is_zarr(path):
        return open_zarr(path, axes)
    return open_raster(path, axes, eager_bytes)


def open_group(group: ImageGroup, pixel_size_um: float | None = None, axes: str | None = None) -> Micrograph:
    """Open the files of one image and put its planes and channels together.

    Parameters
    ----------
    group : ImageGroup
    pixel_size_um : float, > 0, micrometre, optional
        Pixel size, whatever the files say.
    axes : str, optional
        One letter for each dimension of each file, whatever the files say.

    Returns
    -------
    Micrograph
        Called after the group.

    Raises
    ------
    ReaderError
        If a file cannot be read, or differs from the others in shape, number type or pixel size.
    ParameterError
        If ``pixel_size_um`` is no length.
    """
    check_pixel_size(pixel_size_um)
    fetch(group.paths)
    try:
        image = _open_files(group, pixel_size_um, axes)
    except AxesUnknownError:
        if axes is not None or not group.axes:
            raise
        image = _open_files(group, pixel_size_um, group.axes)
    names = image.channel_names
    if not names and len(group.channels) == image.sizes["C"]:
        names = group.channels
    sources = tuple(str(path) for path in group.paths)
    image = replace(image, name=group.name, place=group.place, channel_names=names, sources=sources)
    if pixel_size_um is None:
        return image
    flags = tuple(flag for flag in image.flags if flag not in ("unit_unknown", "pixels_not_square"))
    return replace(image, flags=flags).with_pixel_size(float(pixel_size_um))


def check_pixel_size(pixel_size_um: float | None) -> None:
    """Refuse what is no length; None stands for what the files say.

    Raises
    ------
    ParameterError
    """
    if pixel_size_um is not None and not (np.isfinite(pixel_size_um) and pixel_size_um > 0):
        raise ParameterError(
            f"The pixel size {pixel_size_um} is no length.", "Give micrometres per pixel, such as 0.65."
        )


def _open_files(group: ImageGroup, pixel_size_um: float | None, axes: str | None) -> Micrograph:
    if group.scene is not None:
        return open_scene(group.paths[0], group.scene, axes)
    if len(group.paths) > 1:
        return open_set(group.paths, axes) or put_together(group, pixel_size_um, axes)
    return open_file(group.paths[0], axes)


def put_together(group: ImageGroup, pixel_size_um: float | None, axes: str | None) -> Micrograph:
    """Stack the files of a group by channel and z, into C, Z and what each file holds.

    Raises
    ------
    ReaderError
        If a file differs from the first in shape, number type or (where none is given) pixel size, or if it holds
        several planes or channels itself.
    """
    each = EAGER_BYTES // len(group.paths)
    stacked = "".join(axis for axis, count in (("C", len(group.grid)), ("Z", len(group.grid[0]))) if count > 1)
    try:
        images = {path: open_file(path, axes, each) for path in group.paths}
    except AxesUnknownError as error:
        left = tuple(one for one in error.readings if not set(one) & set(stacked))
        raise AxesUnknownError(error.message, axes_hint(left or error.readings), readings=left) from error
    first = images[group.paths[0]]
    for path, image in images.items():
        _check_alike(first, image, group.paths[0], path, pixel_size_um is None)
        for axis in stacked:
            if image.sizes[axis] > 1:
                raise ReaderError(
                    f"'{path.name}' holds {image.sizes[axis]} {'planes' if axis == 'Z' else 'channels'} itself, "
                    "but its name says that it is one of several.",
                    "Give such files one at a time, or tell them apart with --pattern.",
                )
    array = _stack(
        [_stack([_squeezed(images[path], stacked) for path in row], "Z" in stacked) for row in group.grid],
        "C" in stacked,
    )
    rest = "".join(axis for axis in first.axes if axis not in stacked)
    names = first.channel_names
    if "C" in stacked:
        names = tuple(name for row in group.grid for name in images[row[0]].channel_names)
        names = names if len(set(names)) == len(group.grid) else ()
    return Micrograph.from_array(
        array,
        axes=stacked + rest,
        pixel_size_um=next((one.pixel_size_um for one in images.values() if one.pixel_size_um), None),
        z_step_um=next((one.z_step_um for one in images.values() if one.z_step_um), None),
        channel_names=names,
        flags=tuple(flag for one in images.values() for flag in one.flags if flag != "pixel_size_unknown"),
    )


def _check_alike(first: Micrograph, image: Micrograph, first_path: Path, path: Path, sizes: bool) -> None:
    if (image.axes, image.array.shape, image.array.dtype.newbyteorder("=")) != (
        first.axes,
        first.array.shape,
        first.array.dtype.newbyteorder("="),
    ):
        raise ReaderError(
            f"'{path.name}' is {_describe(image)}, but '{first_path.name}' of the same image is {_describe(first)}.",
            "Leave it out, or tell the files apart with --pattern.",
        )
    if (
        sizes
        and image.pixel_size_um
        and first.pixel_size_um
        and not np.isclose(image.pixel_size_um, first.pixel_size_um, rtol=0.01)
    ):
        raise ReaderError(
            f"'{path.name}' has pixels of {image.pixel_size_um} µm, but '{first_path.name}' of the same image "
            f"{first.pixel_size_um} µm.",
            "Give the right one with --pixel-size-um.",
        )


def _describe(image: Micrograph) -> str:
    return f"{' x '.join(str(side) for side in image.array.shape)} ({image.axes}, {image.array.dtype})"


def _squeezed(image: Micrograph, stacked: str) -> Any:
    """Drop the axes of length one that the files are stacked along."""
    return image.array[tuple(0 if axis in stacked else slice(None) for axis in image.axes)]


def _stack(arrays: list[Any], new_axis: bool) -> Any:
    if not new_axis:
        return arrays[0]
    if all(isinstance(array, np.ndarray) for array in arrays):
        return np.stack(arrays)
    import dask.array as da

    return da.stack([da.asarray(array) for array in arrays])
