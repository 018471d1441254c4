"""Expected agreement against the true one, each laboratory left out of the gate and of the model; all bars.

``gate`` reads what ``gate --collect`` left in results/; ``--collect`` runs the models over all views (minutes). The
other models that give a second opinion have not seen the laboratory either. ``--sets`` compares what could tell: all
sets, and what a choice by the laboratories that are not left out would have given.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from tests.benchmarks.own_views import (
    DRAWN,
    LABORATORIES,
    View,
    drawn,
    negatives,
    others,
    strip,
    training,
    views,
    worse,
)

from vitascope.core.card import ExpectedAgreement
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.engine.committee import agreement, corners, predict_crops, side_for
from vitascope.engine.expected import (
    AGREES,
    COMMITTEE,
    STATISTICS,
    TOLD_BY,
    Expected,
    choose_crops,
    describe_crops,
    expect,
    turned_over,
)
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.preprocess import prepare_picture
from vitascope.io.models.cards import read_card, write_card
from vitascope.io.results.temporary_store import TemporaryStore
from vitascope.ops.objects.segment import segment_blocks
from vitascope.pipelines.stain import make_segment_params
from vitascope.pipelines.stain_agreement import scaled_stain
from vitascope.pipelines.stain_committee import masked_target
from vitascope.stats.agreement import pcc
from vitascope.tasks.stain import StainParams
from vitascope.training.expected_agreement import fit_all, fit_errors, fit_expected

HOME = {"nuclei-phase": "isl"}
LIGHT = "drawn-"
LEAST_USE = 0.6
"""From here on a prediction would have been of use."""
MODELS = Path(__file__).parent / "models"
RESULTS = Path(__file__).parent / "results"


def answer_of(model: LoadedModel):
    network = model.network.to(memory_format=torch.channels_last)

    def answer(crop: np.ndarray):
        with torch.inference_mode():
            picture, encoding = network(torch.from_numpy(np.ascontiguousarray(crop))[None])[:2]
        return picture[0].numpy(), encoding[0].numpy()

    return answer


def measure(model: LoadedModel, view: View) -> dict:
    """Statistics of a view, and its true agreement."""
    spec = model.card.input
    ready = run_to_end(prepare_picture([view.image] * spec.planes, spec, 1.0))
    answer = answer_of(model)
    statistics = describe_crops(answer, choose_crops(ready.read, ready.shape_yx), model.card.domain)
    height, width = ready.shape_yx
    padded = ready.read((slice(0, height + -height % 16), slice(0, width + -width % 16)))
    predicted = answer(padded)[0][0, :height, :width]
    known = view.corruption == "no cells"
    true = (
        0.0 if known else float(np.nan_to_num(pcc(view.truth[view.weight].astype(np.float64), predicted[view.weight])))
    )
    objects = {} if known or view.severity > 1 else count_errors(model, view, predicted)
    row = {"laboratory": view.laboratory, "view": view.name, "corruption": view.corruption, "severity": view.severity}
    return {**row, "true": true, **statistics, **objects, **opinions(model, view)}


def family(name: str) -> str:
    """The bundled model that a twin stands for."""
    return name.partition("-without-")[0].partition("-twin-")[0]


def opinions(model: LoadedModel, view: View) -> dict[str, float]:
    """Agreements with the other models that have not seen the laboratory."""
    places, size = corners(view.image.shape), model.card.input.object_diameter_px
    own = predict_crops(asker(model), prepared(model, view, 1.0).read, places, side_for(1, 1))
    found = {}
    for name in members(view.laboratory):
        if family(name) == family(model.card.id):
            continue
        other = load(name)
        side = side_for(other.card.input.object_diameter_px, size)
        read = prepared(other, view, side / side_for(1, 1)).read
        ask = asker(other)
        straight = predict_crops(ask, read, places, side)
        turned = predict_crops(lambda crop, ask=ask: ask(turned_over(crop)), read, places, side)
        found[AGREES + family(name)] = round(agreement(own, straight, turned), 5)
    return found


def members(laboratory: str) -> list[str]:
    """Models of nuclei that have not seen a laboratory."""
    home = laboratory in ("isl", "strip")
    own = "isl" if home else laboratory
    phase = ["nuclei-phase-twin-seed0"] if laboratory == "strip" else [] if home else ["nuclei-phase"]
    return [
        f"nuclei-any-without-{own}" if own in LABORATORIES else "nuclei-any",
        *phase,
        *(["dna-brightfield"] if own != "jurkat" else []),
        *(["organelles-brightfield"] if own != "cellpainting" else []),
    ]


@cache
def load(name: str) -> LoadedModel:
    path = MODELS / f"{name}.json"
    return load_model(str(path) if path.exists() else name, "stain")


def prepared(model: LoadedModel, view: View, scale: float):
    return run_to_end(prepare_picture([view.image] * model.card.input.planes, model.card.input, scale))


def asker(model: LoadedModel):
    answer, target = answer_of(model), masked_target(model.card)
    return lambda crop: answer(crop)[0][target]


def count_errors(model: LoadedModel, view: View, predicted: np.ndarray) -> dict[str, float]:
    """ln(real / predicted) of the number of nuclei and of their mean area, both found as users find them."""
    params = make_segment_params(model.card, StainParams(), 1.0)
    tables = []
    for picture in (run_to_end(scaled_stain(view.truth, TemporaryStore())), predicted):
        shown = np.where(view.weight, np.asarray(picture), 0).astype(np.float32)
        tables.append(run_to_end(segment_blocks(shown, params, pictures={"nuclei": shown})).table)
    real, found = tables
    if not len(real) or not len(found):
        return {}
    areas = real["area_px"].mean() / found["area_px"].mean()
    return {"ln_objects": float(np.log(len(real) / len(found))), "ln_area": float(np.log(areas))}


SOURCES = {"negatives": negatives, "others": others, "strip": strip, "training": training}
KINDS = {
    "nuclei-any": {**{lab: f"nuclei-any-without-{lab}" for lab in LABORATORIES}, "others": "nuclei-any", "negatives": "nuclei-any"},
    "nuclei-phase": {"cellpainting": "nuclei-phase", "piximi": "nuclei-phase", "jurkat": "nuclei-phase",
                     "strip": "nuclei-phase-twin-seed0", "others": "nuclei-phase", "negatives": "nuclei-phase"},
}  # fmt: skip
"""For each model, the one that has not seen a laboratory, and the views of what no model has seen."""


def collect(kind: str, source: str) -> None:
    """Run the model that never saw a laboratory over its views, all corruptions."""
    name = KINDS[kind].get(source.removeprefix(LIGHT), kind)
    model = load(name)
    clean = (
        drawn(source.removeprefix(LIGHT)) if source.startswith(LIGHT) else SOURCES.get(source, lambda: views(source))()
    )
    rows = []
    for number, view in enumerate(clean):
        for one in [view] if source in ("negatives", "training") or source.startswith(LIGHT) else worse(view, number):
            rows.append({"model": name, "drawn": source.startswith(LIGHT), **measure(model, one)})
    done = [r["true"] for r in rows if r["corruption"] == "none"]
    print(f"{kind} {source}: {len(clean)} views, clean PCC {np.mean(done) if done else 0:.3f}", flush=True)
    (RESULTS / f"gate_{kind}_{source}.json").write_text(json.dumps(rows, indent=0))


def sources_of(kind: str) -> list[str]:
    """What is collected for a model: real light, then drawn light of laboratories that it has not seen."""
    light = [LIGHT + lab for lab in DRAWN if not (kind in HOME and lab == HOME[kind])]
    return [*KINDS[kind], *(["training"] if kind in HOME else []), *light]


def read_rows(kind: str) -> list[dict]:
    """What was collected; views of the training field's kept strip count as their laboratory."""
    rows = []
    for source in sources_of(kind):
        path = RESULTS / f"gate_{kind}_{source}.json"
        if not path.exists():
            print(f"{path.name} is not there: run with --collect {kind} {source}")
            continue
        rows += json.loads(path.read_text())
    return [
        {**row, "asked": kind, "laboratory": "isl" if row["laboratory"] == "strip" else row["laboratory"]}
        for row in rows
    ]


