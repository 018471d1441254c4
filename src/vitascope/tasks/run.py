"""Start a task on whatever a Python user has: a micrograph, an array or a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import ProgressGenerator
from vitascope.core.result import Result
from vitascope.io.images.read import read_image
from vitascope.io.plates.plate import Site
from vitascope.tasks.registry import find_task


def start(
    task: str,
    image: Any,
    *,
    pixel_size_um: float | None = None,
    axes: str | None = None,
    **values: Any,
) -> ProgressGenerator[Result]:
    """Start a run; drain it with :func:`vitascope.core.progress.run_to_end`, or close it to cancel.

    Parameters
    ----------
    task : str
    image : Micrograph, image of a plate, array or path
    pixel_size_um : float, optional
        For arrays and files that do not tell it.
    axes : str, optional
        For arrays: one letter per dimension.
    **values
        Further inputs by role, and fields of the task's parameters.
    """
    spec = find_task(task)
    inputs = {spec.roles[0].name: as_micrograph(image, pixel_size_um, axes)}
    for role in spec.roles[1:]:
        given = values.pop(role.name, None)
        if given is not None:
            inputs[role.name] = as_micrograph(given, pixel_size_um, None)
    return spec.start(inputs, spec.make_params(**values))


def as_micrograph(image: Any, pixel_size_um: float | None = None, axes: str | None = None) -> Micrograph:
    """Turn an array, a path or an image of a plate into a micrograph.

    A micrograph stays what it is, unless a pixel size is given.
    """
    if isinstance(image, Site):
        return image.open(pixel_size_um, axes)
    if isinstance(image, str | Path):
        return read_image(image, pixel_size_um=pixel_size_um, axes=axes)
    if not isinstance(image, Micrograph):
        return Micrograph.from_array(image, axes=axes, pixel_size_um=pixel_size_um)
    return image if pixel_size_um is None else image.with_pixel_size(pixel_size_um)
