"""Expected agreement against the true one, each laboratory left out of the gate and of the model; all bars.

``gate`` reads what ``gate --collect`` left in results/; ``--collect`` runs the models over all views (minutes).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from tests.benchmarks.own_views import LABORATORIES, View, negatives, others, strip, training, views, worse

from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.engine.expected import Expected, choose_crops, describe_crops, expect
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.preprocess import prepare_picture
from vitascope.io.models.cards import read_card, write_card
from vitascope.io.results.temporary_store import TemporaryStore
from vitascope.ops.objects.segment import segment_blocks
from vitascope.pipelines.stain import make_segment_params
from vitascope.pipelines.stain_agreement import scaled_stain
from vitascope.stats.agreement import pcc
from vitascope.tasks.stain import StainParams
from vitascope.training.expected_agreement import fit_errors, fit_expected

HOME = {"nuclei-phase": "isl"}
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
    prepared = run_to_end(prepare_picture([view.image] * spec.planes, spec, 1.0))
    answer = answer_of(model)
    statistics = describe_crops(answer, choose_crops(prepared.read, prepared.shape_yx), model.card.domain)
    height, width = prepared.shape_yx
    padded = prepared.read((slice(0, height + -height % 16), slice(0, width + -width % 16)))
    predicted = answer(padded)[0][0, :height, :width]
    known = view.corruption == "no cells"
    true = (
        0.0 if known else float(np.nan_to_num(pcc(view.truth[view.weight].astype(np.float64), predicted[view.weight])))
    )
    objects = {} if known or view.severity > 1 else count_errors(model, view, predicted)
    row = {"laboratory": view.laboratory, "view": view.name, "corruption": view.corruption, "severity": view.severity}
    return {**row, "true": true, **statistics, **objects}


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
    name = KINDS[kind].get(source, kind)
    path = MODELS / f"{name}.json"
    model = load_model(str(path) if path.exists() else name, "stain")
    clean = SOURCES[source]() if source in SOURCES else views(source)
    rows = []
    for number, view in enumerate(clean):
        for one in [view] if source in ("negatives", "training") else worse(view, number):
            rows.append({"model": name, **measure(model, one)})
    done = [r["true"] for r in rows if r["corruption"] == "none"]
    print(f"{kind} {source}: {len(clean)} views, clean PCC {np.mean(done) if done else 0:.3f}", flush=True)
    (RESULTS / f"gate_{kind}_{source}.json").write_text(json.dumps(rows, indent=0))


def read_rows(kind: str) -> list[dict]:
    """What was collected; views of the training field's kept strip count as their laboratory."""
    rows = []
    for source in (*KINDS[kind], *(["training"] if kind in HOME else [])):
        path = RESULTS / f"gate_{kind}_{source}.json"
        if not path.exists():
            print(f"{path.name} is not there: run with --collect {kind} {source}")
            continue
        rows += json.loads(path.read_text())
    return [{**row, "laboratory": "isl"} if row["laboratory"] == "strip" else row for row in rows]


def left_out(kind: str, rows: list[dict]) -> list[Expected]:
    """What is expected of each row by a gate that never saw its laboratory."""
    gates = {
        lab: fit_expected([r for r in rows if r["laboratory"] != lab], home=HOME.get(kind, ""))
        for lab in {r["laboratory"] for r in rows}
    }
    return [expect(gates[row["laboratory"]], row) for row in rows]


def bar(name: str, value: float, limit: str, held: bool) -> None:
    print(f"{name:62} {value:7.3f}  bar {limit:12} {'held' if held else 'MISSED'}")


def report(kind: str) -> None:
    rows = [row for row in read_rows(kind) if row["laboratory"] != "training"]
    seen = [row for row in read_rows(kind) if row["laboratory"] == "training"]
    if len({row["laboratory"] for row in rows}) < 4:
        return
    told = left_out(kind, rows)
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
    limit = fit_expected(rows, home=HOME.get(kind, ""), seen=seen).fits
    fits = low >= limit
    if kind in HOME:
        whole = fit_expected(rows, home=HOME[kind], seen=seen)
        at_home = [
            expect(whole, r).low >= limit for r in rows if r["laboratory"] == HOME[kind] and r["corruption"] == "none"
        ]
        bar(
            f"views of the training field, held out, that fit (>= {limit:g})",
            np.mean(at_home),
            ">= 0.95",
            np.mean(at_home) >= 0.95,
        )
        share = float(np.mean([expect(whole, r).low >= limit for r in seen]))
        bar(f"views of the training field as trained on, that fit ({len(seen)})", share, ">= 0.95", share >= 0.95)
        print("home:", whole.home)
    bar("pictures without cells that fit", float(fits[~cells].mean()), "0", not fits[~cells].any())
    for what in ("inverted", "defocus"):
        part = (corruption == what) & ((severity > 2) | (what == "inverted"))
        bar(f"views that fit, {what}", float(fits[part].mean()), "0", not fits[part].any())


def write(kind: str) -> None:
    """Put the expected agreement into the card of a bundled model."""
    path = BUNDLED_MODELS / f"{kind}.json"
    card, read = read_card(path), read_rows(kind)
    rows = [row for row in read if row["laboratory"] != "training"]
    seen = [row for row in read if row["laboratory"] == "training"]
    expected = fit_expected(rows, home=HOME.get(kind, ""), seen=seen)
    close = [row for row in rows if "ln_objects" in row and expect(expected, row).low >= expected.unsure]
    expected = expected.model_copy(update={"errors": fit_errors(close) if close else None})
    write_card(card.model_copy(update={"expected": expected}), path.parent)
    print(f"{path.name}: written")


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    if "--collect" in arguments:
        kind, *sources = [a for a in arguments if not a.startswith("-")]
        for source in sources or KINDS[kind]:
            collect(kind, source)
        return
    for kind in KINDS:
        report(kind)
        if "--write" in arguments and kind in arguments:
            write(kind)
