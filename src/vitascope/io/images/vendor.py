"""Files of Zeiss, Nikon and Leica microscopes, by packages that are installed on wish: czifile, nd2, liffile (all BSD).

Each file holds one or several scenes, which are images of their own. Pixels are read when they are looked at.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import InputError, ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.io.filenames.expand import unreadable
from vitascope.io.images.lazy import FileArray
from vitascope.io.images.limits import check_declared
from vitascope.io.images.units import to_um

PACKAGES = {".czi": "czifile", ".nd2": "nd2", ".lif": "liffile"}


@dataclass(frozen=True)
class Scene:
    """One image of a file.

    Parameters
    ----------
    index : int
        Number in the file.
    name : str
        As the microscope's software calls it.
    axes : str
        Letters out of TCZYX, in the order of ``shape``.
    shape : tuple of int
    dtype : str
    pixel_size_um, z_step_um : float or None, micrometre
    channels : tuple of str
    """

    index: int
    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    pixel_size_um: float | None = None
    z_step_um: float | None = None
    channels: tuple[str, ...] = ()


def is_vendor_file(path: Path) -> bool:
    """Tell whether a file is of these, by its name."""
    return path.suffix.lower() in PACKAGES


def list_scenes(path: Path) -> tuple[Scene, ...]:
    """List the images of a file; no pixel is read.

    Raises
    ------
    ReaderError
        If the package is not installed, or the file cannot be read.
    InputError
        If a scene is a mosaic of tiles, or in colour.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".czi":
            return _czi_scenes(path)
        return _nd2_scenes(path) if suffix == ".nd2" else _lif_scenes(path)
    except VitascopeError:
        raise
    except ImportError as error:
        package = PACKAGES[suffix]
        raise ReaderError(
            f"'{path.name}' is a {suffix[1:].upper()} file, and {package} is not installed.",
            f"Run: pip install 'vitascope[{suffix[1:]}]', or export it as OME-TIFF.",
        ) from error
    except Exception as error:
        raise unreadable(path, error) from error


def open_scene(path: Path, index: int) -> Micrograph:
    """Open one image of a file; its array is read plane by plane (dask).

    Raises
    ------
    ReaderError
        If it cannot be read, or there is no such image.
    InputError
        If it is a mosaic of tiles, or in colour.
    """
    found = [scene for scene in list_scenes(path) if scene.index == index]
    if not found:
        raise ReaderError(f"'{path.name}' has no image {index}.", "Index the file again.")
    scene = found[0]
    check_declared(path.name, scene.shape, scene.dtype)
    reader: Callable[[Path, Scene], SceneArray] = {".czi": CziArray, ".nd2": Nd2Array, ".lif": LifArray}[
        path.suffix.lower()
    ]
    chunks = (1,) * (len(scene.shape) - 2) + scene.shape[-2:]
    channels = scene.shape[scene.axes.index("C")] if "C" in scene.axes else 1
    return Micrograph.from_array(
        reader(path, scene).to_dask(chunks),
        axes=scene.axes,
        pixel_size_um=scene.pixel_size_um,
        z_step_um=scene.z_step_um,
        channel_names=scene.channels if len(scene.channels) == channels else (),
        name=scene.name or path.stem,
        sources=(str(path),),
    )


