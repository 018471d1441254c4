"""An image as the pipelines see it: an array that may be lazy, its axes, its size in µm and its channels' names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import numpy as np

from vitascope.core.axes import TCZYX, check_axes, check_length, check_shape, default_axes
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.well import WellPosition


@dataclass(frozen=True)
class Display:
    """Where an image lies and how it is to be shown, as far as its file says.

    Parameters
    ----------
    origin_px : tuple of float
        Where the first pixel lies along z, y, x, in pixels (planes) of the image itself.
    limits : tuple of (float, float) or None
        Values shown dark and bright for each channel; None where the file says none. Empty where nothing is told.
    colours : tuple of str
        ``RRGGBB`` for each channel, empty text where there is none.
    """

    origin_px: tuple[float, float, float] = (0.0, 0.0, 0.0)
    limits: tuple[tuple[float, float] | None, ...] = ()
    colours: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Micrograph:
    """One image: up to time, channel, z, y, x.

    Parameters
    ----------
    array : numpy, dask or zarr array, shape as ``axes``
        Real numbers of any width and byte order. Never written to.
    axes : str
        One letter per dimension, in the order of TCZYX.
    pixel_size_um : float or None, > 0, micrometre
        Side of a (square) pixel; None where it is not known.
    z_step_um : float or None, > 0, micrometre
    channel_names : tuple of str
        One per channel; empty where there are no names.
    name : str
        What outputs are called after.
    sources : tuple of str
        Files or the layer it was read from.
    place : WellPosition
        Plate, well, field and time, where the name tells them.
    flags : tuple of str
        Words noticed while reading, such as ``unit_unknown``.
    display : Display
        How a viewer is to show it; of no matter to a calculation.
    stage_um : tuple of float or None, micrometre
        Where the microscope's stage stood, y and x, as far as the file tells.
    """

    array: Any
    axes: str
    pixel_size_um: float | None = None
    z_step_um: float | None = None
    channel_names: tuple[str, ...] = ()
    name: str = "image"
    sources: tuple[str, ...] = ()
    place: WellPosition = field(default_factory=WellPosition)
    flags: tuple[str, ...] = ()
    display: Display = field(default_factory=Display)
    stage_um: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check axes, pixels, dtype and names against each other."""
        check_shape(self.array.shape)
        object.__setattr__(self, "axes", check_axes(self.axes, self.array.shape))
        if [a for a in TCZYX if a in self.axes] != list(self.axes):
            raise InputError(f"The axes '{self.axes}' are not in the order TCZYX.", flag="wrong_dimensions")
        check_dtype(self.array.dtype)
        if self.channel_names and len(self.channel_names) != self.sizes["C"]:
            raise InputError(
                f"{len(self.channel_names)} channel names were given for {self.sizes['C']} channels.",
                flag="wrong_channels",
            )
        flags = list(self.flags)
        for attribute in ("pixel_size_um", "z_step_um"):
            object.__setattr__(self, attribute, as_length(getattr(self, attribute)))
        if self.pixel_size_um is None:
            flags.append("pixel_size_unknown")
        object.__setattr__(self, "flags", tuple(dict.fromkeys(flags)))

    @property
    def sizes(self) -> Mapping[str, int]:
        """Length of every axis of TCZYX; 1 where the array lacks it."""
        found = dict(zip(self.axes, self.array.shape, strict=True))
        return {a: int(found.get(a, 1)) for a in TCZYX}

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.sizes["Y"], self.sizes["X"]

    @property
    def stage_rectangle_um(self) -> tuple[float, float, float, float] | None:
        """Where the field lies on the stage: y, x, height, width; None where its place or pixel size is not known."""
        if self.stage_um is None or self.pixel_size_um is None:
            return None
        height, width = (n * self.pixel_size_um for n in self.shape_yx)
        return (*self.stage_um, height, width)

    def plane(self, t: int = 0, c: int = 0, z: int = 0) -> Any:
        """Return one (Y, X) plane, lazy if the array is."""
        return lazy_index(self.array, tuple({"T": t, "C": c, "Z": z}[a] for a in self.axes if a not in "YX"))

    def with_pixel_size(self, pixel_size_um: float | None) -> Micrograph:
        """Return the same image with another pixel size (µm)."""
        flags = tuple(f for f in self.flags if f != "pixel_size_unknown")
        return replace(self, pixel_size_um=pixel_size_um, flags=flags)

    def select_channel(self, channel: int | str) -> Micrograph:
        """Return one channel as an image without a channel axis.

        Parameters
        ----------
        channel : int or str
            Number from 0, or name; upper and lower case are alike.

        Raises
        ------
        ParameterError
            If there is no such channel.
        """
        named = [name.lower() for name in self.channel_names]
        if isinstance(channel, str):
            index = named.index(channel.lower()) if channel.lower() in named else -1
        else:
            index = int(channel)
        count = self.sizes["C"]
        if not 0 <= index < count:
            known = ", ".join(self.channel_names) or "without names"
            raise ParameterError(
                f"'{self.name}' has no channel {channel!r}.", f"It has {count}, numbered from 0: {known}."
            )
        if "C" not in self.axes:
            return self
        array = sliceable(self.array)[(slice(None),) * self.axes.index("C") + (index,)]
        names = self.channel_names[index : index + 1]
        return replace(self, array=array, axes=self.axes.replace("C", ""), channel_names=names)

    @classmethod
    def from_array(
        cls,
        array: Any,
        *,
        axes: str | None = None,
        pixel_size_um: float | None = None,
        z_step_um: float | None = None,
        channel_names: Sequence[str] = (),
        name: str = "image",
        sources: Sequence[str] = (),
        place: WellPosition | None = None,
        flags: Sequence[str] = (),
        display: Display | None = None,
        stage_um: tuple[float, float] | None = None,
    ) -> Micrograph:
        """Wrap an array; its axes are put in the order TCZYX without a copy.

        Parameters
        ----------
        array : array-like, 2 to 5 dimensions, or (Y, X, 3 or 4) with ``axes="YXS"``
            A colour picture whose channels are equal is taken as grey.
        axes : str, optional
            One letter per dimension; may be left out for two dimensions only. ``S`` stands for the samples of a
            colour picture.

        Raises
        ------
        AxesUnknownError
            If the array has three or more dimensions and no axes are given.
        InputError
            If the array is no image of real numbers of 2 to 5 dimensions, or a true colour picture.
        """
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            array = np.asarray(array)
        check_dtype(array.dtype)
        check_shape(array.shape)
        axes = (axes or default_axes(array.shape, "" if name == "image" else name)).upper()
        if "S" in axes:
            array, axes = grey_from_colour(array, axes)
        axes = check_axes(axes, array.shape)
        order = [a for a in TCZYX if a in axes]
        if order != list(axes):
            array = sliceable(array).transpose([axes.index(a) for a in order])
        return cls(
            array,
            "".join(order),
            pixel_size_um,
            z_step_um,
            tuple(channel_names),
            name,
            tuple(sources),
            place or WellPosition(),
            tuple(flags),
            display or Display(),
            stage_um,
        )


