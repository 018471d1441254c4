"""Zarr arrays and OME-Zarr images (NGFF 0.4 and 0.5), lazily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vitascope.core.axes import default_axes
from vitascope.core.errors import ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.io.filenames.expand import persistently, unreadable
from vitascope.io.filenames.parse import split_suffix
from vitascope.io.images.units import Scale, scale_from
from vitascope.io.images.zarr_store import ZarrSource, read_json

NGFF_VERSIONS = ("0.4", "0.5")
OWN_NOTES = "vitascope"
_AGAIN = "Export it again as OME-Zarr 0.4 or 0.5."


def open_zarr(folder: Path, axes: str | None = None) -> Micrograph:
    """Open a zarr array, or the full resolution of an OME-Zarr image.

    Parameters
    ----------
    folder : Path
    axes : str, optional
        One letter per dimension, where the array does not tell or tells it wrong.

    Returns
    -------
    Micrograph
        Its array is read in parts (dask); pixel size, z step and channel names where the metadata tell them.

    Raises
    ------
    ReaderError
        If metadata are broken, missing, of another NGFF version, or point outside the folder.
    IncompleteError
        If chunks are missing.
    """
    try:
        return persistently(lambda: _open(folder, axes))
    except VitascopeError:
        raise
    except Exception as error:
        raise unreadable(folder, error) from error


def _open(folder: Path, axes: str | None) -> Micrograph:
    if _is_array(folder):
        source = ZarrSource(folder)
        names = "".join(source.grid.names).upper()
        known = names if len(names) == source.ndim and set(names) <= set("TCZYX") else default_axes(source.shape)
        return _micrograph(folder, source, axes or known, Scale())
    attributes = read_attributes(folder)
    series = _only_series(folder, attributes)
    if series is not None:
        return _open(series, axes)
    image = _multiscale(folder, attributes)
    sparse = "image-label" in attributes and OWN_NOTES not in attributes  # ours are written with all their chunks
    source = ZarrSource(inside(folder, image["datasets"][0]["path"]), sparse=sparse)
    letters = _letters(folder, image["axes"])
    if len(letters) != source.ndim:
        raise ReaderError(f"'{folder.name}' names {len(letters)} axes for {source.ndim} dimensions.", _AGAIN)
    return _micrograph(folder, source, axes or letters, _scale(image, letters, attributes))


def _micrograph(folder: Path, source: ZarrSource, axes: str, scale: Scale) -> Micrograph:
    channels = source.shape[axes.upper().index("C")] if "C" in axes.upper() and len(axes) == source.ndim else 1
    return Micrograph.from_array(
        source.to_dask(source.grid.chunks),
        axes=axes,
        pixel_size_um=scale.pixel_size_um,
        z_step_um=scale.z_step_um,
        channel_names=scale.channel_names if len(scale.channel_names) == channels else (),
        name=split_suffix(folder.name)[0],
        sources=(str(folder),),
        flags=scale.flags,
    )


def _is_array(folder: Path) -> bool:
    if (folder / ".zarray").is_file():
        return True
    return (folder / "zarr.json").is_file() and read_json(folder / "zarr.json").get("node_type") == "array"


def read_attributes(folder: Path) -> Mapping[str, Any]:
    """Read a group's attributes; those of NGFF 0.5 are lifted out of ``ome``.

    Raises
    ------
    ReaderError
        If the folder is no zarr group, or its metadata are broken.
    """
    if (folder / "zarr.json").is_file():
        attributes = read_json(folder / "zarr.json").get("attributes") or {}
    elif (folder / ".zattrs").is_file():
        attributes = read_json(folder / ".zattrs")
    elif (folder / ".zgroup").is_file():
        attributes = {}
    else:
        raise ReaderError(f"'{folder}' holds no zarr metadata.", "Copy it again from its source.")
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    if not isinstance(attributes, dict) or not isinstance(ome, (dict, type(None))):
        raise ReaderError(f"The attributes of '{folder.name}' are broken.", _AGAIN)
    return {**attributes, **(ome or {})}


def _only_series(folder: Path, attributes: Mapping[str, Any]) -> Path | None:
    """Step into the one image of a folder that bioformats2raw wrote."""
    if "bioformats2raw.layout" not in attributes or "multiscales" in attributes:
        return None
    series = sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name.isdigit())
    if len(series) == 1:
        return series[0]
    raise ReaderError(
        f"'{folder.name}' holds {len(series)} images.",
        f"Give them one by one: {', '.join(str(entry) for entry in series[:3])} …" if series else _AGAIN,
    )


def _multiscale(folder: Path, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    if "plate" in attributes or "well" in attributes:
        kind = "plate" if "plate" in attributes else "well"
        raise ReaderError(
            f"'{folder.name}' is a {kind}, not one image.", f"Give one field of it, such as {folder.name}/…/0."
        )
    images = attributes.get("multiscales")
    image = images[0] if isinstance(images, list) and images and isinstance(images[0], dict) else None
    if image is None:
        raise ReaderError(f"'{folder.name}' is no OME-Zarr image: it has no 'multiscales'.", _AGAIN)
    version = attributes.get("version", image.get("version"))
    if version is not None and str(version) not in NGFF_VERSIONS:
        raise ReaderError(
            f"'{folder.name}' is OME-Zarr version {version}; {' and '.join(NGFF_VERSIONS)} are read.", _AGAIN
        )
    datasets = image.get("datasets")
    if not isinstance(image.get("axes"), list):
        raise ReaderError(f"'{folder.name}' does not name its axes.", _AGAIN)
    if not isinstance(datasets, list) or not datasets or not isinstance(datasets[0], dict) or "path" not in datasets[0]:
        raise ReaderError(f"'{folder.name}' lists no resolution of the image.", _AGAIN)
    return image


def inside(folder: Path, path: Any) -> Path:
    """Join a path from metadata, which may not lead out of the folder.

    Raises
    ------
    ReaderError
        If it does.
    """
    parts = PurePosixPath(str(path)).parts
    if not parts or str(path).startswith("/") or ".." in parts or "\\" in str(path) or ":" in str(path):
        raise ReaderError(f"The metadata of '{folder.name}' point outside it: '{path}'.", "Do not trust this file.")
    return folder.joinpath(*parts)


def _letters(folder: Path, axes: Sequence[Any]) -> str:
    names = [axis.get("name") if isinstance(axis, dict) else axis for axis in axes]
    letters = "".join(str(name) for name in names).upper()
    if len(letters) != len(names) or set(letters) - set("TCZYX"):
        raise ReaderError(f"'{folder.name}' has axes named {names}; t, c, z, y, x are read.", _AGAIN)
    return letters


def _scale(image: Mapping[str, Any], letters: str, attributes: Mapping[str, Any]) -> Scale:
    units = [str(axis.get("unit") or "") if isinstance(axis, dict) else "" for axis in image["axes"]]
    factors = [1.0] * len(letters)
    found = False
    for transformations in (
        image["datasets"][0].get("coordinateTransformations"),
        image.get("coordinateTransformations"),
    ):
        for step in transformations or ():
            values = step.get("scale") if isinstance(step, dict) else None
            if isinstance(values, list) and len(values) == len(letters):
                found = True
                factors = [a * float(b) for a, b in zip(factors, values, strict=True)]
    size = {axis: (factor if found else None, unit) for axis, factor, unit in zip(letters, factors, units, strict=True)}
    for axis, (factor, unit) in size.items():
        if factor == 1.0 and not unit:  # what is written where nothing is known
            size[axis] = (None, "")
    y, x, z = (size.get(axis, (None, "")) for axis in "YXZ")
    return scale_from((y[0], x[0], z[0]), (y[1], x[1], z[1]), channel_names(attributes))


def channel_names(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the channels' labels from an image's attributes; empty where there are none."""
    omero = attributes.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list):
        return ()
    names = tuple(str(channel.get("label") or "") if isinstance(channel, dict) else "" for channel in channels)
    return names if any(names) else ()