class SceneArray(FileArray):
    """The pixels of one scene."""

    def __init__(self, path: Path, scene: Scene) -> None:
        super().__init__(path, scene.shape, scene.dtype)
        self.scene = scene

    @abstractmethod
    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part."""


def _checked(path: Path, axes: str, sizes: Mapping[str, int]) -> str:
    """Refuse what is no plain image; drop axes of length one that we have no letter for."""
    if sizes.get("S", 1) > 1:
        raise InputError(f"'{path.name}' is in colour.", "Give the grey camera image.", flag="colour_image")
    strange = [axis for axis in axes if axis not in "TCZYX" and sizes[axis] > 1]
    if strange:
        raise InputError(
            f"'{path.name}' has the axis {strange[0]}, such as tiles of a mosaic or angles.",
            "Merge the tiles in the microscope's software, or export it as OME-TIFF.",
            flag="wrong_dimensions",
        )
    return "".join(axis for axis in axes if axis in "TCZYX")


def _nd2_scenes(path: Path) -> tuple[Scene, ...]:
    import nd2

    with nd2.ND2File(path) as file:
        sizes = {str(axis): int(size) for axis, size in file.sizes.items()}
        axes = _checked(path, "".join(axis for axis in sizes if axis != "P"), sizes)
        voxel = file.voxel_size()
        names = _nd2_positions(file)
        channels = tuple(str(one.channel.name) for one in getattr(file.metadata, "channels", None) or ())
        return tuple(
            Scene(
                index=index,
                name=names[index] if index < len(names) else "",
                axes=axes,
                shape=tuple(sizes[axis] for axis in axes),
                dtype=str(file.dtype),
                pixel_size_um=to_um(float(voxel.x), "um"),
                z_step_um=to_um(float(voxel.z), "um") if "Z" in axes else None,
                channels=channels,
            )
            for index in range(sizes.get("P", 1))
        )


def _nd2_positions(file: Any) -> list[str]:
    for loop in file.experiment:
        if getattr(loop, "type", "") == "XYPosLoop":
            return [str(point.name or "") for point in loop.parameters.points]
    return []


class Nd2Array(SceneArray):
    """One position of an ND2 file."""

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part; only the planes it touches are loaded."""
        import nd2

        with nd2.ND2File(self.path) as file:
            sizes = {str(axis): int(size) for axis, size in file.sizes.items()}
            whole = file.to_dask()
            parts = dict(zip(self.scene.axes, key, strict=True))
            index = tuple(self.scene.index if axis == "P" else parts.get(axis, 0) for axis in sizes)
            return np.asarray(whole[index].compute())


def _lif_scenes(path: Path) -> tuple[Scene, ...]:
    import liffile

    scenes = []
    with liffile.LifFile(path) as file:
        for index, image in enumerate(file.images):
            sizes = {str(axis): int(size) for axis, size in image.sizes.items()}
            axes = _checked(path, "".join(sizes), sizes)
            shape = tuple(sizes[axis] for axis in axes)
            steps = {axis: _step(image.coords.get(axis)) for axis in "XZ"}
            name = str(getattr(image, "path", "") or image.name)
            scenes.append(
                Scene(
                    index=index,
                    name=name,
                    axes=axes,
                    shape=shape,
                    dtype=str(np.dtype(image.dtype)),
                    pixel_size_um=steps["X"],
                    z_step_um=steps["Z"],
                )
            )
    return tuple(scenes)


def _step(coordinates: Any) -> float | None:
    """Turn coordinates in metres into the distance between them in µm."""
    if coordinates is None or len(coordinates) < 2:
        return None
    return to_um(abs(float(coordinates[1] - coordinates[0])), "m")


