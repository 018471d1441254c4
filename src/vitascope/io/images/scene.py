"""One image among several in a file of a microscope."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vitascope.core.errors import InputError, VitascopeError
from vitascope.io.images.lazy import FileArray

_OTHER_AXES = {
    "M": "tiles of a mosaic", "λ": "wavelengths of a λ-scan", "Λ": "wavelengths of a λ-scan", "A": "angles",
    "R": "rotations", "V": "views", "H": "phases or lifetimes", "I": "illuminations", "B": "acquisition blocks",
    "U": "steps of an unknown kind", "N": "steps of an unknown kind", "Q": "steps of an unknown kind",
}  # fmt: skip


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
    problem : VitascopeError or None
        Why this one cannot be opened, though others can.
    in_well : bool
        False where the file places other scenes in wells, and not this one.
    stage_um : tuple of float or None, micrometre
        Where the stage stood, y and x.
    """

    index: int
    name: str
    axes: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = "uint8"
    pixel_size_um: float | None = None
    z_step_um: float | None = None
    channels: tuple[str, ...] = ()
    problem: VitascopeError | None = None
    in_well: bool = True
    stage_um: tuple[float, float] | None = None


class SceneArray(FileArray):
    """The pixels of one scene."""

    def __init__(self, path: Path, scene: Scene) -> None:
        super().__init__(path, scene.shape, scene.dtype)
        self.scene = scene

    @abstractmethod
    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a part."""


def image_axes(what: str, axes: str, sizes: Mapping[str, int]) -> str:
    """Refuse what is no plain image; drop axes of length one that we have no letter for.

    Parameters
    ----------
    what : str
        What the image is called, in the message.
    axes : str
        One letter for each dimension.
    sizes : mapping of str to int
        Length of each; ``S`` are the samples of a colour picture.

    Raises
    ------
    InputError
        If it is in colour, a line, or has dimensions that are no time, channel or z.
    """
    if sizes.get("S", 1) > 1:
        raise InputError(f"'{what}' is in colour.", "Give the grey camera image.", flag="colour_image")
    strange = [axis for axis in axes if axis not in "TCZYX" and sizes[axis] > 1]
    if strange:
        kind = _OTHER_AXES.get(strange[0], "of another kind")
        raise InputError(
            f"'{what}' has the axis {strange[0]}: {sizes[strange[0]]} {kind}.",
            "In the microscope's software, merge them or save one of them as an image of its own.",
            flag="wrong_dimensions",
        )
    if not {"Y", "X"} <= set(axes):
        raise InputError(f"'{what}' is a line or a point, no picture.", "Leave it out.", flag="wrong_dimensions")
    return "".join(axis for axis in axes if axis in "TCZYX")