class Rows(NamedTuple):
    """Real views of a model, those of its training field as it was trained on, and views of others and of drawn light."""

    real: list[dict]
    seen: list[dict]
    beside: list[dict]

    def without(self, laboratory: str) -> Rows:
        """Leave a laboratory out, real and drawn; the training field as it was trained on stays."""
        return Rows(
            [r for r in self.real if r["laboratory"] != laboratory],
            self.seen,
            [r for r in self.beside if r["laboratory"] != laboratory],
        )


def all_rows(kind: str) -> Rows:
    """Rows of a model, and of the others beside it."""
    mine = read_rows(kind)
    others = [row for other in KINDS if other != kind for row in read_rows(other)]
    others = [row for row in others if row["laboratory"] not in ("training", HOME.get(row["asked"]))]
    return Rows(
        real=[r for r in mine if r["laboratory"] != "training" and not r.get("drawn")],
        seen=[r for r in mine if r["laboratory"] == "training"],
        beside=[*(r for r in mine if r.get("drawn")), *others],
    )


def fitted(kind: str, rows: Rows, told_by: dict[str, int] = TOLD_BY) -> ExpectedAgreement:
    """The expected agreement of a model."""
    needed = [name for name in told_by if name != COMMITTEE]
    beside = [row for row in rows.beside if all(name in row for name in needed)]
    return fit_expected(rows.real, told_by, home=HOME.get(kind, ""), seen=rows.seen, beside=beside)


