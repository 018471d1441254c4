"""Pictures and labels as OME-TIFF and OME-Zarr, band by band, with bounded memory."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numcodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from vitascope.io.atomic import atomic_folder, atomic_write
from vitascope.io.images.lazy import iter_bands
from vitascope.io.images.limits import count_bytes
from vitascope.io.images.ome_zarr import OWN_NOTES
from vitascope.io.images.tiff_log import quiet_tifffile

TILE_PX = 512
CHUNK_PX = 1024
CHANNEL_COLOURS = ("FFFFFF", "3366FF", "FF8800", "BB44FF")
_ZARR_BAND_BYTES = 2**25
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
    """Write an OME-Zarr image (NGFF 0.5) with its pyramid, in chunks of one plane with checksums.

    Empty chunks are written too, so that one that is missing is noticed.

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
    NGFF 0.5, https://ngff.openmicroscopy.org/0.5/; zarr codec crc32c, RFC 3720 section 12.1
    """
    with atomic_folder(path) as folder:
        fill_ome_zarr(folder, picture)


def fill_ome_zarr(
    folder: Path,
    picture: PictureFile,
    version: Literal["0.4", "0.5"] = "0.5",
    labels: bool | None = None,
    source: str = "",
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
    source : str
        Of labels, the path of the image they were found in, from here.
    """
    import zarr

    labels = picture.dtype == "uint32" if labels is None else labels
    zarr_format: Literal[2, 3] = 2 if version == "0.4" else 3
    group = zarr.open_group(str(folder), mode="w", zarr_format=zarr_format)
    limits = _write_full(folder / "0", picture, zarr_format)
    shapes = level_shapes(picture.array.shape)
    for level in range(1, len(shapes)):
        write_level(folder / str(level - 1), _create(folder / str(level), shapes[level], picture, zarr_format), labels)
    group.update_attributes(_ngff_attributes(picture, version, labels, len(shapes), limits, source))


