"""Pictures that are not of a model's kind: how many get a number at status OK, and how many of its own kind are flagged.

``python -m tests.benchmarks foreign`` tells kinds apart with the source of each picture left out (own pictures: a sixth of
them), and then counts what the bundled models say of them. ``foreign write`` puts what was found beside the models.
"""

from __future__ import annotations

import json
import os
from collections import Counter

import numpy as np
import safetensors.numpy
from tests.benchmarks.foreign_views import every_view
from tests.benchmarks.machine import describe

import vitascope
import vitascope.engine.foreign as foreign_module
from vitascope.core.errors import VitascopeError
from vitascope.core.flags import without_notes
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.engine.foreign import FILE, gauss, standardised
from vitascope.io.models.cards import find_model, write_card
from vitascope.ops.intensity.descriptor import describe_picture

WELLS = ("simulated wells", "2_organoid_atp/deepOrganoid_plate23997_rowA", "2_organoid_atp/patient3_organoids_384",
         "2_organoid_atp/ntnu_intestinal_zstack")  # fmt: skip
SPHEROIDS = ("simulated spheroids", "3_spheroid_viability/mls_spheroids_384")
CELLS = ("3_spheroid_viability/ldc_live_dead",)
KINDS = {"organoid-well": (WELLS, SPHEROIDS), "cells-brightfield": (CELLS, ())}
"""Sources of each kind, and those that are near enough to count for neither side."""

MODELS = {"atp-organoid": "organoid-well", "viability-ldc": "cells-brightfield"}
MOST_FOREIGN = 60
WIDTH, RIDGE, FOLDS = 1.0, 0.1, 6

PASSED, OTHERS_PASSED = {"organoid-well": 0.97, "cells-brightfield": 0.98}, 0.85
"""Shares of own pictures below the limit: of sources that are known, and of each source that was left out whole."""

known_kind = foreign_module.picture_kind


def sides(sources, kind):
    """Which pictures are of the kind, and which are foreign: of one source no more than :data:`MOST_FOREIGN`."""
    own, near = KINDS[kind]
    foreign = ~np.isin(sources, (*own, *near))
    for name in set(sources[foreign]):
        there = np.flatnonzero(sources == name)
        foreign[
            np.setdiff1d(there, there[np.linspace(0, len(there) - 1, min(len(there), MOST_FOREIGN)).astype(int)])
        ] = False
    return np.isin(sources, own), foreign


def fit(descriptions, foreign, width=WIDTH):
    """Weights of the pictures known, scores of both kinds around 0, by least squares on a Gaussian kernel.

    Both sides weigh the same.
    """
    middle, spread = descriptions.mean(0), descriptions.std(0) + 1e-6
    known = standardised(descriptions, middle, spread)
    share = np.where(foreign, 0.5 / foreign.sum(), 0.5 / (~foreign).sum()) * len(foreign)
    kernel = gauss(known, known, width) + RIDGE * np.diag(1 / share)
    return middle, spread, known, np.linalg.solve(kernel, np.where(foreign, 1.0, -1.0))


def left_out(descriptions, sources, stems, kind):
    """Scores of all pictures, each from a fit without its source; own ones without a sixth of them, by image."""
    own, foreign = sides(sources, kind)
    groups = np.array(
        [f"own{sum(map(ord, s)) % FOLDS}" if o else g for g, s, o in zip(sources, stems, own, strict=True)]
    )
    scores = np.full(len(sources), np.nan)
    for group in sorted(set(groups[own | foreign])):
        test = (groups == group) & (own | foreign)
        train = (own | foreign) & ~test
        middle, spread, known, weights = fit(descriptions[train], foreign[train])
        scores[test] = gauss(standardised(descriptions[test], middle, spread), known, WIDTH) @ weights
    return scores, own, foreign


def limit_of(descriptions, sources, kind, scores):
    """Return the limit: own pictures of known sources pass it, and most of another laboratory's."""
    own, foreign = sides(sources, kind)
    found = [float(np.quantile(scores[own], PASSED[kind]))]
    names = sorted(set(sources[own]))
    for name in names if len(names) > 1 else ():
        test = sources == name
        train = (own | foreign) & ~test
        middle, spread, known, weights = fit(descriptions[train], foreign[train])
        unseen = gauss(standardised(descriptions[test], middle, spread), known, WIDTH) @ weights
        found.append(float(np.quantile(unseen, OTHERS_PASSED)))
        print(f"  {name}, never seen: {np.mean(unseen <= found[0]):.0%} pass at the limit of known sources")
    return max(found)


