"""Run the task ``spheroid``: live / dead stained stack in; live and dead voxels, viability and form out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from vitascope.core.card import InputSpec
from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph, sliceable
from vitascope.core.pixel_size import MAX_RESCALE, SAME_SIZE_FRACTION
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.result import ImageOutput, LabelsOutput, Result, Trust
from vitascope.engine.domain import assess_domain, seen_in_training, worst_trust
from vitascope.engine.execution_plan import Plan
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.preprocess import rescale_factor
from vitascope.engine.preprocess_volume import PreparedVolume, prepare_volume
from vitascope.engine.resolve_plan import resolve_plan
from vitascope.engine.tiled_prediction import answer_window, predict_picture
from vitascope.engine.volume_domain import volume_statistics
from vitascope.io.results.temporary_store import TemporaryStore
from vitascope.networks.unet3d import SLABS, UNet3d
from vitascope.ops.geometry.resample import resampled_reader, volume_reader
from vitascope.ops.objects.dye_overlap import shared_signal
from vitascope.ops.objects.outlines import CoarseGrid, separate_adapting
from vitascope.ops.objects.spheroids import (
    NEEDS_DEAD,
    SHARES,
    UNKNOWN_VOXEL_UM,
    blank,
    measure_spheroids,
    summarise_spheroids,
    with_place,
)
from vitascope.ops.tiling.chunks import chunk_slices
from vitascope.pipelines.run_context import RunContext
from vitascope.pipelines.spheroid_channels import find_dyes, what_live_voxels_are, without_dye
from vitascope.pipelines.spheroid_outline import (
    OTSU_LEAST,
    Agreement,
    LightOutlines,
    cell_reach,
    find_outlines,
    otsu_classes,
)
from vitascope.stats.conformal import interval
from vitascope.tasks.spheroid import SpheroidParams, check_stack

DEFAULT_MODEL = "spheroid-live-dead"
COARSE_UM = 8.0
FAINTER, SHARED = 3.0, 0.3
"""The live dye counts as leak where it is so many times fainter than the dead one and goes with it (correlation).