def left_out(kind: str, rows: Rows, told_by: dict[str, int] = TOLD_BY) -> list[Expected]:
    """What is expected of each real row by a gate that never saw its laboratory."""
    gates = {lab: fitted(kind, rows.without(lab), told_by) for lab in {r["laboratory"] for r in rows.real}}
    return [expect(gates[row["laboratory"]], row) for row in rows.real]


SETS = {
    "alone": STATISTICS,
    "polarity": {"polarity": -1},
    "committee": {COMMITTEE: 1},
    "polarity, committee": TOLD_BY,
    "all": {**STATISTICS, COMMITTEE: 1},
}


def compare_sets(kind: str) -> None:
    """Spearman of every set, and of the set that the laboratories which are not left out would choose."""
    rows = all_rows(kind)
    away = [r for r in rows.real if r["laboratory"] != HOME.get(kind)]
    every = Rows(away, [], rows.beside)
    for name, told_by in SETS.items():
        print(f"{kind}: {name:22} Spearman {ranked(*values(every, told_by)):.3f}")
    told: list[float] = []
    true: list[float] = []
    for lab in sorted({r["laboratory"] for r in away if r["corruption"] != "no cells"}):
        inner = every.without(lab)
        best = max(SETS, key=lambda name: ranked(*values(inner, SETS[name])))
        gate = plain_fit(inner, SETS[best])
        mine = [r for r in away if r["laboratory"] == lab]
        told += [expect(gate, r).value for r in mine]
        true += [r["true"] for r in mine]
        print(f"{kind}: without {lab}: {best}")
    print(f"{kind}: sets chosen without the laboratory: Spearman {ranked(told, true):.3f}")


def values(rows: Rows, told_by: dict[str, int]) -> tuple[list[float], list[float]]:
    """What is expected of views with cells, their laboratory left out, and what is true; nothing is known as home."""
    told, true = [], []
    for lab in sorted({r["laboratory"] for r in rows.real}):
        gate = plain_fit(rows.without(lab), told_by)
        mine = [r for r in rows.real if r["laboratory"] == lab and r["corruption"] != "no cells"]
        told += [expect(gate, r).value for r in mine]
        true += [r["true"] for r in mine]
    return told, true


def plain_fit(rows: Rows, told_by: dict[str, int]) -> ExpectedAgreement:
    needed = [name for name in told_by if name != COMMITTEE]
    return fit_all([*rows.real, *(r for r in rows.beside if all(name in r for name in needed))], told_by)


def ranked(told: list[float], true: list[float]) -> float:
    return float(spearmanr(told, true).statistic)


def bar(name: str, value: float, limit: str, held: bool) -> None:
    print(f"{name:62} {value:7.3f}  bar {limit:12} {'held' if held else 'MISSED'}")