def as_length(value: Any) -> float | None:
    """Return a length as a plain float, or None where it is no positive finite number.

    Examples
    --------
    >>> as_length(np.float32(0.5)), as_length(0), as_length(float("nan")), as_length("0.5")
    (0.5, None, None, None)
    """
    length = float(value) if isinstance(value, Real) else math.nan
    return length if math.isfinite(length) and length > 0 else None


def lazy_index(array: Any, leading: tuple[int, ...]) -> Any:
    """Index the leading axes; a zarr array stays lazy through dask."""
    return sliceable(array)[leading] if leading else array


def sliceable(array: Any) -> Any:
    """Return an array that can be indexed and transposed without reading it: a zarr array as dask."""
    if not type(array).__module__.startswith("zarr"):
        return array
    import dask.array as da

    return da.from_zarr(array)


def check_dtype(dtype: Any) -> None:
    """Refuse pixels that are not real numbers.

    Raises
    ------
    InputError
        If the dtype is complex, text, object or a record.
    """
    kind = np.dtype(dtype).kind
    if kind not in "biuf":
        raise InputError(
            f"The pixels have type {np.dtype(dtype)}, which is no real number.",
            "Save the image as 8-, 16- or 32-bit grey values.",
            flag="wrong_dtype",
        )


def grey_from_colour(array: Any, axes: str) -> tuple[Any, str]:
    """Take a colour picture with equal channels as grey.

    Parameters
    ----------
    array : array with a last or other axis of 3 or 4 samples
    axes : str
        Contains ``S``.

    Returns
    -------
    tuple
        The array without the sample axis, and its axes.

    Raises
    ------
    InputError
        If red, green and blue differ, or the axes do not fit.
    """
    check_length(axes, array.shape)
    index = axes.index("S")
    samples = [array[(slice(None),) * index + (i,)] for i in range(min(3, array.shape[index]))]
    first = np.asarray(samples[0])
    if any(not np.array_equal(first, np.asarray(other)) for other in samples[1:]):
        raise InputError(
            "The image is a colour picture: its red, green and blue differ.",
            "Give the grey camera image, or one channel of it.",
            dock="Use its grey values, or open the camera's grey image.",
            flag="colour_image",
        )
    return first, axes.replace("S", "")
