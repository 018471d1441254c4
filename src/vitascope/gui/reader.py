"""Open images and result folders in napari with their scale, units and channel names, which its own reader drops."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitascope.core.errors import AxesUnknownError
from vitascope.core.result import ImageOutput, LabelsOutput
from vitascope.gui.layers.add import LayerData, image_layers, result_layers
from vitascope.gui.layers.plate import INDEX_SUFFIXES, plate_layers, plates_at

if TYPE_CHECKING:
    from vitascope.io.images.read import ImageGroup

Paths = str | Sequence[str]
Read = Callable[[Paths], list[LayerData]]

SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk", ".png", ".czi", ".lif", ".nd2")


def get_reader(path: Paths) -> Read | None:
    """Say whether we can read a path, by its name and, for a folder, by the names inside; no file is opened.

    Parameters
    ----------
    path : str or sequence of str
        File, folder, quoted glob, or the files of a stack.

    Returns
    -------
    callable or None
        None where other readers should try.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_known(one) for one in paths) else None


def _known(path: str) -> bool:
    lowered = path.lower().rstrip("/\\")
    if lowered.endswith((*SUFFIXES, ".zarr", *INDEX_SUFFIXES)):
        return True
    return Path(path).is_dir() and _folder_known(path)


def _folder_known(path: str) -> bool:
    """Tell whether a folder is a zarr, a result folder, a plate, or holds images, from one look at its names."""
    with os.scandir(path) as entries:
        names = {entry.name.lower() for entry in entries}
    if names & {"zarr.json", ".zarray", ".zgroup", "results.csv"}:
        return True
    if any(name.endswith((*SUFFIXES, ".zarr", *INDEX_SUFFIXES)) and not name.startswith(".") for name in names):
        return True
    return any(name == "images" or name.startswith("timepoint_") for name in names)


def read(path: Paths) -> list[LayerData]:
    """Read images, a plate or a result folder.

    Files that differ only in z are planes of one image, only in channel its channels. Of a plate the first image is
    opened; its layers know the plate.

    Raises
    ------
    ReaderError
        If a file cannot be read.
    """
    from vitascope.batch.plate.journal import has_journal
    from vitascope.io.images.read import find_groups  # readers are loaded with the first file, not with napari
    from vitascope.io.results.read import is_results_folder

    paths = [path] if isinstance(path, str) else list(path)
    if len(paths) == 1 and is_results_folder(Path(paths[0])):
        if has_journal(Path(paths[0])):
            from vitascope.gui.plate.well_view import first_layers

            return first_layers(Path(paths[0]))
        return results_layers(Path(paths[0]))
    if len(paths) == 1 and (plates := plates_at(Path(paths[0]))):
        return plate_layers(plates)
    return [layer for group in find_groups(paths, ties="leave") for layer in _group_layers(group)]


def _group_layers(group: ImageGroup) -> list[LayerData]:
    """Open an image; one whose third axis nothing tells is shown, and asked about where it is run on."""
    from vitascope.io.images.read import open_group

    try:
        return image_layers(open_group(group))
    except AxesUnknownError as error:
        image = open_group(group, axes=next(one for one in error.readings if "C" not in one))
        return image_layers(image, f"{error.message} Choose it under Dimensions.", axes_known=False)


def results_layers(folder: Path) -> list[LayerData]:
    """Open a result folder as the run showed it: pictures, labels with their table, scale and provenance.

    Raises
    ------
    ReaderError
        If a picture or table cannot be read.
    """
    import napari

    from vitascope.gui.layers.display import attend, main_map
    from vitascope.gui.layers.frame import Frame
    from vitascope.io.results.read import read_results

    run = read_results(folder)
    if (viewer := napari.current_viewer()) is not None:
        attend(viewer)
    outputs: dict[str, list[ImageOutput | LabelsOutput]] = {}
    for picture in run.pictures:
        outputs.setdefault(picture.image, []).append(picture.output)
    rows = run.results.to_dict("records")
    main = {name: main_map(made, [row for row in rows if row["image"] == name]) for name, made in outputs.items()}
    by_name = {_input_name(one): one for one in run.provenance.get("images", ())}
    made: list[LayerData] = []
    for picture in run.pictures:
        image = picture.micrograph
        axes = image.axes.replace("C", "")
        um = {"Y": image.pixel_size_um, "X": image.pixel_size_um, "Z": image.z_step_um}
        frame = Frame.of_scale(picture.image, axes, [image.sizes[a] for a in axes], um)
        output = picture.output
        if isinstance(output, LabelsOutput) and "time" in output.table:
            output = replace(output, table=output.table.assign(time=output.table["time"].astype(float)))
        provenance = by_name.get(picture.image, {})
        made += result_layers([output], frame, provenance, main[picture.image], str(folder))
    # Labels lie on top, as after a run.
    return sorted(made, key=lambda layer: layer[2] == "labels")


def _input_name(provenance: dict[str, Any]) -> str:
    inputs = provenance.get("inputs") or [{}]
    return str(inputs[0].get("name", ""))