def report(kind: str) -> None:
    every = all_rows(kind)
    rows, seen = every.real, every.seen
    if len({row["laboratory"] for row in rows}) < 4:
        return
    told = left_out(kind, every)
    if kind in HOME:
        own = [(r["true"], e.value) for r, e in zip(rows, told, strict=True) if r["laboratory"] == HOME[kind]]
        at_home = "{1:.2f} expected, {0:.2f} true".format(*np.mean(own, axis=0))
        told = [e for r, e in zip(rows, told, strict=True) if r["laboratory"] != HOME[kind]]
        rows = [r for r in rows if r["laboratory"] != HOME[kind]]
        print(f"\n{kind}: its own laboratory, were it not known as home: {at_home}; apart from the bars that follow")
    true, value, low, high = (
        np.array(v)
        for v in zip(*((r["true"], e.value, e.low, e.high) for r, e in zip(rows, told, strict=True)), strict=True)
    )
    lab = np.array([r["laboratory"] for r in rows])
    severity = np.array([r["severity"] for r in rows])
    corruption = np.array([r["corruption"] for r in rows])
    cells = corruption != "no cells"
    print(f"\n{kind}: {cells.sum()} views x corruptions of {len(set(lab[cells]))} laboratories")
    rho = spearmanr(value[cells], true[cells]).statistic
    bar("Spearman of expected and true, all", rho, ">= 0.8", rho >= 0.8)
    for s in np.unique(severity[cells]):
        part = cells & (severity == s)
        if len(set(lab[part])) >= 3:
            rho = spearmanr(value[part], true[part]).statistic
            bar(f"Spearman inside severity {s} ({part.sum()} views)", rho, ">= 0.5", rho >= 0.5)
    clean = cells & (corruption == "none")
    error = float(np.median(np.abs(value - true)[clean]))
    bar("clean views: median error", error, "<= 0.12", error <= 0.12)
    inside = (low <= true) & (true <= high)
    share = float(inside[cells].mean())
    bar("true values inside the interval", share, "0.75 to 0.9", 0.75 <= share <= 0.9)
    for one in sorted(set(lab[cells])):
        share = float(inside[cells & (lab == one)].mean())
        bar(f"  of {one}", share, ">= 0.6", share >= 0.6)
    width = float(np.median((high - low)[cells]))
    bar("median width of the interval", width, "<= 0.35", width <= 0.35)
    whole = fitted(kind, every)
    shown = low >= whole.unsure
    told_of = ", ".join(f"{one} {shown[lab == one].mean():.2f}" for one in sorted(set(lab)))
    print(f"views whose numbers are shown (lower end >= {whole.unsure:g}): {told_of}")
    enough = float((true[cells & shown] >= whole.unsure).mean()) if (cells & shown).any() else 1.0
    usable = float((true[cells & ~shown] >= LEAST_USE).mean())
    print(f"of those with cells {enough:.2f} reach it in truth; of those held back {usable:.2f} reach {LEAST_USE}")
    limit = whole.fits
    fits = low >= limit
    if kind in HOME:
        at_home = [
            expect(whole, r).low >= limit
            for r in every.real
            if r["laboratory"] == HOME[kind] and r["corruption"] == "none"
        ]
        bar(
            f"views of the training field, held out, that fit (>= {limit:g})",
            np.mean(at_home),
            ">= 0.95",
            np.mean(at_home) >= 0.95,
        )
        share = float(np.mean([expect(whole, r).low >= limit for r in seen]))
        bar(f"views of the training field as trained on, that fit ({len(seen)})", share, ">= 0.95", share >= 0.95)
        turned = [
            expect(whole, r).low >= limit
            for r in every.real
            if r["laboratory"] == HOME[kind] and r["corruption"] == "inverted"
        ]
        share = float(np.mean(turned))
        bar(f"views of the training field, held out, inverted, that fit ({len(turned)})", share, "0", not share)
        print("home:", whole.home)
    bar("pictures without cells that fit", float(fits[~cells].mean()), "0", not fits[~cells].any())
    for what in ("inverted", "defocus"):
        part = (corruption == what) & ((severity > 2) | (what == "inverted"))
        bar(f"views that fit, {what}", float(fits[part].mean()), "0", not fits[part].any())


def write(kind: str) -> None:
    """Put the expected agreement into the card of a bundled model."""
    path = BUNDLED_MODELS / f"{kind}.json"
    card, rows = read_card(path), all_rows(kind)
    expected = fitted(kind, rows)
    close = [row for row in rows.real if "ln_objects" in row and expect(expected, row).low >= expected.unsure]
    expected = expected.model_copy(update={"errors": fit_errors(close) if close else None})
    write_card(card.model_copy(update={"expected": expected}), path.parent)
    print(f"{path.name}: written")


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    if "--collect" in arguments:
        kind, *sources = [a for a in arguments if not a.startswith("-")]
        for source in sources or sources_of(kind):
            collect(kind, source)
        return
    if "--sets" in arguments:
        for kind in KINDS:
            compare_sets(kind)
        return
    for kind in KINDS:
        report(kind)
        if "--write" in arguments and kind in arguments:
            write(kind)
