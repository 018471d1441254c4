"""Where a layer lies in the viewer, so that what is made from it comes to lie on top of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.utils.transforms import Affine, CompositeAffine

from vitascope.core.micrograph import sliceable

UNKNOWN_UNIT = "pixel"


@dataclass(frozen=True, eq=False)
class Frame:
    """The grid of a layer and its place in the world, as it was when a run began.

    Parameters
    ----------
    name : str
        Of the layer.
    axes : str
        One letter out of TCZYX for each dimension, in the layer's own order.
    shape : tuple of int
        Length of each dimension.
    grid : CompositeAffine
        Scale, shear, rotation and translation, with units and axis labels.
    affine : Affine
        What napari applies after them.
    image : str
        Word for the layer that stays when it is renamed; empty where there is no layer.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    grid: CompositeAffine = field(repr=False)
    affine: Affine = field(repr=False)
    image: str = ""

    @classmethod
    def of_layer(cls, layer: Any, axes: str) -> Frame:
        """Note where a layer lies now; moving it later changes nothing here."""
        count = layer.ndim
        grid = CompositeAffine(
            scale=np.array(layer.scale),
            translate=np.array(layer.translate),
            rotate=np.array(layer.rotate),
            shear=np.array(layer.shear),
            ndim=count,
            units=tuple(str(unit) for unit in layer.units),
            axis_labels=tuple(layer.axis_labels),
        )
        shape = tuple(int(n) for n in (layer.data[0] if layer.multiscale else layer.data).shape[:count])
        affine = Affine(affine_matrix=np.array(layer.affine.affine_matrix))
        return cls(layer.name, axes, shape, grid, affine, str(layer.unique_id))

    @classmethod
    def of_scale(
        cls,
        name: str,
        axes: str,
        shape: Sequence[int],
        um: Mapping[str, float | None],
        origin_px: Mapping[str, float] | None = None,
    ) -> Frame:
        """Make the frame of an image from a file: µm by axis, and 1 px where nothing is known."""
        known = [um.get(axis) for axis in axes]
        origin = origin_px or {}
        grid = CompositeAffine(
            scale=[size or 1.0 for size in known],
            translate=[origin.get(axis, 0.0) * (size or 1.0) for axis, size in zip(axes, known, strict=True)],
            ndim=len(axes),
            units=tuple("micrometer" if size else UNKNOWN_UNIT for size in known),
            axis_labels=tuple(axes.lower()),
        )
        return cls(name, axes, tuple(int(n) for n in shape), grid, Affine(ndim=len(axes)))

    def place(self, array: Any, axes: str) -> tuple[Any, dict[str, Any]]:
        """Lay an array on this frame.

        The array is put in the layer's order of axes. An axis that it lacks is left out where it comes first, and
        becomes one pixel as long as the whole axis where it lies further in, so that the picture shows at every
        position of it. An axis that the frame lacks comes first, one pixel a step.

        Parameters
        ----------
        array : numpy, dask or zarr array, shape as ``axes``
        axes : str
            Letters of TCZYX in order, without C unless the frame has it.

        Returns
        -------
        tuple of array and dict
            What napari is given: the array, and scale, translate, rotate, shear, affine, units and axis_labels.
        """
        lead = [axis for axis in axes if axis not in self.axes]
        first = min(i for i, axis in enumerate(self.axes) if axis in axes)
        kept = list(range(first, len(self.axes)))
        order = [axes.index(axis) for axis in (*lead, *self.axes[first:]) if axis in axes]
        absent = [len(lead) + i for i, axis in enumerate(self.axes[first:]) if axis not in axes]
        array = _with_axes(array, order, absent)
        grid, affine = self._stretched(kept, absent, len(lead))
        front = list(range(len(lead)))
        units, labels = list(grid.units), list(grid.axis_labels)
        if lead:
            grid, affine = grid.expand_dims(front), affine.expand_dims(front)
            units, labels = [UNKNOWN_UNIT] * len(lead) + units, [axis.lower() for axis in lead] + labels
        return array, {
            "scale": grid.scale,
            "translate": grid.translate,
            "rotate": grid.rotate,
            "shear": grid.shear,
            "affine": affine.affine_matrix,
            "units": tuple(str(unit) for unit in units),
            "axis_labels": tuple(labels),
        }

    def _stretched(self, kept: list[int], absent: list[int], lead: int) -> tuple[CompositeAffine, Affine]:
        """Cut the transforms to the kept axes, the absent ones among them one pixel long."""
        scale, translate = np.array(self.grid.scale), np.array(self.grid.translate)
        linear = np.array(self.grid.linear_matrix)
        for position in absent:
            index = kept[position - lead]
            translate = translate + linear[:, index] * (self.shape[index] - 1) / 2
            scale[index] = scale[index] * self.shape[index]
        grid = CompositeAffine(
            scale=scale,
            translate=translate,
            rotate=self.grid.rotate,
            shear=self.grid.shear,
            ndim=len(self.axes),
            units=self.grid.units,
            axis_labels=self.grid.axis_labels,
        )
        return grid.set_slice(kept), self.affine.set_slice(kept)


def _with_axes(array: Any, order: list[int], absent: list[int]) -> Any:
    """Permute axes and put new ones of length one in."""
    array = sliceable(array)
    if order != sorted(order):
        array = array.transpose(order)
    for position in absent:
        array = array[(slice(None),) * position + (None,)]
    return array
