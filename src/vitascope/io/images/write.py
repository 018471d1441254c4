"""Pictures and labels as OME-TIFF and OME-Zarr, band by band, with bounded memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from vitascope.io.atomic import atomic_folder, atomic_write
from vitascope.io.images.lazy import iter_bands
from vitascope.io.images.limits import count_bytes
from vitascope.io.images.ome_zarr import OWN_NOTES
from vitascope.io.images.tiff import quiet_tifffile

TILE_PX = 512
CHUNK_PX = 1024
CHANNEL_COLOURS = ("FFFFFF", "3366FF", "FF8800", "BB44FF")
_CLASSIC_BYTES = 2**32 - 2**25


@dataclass(frozen=True)
class PictureFile:
    """What is written to one file.

    Parameters
    ----------
    array : numpy, dask or zarr array, shape as ``axes``
    axes : str
        Letters of TCZYX in order.
    dtype : str
        ``float32`` for pictures, ``uint32`` for labels.
    name : str
    channel_names : tuple of str
    pixel_size_um, z_step_um : float or None, > 0, micrometre
    notes : mapping of str to str
        What our own reader needs to show it as it was: kind, title, unit, limits, colour map.
    """

    array: Any
    axes: str
    dtype: str
    name: str
    channel_names: tuple[str, ...] = ()
    pixel_size_um: float | None = None
    z_step_um: float | None = None
    notes: Mapping[str, str] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels, uncompressed."""
        return count_bytes(self.array.shape, self.dtype)


def write_ome_tiff(path: Path, picture: PictureFile) -> None:
    """Write an OME-TIFF, tiled and deflated, BigTIFF where it needs to be.

    Parameters
    ----------
    path : Path
    picture : PictureFile

    Raises
    ------
    OutputError
        If it cannot be written; nothing is left then.
    """
    shape = tuple(int(side) for side in picture.array.shape)
    tile = (_tile_side(shape[-2]), _tile_side(shape[-1]))
    big = picture.nbytes > _CLASSIC_BYTES
    with atomic_write(path) as file, quiet_tifffile(), tifffile.TiffWriter(file, ome=True, bigtiff=big) as tif:
        tif.write(
            _tiles(picture, tile),
            shape=shape,
            dtype=picture.dtype,
            tile=tile,
            compression="zlib",
            photometric="minisblack",
            software=OWN_NOTES,
            metadata=_ome_metadata(picture),
        )


def _tile_side(side: int) -> int:
    return min(TILE_PX, -(-side // 16) * 16)


def _tiles(picture: PictureFile, tile: tuple[int, int]) -> Iterator[NDArray[Any]]:
    for _, _, band in iter_bands(picture.array, picture.dtype, tile[0]):
        for y in range(0, band.shape[0], tile[0]):
            for x in range(0, band.shape[1], tile[1]):
                yield np.ascontiguousarray(band[y : y + tile[0], x : x + tile[1]])


def _ome_metadata(picture: PictureFile) -> dict[str, Any]:
    found: dict[str, Any] = {
        "axes": picture.axes,
        "Name": picture.name,
        # the same picture gives the same file: tifffile would take a random number with this machine's address in it
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{OWN_NOTES}:{picture.name}:{picture.array.shape}")),
    }
    if picture.channel_names:
        found["Channel"] = {"Name": list(picture.channel_names)}
    for axes, size in (("XY", picture.pixel_size_um), ("Z", picture.z_step_um if "Z" in picture.axes else None)):
        for axis in axes if size else "":
            found |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    if picture.notes:
        found["MapAnnotation"] = {"Namespace": OWN_NOTES, "Value": dict(picture.notes)}
    return found


def write_ome_zarr(path: Path, picture: PictureFile) -> None:
    """Write an OME-Zarr image (NGFF 0.5) of one resolution, in chunks of one plane; empty chunks are written too.

    Parameters
    ----------
    path : Path
    picture : PictureFile

    Raises
    ------
    OutputError
        If it cannot be written; nothing is left then.

    References
    ----------
    NGFF 0.5, https://ngff.openmicroscopy.org/0.5/
    """
    with atomic_folder(path) as folder:
        fill_ome_zarr(folder, picture)


def fill_ome_zarr(
    folder: Path, picture: PictureFile, version: Literal["0.4", "0.5"] = "0.5", labels: bool | None = None
) -> None:
    """Write an OME-Zarr image into a folder; see :func:`write_ome_zarr`.

    Parameters
    ----------
    folder : Path
    picture : PictureFile
    version : {"0.4", "0.5"}
        Of NGFF.
    labels : bool, optional
        Whether the pixels are labels; by default those of 32-bit whole numbers are.
    """
    import zarr

    shape = tuple(int(side) for side in picture.array.shape)
    chunks = (1,) * (len(shape) - 2) + tuple(min(CHUNK_PX, side) for side in shape[-2:])
    layout: dict[str, Any] = {"zarr_format": 3, "dimension_names": list(picture.axes.lower())}
    if version == "0.4":
        layout = {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}}
    labels = picture.dtype == "uint32" if labels is None else labels
    attributes = _ngff_attributes(picture, version, labels)
    zarr.open_group(str(folder), mode="w", zarr_format=layout["zarr_format"], attributes=attributes)
    array = zarr.create_array(
        str(folder / "0"),
        shape=shape,
        chunks=chunks,
        dtype=picture.dtype,
        config={"write_empty_chunks": True},
        **layout,
    )
    for index, start, band in iter_bands(picture.array, picture.dtype, chunks[-2]):
        array[(*index, slice(start, start + band.shape[0]))] = band


def _ngff_attributes(picture: PictureFile, version: str, labels: bool) -> dict[str, Any]:
    sizes = {"Y": picture.pixel_size_um, "X": picture.pixel_size_um, "Z": picture.z_step_um}
    axes = []
    for letter in picture.axes:
        axis = {"name": letter.lower(), "type": {"T": "time", "C": "channel"}.get(letter, "space")}
        axes.append({**axis, "unit": "micrometer"} if sizes.get(letter) else axis)
    scale = [sizes.get(letter) or 1.0 for letter in picture.axes]
    multiscale: dict[str, Any] = {
        "name": picture.name,
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
    }
    ome: dict[str, Any] = {"multiscales": [multiscale]}
    if picture.channel_names:
        window = _window(picture.dtype)
        ome["omero"] = {
            "channels": [
                {
                    "label": name,
                    "active": True,
                    "color": CHANNEL_COLOURS[number % len(CHANNEL_COLOURS)],
                    "window": window,
                }
                for number, name in enumerate(picture.channel_names)
            ]
        }
    if labels:
        ome["image-label"] = {"version": version}
    return ngff_group(ome, version, dict(picture.notes or {}))


def _window(dtype: str) -> dict[str, float]:
    """Give the range a viewer may show: that of the number type, 0 to 1 for others."""
    low, high = (0.0, 1.0)
    if np.dtype(dtype).kind in "iu":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return {"min": low, "max": high, "start": low, "end": high}


def ngff_group(ome: Mapping[str, Any], version: str, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Put attributes where a version of NGFF has them: under ``ome`` since 0.5, beside all others before."""
    if version == "0.4":
        parts = {
            key: [{**one, "version": version} for one in part] if key == "multiscales" else part
            for key, part in ome.items()
        }
        return {**parts, OWN_NOTES: dict(notes)}
    return {"ome": {"version": version, **ome}, OWN_NOTES: dict(notes)}
