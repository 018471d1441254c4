"""Files of Zeiss, Nikon and Leica microscopes, by packages that are installed on wish: czifile, nd2, liffile (all BSD).

Each file holds one or several scenes, which are images of their own. Pixels are read when they are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.errors import ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.io.filenames.expand import unreadable
from vitascope.io.filenames.parse import SCENE_SUFFIXES
from vitascope.io.images.czi import CziArray, czi_scenes
from vitascope.io.images.limits import check_declared
from vitascope.io.images.scene import Scene, SceneArray, image_axes
from vitascope.io.images.units import stage_place, to_um

__all__ = ["Scene", "is_vendor_file", "list_scenes", "open_only_scene", "open_scene"]

PACKAGES = {".czi": "czifile", ".nd2": "nd2", ".lif": "liffile"}


def is_vendor_file(path: Path) -> bool:
    """Tell whether a file is of these, by its name."""
    return path.suffix.lower() in SCENE_SUFFIXES


def list_scenes(path: Path) -> tuple[Scene, ...]:
    """List the images of a file; no pixel is read. One that cannot be opened has a problem, the others open.

    Raises
    ------
    ReaderError
        If the package is not installed, or the file cannot be read.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".czi":
            return czi_scenes(path)
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
        told = unreadable(path, error)
        instead = "If the microscope's software opens it, export it as OME-TIFF."
        raise ReaderError(told.message, f"{told.hint} {instead}", flag=told.flag) from error


def open_only_scene(path: Path, axes: str | None = None) -> Micrograph:
    """Open the image of a file that holds one.

    Raises
    ------
    ReaderError
        If it cannot be read, or holds several.
    """
    scenes = list_scenes(path)
    if not scenes:
        raise ReaderError(f"'{path.name}' holds no image.", "Copy it again from its source.")
    if len(scenes) != 1:
        names = ", ".join(scene.name or str(scene.index) for scene in scenes[:5])
        raise ReaderError(
            f"'{path.name}' holds {len(scenes)} images, not one: {names} …",
            "Give the file itself, not its folder: then each of its images is taken.",
        )
    return open_scene(path, scenes[0].index, axes)


def open_scene(path: Path, index: int, axes: str | None = None) -> Micrograph:
    """Open one image of a file; its array is read plane by plane (dask).

    Parameters
    ----------
    path : Path
    index : int
        Number of the scene.
    axes : str, optional
        One letter for each dimension, whatever the file says.

    Raises
    ------
    ReaderError
        If it cannot be read, or there is no such image.
    InputError
        If it has tiles, wavelengths or angles, or is in colour.
    """
    found = [scene for scene in list_scenes(path) if scene.index == index]
    if not found:
        raise ReaderError(f"'{path.name}' has no image {index}.", "Index the file again.")
    scene = found[0]
    if scene.problem is not None:
        raise scene.problem
    check_declared(path.name, scene.shape, scene.dtype)
    reader: Callable[[Path, Scene], SceneArray] = {".czi": CziArray, ".nd2": Nd2Array, ".lif": LifArray}[
        path.suffix.lower()
    ]
    chunks = (1,) * (len(scene.shape) - 2) + scene.shape[-2:]
    letters = (axes or scene.axes).upper()
    channels = dict(zip(letters, scene.shape, strict=False)).get("C", 1)
    return Micrograph.from_array(
        reader(path, scene).to_dask(chunks),
        axes=letters,
        pixel_size_um=scene.pixel_size_um,
        z_step_um=scene.z_step_um,
        channel_names=scene.channels if len(scene.channels) == channels else (),
        name=scene.name or path.stem,
        sources=(str(path),),
        stage_um=scene.stage_um,
    )


def _nd2_scenes(path: Path) -> tuple[Scene, ...]:
    import nd2

    with nd2.ND2File(path) as file:
        sizes = {str(axis): int(size) for axis, size in file.sizes.items()}
        points = _nd2_points(file)
        names = [str(point.name or "") for point in points]
        places = [_nd2_place(point) for point in points]
        named = [(index, names[index] if index < len(names) else "") for index in range(sizes.get("P", 1))]
        try:
            axes = image_axes(path.name, "".join(axis for axis in sizes if axis not in "PS"), sizes)
        except VitascopeError as error:
            return tuple(Scene(index=index, name=name, problem=error) for index, name in named)
        voxel = file.voxel_size()
        channels = tuple(str(one.channel.name) for one in getattr(file.metadata, "channels", None) or ())
        shape = tuple(sizes[axis] for axis in axes)
        size, step = to_um(float(voxel.x), "um"), to_um(float(voxel.z), "um") if "Z" in axes else None
        return tuple(
            Scene(
                index=index,
                name=name,
                axes=axes,
                shape=shape,
                dtype=str(file.dtype),
                pixel_size_um=size,
                z_step_um=step,
                channels=channels,
                stage_um=places[index] if index < len(places) else None,
            )
            for index, name in named
        )


def _nd2_points(file: Any) -> list[Any]:
    for loop in file.experiment:
        if getattr(loop, "type", "") == "XYPosLoop":
            return list(loop.parameters.points)
    return []


def _nd2_place(point: Any) -> tuple[float, float] | None:
    stood = getattr(point, "stagePositionUm", None)
    return stage_place(stood.y, stood.x) if stood is not None else None


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
            name = str(getattr(image, "path", "") or image.name)
            try:
                scenes.append(_lif_scene(path, index, name, image))
            except VitascopeError as error:
                scenes.append(Scene(index=index, name=name, problem=error))
            except Exception as error:
                scenes.append(Scene(index=index, name=name, problem=unreadable(path, error)))
    return tuple(scenes)


def _lif_scene(path: Path, index: int, name: str, image: Any) -> Scene:
    sizes = {str(axis): int(size) for axis, size in image.sizes.items()}
    axes = image_axes(f"{path.name}, {name}", "".join(axis[0] for axis in sizes if axis != "S"), sizes)
    shape = tuple(sizes[axis] for axis in axes)
    steps = {axis: _step(image.coords.get(axis)) for axis in "XZ"}
    channels = _lif_channels(image)
    dtype = str(np.dtype(image.dtype))
    return Scene(
        index=index,
        name=name,
        axes=axes,
        shape=shape,
        dtype=dtype,
        pixel_size_um=steps["X"],
        z_step_um=steps["Z"],
        channels=channels,
    )


def _lif_channels(image: Any) -> tuple[str, ...]:
    """Name the channels by dye, else by what was measured, else by the colour they are shown in."""
    found = image.xml_element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
    names = []
    for channel in sorted(found, key=lambda one: int(one.get("BytesInc", 0))):
        told = {one.findtext("Key"): one.findtext("Value") for one in channel.findall("ChannelProperty")}
        names.append(told.get("DyeName") or channel.get("NameOfMeasuredQuantity") or channel.get("LUTName") or "")
    return tuple(names) if all(names) and len(set(names)) == len(names) else ()


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