class LifArray(SceneArray):
    """One image of a LIF file."""

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part; the package loads the whole image for it."""
        import liffile

        with liffile.LifFile(self.path) as file:
            image = file.images[self.scene.index]
            parts = dict(zip(self.scene.axes, key, strict=True))
            return np.asarray(image.asarray()[tuple(parts.get(str(axis), 0) for axis in image.sizes)])


def _czi_entries(file: Any) -> dict[int, list[Any]]:
    """List the full-resolution blocks of each scene."""
    found: dict[int, list[Any]] = {}
    for entry in file.subblock_directory:
        if entry.pyramid_type == 0 and entry.shape == entry.stored_shape:
            found.setdefault(_starts(entry).get("S", 0), []).append(entry)
    return found


def _starts(entry: Any) -> dict[str, int]:
    return {str(dim.dimension): int(dim.start) for dim in entry.dimension_entries}


def _sides(entry: Any) -> dict[str, int]:
    return {str(dim.dimension): int(dim.size) for dim in entry.dimension_entries}


def _czi_extent(path: Path, entries: Sequence[Any]) -> tuple[str, dict[str, int], dict[str, int]]:
    """Return axes, first index and length along each; Y and X begin where the scene does on the stage."""
    low: dict[str, int] = {}
    high: dict[str, int] = {}
    for entry in entries:
        starts, sides = _starts(entry), _sides(entry)
        for axis, start in starts.items():
            low[axis] = min(start, low.get(axis, start))
            high[axis] = max(start + sides[axis], high.get(axis, start + sides[axis]))
        if np.dtype(entry.dtype).shape:
            raise InputError(f"'{path.name}' is in colour.", "Give the grey camera image.", flag="colour_image")
    sizes = {axis: high[axis] - low[axis] for axis in low}
    axes = "".join(axis for axis in "TCZYX" if axis in sizes)
    strange = [axis for axis in sizes if axis not in "TCZYXSM" and sizes[axis] > 1]
    _checked(path, axes + "".join(strange), sizes | {"S": 1})
    return axes, low, sizes


def _czi_scenes(path: Path) -> tuple[Scene, ...]:
    import czifile

    with czifile.CziFile(str(path)) as file:
        root = ElementTree.fromstring(file.metadata(raw=True))
        names = {int(one.get("Index", -1)): _czi_name(one) for one in root.iter("Scene")}
        steps = {one.get("Id"): one.findtext("Value") for one in root.iter("Distance")}
        channels = tuple(str(one.get("Name") or "") for one in root.findall(".//Image/Dimensions/Channels/Channel"))
        scenes = []
        for index, entries in sorted(_czi_entries(file).items()):
            axes, _, sizes = _czi_extent(path, entries)
            shape = tuple(sizes[axis] for axis in axes)
            size, step = (to_um(float(steps.get(axis) or "nan"), "m") for axis in "XZ")
            dtype = str(np.dtype(entries[0].dtype))
            scenes.append(
                Scene(
                    index=index,
                    name=names.get(index, ""),
                    axes=axes,
                    shape=shape,
                    dtype=dtype,
                    pixel_size_um=size,
                    z_step_um=step,
                    channels=channels,
                )
            )
        return tuple(scenes)


def _czi_name(scene: ElementTree.Element) -> str:
    """Take the name of the well that a scene lies in, where there is one, else its own."""
    shape = scene.find("Shape")
    return str((shape.get("Name") if shape is not None else None) or scene.get("Name") or "")


class CziArray(SceneArray):
    """One scene of a CZI file; tiles of a mosaic lie where the stage was, later ones on top."""

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part; only the blocks it touches are loaded."""
        import czifile

        with czifile.CziFile(str(self.path)) as file:
            entries = _czi_entries(file)[self.scene.index]
            axes, low, _ = _czi_extent(self.path, entries)
            out = np.zeros([part.stop - part.start for part in key], self.dtype)
            for entry in entries:
                starts, sides = _starts(entry), _sides(entry)
                with contextlib.suppress(_ElsewhereError):
                    spans = [_overlap(starts[a] - low[a], sides[a], part) for a, part in zip(axes, key, strict=True)]
                    data = entry.data_segment().data()[..., 0]
                    kept = [str(dim.dimension) for dim in entry.dimension_entries if dim.dimension != "M"]
                    data = data[tuple(slice(None) if axis in axes else 0 for axis in kept)]
                    order = [[axis for axis in kept if axis in axes].index(axis) for axis in axes]
                    block = data.transpose(order)
                    out[tuple(to for to, _ in spans)] = block[tuple(source for _, source in spans)]
            return out


class _ElsewhereError(Exception):
    """A block does not touch the part that is read."""


def _overlap(start: int, side: int, part: slice) -> tuple[slice, slice]:
    """Return where a stretch lies in the part read, and which of it."""
    first, last = max(start, part.start), min(start + side, part.stop)
    if first >= last:
        raise _ElsewhereError
    return slice(first - part.start, last - part.start), slice(first - start, last - start)
