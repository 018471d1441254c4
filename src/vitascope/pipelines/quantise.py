"""Find how a model's network rounds to 8 bit on images, and how near its answers then stay to those of 32 bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import Int8, ModelCard
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.formatting import is_number
from vitascope.core.progress import Progress, ProgressGenerator, map_progress
from vitascope.core.result import ImageOutput, LabelsOutput, Result
from vitascope.engine.device import core_count
from vitascope.engine.load_model import load_model
from vitascope.engine.open_backends import watched
from vitascope.engine.openvino_backend import adds_int8_exactly, rounding_of
from vitascope.io.models.cards import check_own, find_model, own_models, write_card
from vitascope.ops.tiling.tiles import padded_length
from vitascope.tasks.good_image import GoodImage
from vitascope.tasks.registry import TASKS, find_task

PICTURES = "prediction"
"""Kind of the outputs that are compared."""

CUT_PX = 128
MOST_CUTS = 24
"""Side and number of the cuts of windows that ranges and means are measured on."""

ENDS = ("_low", "_high")
"""What names of ends of intervals end with: how far a number is to be doubted is no measurement."""

LEAST_IMAGES = 2
TINY = 1e-9
STAGE, COMPARING = "Finding how it rounds", "Comparing with 32 bit"

EXACT = (0, 2, 5, 8)
"""How many more convolutions at the end stay in 32 bit, tried until the answers agree: they are felt most, and the deep
ones least."""


def quantise(model: str, images: Sequence[GoodImage]) -> ProgressGenerator[ModelCard]:
    """Let the network of one of the user's own models compute in 8 bit on processors, and say in its card how well.

    Every second image, from the first, is used to find how each convolution rounds; on the others the whole run is
    made in 32 bit and in 8 bit, and its pictures and numbers are compared. ``precision`` ``auto`` takes 8 bit only
    where they agree (:attr:`vitascope.core.card.Int8.agrees`).

    Parameters
    ----------
    model : str
    images : sequence of GoodImage
        Two at least, of the kind that the model is for.

    Yields
    ------
    Progress

    Returns
    -------
    ModelCard
        As it was written anew.

    Raises
    ------
    ModelError
        If the model is not one of the user's own, is run as it is, or is of a task whose networks see whole squares.
    ParameterError
        If there are too few images, or this processor does not add 8-bit numbers exactly.
    """
    card, _ = find_model(model)
    _check(card, len(images))
    to_fit, to_compare = images[::2], images[1::2]
    threads, total = core_count(), len(to_fit) + len(to_compare) * (1 + len(EXACT))
    done = 0

    def step(stage: str, image: GoodImage, precision: str) -> ProgressGenerator[Result]:
        nonlocal done
        at = Progress(done, total, stage)
        result = yield from map_progress(_run(card, image, precision, threads), lambda _: at)
        done += 1
        return result

    loaded = load_model(card.id, card.task)
    cuts = _Cuts(padded_length(CUT_PX, loaded.family.multiple_px))
    with watched(loaded, threads, cuts.take):
        for image in to_fit:
            yield from step(STAGE, image, "f32")
    layers = rounding_of(loaded.network, cuts.some(), threads)
    exact, kept = list[Result](), card
    for image in to_compare:
        exact.append((yield from step(COMPARING, image, "f32")))
    try:
        for more in EXACT:
            rounding = layers[: max(1, len(layers) - more)]
            found = Int8(layers=rounding, pcc=-1, change=1, images=1, on="not compared yet")
            write_card(card.model_copy(update={"int8": found}), own_models())
            seen = _Comparison()
            for image, result in zip(to_compare, exact, strict=True):
                seen.add(result, (yield from step(COMPARING, image, "int8")))
            found = seen.told(found, [one.name for one in to_compare])
            if found.agrees or more == EXACT[-1]:
                kept = card.model_copy(update={"int8": found})
                break
    finally:
        write_card(kept, own_models())
    yield Progress(total, total, COMPARING)
    return kept


def _check(card: ModelCard, images: int) -> None:
    if card.graph is not None:
        raise ModelError(
            f"'{card.id}' is a network of another program: it is run as it is.", "Quantise it where it was made."
        )
    if not find_task(card.task).rounds:
        raise ModelError(
            f"'{card.id}' sees whole squares or volumes: 8 bit was not tried for such networks.",
            f"It is for models of {', '.join(spec.name for spec in TASKS if spec.rounds)}.",
        )
    check_own(card.id, "Train on it, or import it first.")
    if images < LEAST_IMAGES:
        raise ParameterError(
            f"{images} image(s) are given; {LEAST_IMAGES} are needed: one to find how it rounds, another to compare.",
            "Give more images of the kind that the model is for, or cut one in two.",
        )
    if not adds_int8_exactly():
        raise ParameterError(
            "This processor does not add 8-bit numbers exactly, so nothing would be gained.",
            "Do it on a processor with VNNI (Intel since 2019, AMD since Zen 4), or leave the model as it is.",
        )


def _run(card: ModelCard, image: GoodImage, precision: str, threads: int) -> ProgressGenerator[Result]:
    task = find_task(card.task)
    how = task.make_params(model=card.id, device="cpu", precision=precision, threads=threads, abstain=False)
    return task.start({task.roles[0].name: image.image()}, how)


class _Cuts:
    """Cuts of one shape out of windows of all shapes."""

    def __init__(self, side_px: int) -> None:
        self._side, self._found = side_px, list[NDArray[np.float32]]()

    def take(self, window: NDArray[np.float32]) -> None:
        """Cut a window (C, h, w)."""
        side = self._side
        height, width = window.shape[-2:]
        for top in range(0, height - side + 1, side):
            for left in range(0, width - side + 1, side):
                self._found.append(window[..., top : top + side, left : left + side].copy())

    def some(self) -> list[NDArray[np.float32]]:
        """Return :data:`MOST_CUTS` of them, drawn evenly."""
        drawn = np.random.default_rng(0).permutation(len(self._found))[:MOST_CUTS]
        return [self._found[n] for n in sorted(drawn)]


class _Comparison:
    """What runs in 32 and in 8 bit gave."""

    def __init__(self) -> None:
        self._pcc: list[float] = []
        self._exact: dict[str, list[float]] = {}
        self._short: dict[str, list[float]] = {}

    def add(self, exact: Result, short: Result) -> None:
        """Take both results of one image."""
        inside = [np.asarray(o.array) > 0 for o in exact.outputs if isinstance(o, LabelsOutput)]
        objects = np.any([m for m in inside if m.shape == inside[0].shape], axis=0) if inside else None
        pictures = [[o for o in r.outputs if isinstance(o, ImageOutput) and o.kind == PICTURES] for r in (exact, short)]
        for one, other in zip(*pictures, strict=True):
            self._pcc += list(_correlations(one, other, objects))
        for row, other_row in zip(exact.rows, short.rows, strict=True):
            for name, value in row.items():
                other_value = other_row.get(name)
                if not name.endswith(ENDS) and is_number(value) and is_number(other_value):
                    self._exact.setdefault(name, []).append(float(value))
                    self._short.setdefault(name, []).append(float(other_value))

    def told(self, tried: Int8, names: Sequence[str]) -> Int8:
        """Return what the card says."""
        changes = {}
        for name, values in self._exact.items():
            exact, short = float(np.mean(values)), float(np.mean(self._short[name]))
            changes[name] = abs(short - exact) / max(abs(exact), TINY)
        most = max(changes, key=changes.__getitem__, default="")
        return tried.model_copy(
            update={
                "pcc": round(min(self._pcc, default=-1.0), 6),
                "change": round(changes.get(most, 0.0), 5),
                "changed_most": most,
                "images": len(names),
                "on": ", ".join(names[:5]) + (", …" if len(names) > 5 else ""),
            }
        )


def _correlations(exact: ImageOutput, short: ImageOutput, objects: NDArray[Any] | None) -> list[float]:
    """Return the correlation inside objects of each channel; without objects, of what is brighter than the mean."""
    found = []
    for one, other in zip(_channels(exact), _channels(short), strict=True):
        inside = objects if objects is not None and objects.shape == one.shape and objects.any() else one > one.mean()
        if np.count_nonzero(inside) > 1 and np.ptp(one[inside]) > 0:
            found.append(float(np.corrcoef(one[inside], other[inside])[0, 1]))
    return found


def _channels(output: ImageOutput) -> NDArray[np.float32]:
    array = np.asarray(output.array, np.float32)
    if "C" not in output.axes:
        return array[None]
    return np.moveaxis(array, output.axes.index("C"), 0)
