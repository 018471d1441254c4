"""A plate: wells, their fields and times, and the files of each; nothing is read until an image is opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from vitascope.core.errors import ParameterError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.well import PLATE_SHAPES, Well, WellPosition
from vitascope.io.filenames.grouping import ImageGroup
from vitascope.io.filenames.parse import natural
from vitascope.io.images.read import open_group


@dataclass(frozen=True)
class Site:
    """One image of a plate: a field of a well at one time, all its channels and planes.

    Parameters
    ----------
    id : str
        ``<plate>_<well>_<field>``, with time where there are several; unique on the plate, the same each time the
        plate is opened, and fit to be a file's name.
    well : Well
    group : ImageGroup
        Its files, called after the id.
    pixel_size_um, z_step_um : float or None, micrometre
        What the plate's index says; the file's own counts before it.
    problem : VitascopeError or None
        Why it cannot be opened, as far as the index shows: a file that is missing or stands twice.
    given_pixel_size_um : float or None, micrometre
        What the user said of all images; it counts before file and index.
    given_axes : str or None
        What the user said of the dimensions of each file.
    """

    id: str
    well: Well
    group: ImageGroup
    pixel_size_um: float | None = None
    z_step_um: float | None = None
    problem: VitascopeError | None = None
    given_pixel_size_um: float | None = None
    given_axes: str | None = None

    @property
    def place(self) -> WellPosition:
        """Plate, well, field and time."""
        return self.group.place

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its files, channel by channel, each in the order of z."""
        return self.group.paths

    def open(self, pixel_size_um: float | None = None, axes: str | None = None) -> Micrograph:
        """Open the image; large ones stay in their files.

        Parameters
        ----------
        pixel_size_um : float, > 0, micrometre, optional
            Whatever file and index say.
        axes : str, optional
            One letter for each dimension of each file, whatever the files say.

        Raises
        ------
        ReaderError
            If a file cannot be read.
        IncompleteError
            If a file, plane or chunk is missing.
        """
        if self.problem is not None:
            raise self.problem
        given = self.given_pixel_size_um if pixel_size_um is None else pixel_size_um
        image = open_group(self.group, given, axes or self.given_axes)
        if image.pixel_size_um is None and self.pixel_size_um is not None:
            image = image.with_pixel_size(self.pixel_size_um)
        if image.z_step_um is None and self.z_step_um is not None:
            image = replace(image, z_step_um=self.z_step_um)
        return image


@dataclass(frozen=True)
class Plate:
    """The index of one plate.

    Parameters
    ----------
    name : str
    path : Path
        Folder, index file or OME-Zarr that it was read from.
    layout : str
        How it is stored, such as ``operetta`` or ``ome-zarr 0.5``.
    rows, columns : int
        Of the plate, wells without images included.
    sites : tuple of Site
        In the order of well (row by row), field and time.
    warnings : tuple of str
        Sentences on what was noticed and left out.
    pattern, axes, pixel_size_um : optional
        What the user said when it was read.
    """

    name: str
    path: Path
    layout: str
    rows: int
    columns: int
    sites: tuple[Site, ...]
    warnings: tuple[str, ...] = field(default=())
    pattern: str | None = None
    axes: str | None = None
    pixel_size_um: float | None = None

    def given(self, pixel_size_um: float | None, axes: str | None) -> Plate:
        """Return the plate with what the user said of all its images: it counts before what the files tell."""
        images = tuple(replace(site, given_pixel_size_um=pixel_size_um, given_axes=axes) for site in self.sites)
        return replace(self, sites=images, axes=axes, pixel_size_um=pixel_size_um)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    @cached_property
    def wells(self) -> tuple[Well, ...]:
        """The wells that have images, row by row."""
        return tuple(sorted({site.well for site in self.sites}))

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """All fields, numbers compared as numbers."""
        return tuple(sorted({site.place.field for site in self.sites}, key=natural))

    @cached_property
    def times(self) -> tuple[str, ...]:
        """All times, numbers compared as numbers."""
        return tuple(sorted({site.place.time for site in self.sites}, key=natural))

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """All channels that the names or the index tell of."""
        return tuple(dict.fromkeys(name for site in self.sites for name in site.group.channels))

    def __getitem__(self, site_id: str) -> Site:
        """Return the image with this id.

        Raises
        ------
        ParameterError
            If there is none.
        """
        found = self._by_id.get(site_id)
        if found is None:
            raise ParameterError(f"The plate '{self.name}' has no image '{site_id}'.", "Ids look like Plate_B07_1.")
        return found

    def in_well(self, well: Well | str) -> tuple[Site, ...]:
        """Return the images of a well, in the order of field and time; empty where there are none."""
        wanted = Well.parse(well) if isinstance(well, str) else well
        return self._by_well.get(wanted, ())

    @cached_property
    def _by_id(self) -> dict[str, Site]:
        return {site.id: site for site in self.sites}

    @cached_property
    def _by_well(self) -> dict[Well, tuple[Site, ...]]:
        found: dict[Well, list[Site]] = {}
        for site in self.sites:
            found.setdefault(site.well, []).append(site)
        return {well: tuple(sites) for well, sites in found.items()}


def site_order(site: Site) -> tuple[object, ...]:
    """Key to sort images by: well, field, time and id, numbers compared as numbers."""
    return site.well, natural(site.place.field), natural(site.place.time), site.id


def plate_shape(wells: Sequence[Well], size: int | None = None) -> tuple[int, int]:
    """Return rows and columns of the smallest common plate that holds the wells, or of the one with ``size`` wells.

    Raises
    ------
    ParameterError
        If there is no plate of this size, or a well lies outside it.

    Examples
    --------
    >>> plate_shape([Well(0, 0), Well(7, 11)])
    (8, 12)
    """
    if size is not None and size not in PLATE_SHAPES:
        known = ", ".join(str(n) for n in PLATE_SHAPES)
        raise ParameterError(f"There is no plate of {size} wells.", f"Plates have {known} wells.")
    rows = max((well.row for well in wells), default=0) + 1
    columns = max((well.column for well in wells), default=0) + 1
    shapes = [PLATE_SHAPES[size]] if size is not None else list(PLATE_SHAPES.values())
    for shape in shapes:
        if rows <= shape[0] and columns <= shape[1]:
            return shape
    last = max(wells)
    raise ParameterError(f"The well {last} lies outside a plate of {size} wells.", "Name the right plate size.")
