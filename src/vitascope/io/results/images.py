"""The pictures of a run: ``<kind>/<stem>.ome.tif`` under one folder, each written whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitascope.core.errors import VitascopeError
from vitascope.core.result import ImageOutput, LabelsOutput, Result
from vitascope.io.atomic import file_name, output_error
from vitascope.io.images.write import PictureFile, write_ome_tiff, write_ome_zarr

Format = Literal["auto", "tif", "zarr"]
Sizes = tuple[float | None, float | None]
"""Pixel size and z step, micrometre."""

ZARR_BYTES = 2**31


@dataclass(frozen=True)
class PictureFolder:
    """Where the pictures of a run go.

    Parameters
    ----------
    folder : Path
    task : str
        Name of the task.
    format : {"auto", "tif", "zarr"}
        ``auto`` takes OME-TIFF up to 2 GiB and OME-Zarr above.
    """

    folder: Path
    task: str
    format: Format = "auto"

    def write(self, result: Result, stem: str, sizes_um: Sizes = (None, None)) -> tuple[Path, ...]:
        """Write the pictures of one result.

        Parameters
        ----------
        result : Result
        stem : str
            What the image is called.
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
        try:
            with undone_on_error() as written:
                for output, name in zip(result.outputs, picture_names(result, stem), strict=True):
                    written.append(self._write_one(make_picture(output, name, stem, self.task, sizes_um), output.kind))
        except BaseException:
            for output in result.outputs:
                with suppress(OSError):
                    (self.folder / file_name(output.kind)).rmdir()
            raise
        return tuple(written)

    def _write_one(self, picture: PictureFile, kind: str) -> Path:
        as_zarr = self.format == "zarr" or (self.format == "auto" and picture.nbytes > ZARR_BYTES)
        base = self.folder / file_name(kind) / picture.name
        path, other = (base.with_name(f"{base.name}.ome.{'zarr' if z else 'tif'}") for z in (as_zarr, not as_zarr))
        try:
            (write_ome_zarr if as_zarr else write_ome_tiff)(path, picture)
        except VitascopeError:
            raise
        except OSError as error:
            raise output_error(path, error) from error
        remove(other)
        return path


def make_picture(output: ImageOutput | LabelsOutput, name: str, stem: str, task: str, sizes_um: Sizes) -> PictureFile:
    """Describe an output for our writers, with the notes that our own reader needs to show it as it was."""
    notes = {"task": task, "image": stem, "kind": output.kind, "title": output.title}
    channel_names: tuple[str, ...] = (output.title,)
    if isinstance(output, ImageOutput):
        channel_names = output.channel_names
        ends = " ".join(repr(float(end)) for pair in (output.limits, *output.channel_limits) for end in pair)
        notes |= {"unit": output.unit, "limits": ends, "colormap": output.colormap}
    dtype = "float32" if isinstance(output, ImageOutput) else "uint32"
    pixel_size_um, z_step_um = sizes_um
    return PictureFile(
        array=output.array,
        axes=output.axes,
        dtype=dtype,
        name=name,
        channel_names=channel_names,
        pixel_size_um=pixel_size_um,
        z_step_um=z_step_um,
        notes=notes,
    )


def picture_names(result: Result, stem: str) -> list[str]:
    """Name the files: the stem, with the title added to all but the first picture of one kind."""
    seen: set[str] = set()
    names = []
    for output in result.outputs:
        names.append(stem if output.kind not in seen else file_name(f"{stem}_{output.title}"))
        seen.add(output.kind)
    return names


def remove(path: Path) -> None:
    """Take a picture away, file or folder; one that is not there is no matter."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


@contextmanager
def undone_on_error(written: Sequence[Path] = ()) -> Iterator[list[Path]]:
    """Give a list for the pictures that are written; they are taken away again where anything goes wrong.

    Parameters
    ----------
    written : sequence of Path
        Those that are there already.
    """
    pictures = list(written)
    try:
        yield pictures
    except BaseException:
        for path in pictures:
            remove(path)
        raise
