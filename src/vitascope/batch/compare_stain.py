"""Predicted stains compared with real ones, from files to a table and a figure."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vitascope.core.errors import InputError, OutputError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import ProgressGenerator
from vitascope.core.stain_names import showing
from vitascope.core.versions import versions
from vitascope.io.atomic import check_writable, write_bytes, write_json
from vitascope.io.images.read import read_image
from vitascope.io.results.provenance import describe_input
from vitascope.io.results.read import is_results_folder
from vitascope.io.results.stain_figure import save_stain_figure
from vitascope.ops.objects.measure import column_names
from vitascope.stats.linear_correction import correction_json, fit_corrections
from vitascope.tasks.late_modules import load_stain_tiers

CROP_DIAMETERS = 6.0
"""Side of the crops that a correction is fitted on or tried on, in nucleus diameters: two cells or so."""

AGREEMENT, FIGURE, CELLS, PROVENANCE = "agreement.csv", "agreement.png", "cells.csv", "provenance.json"
NO_STAIN = "no_stain.csv"


@dataclass(frozen=True)
class StainComparison:
    """What was written.

    Parameters
    ----------
    table : DataFrame
        ``tier, quantity, target, value, low, high``.
    correction : DataFrame
        Of :func:`vitascope.stats.linear_correction.fit_corrections`; empty where none was asked for.
    files : tuple of Path
    left_out : tuple of str
        Predicted stains that no real one shows.
    rescaled : tuple of str
        Those predicted in grey values, which were brought to [0, 1].
    """

    table: pd.DataFrame
    correction: pd.DataFrame
    files: tuple[Path, ...]
    left_out: tuple[str, ...]
    rescaled: tuple[str, ...] = ()


def compare_stain(
    image: Path,
    predicted: Path,
    real: Sequence[str],
    out: Path,
    *,
    object_diameter_px: float | None = None,
    pixel_size_um: float | None = None,
    fit_correction: Path | None = None,
    command: str = "",
) -> ProgressGenerator[StainComparison]:
    """Compare the predicted stains of one field with real ones, and write ``agreement.csv`` and a figure.

    Parameters
    ----------
    image : Path
        The label-free image.
    predicted : Path
        Picture with a channel for each predicted stain.
    real : sequence of str
        Pictures of real stains, of one channel or several; ``name=path`` says what one shows.
    out : Path
        Folder; files of these names in it are replaced.
    object_diameter_px : float or None, > 0, px
        Typical nucleus; by default measured in the real stain.
    pixel_size_um : float or None, > 0, micrometre
    fit_correction : Path, optional
        File to write a linear correction of intensities to, for ``--set correction=`` of a run.
    command : str
        That repeats it, for the provenance.

    Yields
    ------
    Progress

    Returns
    -------
    StainComparison

    Raises
    ------
    ReaderError, InputError, OutputError
        If a picture cannot be read, sizes differ, no stain is on both sides, or the folder cannot be written.
    """
    if is_results_folder(out):
        raise OutputError(f"'{out}' holds the results of a run.", "Choose another folder.")
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    given = read_image(str(image), pixel_size_um=pixel_size_um)
    answer = read_image(str(predicted))
    truths = [_read_real(one) for one in real]
    check_writable(out, 0)
    found = match_stains(answer, truths)
    check_sizes(given, answer, [one for _, one in truths])
    tiers = yield from load_stain_tiers().compare_tiers(
        {name: pair[0] for name, pair in found.items()},
        {name: pair[1] for name, pair in found.items()},
        object_diameter_px,
        given.pixel_size_um,
    )
    table = tiers.table()
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / AGREEMENT, table.to_csv(index=False).encode())
    write_bytes(out / CELLS, tiers.cells.to_csv(index=False).encode())
    write_bytes(out / NO_STAIN, tiers.apart.to_csv(index=False).encode())
    pictures = {name: tiers.pictures[name] for name in found}
    save_stain_figure(
        out / FIGURE, given.plane(z=given.sizes["Z"] // 2), pictures, table, tiers.cells, column_names(list(found))
    )
    correction = pd.DataFrame()
    if fit_correction is not None and len(tiers.cells):
        columns = dict(zip(found, column_names(list(found)), strict=True))
        correction = fit_corrections(tiers.cells, columns, CROP_DIAMETERS * tiers.nucleus_px)
        write_json(fit_correction, correction_json(correction))
    inputs = [describe_input("image", given), describe_input("predicted", answer)]
    inputs += [describe_input("real", one) for _, one in truths]
    write_json(
        out / PROVENANCE,
        {
            "command": command,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "versions": versions(),
            "object_diameter_px": round(tiers.nucleus_px, 3),
            "inputs": inputs,
        },
    )
    left_out = tuple(name for name in answer.channel_names if name not in found)
    return StainComparison(
        table,
        correction,
        tuple(out / n for n in (AGREEMENT, FIGURE, CELLS, NO_STAIN, PROVENANCE)),
        left_out,
        tiers.rescaled,
    )


def _read_real(text: str) -> tuple[str, Micrograph]:
    """Read a real stain; ``name=path`` names it, unless there is a file of that very name."""
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        name, path = "", text
    return name.strip(), read_image(path)


def match_stains(predicted: Micrograph, truths: Sequence[tuple[str, Micrograph]]) -> dict[str, tuple[Any, Any]]:
    """Find the real stain of each predicted channel by name.

    Parameters
    ----------
    predicted : Micrograph
    truths : sequence of tuple of str and Micrograph
        The name that the user gave it, or none.

    Returns
    -------
    dict of target to tuple of array, shape (Y, X)
        Real and predicted plane.

    Raises
    ------
    InputError
        If no stain is on both sides, or two real ones show the same.
    """
    channels = list(predicted.channel_names) or [predicted.name]
    told: list[tuple[str, Any]] = []
    for name, image in truths:
        names = [name] if name else _channel_words(image)
        told += [(word, image.plane(c=k)) for k, word in enumerate(names[: image.sizes["C"]])]
    if len(channels) == 1 and len(told) == 1:
        return {channels[0]: (told[0][1], predicted.plane())}
    found: dict[str, tuple[Any, Any]] = {}
    for k, target in enumerate(channels):
        planes = [told[number][1] for number in showing([word for word, _ in told], target)]
        if len(planes) > 1:
            raise InputError(
                f"Two real stains show '{target}'.", "Say which is which: --real er=FILE.", flag="wrong_channels"
            )
        if planes:
            found[target] = (planes[0], predicted.plane(c=k))
    if not found:
        raise InputError(
            f"None of the real stains ({', '.join(word for word, _ in told)}) is one of the predicted ones "
            f"({', '.join(channels)}).",
            "Say what a file shows: --real er=FILE.",
            flag="wrong_channels",
        )
    return found


def _channel_words(image: Micrograph) -> list[str]:
    """Return what the channels of a picture are called; that of a single one together with the file's name."""
    names = list(image.channel_names)
    if image.sizes["C"] == 1:
        return [" ".join([*names, image.name])]
    return names or [f"channel {k}" for k in range(image.sizes["C"])]


def check_sizes(image: Micrograph, predicted: Micrograph, truths: Sequence[Micrograph]) -> None:
    """Refuse pictures that are not of one size, or are several.

    Raises
    ------
    InputError
    """
    for other in (predicted, *truths):
        if other.shape_yx != image.shape_yx:
            raise InputError(
                f"'{other.name}' is {other.shape_yx[0]} x {other.shape_yx[1]} px, the image {image.shape_yx[0]} x "
                f"{image.shape_yx[1]} px.",
                "All must show the same field on the same pixels.",
            )
        if other.sizes["T"] > 1 or other.sizes["Z"] > 1:
            raise InputError(
                f"'{other.name}' holds {other.sizes['T']} times and {other.sizes['Z']} planes.",
                "Give the stains of one field, a plane each.",
            )
