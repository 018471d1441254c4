"""Run a model on images that are made worse step by step, before and after normalisation, and say how it suffers.

Before normalisation the image itself changes, as a microscope would change it, and the run normalises what comes out:
percentiles take brightness and contrast back, so that nothing is learnt of the network. After normalisation the change
is made to what the network sees. Both are named so, and how far the network's input moved stands in the table.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitascope.core.card import ModelCard, Normalisation
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, ProgressGenerator, map_progress, run_to_end
from vitascope.engine.preprocess import prepare_picture
from vitascope.engine.select_planes import select_pictures
from vitascope.io.atomic import check_writable
from vitascope.io.models.cards import find_model, write_card
from vitascope.io.results.stability_figure import save_stability
from vitascope.io.tables.csv_append import write_csv
from vitascope.ops.intensity.corruption import SEVERITIES, UNITS, Corruption, corrupt
from vitascope.recipes.recipe import Recipe
from vitascope.stats.bootstrap import resample_interval
from vitascope.tasks.registry import find_task
from vitascope.tasks.spec import TaskSpec
from vitascope.tasks.stability import Stability
from vitascope.training.stability.images import StudyImage, study_images
from vitascope.training.stability.measures import measure

TABLE, FIGURE = "stability.csv", "stability.png"
COLUMNS = ("corruption", "severity", "value", "unit", "metric", "mean", "low", "high", "images")
BEFORE, AFTER, FOCUS = "before normalisation", "after normalisation", "focus of the stack"
DEFAULT = (-4, -2, -1, 1, 2, 4)
"""Severities that are tried where none are named, as far as a corruption has them."""

MOST_IMAGES = 12
UNDONE = 0.01
"""Where what the network sees moved by less than this share of its spread, normalisation has taken the change back."""


@dataclass(frozen=True)
class _Case:
    """One way to change an image."""

    corruption: str
    severity: int
    value: float
    unit: str
    change: Callable[[StudyImage], tuple[Micrograph, dict[str, float]]]
    bare: bool = False
    """Whether the image is in network units, to be run without normalisation."""


def run_stability(
    model: str,
    recipe: Recipe,
    folder: Path,
    out: Path | None = None,
    *,
    corruptions: Sequence[str] = (),
    severities: Sequence[int] = (),
    most: int = MOST_IMAGES,
) -> ProgressGenerator[Stability]:
    """Run a stability study.

    Parameters
    ----------
    model : str
        Id, or path of a card.
    recipe : Recipe
        Its images, with their truth; the test part where it keeps one.
    folder : Path
        Of the recipe.
    out : Path, optional
        Folder for ``stability.csv`` and ``stability.png``.
    corruptions : sequence of str
        Those of :data:`vitascope.ops.intensity.corruption.SEVERITIES`; all by default.
    severities : sequence of int
        :data:`DEFAULT` by default.
    most : int, >= 1
        Images at most, spread evenly.

    Yields
    ------
    Progress

    Returns
    -------
    Stability

    Raises
    ------
    ParameterError
        If a corruption or severity is not known, or the model is for another task than the recipe.
    InputError, ReaderError
        If the recipe has no image that can be run.
    OutputError
        If the folder cannot be written.

    References
    ----------
    Pankova 2022 (seed 004), section 4.1, Table 9 and figure 47.
    """
    if most < 1:
        raise ParameterError(f"{most} images cannot be run.", "Take at least 1; 12 are usual.")
    if out is not None:
        check_writable(out)
    chosen = _chosen(corruptions, severities)
    card, weights = find_model(model, recipe.task)
    spec = find_task(card.task)
    images, on_test = study_images(recipe, folder, most)
    with tempfile.TemporaryDirectory() as temporary:
        bare = _bare_card(card, weights, Path(temporary))
        cases = list(_cases(card, chosen, images))
        rows: list[dict[str, Any]] = []
        clean: list[dict[str, float]] = []
        for number, case in enumerate([None, *cases]):
            at = Progress(number, len(cases) + 1, "Making images worse")
            found = []
            for one in images:
                image, told = (_plain(one), {}) if case is None else case.change(one)
                path = bare if case is not None and case.bare else model
                params = _params(spec, str(path))
                yield at
                numbers = yield from map_progress(_run(spec, one, image, params), partial(_at, at))
                found.append({**numbers, **told})
            clean = found if case is None else clean
            rows += _summary(case, found)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    stability = Stability(card.id, table, _undone(table), on_test, out)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_csv(out / TABLE, [table])
        save_stability(table, out / FIGURE, card.id)
    yield Progress(len(cases) + 1, len(cases) + 1, "Making images worse")
    return stability


def _chosen(corruptions: Sequence[str], severities: Sequence[int]) -> dict[Corruption, list[int]]:
    unknown = [name for name in corruptions if name not in SEVERITIES]
    if unknown:
        raise ParameterError(f"'{unknown[0]}' is no corruption.", f"Known: {', '.join(SEVERITIES)}.")
    found = {
        name: [s for s in (severities or DEFAULT) if s in table and s != 0]
        for name, table in SEVERITIES.items()
        if not corruptions or name in corruptions
    }
    if not any(found.values()):
        raise ParameterError("None of the severities is known.", "Take -5 to 5; defocus, noise and shading from 1 on.")
    return found


def _cases(card: ModelCard, chosen: Mapping[Corruption, list[int]], images: Sequence[StudyImage]) -> Iterator[_Case]:
    size = images[0].image.pixel_size_um
    for name, severities in chosen.items():
        unit = UNITS[name]
        if name == "defocus" and size is not None:
            unit = f"px of {size:.4g} um"
        for bare, where in ((False, BEFORE), (True, AFTER)):
            for severity in severities:

                def change(
                    one: StudyImage, name: Corruption = name, severity: int = severity, bare: bool = bare
                ) -> tuple[Micrograph, dict[str, float]]:
                    return _changed(card, one, name, severity, bare=bare)

                yield _Case(
                    corruption=f"{name} {where}",
                    severity=severity,
                    value=SEVERITIES[name][severity],
                    unit=unit,
                    change=change,
                    bare=bare,
                )
    depths = {one.image.sizes["Z"] for one in images}
    if card.input.planes == 1 and min(depths) > 1:
        step = images[0].image.z_step_um
        reach = (min(depths) - 1) // 2
        for by in (*range(-reach, 0), *range(1, reach + 1)):

            def shift(one: StudyImage, by: int = by) -> tuple[Micrograph, dict[str, float]]:
                return _plain(one, by), {}

            value, unit = (by * step, "um") if step else (float(by), "planes")
            yield _Case(corruption=FOCUS, severity=by, value=value, unit=unit, change=shift)


def _plain(one: StudyImage, by: int = 0) -> Micrograph:
    """Return an image as the model takes it; of a stack the middle plane, or one so many planes above it."""
    return one.image if one.image.sizes["Z"] == 1 else _plane_of(one.image, one.image.sizes["Z"] // 2 + by)


def _plane_of(image: Micrograph, z: int) -> Micrograph:
    at = image.axes.index("Z")
    array = np.asarray(image.array)[(slice(None),) * at + (z,)]
    return replace(image, array=array, axes=image.axes.replace("Z", ""))


def _changed(
    card: ModelCard, one: StudyImage, name: Corruption, severity: int, *, bare: bool
) -> tuple[Micrograph, dict[str, float]]:
    """Return an image made worse, with the share of pixels that were clipped and how far the network's input moved."""
    image = _plain(one) if card.input.planes == 1 else one.image
    seen = _network_input(card, image)
    if bare:
        worse, clipped = _on_scale(seen, name, severity, _ends(card, seen))
        moved = worse
        axes = "ZYX" if card.input.planes > 1 else "CYX"
        channels = tuple(card.input.channels)
        changed = Micrograph(
            array=worse,
            axes=axes,
            pixel_size_um=image.pixel_size_um,
            channel_names=channels if axes == "CYX" and len(channels) == len(worse) else (),
            name=image.name,
        )
    else:
        raw = np.asarray(image.array, np.float32)
        low, high = (0.0, _camera_top(image.array)) if name == "exposure" else (float(raw.min()), float(raw.max()))
        worse, clipped = _on_scale(raw, name, severity, (low, high))
        changed = replace(image, array=worse)
        moved = _network_input(card, changed)
    spread = float(seen.std()) or 1.0
    told = {
        "clipped_percent": 100 * clipped,
        "input_change": float(np.sqrt(np.mean((moved - seen) ** 2))) / spread,
    }
    return changed, told


