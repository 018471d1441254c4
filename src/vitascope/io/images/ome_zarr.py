"""Zarr arrays and OME-Zarr images (NGFF 0.4 and 0.5), lazily."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from vitascope.core.axes import UNKNOWN, complete_axes, default_axes
from vitascope.core.errors import ReaderError, VitascopeError
from vitascope.core.micrograph import Display, Micrograph
from vitascope.io.filenames.expand import persistently, unreadable
from vitascope.io.filenames.parse import split_suffix
from vitascope.io.images.units import Scale, scale_from
from vitascope.io.images.zarr_store import ZarrSource, read_json

NGFF_VERSIONS = ("0.4", "0.5")
OWN_NOTES = "vitascope"
_AGAIN = "Export it again as OME-Zarr 0.4 or 0.5."
_NAMES = {
    "t": "T", "time": "T", "frame": "T", "c": "C", "channel": "C", "ch": "C", "z": "Z", "depth": "Z", "plane": "Z",
    "slice": "Z", "y": "Y", "row": "Y", "height": "Y", "x": "X", "column": "X", "width": "X",
}  # fmt: skip
_FULL_RANGES = tuple(2.0**bits - 1 for bits in (8, 16, 32, 64))
_LIST = re.compile(
    r"(tag)?manifest-\w+\.txt|.*\.(md5|sha1|sha256|sha512)|(md5|sha1|sha256|sha512)sums(\.txt)?", re.IGNORECASE
)

logger = logging.getLogger(__name__)


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
        Its array is read in parts (dask); sizes, names, place, limits and colours where the metadata tell them. Chunks
        that its writer left out hold the fill value: flag ``empty_chunks``.

    Raises
    ------
    ReaderError
        If metadata are broken, missing, of another NGFF version, or point outside the folder.
    IncompleteError
        If chunks are missing that were there: of an array of our own, or by a list of files with their checksums.
    AxesUnknownError
        If nothing tells what a third dimension is.
    """
    try:
        return persistently(lambda: _open(folder, axes))
    except VitascopeError:
        raise
    except Exception as error:
        raise unreadable(folder, error) from error


def _open(folder: Path, axes: str | None) -> Micrograph:
    if _is_array(folder):
        source = ZarrSource(folder, listed=listed_chunks(folder, folder))
        letters = axes or _array_letters(folder, source)
        return _micrograph(folder, source, letters, Scale(), Display())
    attributes = read_attributes(folder)
    series = _only_series(folder, attributes)
    if series is not None:
        return _open(series, axes)
    image = _multiscale(folder, attributes)
    array = inside(folder, image["datasets"][0]["path"])
    # ours are written with all their chunks
    source = ZarrSource(array, complete=OWN_NOTES in attributes, listed=listed_chunks(folder, array))
    letters = _letters(folder, image["axes"])
    if len(letters) != source.ndim:
        raise ReaderError(f"'{folder.name}' names {len(letters)} axes for {source.ndim} dimensions.", _AGAIN)
    made = _micrograph(
        folder,
        source,
        axes or letters,
        _scale(image, letters, attributes),
        read_display(image, letters, attributes),
    )
    labels = "image-label" in attributes  # what is left out of them is background
    return replace(made, flags=tuple(flag for flag in made.flags if not labels or flag != "empty_chunks"))


def _array_letters(folder: Path, source: ZarrSource) -> str:
    """Read the names of a bare array's dimensions; those without a known one are asked for.

    Raises
    ------
    AxesUnknownError
        If nothing tells what a dimension is.
    """
    names = [_NAMES.get(name.casefold(), UNKNOWN) for name in source.grid.names] or [UNKNOWN] * source.ndim
    for place, letter in ((-2, "Y"), (-1, "X")):
        if source.ndim > 1 and names[place] == UNKNOWN and letter not in names:
            names[place] = letter
    known = [name for name in names if name != UNKNOWN]
    if len(names) != source.ndim or len(set(known)) < len(known) or not {"Y", "X"} <= set(known):
        return default_axes(source.shape, folder.name)
    return complete_axes("".join(names), source.shape, folder.name)


def listed_chunks(folder: Path, array: Path) -> frozenset[str]:
    """Read which chunks of an array were there, from lists of files with their checksums.

    Lists are those of BagIt (``manifest-md5.txt``, beside or above the folder) and of ``md5sum`` and its like
    (``checksums.md5``, ``files.sha256``), a checksum and a path on each line.

    Parameters
    ----------
    folder : Path
        Of the image; lists lie in it or in one of the two folders above.
    array : Path
        The array inside it.

    Returns
    -------
    frozenset of str
        Paths inside the array's folder.

    References
    ----------
    RFC 8493, section 2.1.3, https://www.rfc-editor.org/rfc/rfc8493
    """
    found: set[str] = set()
    for home in dict.fromkeys((folder, *folder.absolute().parents[:2])):
        try:
            lists = [entry.path for entry in os.scandir(home) if _LIST.fullmatch(entry.name) and entry.is_file()]
            inside_array = os.path.relpath(array.absolute(), home.absolute()).replace(os.sep, "/") + "/"
            for path in lists:
                for line in Path(path).read_text("utf-8", "replace").splitlines():
                    name = line.partition(" ")[2].strip().lstrip("*").removeprefix("./")
                    if name.startswith(inside_array):
                        found.add(name[len(inside_array) :])
                    elif inside_array == "./":
                        found.add(name)
        except OSError:  # a folder above that may not be listed tells nothing
            continue
    return frozenset(found)


