"""Spheroids in a stack: which voxels belong together, and what a biologist asks of each.

A stack of any size is two passes over its voxels. Depth is the distance from a spheroid's outline, see
:mod:`vitascope.ops.objects.outlines`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.ops.objects.outlines import CoarseGrid, Voxel, mesh, outline, smooth_share
from vitascope.ops.tiling.chunks import chunk_slices, read_piece

UNKNOWN_VOXEL_UM = (4.0, 1.0, 1.0)
"""Voxel (z, y, x) that stands in where the size is not known; numbers that depend on it are left empty."""

CORE_SHARE = 0.5
"""In a necrotic core more than this share of the cells is dead."""

CORE_DEPTH = 0.25
"""A core lies deeper than this share of the greatest depth."""

FROM_REFERENCES = (
    "viability_low", "viability_high", "live_um3_low", "live_um3_high", "dead_um3_low", "dead_um3_high",
    "viability_of_control_percent",
)  # fmt: skip
"""Numbers that more than the masks are needed for."""

NEEDS_DEAD = (
    "dead_um3", "dead_um3_low", "dead_um3_high", "total_um3", "viability_percent", "core_um3", "mean_dead_intensity",
    "dead_voxels", "live_fraction",
)  # fmt: skip
"""Columns that cannot be told without a dead dye."""

SHARES = ("viability_percent", "live_fraction")
"""Columns of the living share, which a leaking dye makes worthless."""

FORMS = ("equivalent_diameter_um", "sphericity", "core_um3", "depth_um")

COLUMNS = (
    "label", "live_um3", "dead_um3", "total_um3", "viability_percent", "equivalent_diameter_um", "sphericity",
    "core_um3", "depth_um", "mean_density", "mean_live_intensity", "mean_dead_intensity", "live_voxels", "dead_voxels",
)  # fmt: skip


@dataclass
class _Sums:
    """What the passes over the voxels add up, by label."""

    count: int
    live: NDArray[np.float64] = field(init=False)
    dead: NDArray[np.float64] = field(init=False)
    further: dict[str, NDArray[np.float64]] = field(init=False)

    def __post_init__(self) -> None:
        self.live, self.dead = np.zeros(self.count + 1), np.zeros(self.count + 1)
        self.further = {n: np.zeros(self.count + 1) for n in ("density", "live_intensity", "dead_intensity")}


@dataclass(frozen=True)
class Measured:
    """What was measured: a row for each spheroid, and a row for each of their depth shells."""

    table: pd.DataFrame
    shells: pd.DataFrame
    live_by_plane: NDArray[np.float64]


def measure_spheroids(
    live: Any,
    dead: Any,
    voxel_zyx_um: Voxel,
    *,
    sized: bool = True,
    shell_um: float = 20.0,
    coarse_um: float = 8.0,
    density: Any = None,
    intensities: tuple[Any, Any] | None = None,
) -> ProgressGenerator[Measured]:
    """Measure the spheroids of a labelled stack.

    Parameters
    ----------
    live, dead : array of int, shape (Z, Y, X)
        Number of the spheroid in live and in dead voxels, 0 elsewhere; numpy, zarr or dask.
    voxel_zyx_um : tuple of float
    sized : bool
        Whether the voxel size is known; otherwise numbers with µm are empty.
    shell_um : float, > 0
        Thickness of a depth shell.
    coarse_um : float, > 0
        Side of the coarse voxels that outlines are found on.
    density : array, shape (Z, Y, X), optional
    intensities : pair of arrays, optional
        The live and the dead dye, raw.

    Yields
    ------
    Progress

    Returns
    -------
    Measured
    """
    shape = tuple(int(n) for n in live.shape)
    grid = CoarseGrid.over(shape, voxel_zyx_um, coarse_um)
    pieces = chunk_slices(live)
    size = int(np.prod(grid.coarse))
    cells, deads, owner = np.zeros(size), np.zeros(size), np.zeros(size, np.int64)
    planes = np.zeros(shape[0])
    for done, piece in enumerate(pieces):
        yield Progress(done, 2 * len(pieces), "Measuring")
        a, d, flat = read_piece(live, piece), read_piece(dead, piece), grid.flat(piece)
        either = np.maximum(a, d)
        there = either > 0
        cells += np.bincount(flat[there], minlength=size)
        deads += np.bincount(flat[d > 0], minlength=size)
        np.maximum.at(owner, flat[there], either[there].astype(np.int64))
        planes[piece[0]] += (a > 0).sum((1, 2))
    count = int(owner.max(initial=0))
    shares, dead_shares = grid.mean(cells), grid.mean(deads)
    outlines = _Outlines(count, shares, dead_shares, owner.reshape(grid.coarse), grid)
    sums = _Sums(count)
    bins = max(1, int(np.ceil(outlines.depth.max(initial=0.0) / shell_um)))
    shells = np.zeros((2, count + 1, bins))
    for done, piece in enumerate(pieces, start=len(pieces)):
        yield Progress(done, 2 * len(pieces), "Measuring")
        a, d = read_piece(live, piece), read_piece(dead, piece)
        shell = np.minimum(grid.look_up((outlines.depth / shell_um).astype(np.intp), piece), bins - 1)
        for k, labels in enumerate((a, d)):
            index = labels.astype(np.intp) * bins + shell
            shells[k] += np.bincount(index.ravel(), minlength=(count + 1) * bins).reshape(count + 1, bins)
        _add_means(sums, a, d, piece, density, intensities)
    sums.live, sums.dead = shells[0].sum(1), shells[1].sum(1)
    yield Progress(2 * len(pieces), 2 * len(pieces), "Measuring")
    volume = float(np.prod(voxel_zyx_um)) if sized else float("nan")
    table = _table(sums, outlines, volume, sized)
    return Measured(table, _shell_table(shells, shell_um, volume, sized), planes)


def _add_means(sums: _Sums, live: NDArray[Any], dead: NDArray[Any], piece: Any, density: Any, intensities: Any) -> None:
    count = sums.count + 1
    either = np.maximum(live, dead)
    sources = [("density", density, either)]
    if intensities is not None:
        sources += [("live_intensity", intensities[0], live), ("dead_intensity", intensities[1], dead)]
    for name, source, labels in sources:
        if source is not None:
            values = np.nan_to_num(read_piece(source, piece).astype(np.float64), posinf=0.0, neginf=0.0)
            sums.further[name] += np.bincount(labels.ravel().astype(np.intp), values.ravel(), count)


class _Outlines:
    """Outline, depth, form and core of every spheroid, on the coarse grid."""

    def __init__(
        self,
        count: int,
        share: NDArray[np.float64],
        dead_share: NDArray[np.float64],
        owner: NDArray[np.int64],
        grid: CoarseGrid,
    ) -> None:
        self.depth = np.zeros(grid.coarse)
        self.forms: list[dict[str, float]] = []
        voxel = float(np.prod(grid.voxel_um))
        for label in range(1, count + 1):
            own = np.where(owner == label, share, 0.0)
            if not own.any():  # a user's label may skip numbers
                self.forms.append(dict.fromkeys(FORMS, float("nan")))
                continue
            inside = np.pad(outline(own), 1)
            depth = ndimage.distance_transform_edt(inside, sampling=grid.voxel_um)[1:-1, 1:-1, 1:-1]
            self.depth = np.maximum(self.depth, depth)
            volume, area = mesh(own, grid.voxel_um)
            inside_share = smooth_share(np.where(owner == label, dead_share, 0.0)) / np.maximum(smooth_share(own), 1e-6)
            core = (inside_share > CORE_SHARE) & (depth > CORE_DEPTH * depth.max(initial=0.0))
            parts, found = ndimage.label(core)
            # stained volume, as the total is: what lies between cells does not count in either
            stained = np.bincount(parts.ravel(), own.ravel())[1:].max() if found else 0.0
            self.forms.append(
                {
                    "equivalent_diameter_um": (6 * volume / np.pi) ** (1 / 3) if volume else np.nan,
                    "sphericity": np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area if area else np.nan,
                    "core_um3": float(stained) * voxel,
                    "depth_um": float(depth.max(initial=0.0)),
                }
            )


def _table(sums: _Sums, outlines: _Outlines, volume: float, sized: bool) -> pd.DataFrame:
    rows = []
    for label, form in enumerate(outlines.forms, start=1):
        live, dead = sums.live[label], sums.dead[label]
        if not live + dead:
            continue
        form = form if sized else dict.fromkeys(form, float("nan"))
        rows.append(
            {
                "label": label,
                "live_um3": live * volume,
                "dead_um3": dead * volume,
                "total_um3": (live + dead) * volume,
                "viability_percent": viability_percent(live, dead),
                **form,
                "mean_density": _mean(sums.further["density"][label], live + dead),
                "mean_live_intensity": _mean(sums.further["live_intensity"][label], live),
                "mean_dead_intensity": _mean(sums.further["dead_intensity"][label], dead),
                "live_voxels": int(live),
                "dead_voxels": int(dead),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def viability_percent(live: float, dead: float) -> float:
    """Return live / (live + dead) in percent; NaN where there is neither.

    Examples
    --------
    >>> viability_percent(30, 10)
    75.0
    """
    return float(100 * live / (live + dead)) if live + dead else float("nan")


def _mean(total: float, count: float) -> float:
    return float(total / count) if count else float("nan")


def _shell_table(shells: NDArray[np.float64], shell_um: float, volume: float, sized: bool) -> pd.DataFrame:
    rows = []
    for label in range(1, shells.shape[1]):
        for number in range(shells.shape[2]):
            live, dead = shells[0, label, number], shells[1, label, number]
            if not live + dead:
                continue
            rows.append(
                {
                    "label": label,
                    "from_um": number * shell_um if sized else np.nan,
                    "to_um": (number + 1) * shell_um if sized else np.nan,
                    "shell": number + 1,
                    "live_um3": live * volume,
                    "dead_um3": dead * volume,
                    "live_fraction": live / (live + dead),
                }
            )
    columns = ["label", "from_um", "to_um", "shell", "live_um3", "dead_um3", "live_fraction"]
    return pd.DataFrame(rows, columns=columns)


def with_place(table: pd.DataFrame, place: Mapping[str, int]) -> pd.DataFrame:
    """Return a table with the time that it belongs to, where there are several."""
    table = table.copy()
    for column, value in place.items():
        table.insert(1, column, value)
    return table


def blank(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table with those of the columns empty that it has."""
    return table.assign(**{name: np.nan for name in columns if name in table})


def summarise_spheroids(table: pd.DataFrame) -> dict[str, float]:
    """Add the spheroids of a stack up: the numbers of its row in the results."""
    live, dead = float(table["live_voxels"].sum()), float(table["dead_voxels"].sum())
    sums = {n: float(table[n].sum(min_count=1)) for n in ("live_um3", "dead_um3", "total_um3", "core_um3")}
    means = {n: float(table[n].mean()) for n in ("equivalent_diameter_um", "sphericity", "mean_density")}
    core = sums.pop("core_um3")
    return {
        **sums,
        "viability_percent": viability_percent(live, dead),
        **dict.fromkeys(FROM_REFERENCES, float("nan")),
        "spheroids": len(table),
        **means,
        "core_um3": core,
        "live_voxels": int(live),
        "dead_voxels": int(dead),
    }