def _on_scale(
    values: NDArray[np.float32], name: Corruption, severity: int, ends: tuple[float, float]
) -> tuple[NDArray[np.float32], float]:
    """Corrupt on the scale from ``ends[0]`` to ``ends[1]``; and the share of pixels that lie at its ends only since."""
    low, high = ends
    span = max(high - low, 1e-12)
    scaled = np.clip((values - low) / span, 0, 1)
    worse = corrupt(scaled, name, severity)
    at_end = ((worse <= 0) & (scaled > 0)) | ((worse >= 1) & (scaled < 1))
    return np.asarray(low + worse * span, np.float32), float(at_end.mean())


def _network_input(card: ModelCard, image: Micrograph) -> NDArray[np.float32]:
    """Return what the network sees of the first picture, (C, Y, X), on the image's own grid."""
    pictures, _ = select_pictures(image, card.input, None, None)
    prepared = run_to_end(prepare_picture(pictures[0].planes, card.input, 1.0))
    return prepared.read((slice(0, prepared.shape_yx[0]), slice(0, prepared.shape_yx[1])))


def _ends(card: ModelCard, seen: NDArray[np.float32]) -> tuple[float, float]:
    """Return the ends of the scale in network units: 0 and 1 where normalisation makes those, else the extremes."""
    if card.input.normalisation.method in ("percentile", "minmax"):
        return 0.0, 1.0
    return float(seen.min()), float(seen.max())


