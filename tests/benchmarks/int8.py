"""How bundled models of stains compute in 8 bit: ``int8 [MODEL ...]`` prints it, ``int8 write [MODEL ...]`` keeps it in their cards.

Of each field that a model was trained on, the upper half tells how the convolutions round and the lower half
is read in 32 and in 8 bit (``vitascope models quantise`` on halves). Needs the folder of VITASCOPE_DATA.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from tests.benchmarks.machine import describe
from tests.benchmarks.own_views import LABORATORIES, whole
from tests.benchmarks.zoo_references import ISL, planes

from vitascope.core.card import Int8
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.io.models.cards import read_card, write_card
from vitascope.pipelines.quantise import quantise
from vitascope.tasks.good_image import GoodImage

LABORATORIES_OF = {
    "nuclei-phase": ("isl",),
    "nuclei-any": LABORATORIES,
    "dna-brightfield": ("jurkat",),
    "organelles-brightfield": ("cellpainting",),
}
FEW, MIRRORS = 4, (("x", (-1,)), ("y", (-2,)), ("xy", (-2, -1)))
STACKS = ("nuclei-phase-stack", "neurites-phase-stack")


def fields(model: str) -> Iterator[tuple[str, np.ndarray, str]]:
    """Give name, pixels and axes of each field of a model."""
    if model in STACKS:
        yield "isl stack", planes(*(f"{ISL}/phase_z{z:02}.png" for z in range(0, 13, 2))), "ZYX"
        return
    for laboratory in LABORATORIES_OF[model]:
        for view in whole(laboratory):
            yield f"{laboratory} {view.name}", view.image, "YX"
        for z in (0, 2, 10, 12) if laboratory == "isl" else ():  # with the three in focus, all there are
            yield f"isl z{z:02}", planes(f"{ISL}/phase_z{z:02}.png"), "YX"


def halves(model: str) -> list[GoodImage]:
    """Upper and lower half of each field in turns; of few fields their mirror images too, for areas of few objects jump."""
    found, given = [], list(fields(model))
    if len(given) < FEW:
        given += [(f"{name} mirrored {k}", np.flip(x, along), axes) for name, x, axes in given for k, along in MIRRORS]
    for name, image, axes in given:
        middle = image.shape[-2] // 2
        for half, part in (("above", image[..., :middle, :]), ("below", image[..., middle:, :])):
            found.append(GoodImage(f"{name} {half}", partial(Micrograph, part.copy(), axes, name=f"{name} {half}")))
    return found


def measured(model: str) -> Int8:
    """Quantise a copy of a bundled model."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VITASCOPE_MODELS"] = folder
        card = read_card(BUNDLED_MODELS / f"{model}.json")
        weights = Path(folder) / card.weights.file
        weights.write_bytes((BUNDLED_MODELS / card.weights.file).read_bytes())
        write_card(card.model_copy(update={"id": f"{model}-copy", "int8": None}), Path(folder))
        found = run_to_end(quantise(f"{model}-copy", halves(model))).int8
    assert found is not None
    return found


def main(arguments: list[str]) -> None:
    write = arguments[:1] == ["write"]
    print(describe())
    for model in arguments[write:] or [*LABORATORIES_OF, *STACKS]:
        found = measured(model)
        print(f"{model}: {found.text}", flush=True)
        if write:
            card = read_card(BUNDLED_MODELS / f"{model}.json")
            write_card(card.model_copy(update={"int8": found}), BUNDLED_MODELS)
