"""The pictures of a plate run: one OME-Zarr plate for each kind, in the layout of the plate, labels inside."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vitascope.core.result import ImageOutput, LabelsOutput, Result
from vitascope.core.well import Well, WellPosition
from vitascope.io.atomic import atomic_folder, file_name, write_json
from vitascope.io.images.write import fill_ome_zarr
from vitascope.io.plates.ome_zarr_write import plate_groups, well_path
from vitascope.io.plates.plate import Plate, Site
from vitascope.io.results.images import Sizes, make_picture, picture_names, undone_on_error

ENDING = ".ome.zarr"


@dataclass(frozen=True)
class PlatePictures:
    """Where the pictures of a plate run go.

    ``<kind>.ome.zarr/<row>/<column>/<field>`` holds a picture, ``labels/<title>`` inside it the objects found on its
    grid. Objects without a picture have a plate of their own.

    Parameters
    ----------
    folder : Path
        Of the results.
    task : str
        Name of the task.
    """

    folder: Path
    task: str

    def write(self, result: Result, stem: str, sizes_um: Sizes = (None, None)) -> tuple[Path, ...]:
        """Write the pictures of one image, each whole.

        Parameters
        ----------
        result : Result
        stem : str
            What the image is called in tables.
        sizes_um : tuple of float or None, > 0, micrometre
            Pixel size and z step of the image.

        Returns
        -------
        tuple of Path
            The pictures written.

        Raises
        ------
        OutputError
            If one cannot be written; none of this result is left then.
        """
        images = [output for output in result.outputs if isinstance(output, ImageOutput)]
        labels = [output for output in result.outputs if isinstance(output, LabelsOutput)]
        pictures: list[ImageOutput | LabelsOutput] = [*images] or [*labels]
        names = dict(zip(map(id, result.outputs), picture_names(result, stem), strict=True))
        with undone_on_error() as written:
            for number, output in enumerate(pictures):
                home = self.folder / f"{file_name(output.kind + names[id(output)].removeprefix(stem))}{ENDING}"
                path = home / image_path(result.place)
                with atomic_folder(path) as folder:
                    fill_ome_zarr(folder, make_picture(output, stem, stem, self.task, sizes_um))
                    self._put_labels(folder, labels if images and number == 0 else [], stem, sizes_um)
                written.append(path)
        return tuple(written)

    def _put_labels(self, folder: Path, labels: list[LabelsOutput], stem: str, sizes_um: Sizes) -> None:
        if not labels:
            return
        import zarr

        titles = [file_name(output.title) for output in labels]
        group = {"ome": {"version": "0.5", "labels": titles}}
        zarr.open_group(str(folder / "labels"), mode="w", zarr_format=3, attributes=group)
        for output, title in zip(labels, titles, strict=True):
            picture = make_picture(output, stem, stem, self.task, sizes_um)
            fill_ome_zarr(folder / "labels" / title, picture, source="../../")


def image_path(place: WellPosition) -> str:
    """Return where an image lies in a plate: the same whichever other images there are.

    The specification allows letters and digits only; other signs are written as their number.

    Examples
    --------
    >>> image_path(WellPosition("p", "B07", "2", "")), image_path(WellPosition("p", "AF48", "1-1", "3"))
    ('B/7/2', 'AF/48/1x2d1t3')
    """
    text = f"{place.field or '0'}{'t' + place.time if place.time else ''}"
    return f"{well_path(Well.parse(place.well))}/{re.sub('[^A-Za-z0-9]', lambda sign: f'x{ord(sign[0]):x}', text)}"


def describe_pictures(folder: Path, plate: Plate, written: Iterable[tuple[Site, str]]) -> None:
    """Write the metadata that make pictures plates, as far as they are there.

    Parameters
    ----------
    folder : Path
        Of the results.
    plate : Plate
        What was run.
    written : iterable of (Site, str)
        Each picture with its path inside the folder.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    homes: dict[str, dict[Well, list[tuple[Site, str]]]] = {}
    for site, path in written:
        home, *_, name = path.split("/")
        homes.setdefault(home, {}).setdefault(site.well, []).append((site, name))
    for home, wells in homes.items():
        for path, attributes in plate_groups(plate, wells, "0.5"):
            group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
            write_json(folder / home / path / "zarr.json", group)