def _camera_top(array: Any) -> float:
    """Return the top of the camera's scale: the next of 8, 10, 12, 14 and 16 bits; 1 or the brightest for fractions."""
    top = float(np.max(array))
    if np.asarray(array).dtype.kind not in "iu":
        return max(1.0, top)
    return next((float(2**bits - 1) for bits in (8, 10, 12, 14, 16) if top < 2**bits), top)


def _bare_card(card: ModelCard, weights: Path, folder: Path) -> Path:
    """Write a copy of a card that normalises nothing, beside its weights, and return its path."""
    planes = max(card.input.planes, len(card.input.channels))
    how = Normalisation(
        method="dataset", clip=card.input.normalisation.clip, means=(0.0,) * planes, stds=(1.0,) * planes
    )
    spec = card.input.model_copy(update={"normalisation": how})
    shutil.copyfile(weights, folder / weights.name)
    return write_card(card.model_copy(update={"input": spec}), folder)


def _params(spec: TaskSpec, model: str) -> RunParams:
    wanted = {"model": model, "maps": False, "abstain": False, "rescale": False}
    return spec.make_params(**{name: value for name, value in wanted.items() if name in spec.params.model_fields})


def _run(spec: TaskSpec, one: StudyImage, image: Micrograph, params: RunParams) -> ProgressGenerator[dict[str, float]]:
    inputs = {"image": image}
    if one.reference is not None:
        inputs["reference"] = one.reference
    try:
        result = yield from spec.start(inputs, params)
    except InputError:
        return {"refused": 1.0}
    return {"refused": 0.0, **measure(spec, result.rows[0], one.labels)}


def _summary(case: _Case | None, found: Sequence[Mapping[str, float]]) -> Iterator[dict[str, Any]]:
    """Give the mean of each metric over images with its interval."""
    about = ("none", 0, 0.0, "") if case is None else (case.corruption, case.severity, case.value, case.unit)
    for metric in dict.fromkeys(name for one in found for name in one):
        values = np.array([one.get(metric, math.nan) for one in found], float)
        known = values[np.isfinite(values)]
        if not known.size:
            continue
        interval = resample_interval(len(known), partial(_mean_of, known))
        ends = (interval.low, interval.high)
        low, high = (math.nan if end is None else float(end) for end in ends)
        row = (*about, metric, float(known.mean()), low, high, int(known.size))
        yield dict(zip(COLUMNS, row, strict=True))


def _at(place: Progress, step: Progress) -> Progress:
    """Return where the whole is, whatever an image is at."""
    return place


def _mean_of(values: NDArray[np.float64], drawn: NDArray[np.intp]) -> float:
    return float(values[drawn].mean())


def _undone(table: pd.DataFrame) -> tuple[str, ...]:
    """Return what was done before normalisation and left what the network sees as it was."""
    moved = table[table["metric"].eq("input_change") & table["corruption"].str.endswith(BEFORE)]
    back = moved[moved["mean"] < UNDONE]
    return tuple(f"{row['corruption']}, severity {row['severity']}" for row in back.to_dict("records"))
