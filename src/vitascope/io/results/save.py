"""One result as a folder or a table: what the dock's "Save results" and :meth:`vitascope.Result.save` write."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from vitascope.core.errors import OutputError
from vitascope.core.result import Result
from vitascope.io.atomic import file_name
from vitascope.io.results.folder import ResultsFolder, results_rows
from vitascope.io.results.images import Sizes
from vitascope.io.results.provenance import describe_run
from vitascope.io.results.read import is_results_folder


def save_result(result: Result, folder: str | os.PathLike[str], command: str = "") -> Path:
    """Write a result as the command line does: pictures, tables and provenance.

    Parameters
    ----------
    result : Result
    folder : path
        Made where it is not there; never one that holds the results of a run.
    command : str
        That repeats the run, for the provenance; empty where there is none.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If the folder holds another run, or cannot be written.
    """
    folder = Path(folder)
    if is_results_folder(folder):
        raise OutputError(f"'{folder}' already holds the results of a run.", "Choose an empty folder.")
    one = result.provenance
    out = ResultsFolder(folder, one.task if one else "")
    pixel_size_um, z_step_um = input_sizes(result)
    out.add(result, pixel_size_um=pixel_size_um, z_step_um=z_step_um)
    out.close(describe_run(command, [one] if one else [], one.started if one else "", one.seconds if one else 0.0))
    return folder


def input_sizes(result: Result) -> Sizes:
    """Return pixel size and z step (µm) of the image that a result was made from; None where they are not known."""
    first = result.provenance.inputs[0] if result.provenance and result.provenance.inputs else {}
    return first.get("pixel_size_um"), first.get("z_step_um")


def result_frame(result: Result) -> pd.DataFrame:
    """Return the rows that a result has in ``results.csv``, under the same columns."""
    return pd.DataFrame(results_rows(result, file_name(result.name)))
