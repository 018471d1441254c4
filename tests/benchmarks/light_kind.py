"""Cells in transmitted light told from fluorescence, photographs, text and drawings, with the source of each left out.

``python -m tests.benchmarks light_kind`` prints shares that pass; ``light_kind write`` puts the kind beside those of wells
and of cells in chambers, and names it on the cards of the models for nuclei in any transmitted light.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from tests.benchmarks.foreign import fit
from tests.benchmarks.foreign_views import every_view
from tests.benchmarks.machine import describe
from tests.benchmarks.own_views import LABORATORIES, negatives, others, views, worse

from vitascope.core.paths import BUNDLED_MODELS
from vitascope.engine.foreign import FILE, gauss, standardised
from vitascope.io.models.cards import find_model, write_card
from vitascope.ops.intensity.descriptor import describe_picture

WIDTH = 0.6
KIND = "cells-transmitted-light"
MODELS = ("nuclei-any", "nuclei-phase")
PASSED = 0.95
"""Share of own pictures, their laboratory left out, below the limit: to hold back what could be used costs most."""
NEAR = ("1_insilico", "2_organoid", "3_spheroid", "simulated", "other")
"""Sources of transmitted light, or of both: they count for neither side."""


class Pictures(NamedTuple):
    """Descriptions (N, F) with the source of each, what it is called, and what was done to it."""

    descriptions: np.ndarray
    sources: np.ndarray
    names: np.ndarray
    corruptions: np.ndarray


def pictures() -> Pictures:
    found = [(v.source, v.name, "", v.pixels) for v in every_view()]
    for laboratory in LABORATORIES:
        for number, view in enumerate(views(laboratory)):
            found += [
                (f"light {laboratory}", w.name, f"{w.corruption} {w.severity}", w.image) for w in worse(view, number)
            ]
            found.append((f"stain {laboratory}", view.name, "", view.truth))
    for view in others():
        found += [(f"other {view.laboratory}", w.name, w.corruption, w.image) for w in worse(view)]
        found.append((f"stain {view.laboratory}", view.name, "", view.truth))
    # the photographs among them are views of the same files
    found += [("photographs", v.name, "", v.image) for v in negatives() if v.name.startswith("photograph")]
    kept = [one for one in found if np.std(one[3]) > 0]
    told = np.array([describe_picture(np.asarray(pixels, np.float64)) for *_, pixels in kept], np.float64)
    return Pictures(told, *(np.array([one[k] for one in kept]) for k in range(3)))


def sides(known: Pictures) -> tuple[np.ndarray, np.ndarray]:
    """Which are cells in transmitted light, and which are something else; strong noise leaves too little to tell."""
    own = np.char.startswith(known.sources, "light") & (known.corruptions != "noise 3")
    near = np.logical_or.reduce([np.char.startswith(known.sources, name) for name in NEAR])
    return own, ~np.char.startswith(known.sources, "light") & ~near


def left_out(known: Pictures, own: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """Scores, each from a fit without its source; light and stain of a laboratory, and all drawn by hand, go together."""
    groups = np.array([s.removeprefix("light ").removeprefix("stain ") for s in known.sources])
    groups[np.isin(groups, ("photographs", "documents"))] = "photographs"
    scores, used = np.full(len(groups), np.nan), own | foreign
    for group in np.unique(groups[used]):
        test, train = used & (groups == group), used & (groups != group)
        middle, spread, seen, weights = fit(known.descriptions[train], foreign[train], WIDTH)
        scores[test] = gauss(standardised(known.descriptions[test], middle, spread), seen, WIDTH) @ weights
    return scores


def shares(what: str, labels: np.ndarray, passed: np.ndarray) -> None:
    told = ", ".join(f"{name or 'whole'} {passed[labels == name].mean():.2f}" for name in np.unique(labels))
    print(f"{what} that pass: {passed.mean():.2f}: {told}")


def write(known: Pictures, own: np.ndarray, foreign: np.ndarray, limit: float) -> None:
    with safetensors.safe_open(FILE, "numpy") as file:
        about = json.loads(file.metadata()["kinds"])
        tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith(KIND)}  # noqa: SIM118
    before = tensors["descriptions"]
    if KIND in about:  # its descriptions lie at the end
        before = before[: about[KIND]["first"]]
    used = np.flatnonzero(own | foreign)
    middle, spread, _, weights = fit(known.descriptions[used], foreign[used], WIDTH)
    tensors["descriptions"] = np.concatenate([before, known.descriptions[used]]).astype(np.float16)
    tensors[f"{KIND}.used"] = np.arange(len(before), len(before) + len(used), dtype=np.int32)
    for part, array in (("middle", middle), ("spread", spread), ("weights", weights)):
        tensors[f"{KIND}.{part}"] = array.astype(np.float32)
    about[KIND] = {
        "width": WIDTH, "limit": float(limit), "own": int(own.sum()), "foreign": int(foreign.sum()), "first": len(before),
    }  # fmt: skip
    FILE.write_bytes(safetensors.numpy.save(tensors, {"kinds": json.dumps(about)}))
    for model in MODELS:
        write_card(find_model(model)[0].model_copy(update={"picture_kind": KIND}), BUNDLED_MODELS)
    print(FILE, FILE.stat().st_size, "bytes")


def main(arguments: list[str]) -> None:
    if not os.environ.get("VITASCOPE_DATA"):
        print("Set VITASCOPE_DATA to the folder of public data sets.")
        return
    print(describe())
    known = pictures()
    own, foreign = sides(known)
    scores = left_out(known, own, foreign)
    limit = float(np.quantile(scores[own], PASSED))
    passed = scores <= limit
    shares("own pictures, laboratory left out,", known.sources[own], passed[own])
    shares("own pictures, laboratory left out,", known.corruptions[own], passed[own])
    print(f"foreign pictures, source left out, that pass: {passed[foreign].sum()} of {foreign.sum()}")
    print(dict(Counter(known.sources[foreign & passed].tolist())))
    if "write" in arguments:
        write(known, own, foreign, limit)