Of simulated stacks of 120 and 260 µm, those with 3 to 86 % living cells lie below -0.2, those of dead cells above 0.5.
"""

MUCH_LEFT_OUT = 0.1
"""Share of the stained voxels in pieces too small above which a stack is flagged."""

LOOKED_AT = (32, 256, 256)

Voxel = tuple[float, float, float]


def run(inputs: Mapping[str, Micrograph], params: SpheroidParams) -> ProgressGenerator[Result]:
    """Segment the spheroids of a stack and measure them.

    Parameters
    ----------
    inputs : mapping
        ``image``: a stack of at least 3 planes with a live and a dead dye, or the live one alone, where viability stays
        empty; with a time axis each time by itself.
    params : SpheroidParams
        ``auto`` values are resolved before the run and recorded.

    Yields
    ------
    Progress

    Returns
    -------
    Result
        ``labels`` and ``dead`` (uint32: the spheroid's number in its live and its dead voxels), ``probability``,
        ``density`` and ``maps`` (float32; the map is Otsu's mask: 1 live, 2 dead), on the grid of the input; a row of
        numbers for each time; tables of the spheroids and of their depth shells.

    Raises
    ------
    InputError
        If the stack cannot be judged by this model.
    ParameterError, ModelError, MemoryShortageError
        See their messages.

    References
    ----------
    SIM-spheroid (seed 003), sections 2.2 to 2.7.
    """
    context = RunContext("spheroid", inputs, params)
    model = load_model(DEFAULT_MODEL if params.model == "auto" else params.model, "spheroid")
    work = SpheroidRun(context, model)
    for t in range(work.image.sizes["T"]):
        yield from work.do(t)
    return work.result()


def live_dye_is_leak(prepared: PreparedVolume) -> bool:
    """Tell whether the live dye is a faint copy of the dead one, as where every cell is dead.

    Each dye is scaled by itself before the network sees it, which makes a leak as bright as life. What tells are the
    grey values as they came, and where they lie: the middle of the volume is looked at.
    """
    live, dead = prepared.maps[0], prepared.maps[-1]
    if min(live.gain, dead.gain) <= 0 or live.gain < FAINTER * dead.gain:
        return False
    window = tuple(
        slice(max(0, (n - most) // 2), max(0, (n - most) // 2) + min(n, most))
        for n, most in zip(prepared.shape, LOOKED_AT, strict=True)
    )
    dyes = prepared.read(window)
    return shared_signal(dyes[0], dyes[-1]) > SHARED


class SpheroidRun:
    """What one run holds: the arrays it fills and what it learned on the way."""

    def __init__(self, context: RunContext[SpheroidParams], model: LoadedModel) -> None:
        self.context, self.model = context, model
        self.image, params = context.image, context.params
        self.params = params
        check_stack(self.image.sizes["Z"])
        spec = model.card.input
        self.channels = find_dyes(self.image, params.channels, spec)
        self.dead_seen = len(self.channels) == len(spec.channels)
        self.z_step_um = params.z_step_um or self.image.z_step_um
        self.scale, flags = volume_scale(
            self.image, self.z_step_um, spec, rescale=params.rescale, object_diameter_px=params.object_diameter_px
        )
        self.sized = self.z_step_um is not None and self.image.pixel_size_um is not None
        self.voxel_um = voxel_size(self.image, self.z_step_um, spec, params.object_diameter_px)
        names = self.image.channel_names
        name = names[self.channels[0]] if len(names) > self.channels[0] else ""
        self.live_voxels_are = what_live_voxels_are(name, params.live_voxels)
        self.flags: list[str] = [*self.image.flags, *flags, *([] if self.dead_seen else ["dead_channel_missing"])]
        self.scratch = TemporaryStore()
        self.leading = "T" if "T" in self.image.axes else ""
        self.names = [t.name for t in model.card.targets]
        classes = len(self.names) - 1
        shape = (*([self.image.sizes["T"]] if self.leading else []), self.image.sizes["Z"], *self.image.shape_yx)
        self.probability = self.scratch.zeros("probability", (*shape[:-3], classes, *shape[-3:]), np.float32)
        self.density = self.scratch.zeros("density", shape, np.float32)
        self.live = self.scratch.zeros("labels", shape, np.uint32)
        self.dead = self.scratch.zeros("dead", shape, np.uint32)
        self.otsu = self.scratch.zeros("otsu", shape, np.float32)
        self.tables: list[pd.DataFrame] = []
        self.shells: list[pd.DataFrame] = []
        self.rows: list[dict[str, Any]] = []
        self.plan: Plan | None = None
        self.trust = Trust()

    def do(self, t: int) -> ProgressGenerator[None]:
        """Segment and measure one time."""
        of = f" ({t + 1} of {self.image.sizes['T']})" if self.leading else ""
        stacks = [volume_of(self.image, t, c) for c in self.channels]
        if not self.dead_seen:
            stacks.append(without_dye(stacks[0]))
        scratch = TemporaryStore()  # what only this time needs
        prepared = yield from prepare_volume(stacks, self.model.card.input, self.scale, scratch)
        seen = any(m.gain > 0 for m in prepared.maps)
        self.flags += [f for f in prepared.flags if f != "constant" or not seen or self.dead_seen]
        self.flags += seen_in_training(self.model.card, (stack[len(stack) // 2] for stack in stacks))
        if leaks := self.dead_seen and seen and live_dye_is_leak(prepared):
            self.flags.append("live_dye_leak")
        told: dict[str, Any] = {"otsu_dice": float("nan"), "left_out_voxels": 0, "least_diameter_um": float("nan")}
        if seen:
            answer = yield from self._predict(prepared, stacks[0], scratch, f"Segmenting{of}")
            inside = yield from self._outlined(prepared, answer, scratch)
            told |= yield from self._write(prepared, answer, inside, t)
        where = (t,) if self.leading else ()
        measured = yield from measure_spheroids(
            _View(self.live, where),
            _View(self.dead, where),
            self.voxel_um,
            sized=self.sized,
            shell_um=self.params.shell_um,
            coarse_um=COARSE_UM,
            density=_View(self.density, where),
            intensities=(stacks[0], stacks[-1]),
        )
        row = summarise_spheroids(measured.table)
        table, shells = measured.table, measured.shells
        lost = NEEDS_DEAD if not self.dead_seen else SHARES if leaks else ()
        row |= {name: float("nan") for name in lost if name in row}
        table, shells = blank(table, lost), blank(shells, lost)
        if not len(table):
            self.flags.append("no_objects")
        self._add_references(row, None if leaks else measured.live_by_plane)
        stained = row["live_voxels"] + row["dead_voxels"] + told["left_out_voxels"]
        if told["left_out_voxels"] > MUCH_LEFT_OUT * stained:
            self.flags.append("small_left_out")
        place = {"time": t} if self.leading else {}
        self.rows.append({**place, **row, **told, "live_voxels_are": self.live_voxels_are})
        self.tables.append(with_place(table, place))
        self.shells.append(with_place(shells, place))

    def _predict(
        self, prepared: PreparedVolume, given: Any, scratch: TemporaryStore, stage: str
    ) -> ProgressGenerator[Any]:
        if self.plan is None:
            self.plan = resolve_plan(self.model, self.params, prepared.shape)
        answer = scratch.zeros("network", (len(self.names), *prepared.shape), np.float32)

        def sink(where: tuple[slice, ...], piece: NDArray[np.float32]) -> None:
            answer[(slice(None), *where)] = piece

        plan = yield from predict_picture(self.model, prepared.read, prepared.shape, self.plan, sink, stage=stage)
        self.plan = plan
        if (domain := self.model.card.domain) is not None:
            found = volume_statistics(prepared.read, prepared.shape, lambda x: answer_window(self.model, plan, x)[1])
            trust, flags = assess_domain(domain, *found)
            self.context.keep_features(found[1], given)
            self.trust = worst_trust(self.trust, trust)
            self.flags += flags
        return answer

    def _outlined(self, prepared: PreparedVolume, answer: Any, scratch: TemporaryStore) -> ProgressGenerator[Any]:
        """Return what lies inside the outlines asked for, (1, D, H, W); None for the network's own."""
        if self.params.outline_percent is None:
            return None
        inside = scratch.zeros("inside", (1, *prepared.shape), np.float32)
        reach = cell_reach(self.model.card.input)
        yield from find_outlines(answer, prepared, self.params.outline_percent / 100, reach, inside)
        return inside

    def _write(
        self, prepared: PreparedVolume, answer: Any, inside: Any, t: int
    ) -> ProgressGenerator[dict[str, float | int]]:
        """Bring the answer back to the image's grid, tell the classes, and number the spheroids; says what was done."""
        grid = CoarseGrid.over(prepared.source, self.voxel_um, COARSE_UM)
        least = self.params.least_diameter_um
        spheroids, bound = separate_adapting(coarse_share(answer, grid, inside), grid, least)
        if bound < least:
            self.flags.append("bound_lowered")
        back = resampled_reader(volume_reader(answer), prepared.shape, prepared.source)
        within = None if inside is None else resampled_reader(volume_reader(inside), prepared.shape, prepared.source)
        told = None if inside is not None else LightOutlines.of(prepared, self.model.card, self.voxel_um)
        agreement, left_out = Agreement(), 0
        where = (t,) if self.leading else ()
        live, dead, density = (_View(a, where) for a in (self.live, self.dead, self.density))
        pieces = chunk_slices(live)
        for done, piece in enumerate(pieces):
            yield Progress(done, len(pieces), "Putting together")
            found = back(piece)
            if prepared.finite is not None:
                found = found * prepared.finite(piece)
            if told is not None:
                found = told.refine(found, piece)
            classes = classify(found, None if within is None else within(piece)[0])
            own = grid.look_up(spheroids, piece).astype(np.uint32)
            plain = otsu_classes([np.asarray(f[piece]) for f in prepared.filtered], prepared.otsu)
            agreement.add(classes > 0, plain > 0)
            left_out += int(np.count_nonzero((classes > 0) & (own == 0)))
            _View(self.otsu, where)[piece] = plain
            live[piece] = np.where(classes == 1, own, 0)
            dead[piece] = np.where(classes == 2, own, 0)
            density[piece] = found[-1]
            for k, picture in enumerate(found[:-1]):
                _View(self.probability, (*where, k))[piece] = picture
        yield Progress(len(pieces), len(pieces), "Putting together")
        if agreement.dice < OTSU_LEAST:
            self.flags.append("otsu_disagrees")
        used = {"least_diameter_um": bound if self.sized else float("nan")}
        return {"otsu_dice": agreement.dice, "left_out_voxels": left_out, **used}

    def _add_references(self, row: dict[str, Any], live_by_plane: NDArray[np.float64] | None) -> None:
        """Add the interval, and the viability relative to the control, where the card and the user give them."""
        value, intervals = row["viability_percent"], self.model.card.intervals
        if intervals is not None and np.isfinite(value):
            low, high = interval(np.array([value]), intervals)
            row["viability_low"], row["viability_high"] = max(0.0, float(low[0])), min(100.0, float(high[0]))
            self.flags += self.model.card.interval_flags
        for name, calibrated in self.model.card.further_intervals.items():
            if np.isfinite(row.get(name, np.nan)) and row[name] > 0:
                ends = interval(np.array([row[name]]), calibrated)
                row |= {f"{name}_{end}": float(v[0]) for end, v in zip(("low", "high"), ends, strict=True)}
        control = self.params.control_live_um3
        if control is not None and self.sized and live_by_plane is not None:
            voxels = control / float(np.prod(self.voxel_um))
            row["viability_of_control_percent"] = viability_of_control(self.model, live_by_plane / voxels)

    def result(self) -> Result:
        """Put everything together."""
        card = self.model.card
        table = _joined(self.tables)
        axes = self.leading + "ZYX"
        outputs = (
            ImageOutput(
                kind="probability",
                title="probability",
                array=self.probability,
                axes=f"{self.leading}CZYX",
                channel_names=tuple(self.names[:-1]),
                unit="probability",
            ),
            ImageOutput(
                kind="density",
                title="density",
                array=self.density,
                axes=axes,
                channel_names=("density",),
                unit=card.targets[-1].unit if self.sized else "arbitrary units",
                limits=(0.0, 1.5),
                colormap="magma",
            ),
            ImageOutput(
                kind="maps",
                title="otsu",
                array=self.otsu,
                axes=axes,
                channel_names=("otsu",),
                unit="1 live, 2 dead",
                limits=(0.0, 2.0),
                colormap="gray",
            ),
            LabelsOutput(kind="labels", title="live", array=self.live, axes=axes, table=table),
            LabelsOutput(kind="dead", title="dead", array=self.dead, axes=axes, table=table.iloc[:0]),
        )
        return self.context.result(
            card,
            self.plan,
            outputs=outputs,
            rows=self.rows,
            unit="%",
            flags=self.flags,
            trust=self.trust,
            interval_level=card.intervals.level if card.intervals is not None else None,
            tables={"shells": _joined(self.shells)},
            scratch=self.scratch,
        )


class _View:
    """One volume of an array of more axes, read and written by slices."""

    def __init__(self, array: Any, leading: tuple[int, ...]) -> None:
        self._array, self._leading = array, leading
        self.shape, self.dtype = tuple(array.shape[len(leading) :]), array.dtype
        chunks = getattr(array, "chunks", None)
        self.chunks = tuple(chunks[len(leading) :]) if chunks else None

    def __getitem__(self, key: tuple[slice, ...]) -> Any:
        """Read a window."""
        return self._array[(*self._leading, *key)]

    def __setitem__(self, key: tuple[slice, ...], value: Any) -> None:
        """Write a window."""
        self._array[(*self._leading, *key)] = value


def volume_of(image: Micrograph, t: int, c: int) -> Any:
    """Return the (Z, Y, X) stack of one time and channel, lazy if the image is."""
    where = tuple({"T": t, "C": c}.get(a, slice(None)) for a in image.axes)
    return sliceable(image.array)[where]


def volume_scale(
    image: Micrograph,
    z_step_um: float | None,
    spec: InputSpec,
    *,
    rescale: bool,
    object_diameter_px: float | None = None,
) -> tuple[Voxel, tuple[str, ...]]:
    """Return how many network voxels an image voxel becomes along z, y and x, and flags.

    Where the pixel size is not known, the width of a cell tells it. Axes whose size is not known are left as they are.

    Raises
    ------
    InputError
        If the sizes are too far apart.
    """
    across, flags = rescale_factor(image, spec, rescale=rescale, object_diameter_px=object_diameter_px)
    along = 1.0
    if z_step_um is None:
        flags = (*flags, "z_step_unknown")
    elif spec.z_step_um is not None and rescale:
        along = z_step_um / spec.z_step_um
        if not 1 / (2 * MAX_RESCALE) <= along <= 2 * MAX_RESCALE:
            raise InputError(
                f"The planes are {z_step_um:.4g} µm apart, the model's {spec.z_step_um:.4g}: too far to be brought "
                "together.",
                "Check the plane distance.",
                flag="pixel_size_mismatch",
            )
        if abs(along - 1) <= SAME_SIZE_FRACTION:
            along = 1.0
    return (along, across, across), flags


def voxel_size(
    image: Micrograph, z_step_um: float | None, spec: InputSpec, object_diameter_px: float | None = None
) -> Voxel:
    """Return the voxel (z, y, x) in µm.

    Where it is not known, the width of a cell tells it across, and :data:`UNKNOWN_VOXEL_UM` stands in for the rest.
    """
    z, y, _ = UNKNOWN_VOXEL_UM
    if object_diameter_px is not None and spec.object_diameter_px and spec.pixel_size_um:
        y = spec.object_diameter_px * spec.pixel_size_um / object_diameter_px
    across = image.pixel_size_um or y
    return z_step_um or z, across, across


def classify(found: NDArray[np.float32], inside: NDArray[np.float32] | None = None) -> NDArray[np.intp]:
    """Return the likeliest class of every voxel: 0 background, then in the order of the targets.

    Parameters
    ----------
    found : array, shape (K, d, h, w)
        Probabilities of the classes, and the density last.
    inside : array, shape (d, h, w), optional
        Above 0.5 inside of outlines; then these tell cells from background.
    """
    p = found[:-1]
    if inside is not None:
        return np.asarray(np.where(inside > 0.5, p.argmax(0) + 1, 0))
    background = 1 - p.sum(0, keepdims=True)
    return np.asarray(np.concatenate([background, p]).argmax(0))


def coarse_share(answer: Any, grid: CoarseGrid, inside: Any = None) -> NDArray[np.float64]:
    """Return the share of cells on the coarse grid, from an answer on the network's."""
    shape = tuple(int(n) for n in answer.shape[1:])
    own = CoarseGrid(shape, grid.coarse, grid.voxel_um)
    sums = np.zeros(int(np.prod(grid.coarse)))
    for piece in chunk_slices(_View(answer, (0,))):
        within = None if inside is None else np.asarray(inside[(0, *piece)])
        cells = classify(np.asarray(answer[(slice(None), *piece)]), within) > 0
        sums += np.bincount(own.flat(piece)[cells], minlength=len(sums))
    return own.mean(sums)


def viability_of_control(model: LoadedModel, live_share_by_plane: NDArray[np.float64]) -> float:
    """Return the regression's viability relative to the control, in percent (section 2.5).

    Parameters
    ----------
    model : LoadedModel
    live_share_by_plane : array, shape (Z,)
        Live voxels of each plane over those of the whole control.
    """
    assert isinstance(model.network, UNet3d)
    slabs = np.add.reduceat(live_share_by_plane, np.unique(np.arange(SLABS) * len(live_share_by_plane) // SLABS))
    with torch.inference_mode():
        value = model.network.viability(torch.from_numpy(slabs.astype(np.float32))[None])
    return float(100 * value[0])


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [t for t in tables if len(t)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]
