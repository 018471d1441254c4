"""The public functions: what a script or notebook calls, and what "Copy as Python" writes.

Each is imported from ``vitascope`` itself. What a function needs is loaded when it is called.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitascope.core.aliases import old_keywords
from vitascope.core.errors import ParameterError
from vitascope.core.progress import run_to_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

    from vitascope.batch.plate.run import PlateReport
    from vitascope.core.card import ModelCard
    from vitascope.core.micrograph import Micrograph
    from vitascope.core.result import Result
    from vitascope.io.plates.plate import Plate
    from vitascope.io.tables.plate_map import PlateMap
    from vitascope.recipes.calibration import Calibration
    from vitascope.recipes.recipe import Recipe
    from vitascope.stats.response.result import ResponseResult
    from vitascope.tasks.spec import TaskSpec

AnyPath = str | os.PathLike[str]


@old_keywords
def read_images(
    *paths: AnyPath, pattern: str | None = None, axes: str | None = None, pixel_size_um: float | None = None
) -> list[Micrograph]:
    """Read files, folders or globs as images, planes and channels put together.

    Parameters
    ----------
    *paths : path
        TIFF, OME-TIFF, PNG, OME-Zarr, or CZI, ND2 and LIF with their extras. Files that differ only in z are planes of
        one image, only in channel its channels.
    pattern : str, optional
        Pattern of the file names with named parts (``well``, ``field``, ``z``, ``channel``, ``time``, ``plate``), such
        as ``{well}_f{field}_{channel}.tif``; it overrides the layouts of instruments that are known.
    axes : str, optional
        One letter out of TCZYX for each dimension of each file, where the files do not tell or tell wrong.
    pixel_size_um : float, > 0, micrometre, optional
        Pixel size of all images, where the files do not tell or tell wrong.

    Returns
    -------
    list of Micrograph
        One for each image, in the order of plate, well, field, time and name; large ones are read when they are needed.

    Raises
    ------
    ReaderError
        If a path cannot be read or ends up in no image.
    InputError
        If a file is no image of real numbers in up to five dimensions.
    ParameterError
        If no path is given, or ``pattern``, ``axes`` or ``pixel_size_um`` cannot be used.
    """
    from vitascope.io.images.read import read_images as read_all

    return read_all(_checked(paths), pattern=pattern, pixel_size_um=pixel_size_um, axes=axes)


@old_keywords
def read_image(
    *paths: AnyPath, pattern: str | None = None, axes: str | None = None, pixel_size_um: float | None = None
) -> Micrograph:
    """Read one image, from one file or from the files of its planes and channels.

    Parameters
    ----------
    *paths : path
        As :func:`read_images` takes them.
    pattern, axes, pixel_size_um : optional
        As for :func:`read_images`.

    Returns
    -------
    Micrograph

    Raises
    ------
    ReaderError
        If the paths are more than one image, or cannot be read.
    InputError, ParameterError
        As for :func:`read_images`.
    """
    from vitascope.io.images.read import read_image as read_one

    return read_one(_checked(paths), pattern=pattern, pixel_size_um=pixel_size_um, axes=axes)


def read(*paths: AnyPath, **options: Any) -> list[Micrograph]:
    """Read images under an old name: call :func:`read_images`."""
    warnings.warn("vitascope.read is now vitascope.read_images.", DeprecationWarning, stacklevel=2)
    return read_images(*paths, **options)


@old_keywords
def read_plate(
    path: AnyPath,
    *,
    pattern: str | None = None,
    axes: str | None = None,
    pixel_size_um: float | None = None,
    plate: str | None = None,
    size: int | None = None,
) -> Plate:
    """Read the index of a plate: its wells, fields and times, and the files of each. No image is opened.

    Parameters
    ----------
    path : path
        Folder of images, OME-Zarr plate, ``Index.idx.xml`` of an Operetta or Opera Phenix, or ``.HTD`` of MetaXpress.
    pattern, axes, pixel_size_um : optional
        As for :func:`read_images`; they hold for every image of the plate.
    plate : str, optional
        Name of the plate, where the path holds several.
    size : int, optional
        Number of wells, from 6 to 1536; by default the smallest common plate that holds all wells.

    Returns
    -------
    Plate
        Iterating it gives its images. Each has ``id``, ``well``, ``open()``, and ``problem``: None, or the error why it
        cannot be opened. ``warnings`` holds sentences on what was noticed and left out.

    Raises
    ------
    ReaderError
        If there is no plate, or there are several and none is named; the message lists them.
    ParameterError
        If an option cannot be used.
    """
    from vitascope.io.images.read import check_pixel_size
    from vitascope.io.plates.read import open_plate

    check_pixel_size(pixel_size_um)
    found = open_plate(path, pattern=pattern, plate=plate, size=size)
    return replace(found.given(pixel_size_um, axes), pattern=pattern)


def read_plate_map(
    path: AnyPath, *, columns: dict[str, str] | None = None, plate: str | None = None, size: int | None = None
) -> PlateMap:
    """Read what is in each well.

    Parameters
    ----------
    path : path
        CSV, TSV or XLSX: one line for each well, or tables in the shape of the plate; cellHTS2; or a plate reader's
        export, whose values become the column ``signal``.
    columns : dict of str to str, optional
        Which column of the file holds what, where its name does not tell: ``{"dose": "SBS_Doses"}``.
    plate : str, optional
        Name of the plate that the map is for, where the file does not tell.
    size : int, optional
        Number of wells of the plate; wells outside it are refused.

    Returns
    -------
    PlateMap
        ``table`` is a DataFrame with one row for each well: ``well`` (``B07``), ``treatment``, ``dose``, ``dose_unit``,
        ``role`` and more. ``problems`` lists what was noticed and does not stand in the way.

    Raises
    ------
    ReaderError
        If the file cannot be read.
    InputError
        If it names no wells, names one twice, or holds a dose that is no number; all wells concerned are named.
    """
    from vitascope.io.tables.plate_map import read_plate_map as read_map

    return read_map(Path(path), columns=columns, plate=plate, size=size)


def run(task: str, image: Any, **params: Any) -> Result:
    """Run one task on one image and wait for the result.

    Parameters
    ----------
    task : str
        Name of the task, such as ``"stain"``; see :func:`list_tasks`.
    image : Micrograph, image of a plate, array of 2 to 5 dimensions (TCZYX), or path
    **params
        Fields of the task's parameters, such as ``model`` and ``device``; further images by role, such as ``reference``
        or ``region``, where the task takes them; ``pixel_size_um``, and ``axes`` for arrays.

    Returns
    -------
    Result
        Outputs on the input's grid, the numbers, how far to trust them, and where they come from.

    Raises
    ------
    VitascopeError
        With a message and a hint, if the input, the model or a parameter does not fit.
    """
    from vitascope.tasks.run import start

    return run_to_end(start(task, image, **_as_text(params)))


def run_plate(plate: Plate | AnyPath, task: str, out: AnyPath, **params: Any) -> PlateReport:
    """Run one task on every image of a plate. Stopped at any moment and called again, it resumes.

    Parameters
    ----------
    plate : Plate or path
        A path is read by :func:`read_plate`.
    task : str
        Name of the task; see :func:`list_tasks`.
    out : path
        Folder for the results; an unfinished run in it is resumed.
    **params
        Fields of the task's parameters, such as ``model`` and ``device``. Besides these: ``plate_map`` (PlateMap or
        path), whose columns come into the tables; ``workers`` (processes on this machine; without it, threads of this
        one) or ``scheduler`` (address of a dask scheduler, or ``http://…`` of a service); ``redo=True`` to run again
        what failed; ``pixel_size_um`` and ``axes`` of all images; ``drift`` (name or file of a reference that the
        images are compared with) and ``stop_on_drift=True`` to end at the first alarm.

    Returns
    -------
    PlateReport
        ``out`` is the folder, ``counts`` the number of images by status, ``complete`` whether none failed.

    Raises
    ------
    VitascopeError
        If the plate, the model, a parameter or the folder cannot be used. An image that cannot be run raises nothing:
        it has its row, with a status and a sentence.
    """
    from vitascope.batch.drift.references import find_reference
    from vitascope.batch.drift.watch import Drift
    from vitascope.batch.plate.job import PlateJob
    from vitascope.batch.plate.run import run_plate as start
    from vitascope.io.plates.plate import Plate as Index
    from vitascope.tasks.registry import find_task

    spec = find_task(task)
    values = _as_text(params)
    how = {name: values.pop(name, None) for name in ("workers", "scheduler", "redo", "pixel_size_um", "axes")}
    mapped = values.pop("plate_map", None)
    given, stop = values.pop("drift", None), bool(values.pop("stop_on_drift", False))
    chosen = spec.make_params(**values)
    index = plate if isinstance(plate, Index) else read_plate(plate)
    if isinstance(mapped, str):
        mapped = read_plate_map(mapped, plate=index.name)
    job = PlateJob(
        spec=spec,
        plate=index,
        params=chosen,
        out=Path(out),
        plate_map=mapped,
        scheduler=how["scheduler"],
        workers=how["workers"],
        pixel_size_um=how["pixel_size_um"] or index.pixel_size_um,
        axes=how["axes"] or index.axes,
        drift=None if given is None else Drift(find_reference(given), stop=stop, given=given),
        pattern=index.pattern,
        redo=bool(how["redo"]),
    )
    return run_to_end(start(job))


def fit_dose_response(
    table: DataFrame | AnyPath,
    *,
    dose: str = "dose",
    response: str | Sequence[str],
    by: Sequence[str] | None = None,
    plate_map: PlateMap | AnyPath | None = None,
    **settings: Any,
) -> ResponseResult:
    """Fit dose-response curves to wells: IC50 with interval, or the reason why there is none.

    Parameters
    ----------
    table : DataFrame or path
        One row for each well, see :func:`vitascope.stats.response.analysis.fit_dose_response`; or the folder of a run
        or plate run, a table (CSV, TSV, XLSX), a plate reader's export, or the ``Platelist.txt`` of a cellHTS2 screen.
    dose : str
        Column of doses; the unit may stand in the cells, in ``dose_unit``, or in the column's name (``dose_um``).
    response : str or sequence of str
        Column or columns of values.
    by : sequence of str, optional
        Columns that tell curves apart; by default those of plate, day, time and treatment that are there.
    plate_map : PlateMap or path, optional
        What is in each well, where ``table`` is a path that does not tell.
    **settings
        Fields of :class:`vitascope.stats.response.params.ResponseParams`, such as ``normalise``, ``direction``,
        ``correct``, ``interval`` and ``outliers``.

    Returns
    -------
    ResponseResult
        ``curves`` and ``points`` are the tables that ``vitascope response`` writes; ``plates`` judges each plate.

    Raises
    ------
    ReaderError
        If a path cannot be read.
    InputError
        If a column is missing, or nothing tells the doses.
    ParameterError
        If a setting is unknown or out of bounds.

    Examples
    --------
    >>> import pandas as pd
    >>> wells = pd.DataFrame({"treatment": "A", "dose_um": [0.1, 0.3, 1, 3, 10, 30], "atp": [99, 97, 75, 24, 4, 1]})
    >>> fit_dose_response(wells, dose="dose_um", response="atp").curves[["treatment", "relation", "quality"]].values
    array([['A', '=', 'good']], dtype=object)
    """
    from vitascope.stats.response.analysis import fit_dose_response as fit

    if isinstance(table, (str, os.PathLike)):
        from vitascope.batch.response.inputs import read_response_table

        mapped = read_plate_map(plate_map) if isinstance(plate_map, (str, os.PathLike)) else plate_map
        wells = read_response_table(Path(table), mapped, {} if dose == "dose" else {"dose": dose})
        dose = "dose"
        if "unit" not in settings and response == wells.headline:
            settings["unit"] = wells.unit
        table = wells.table
    elif plate_map is not None:
        raise ParameterError("A plate map goes with a path.", "Join the map to the table, or give the table's path.")
    return fit(table, dose=dose, response=response, by=by, **settings)


def train(task: str, recipe: Recipe | AnyPath, out: AnyPath, start_from: str | None = None) -> Path:
    """Train a model from a recipe. Interrupted and called again, it resumes.

    Parameters
    ----------
    task : str
        Name of the task that the model is for.
    recipe : path or Recipe
        YAML file with data, network, losses and split. Data are found under ``VITASCOPE_DATA``, or relative to the
        file; to the current folder for a :class:`~vitascope.recipes.recipe.Recipe`.
    out : path
        Name of the new model, which then lies with the user's own; or a path that ends in its name.
    start_from : str, optional
        Model whose weights training starts from; by default the one that the recipe names, if it names one.

    Returns
    -------
    Path
        Of the model's card; ``run`` takes it, or the model's name, as ``model``.

    Raises
    ------
    VitascopeError
        If data or recipe cannot be used, or there is a model of this name already: models are never replaced.
    """
    from vitascope.io.models.cards import new_model
    from vitascope.recipes.recipe import Recipe as Tree
    from vitascope.recipes.recipe import read_recipe
    from vitascope.tasks.late_modules import load_finetuning
    from vitascope.tasks.registry import find_task

    spec = find_task(task)
    folder = Path.cwd() if isinstance(recipe, Tree) else Path(recipe).parent
    found = recipe if isinstance(recipe, Tree) else read_recipe(Path(recipe))
    if find_task(found.task) is not spec:
        raise ParameterError(f"The recipe is for the task '{found.task}', not '{task}'.")
    models, name = new_model(os.fspath(out))
    if start := start_from or found.start_from:
        found = load_finetuning().with_start_defaults(found, start)
    steps = spec.load_training().run_training(found.changed({"id": name}), folder, models, start_from, "auto")
    card: Path = run_to_end(steps)
    return card


def calibrate(task: str, images: AnyPath, values: AnyPath, out: AnyPath, **settings: Any) -> Calibration:
    """Calibrate a model on one laboratory's wells: bright-field images and a reader's sheet.

    Parameters
    ----------
    task : str
        ``"atp"``.
    images : path
        Folder of images, a well each. Those without a value are candidates to be measured next.
    values : path
        A reader's sheet (CSV or XLSX): grid, list or export. Eight wells are enough to begin.
    out : path
        Name of the new model, which then lies with the user's own; or a path that ends in its name.
    **settings
        Fields of :class:`vitascope.recipes.calibration.CalibrateParams`, such as ``method``, ``network``, ``group`` and
        ``start``.

    Returns
    -------
    Calibration
        ``card`` is that of the new model; ``errors``, ``curve`` and ``next_wells`` are tables; ``sentences`` say it.

    Raises
    ------
    VitascopeError
        If images, sheet or start model cannot be used, or there is a model of this name already.
    """
    from vitascope.io.models.cards import new_model
    from vitascope.recipes.calibration import CalibrateParams
    from vitascope.tasks.calibration import check_calibrated
    from vitascope.tasks.late_modules import load_calibration

    check_calibrated(task)
    folder, name = new_model(os.fspath(out))
    params = CalibrateParams.make(**settings)
    found: Calibration = run_to_end(load_calibration().calibrate(Path(images), Path(values), folder, name, params))
    return found


def list_tasks() -> list[TaskSpec]:
    """List what can be run.

    Returns
    -------
    list of TaskSpec
        Each with ``name`` (what :func:`run` takes), ``title``, ``summary`` and ``params`` (its parameter model).

    Examples
    --------
    >>> [task.name for task in list_tasks()]
    ['stain', 'atp', 'viability', 'phenotype', 'spheroid']
    """
    from vitascope.tasks.registry import TASKS

    return list(TASKS)


def list_models(task: str | None = None) -> list[ModelCard]:
    """List the cards of the models at hand, the bundled ones first.

    Parameters
    ----------
    task : str, optional
        Only models of this task.

    Returns
    -------
    list of ModelCard
        Each with ``id`` (what :func:`run` takes as ``model``), ``title``, ``summary``, ``metrics`` and ``limitations``.

    Raises
    ------
    ParameterError
        If there is no such task.
    """
    from vitascope.io.models.cards import list_cards
    from vitascope.tasks.registry import find_task

    return list_cards(None if task is None else find_task(task).name)


def _checked(paths: tuple[AnyPath, ...]) -> tuple[AnyPath, ...]:
    if not paths:
        raise ParameterError("No path was given.", "Give a file, a folder or a glob such as 'scan/*.tif'.")
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            hint = "Put a star before a list: read_images(*paths)." if isinstance(path, (list, tuple)) else ""
            raise ParameterError(f"{type(path).__name__} is no path.", hint or "Give a file, a folder or a glob.")
    return paths


def _as_text(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with paths as text: the name of a model, a plate map."""
    return {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in params.items()}