def _micrograph(folder: Path, source: ZarrSource, axes: str, scale: Scale, display: Display) -> Micrograph:
    channels = source.shape[axes.upper().index("C")] if "C" in axes.upper() and len(axes) == source.ndim else 1
    flags = scale.flags
    if source.left_out:
        flags = (*flags, "empty_chunks")
        logger.warning(
            "%d of %d chunks of '%s' are not there: its writer left out those that hold nothing but the fill value.",
            source.left_out, source.present.size, folder.name,
        )  # fmt: skip
    return Micrograph.from_array(
        source.to_dask(source.grid.chunks),
        axes=axes,
        pixel_size_um=scale.pixel_size_um,
        z_step_um=scale.z_step_um,
        channel_names=scale.channel_names if len(scale.channel_names) == channels else (),
        name=split_suffix(folder.name)[0],
        sources=(str(folder),),
        flags=flags,
        display=display if len(display.limits) in (0, channels) else Display(display.origin_px),
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
        one = _first_field(folder, attributes)
        hint = f"Give one field of it, such as '{one}'." if one is not None else _AGAIN
        if kind == "plate":
            hint = f"Run it with 'vitascope plate'. {hint}"
        raise ReaderError(f"'{folder.name}' is a {kind}, not one image.", hint)
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


def _first_field(folder: Path, attributes: Mapping[str, Any]) -> Path | None:
    """Find the first field of a plate or well that is there."""
    kind = "plate" if "plate" in attributes else "well"
    about = attributes.get(kind)
    listed = about.get({"plate": "wells", "well": "images"}[kind]) if isinstance(about, dict) else None
    for one in listed if isinstance(listed, list) else ():
        try:
            home = inside(folder, one["path"])
            found = home if kind == "well" else _first_field(home, read_attributes(home))
        except (ReaderError, KeyError, TypeError):
            continue
        if found is not None and found.is_dir():
            return found
    return None


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
    factors, _, found = _transformation(image, len(letters))
    size = {axis: (factor if found else None, unit) for axis, factor, unit in zip(letters, factors, units, strict=True)}
    for axis, (factor, unit) in size.items():
        if factor == 1.0 and not unit:  # what is written where nothing is known
            size[axis] = (None, "")
    y, x, z = (size.get(axis, (None, "")) for axis in "YXZ")
    return scale_from((y[0], x[0], z[0]), (y[1], x[1], z[1]), channel_names(attributes))


def _transformation(image: Mapping[str, Any], ndim: int) -> tuple[list[float], list[float], bool]:
    """Put together what is said of the full resolution and of the image: scale, translation, whether a scale is told.

    Translations are in the units of the axes; the later steps are applied to what the earlier ones gave.
    """
    scale, shift, found = [1.0] * ndim, [0.0] * ndim, False
    for steps in (image["datasets"][0].get("coordinateTransformations"), image.get("coordinateTransformations")):
        for step in steps if isinstance(steps, list) else ():
            kind = step.get("type") if isinstance(step, dict) else None
            values = step.get(kind) if kind in ("scale", "translation") else None
            if not isinstance(values, list) or len(values) != ndim:
                continue
            numbers = [float(value) for value in values]
            if kind == "scale":
                found = True
                scale = [a * b for a, b in zip(scale, numbers, strict=True)]
                shift = [a * b for a, b in zip(shift, numbers, strict=True)]
            else:
                shift = [a + b for a, b in zip(shift, numbers, strict=True)]
    return scale, shift, found


def read_display(image: Mapping[str, Any], letters: str, attributes: Mapping[str, Any]) -> Display:
    """Read where an image lies, and how its channels are to be shown.

    Parameters
    ----------
    image : mapping
        Of ``multiscales``.
    letters : str
        Its axes.
    attributes : mapping
        Of the group; ``omero`` holds colours and windows.
    """
    scale, shift, _ = _transformation(image, len(letters))
    origin = {
        axis: by / per if per and math.isfinite(by / per) else 0.0
        for axis, by, per in zip(letters, shift, scale, strict=True)
    }
    omero = attributes.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    told = [one if isinstance(one, dict) else {} for one in channels] if isinstance(channels, list) else []
    return Display(
        (origin.get("Z", 0.0), origin.get("Y", 0.0), origin.get("X", 0.0)),
        tuple(_limits(one.get("window")) for one in told),
        tuple(_colour(one.get("color")) for one in told),
    )


def _limits(window: Any) -> tuple[float, float] | None:
    """Read the range a channel is shown in; none where it is not narrower than all that can be."""
    try:
        low, high = float(window["start"]), float(window["end"])
        whole = float(window.get("min", math.nan)), float(window.get("max", math.nan))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return None
    return None if (low, high) == whole and high in _FULL_RANGES else (low, high)


def _colour(text: Any) -> str:
    """Read a colour, ``RRGGBB``; empty where there is none."""
    plain = str(text or "").lstrip("#")
    return plain[:6].upper() if re.fullmatch(r"[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?", plain) else ""


def channel_names(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the channels' labels from an image's attributes; empty where there are none."""
    omero = attributes.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list):
        return ()
    names = tuple(str(channel.get("label") or "") if isinstance(channel, dict) else "" for channel in channels)
    return names if any(names) else ()
