"""Numbers from living cultures without staining or killing them.

The public calls are few: :func:`read` turns paths into images, :func:`run` runs a task on one of them,
:func:`list_models` lists what can be run. The command ``vitascope`` and the napari docks call the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitascope.core.card import ModelCard
    from vitascope.core.micrograph import Micrograph
    from vitascope.core.result import Result

__version__ = "0.1.0"
__all__ = ["__version__", "list_models", "read", "run"]


def read(*paths: str, pattern: str | None = None, pixel_size_um: float | None = None) -> list[Micrograph]:
    """Turn files, folders or quoted globs into images, planes and channels put together.

    Parameters
    ----------
    *paths : str
        TIFF, OME-TIFF, PNG or zarr; files that differ only in z are planes of one image, only in channel its channels.
    pattern : str, optional
        Pattern with named groups (``well``, ``field``, ``z``, ``channel``, ``time``, ``plate``) that overrides the
        layouts known by name.
    pixel_size_um : float, > 0, micrometre, optional
        Pixel size of all images, where the files do not tell it or tell it wrong.

    Returns
    -------
    list of Micrograph
        One for each image, opened lazily where the format allows.

    Raises
    ------
    ReaderError
        If a path cannot be read or ends up in no image.
    """
    from vitascope.io.images.read import read_images

    return read_images(paths, pattern=pattern, pixel_size_um=pixel_size_um)


def run(task: str, image: Any, *, reference: Any = None, **params: Any) -> Result:
    """Run one task on one image and wait for the result.

    Parameters
    ----------
    task : str
        Name of the task, such as ``"stain"``.
    image : Micrograph, array of 2 to 5 dimensions (TCZYX), or path
    reference : Micrograph, array or path, optional
        The real stain or other truth to compare with, where the task takes one.
    **params
        Further images by role, such as ``region``, and fields of the task's parameters, plus ``pixel_size_um`` and
        ``axes`` for arrays.

    Returns
    -------
    Result
        Outputs on the input's grid, the numbers, how far to trust them, and where they come from.

    Raises
    ------
    VitascopeError
        With a message and a hint, if the input, the model or a parameter does not fit.
    """
    from vitascope.core.progress import run_to_end
    from vitascope.tasks.run import start

    given = params if reference is None else {**params, "reference": reference}
    return run_to_end(start(task, image, **given))


def list_models(task: str | None = None) -> list[ModelCard]:
    """List the cards of the models at hand, the bundled ones first.

    Parameters
    ----------
    task : str, optional
        Only models of this task.

    Returns
    -------
    list of ModelCard
    """
    from vitascope.io.models.cards import list_cards

    return list_cards(task)