def others_kept(first):
    """What the file holds of kinds that are not found here: tensors and what is told of them, from row ``first`` on."""
    with safetensors.safe_open(FILE, "numpy") as file:
        told = {k: v for k, v in json.loads(file.metadata()["kinds"]).items() if k not in KINDS}
        every, rows, tensors = file.get_tensor("descriptions"), [], {}
        for kind in told:
            own = file.get_tensor(f"{kind}.used")
            tensors[f"{kind}.used"] = np.arange(first, first + len(own), dtype=np.int32)
            told[kind] |= {"first": first}
            rows.append(every[own])
            first += len(own)
            tensors |= {f"{kind}.{part}": file.get_tensor(f"{kind}.{part}") for part in ("middle", "spread", "weights")}
    return tensors, told, rows


def write(descriptions, sources, limits):
    tensors, about, rows = others_kept(len(descriptions))
    tensors["descriptions"] = np.concatenate([descriptions, *rows]).astype(np.float16)
    for kind, limit in limits.items():
        own, foreign = sides(sources, kind)
        used = np.flatnonzero(own | foreign)
        middle, spread, _, weights = fit(descriptions[used], foreign[used])
        tensors[f"{kind}.used"] = used.astype(np.int32)
        for part, array in (("middle", middle), ("spread", spread), ("weights", weights)):
            tensors[f"{kind}.{part}"] = array.astype(np.float32)
        about[kind] = {
            "width": WIDTH,
            "limit": float(limit),
            "own": int(own.sum()),
            "foreign": int(foreign.sum()),
        }
    FILE.write_bytes(safetensors.numpy.save(tensors, {"kinds": json.dumps(about)}))
    for model, kind in MODELS.items():
        write_card(find_model(model)[0].model_copy(update={"picture_kind": kind}), BUNDLED_MODELS)
    print(FILE, FILE.stat().st_size, "bytes")


def says(model, view):
    """What a bundled model says of a picture without looking for its kind: its status, and whether there is a number."""
    task = find_model(model)[0].task
    foreign_module.picture_kind = lambda name: None
    try:
        result = vitascope.run(task, view.pixels, model=model, maps=False, threads=1, precision="f32")
    except VitascopeError as error:
        return error.flag, False, (error.flag,)
    number = result.rows[0].get(task) if result.rows else None
    return str(result.status), number is not None and np.isfinite(number), result.flags


def own_flags(told, scores, limit, own):
    """Why own pictures are not OK: words that weigh, and how many another kind is read into."""
    found = Counter(
        flag for (_, _, flags), mine in zip(told, own, strict=True) if mine for flag in without_notes(flags)
    )
    return {**found, "another kind": int((own & (scores > limit)).sum())}


def main(arguments):
    if not os.environ.get("VITASCOPE_DATA"):
        print("Set VITASCOPE_DATA to the folder of public data sets.")
        return
    print(describe())
    views = list(every_view())
    descriptions = np.array([describe_picture(view.pixels) for view in views], np.float64)
    sources, stems = np.array([v.source for v in views]), [v.name.rsplit("-", 2)[0] for v in views]
    limits, only = {}, set(arguments) & set(KINDS) or {""}
    for kind in KINDS:
        scores, own, foreign = left_out(descriptions, sources, stems, kind)
        limits[kind] = limit_of(descriptions, sources, kind, scores)
        missed = foreign & (scores <= limits[kind])
        print(
            f"{kind}: source left out: {missed.sum()} of {foreign.sum()} foreign pictures pass; {dict(Counter(sources[missed]))}"
        )
        for model in (m for m, k in MODELS.items() if k == kind and only & {"", kind}):
            told = [says(model, v) for v in views]
            ok = np.array([status == "OK" and number for status, number, _ in told])
            bundled = known_kind(kind)
            caught = bundled.score(descriptions) > bundled.limit if bundled is not None else np.zeros(len(ok), bool)
            alike = [s == "OK" and score <= limits[kind] for (s, _, _), score in zip(told, scores, strict=True)]
            print(
                f"    of {dict(Counter(sources[ok & missed]))}; flags of own {own_flags(told, scores, limits[kind], own)}"
            )
            print(
                f"  {model}: {(ok & missed).sum()} of {foreign.sum()} foreign pictures would have a number at status OK "
                f"with their source left out (without looking {(ok & foreign).sum()}, as bundled "
                f"{(ok & foreign & ~caught).sum()}); own pictures OK, left out: {np.mean(np.array(alike)[own]):.1%} "
                f"of {own.sum()} (without looking {np.mean([t[0] == 'OK' for t in np.array(told, object)[own]]):.1%})"
            )
    if "write" in arguments:
        write(descriptions, sources, limits)