def _create(path: Path, shape: Sequence[int], picture: PictureFile, zarr_format: Literal[2, 3]) -> Any:
    """Make an array whose chunks carry checksums: crc32c, or in zarr version 2 that of zstd."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    layout: dict[str, Any] = {
        "dimension_names": list(picture.axes.lower()),
        "compressors": (ZstdCodec(level=0), Crc32cCodec()),
    }
    if zarr_format == 2:
        layout = {
            "chunk_key_encoding": {"name": "v2", "separator": "/"},
            "compressors": (numcodecs.Zstd(level=1, checksum=True),),
        }
    return zarr.create_array(
        str(path),
        shape=tuple(shape),
        chunks=(1,) * (len(shape) - 2) + tuple(min(CHUNK_PX, side) for side in shape[-2:]),
        dtype=picture.dtype,
        zarr_format=zarr_format,
        config={"write_empty_chunks": True},
        **layout,
    )


def _write_full(path: Path, picture: PictureFile, zarr_format: Literal[2, 3]) -> dict[int, tuple[float, float]]:
    """Write the full resolution band by band, and note the least and greatest value of each channel."""
    array = _create(path, [int(side) for side in picture.array.shape], picture, zarr_format)
    place = picture.axes.index("C") if "C" in picture.axes[:-2] else None
    limits: dict[int, tuple[float, float]] = {}
    for index, start, band in iter_bands(picture.array, picture.dtype, array.chunks[-2], _ZARR_BAND_BYTES):
        array[(*index, slice(start, start + band.shape[0]))] = band
        finite: Any = np.isfinite(band) if band.dtype.kind == "f" else True
        if np.any(finite) and band.size:
            channel = 0 if place is None else index[place]
            low, high = limits.get(channel, (np.inf, -np.inf))
            least = band.min(where=finite, initial=_greatest(band.dtype))
            most = band.max(where=finite, initial=-_greatest(band.dtype) if band.dtype.kind in "if" else 0)
            limits[channel] = min(low, float(least)), max(high, float(most))
    return limits


def _greatest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return True
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.finfo(dtype).max


def level_shapes(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """List the shapes of a pyramid: height and width halved, until a plane is one chunk.

    Examples
    --------
    >>> level_shapes((3, 5000, 2047))
    [(3, 5000, 2047), (3, 2500, 1024), (3, 1250, 512), (3, 625, 256)]
    """
    shapes = [tuple(int(side) for side in shape)]
    while max(shapes[-1][-2:]) > CHUNK_PX:
        shapes.append((*shapes[-1][:-2], *(-(-side // 2) for side in shapes[-1][-2:])))
    return shapes


def write_level(finer: Path, coarser: Any, labels: bool) -> None:
    """Fill a level of a pyramid from the one before, as it was written, tile by tile.

    Parameters
    ----------
    finer : Path
        Array of twice the height and width.
    coarser : zarr array
    labels : bool
        Whether every second pixel is taken; else the mean of each two by two.
    """
    import zarr

    array = zarr.open_array(str(finer), mode="r")
    *leading, height, width = array.shape
    rows, columns = (2 * side for side in coarser.chunks[-2:])
    corners = itertools.product(range(0, height, rows), range(0, width, columns))
    for index, (y, x) in itertools.product(itertools.product(*(range(side) for side in leading)), tuple(corners)):
        tile = np.asarray(array[(*index, slice(y, y + rows), slice(x, x + columns))])
        half = tile[::2, ::2] if labels else halved(tile)
        where = slice(y // 2, y // 2 + half.shape[0]), slice(x // 2, x // 2 + half.shape[1])
        coarser[(*index, *where)] = half


def halved(band: NDArray[Any]) -> NDArray[Any]:
    """Average two by two pixels; a last odd row or column counts twice. Whole numbers are rounded.

    Parameters
    ----------
    band : array, shape (Y, X)

    Examples
    --------
    >>> halved(np.array([[0, 2, 9], [4, 6, 9]], "uint8")).tolist()
    [[3, 9]]
    """
    if band.dtype.kind == "b":
        return band[::2, ::2]
    odd = any(side % 2 for side in band.shape)
    even = np.pad(band, [(0, side % 2) for side in band.shape], "edge") if odd else band
    whole = band.dtype.kind in "iu" and band.dtype.itemsize <= 4
    wide: np.dtype[Any] = np.dtype(np.int64 if whole else np.float64)
    if band.dtype.itemsize <= 2 or band.dtype == np.float32:
        wide = np.dtype(np.int32 if whole else np.float32)
    rows = even[::2].astype(wide)
    rows += even[1::2]
    total = rows[:, ::2] + rows[:, 1::2]
    mean: NDArray[Any] = (total + 2) // 4 if whole else total / 4
    if band.dtype.kind in "iu":
        mean = np.rint(mean)
    return mean.astype(band.dtype)


def _ngff_attributes(
    picture: PictureFile,
    version: str,
    labels: bool,
    levels: int,
    limits: Mapping[int, tuple[float, float]],
    source: str,
) -> dict[str, Any]:
    sizes = {"Y": picture.pixel_size_um, "X": picture.pixel_size_um, "Z": picture.z_step_um}
    axes = []
    for letter in picture.axes:
        axis = {"name": letter.lower(), "type": {"T": "time", "C": "channel"}.get(letter, "space")}
        axes.append({**axis, "unit": "micrometer"} if sizes.get(letter) else axis)
    multiscale: dict[str, Any] = {
        "name": picture.name,
        "axes": axes,
        "datasets": [_dataset(picture.axes, sizes, level, labels) for level in range(levels)],
    }
    if levels > 1:
        multiscale["type"] = "nearest" if labels else "mean"
    ome: dict[str, Any] = {"multiscales": [multiscale]}
    if picture.channel_names:
        ome["omero"] = {
            "channels": [
                {
                    "label": name,
                    "active": True,
                    "color": CHANNEL_COLOURS[number % len(CHANNEL_COLOURS)],
                    "window": _window(picture.dtype, limits.get(number)),
                }
                for number, name in enumerate(picture.channel_names)
            ]
        }
    if labels:
        ome["image-label"] = {"version": version, **({"source": {"image": source}} if source else {})}
    return ngff_group(ome, version, dict(picture.notes or {}))


def _dataset(axes: str, sizes: Mapping[str, float | None], level: int, labels: bool) -> dict[str, Any]:
    """Describe a level: its pixels in µm, and where the middle of the first one lies, which averaging moves."""
    step = {"Y": 2**level, "X": 2**level}
    scale = [(sizes.get(letter) or 1.0) * step.get(letter, 1) for letter in axes]
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if level and not labels:
        shift = [(sizes.get(letter) or 1.0) * (step.get(letter, 1) - 1) / 2 for letter in axes]
        steps.append({"type": "translation", "translation": shift})
    return {"path": str(level), "coordinateTransformations": steps}


def _window(dtype: str, limits: tuple[float, float] | None) -> dict[str, float]:
    """Give the range of the number type, 0 to 1 for fractions, and within it that of the values."""
    low, high = (0.0, 1.0)
    if np.dtype(dtype).kind in "iu":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    start, end = limits or (low, high)
    if start >= end:
        start, end = low, high
    return {"min": min(low, start), "max": max(high, end), "start": start, "end": end}


def ngff_group(ome: Mapping[str, Any], version: str, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Put attributes where a version of NGFF has them: under ``ome`` since 0.5, beside all others before."""
    if version == "0.4":
        parts = {
            key: [{**one, "version": version} for one in part] if key == "multiscales" else part
            for key, part in ome.items()
        }
        return {**parts, OWN_NOTES: dict(notes)}
    return {"ome": {"version": version, **ome}, OWN_NOTES: dict(notes)}
