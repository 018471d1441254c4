"""Calibration on one laboratory's wells against the best of its three ways, and against a constant.

Three laboratories are drawn and three composed of real wells that no model was trained on: organoids of another size,
another contrast (a power of the light that is left), another unit.
``calibrate [LABORATORY ...] [16] [48] [--seed N] [--network]``: calibrated on 16 and on 48 wells, read on 120 wells
of other plates that chose nothing, as the command does by default. With ``--network`` the third way, a network fine-tuned
on all calibration wells, is compared with what was kept. What is chosen (features, powers, when the blend is kept) was
chosen on laboratories of other sizes, contrasts and seeds (301 to 304).
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from scipy import ndimage
from tests.benchmarks import finetune_atp
from tests.benchmarks.machine import describe
from tests.benchmarks.map_faithful import test_parts

import vitascope
from vitascope.core.progress import run_to_end
from vitascope.io.models.cards import read_card
from vitascope.recipes.calibration import CalibrateParams
from vitascope.simulate.composed_wells import compose_well
from vitascope.simulate.cutouts import CutOut, Parts
from vitascope.stats.calibration.readouts import READ_METHODS, Wells, fit_readout, read_out
from vitascope.training.calibration.network import finetune, finetuning_recipe, numbers
from vitascope.training.calibration.wells import Laboratory, read_laboratory

SEED, TEST, SIZES = 91, 120, (16, 48)
DRAWN = {"larger-fainter": (1.35, 0.6), "smaller-stronger": (0.75, 1.5), "same-size-fainter": (1.0, 0.7)}
COMPOSED = {
    "composed-larger-fainter": (1.3, 0.6),
    "composed-smaller-stronger": (0.8, 1.4),
    "composed-same-size-fainter": (1.0, 0.7),
}
RATIO, GAIN = 1.05, 0.25


def make_wells(folder: Path, lab: str, seed: int, first: int, count: int) -> None:
    """Write wells of a laboratory and their values; organoids of composed ones are enlarged before they are laid."""
    if lab in DRAWN:
        finetune_atp.make_wells(folder, DRAWN[lab], seed, first, count)
        return
    wider, contrast = COMPOSED[lab]
    parts = enlarged(test_parts(), wider)
    folder.mkdir(parents=True)
    rows = []
    for number in range(first, first + count):
        well = compose_well(seed, number, number // finetune_atp.PER_PLATE, parts)
        middle = float(np.median(well.image))
        image = middle * (well.image / middle) ** contrast
        name = f"well{number:04d}.tif"
        tifffile.imwrite(folder / name, np.clip(np.rint(image), 0, 65535).astype(np.uint16))
        rows.append({"image": name, "atp": well.atp_rlu * finetune_atp.LABELS})
    pd.DataFrame(rows).to_csv(folder / "atp.csv", index=False)


def enlarged(parts: Parts, wider: float) -> Parts:
    """Parts whose organoids are so many times as wide; their amount follows, being that of a ball of their area."""
    lines = tuple(tuple(stretched(one, wider) for one in line) for line in parts.lines)
    return replace(parts, lines=lines)


def stretched(one: CutOut, wider: float) -> CutOut:
    if wider == 1:
        return one
    how = {"order": 1, "grid_mode": True, "mode": "grid-constant"}
    inside = ndimage.zoom(one.inside.astype(np.float32), wider, **how) > 0.5
    return replace(one, absorbed=ndimage.zoom(one.absorbed, wider, **how), inside=inside) if inside.any() else one


def measure(lab: str, seed: int, folder: Path, sizes: tuple[int, ...], with_network: bool) -> list[tuple[float, float]]:
    os.environ["VITASCOPE_MODELS"] = str(folder / "models")
    make_wells(folder / "test", lab, seed, 400, TEST)
    test = run_to_end(read_laboratory(folder / "test", folder / "test" / "atp.csv", CalibrateParams()))
    found = []
    for size in sizes:
        own = folder / f"train{size}"
        make_wells(own, lab, seed, 0, size)
        begin = time.process_time()
        done = vitascope.calibrate("atp", own, own / "atp.csv", f"lab{size}", unit="nM")
        seconds = time.process_time() - begin
        errors = ways(own, test, with_network)
        kept = mean_error(read_as_kept(done.path, test.wells), test.wells)
        best = min(errors[name] for name in ("line", "features", "network") if name in errors)
        found.append((kept / best, 1 - kept / errors["constant"]))
        told = ", ".join(f"{name} {error:.4g}" for name, error in errors.items())
        bar = "met" if found[-1][0] <= RATIO and found[-1][1] >= GAIN else "MISSED"
        print(
            f"  {lab}, {size} wells: kept {done.chosen}, MAE {kept:.4g} = {found[-1][0]:.3f} x the best (bar {RATIO}), "
            f"{found[-1][1]:.0%} below the constant (bar {GAIN:.0%}): {bar}. {told}. {seconds:.0f} s of processor",
            flush=True,
        )
    return found


def ways(folder: Path, seen: Laboratory, with_network: bool) -> dict[str, float]:
    """Error on the test wells of each way, fitted to all calibration wells."""
    test = seen.wells
    laboratory = run_to_end(read_laboratory(folder, folder / "atp.csv", CalibrateParams()))
    errors = {m: mean_error(read_out(fit_readout(m, laboratory.wells), test.values()), test) for m in READ_METHODS}
    if with_network:
        recipe = finetuning_recipe(laboratory, "finetuned", folder, 0)
        network = run_to_end(finetune(recipe, laboratory, np.arange(len(laboratory.wells))))
        errors["network"] = mean_error(numbers(network, seen.known), test)
    return {**errors, "constant": mean_error(np.full(len(test), np.median(laboratory.wells.truth)), test)}


def read_as_kept(path: Path, test: Wells) -> np.ndarray:
    """Numbers of the calibrated model as its card reads them, from the file."""
    card = read_card(path)
    assert card.readout is not None
    return read_out(card.readout, test.values())


def mean_error(predicted: np.ndarray, test: Wells) -> float:
    return float(np.abs(predicted - test.truth).mean())


def main(arguments: list[str]) -> None:
    seed = int(arguments[arguments.index("--seed") + 1]) if "--seed" in arguments else SEED
    print(describe())
    every: list[tuple[float, float]] = []
    sizes = tuple(size for size in SIZES if str(size) in arguments) or SIZES
    laboratories = {**DRAWN, **COMPOSED}
    for lab in [a for a in arguments if a in laboratories] or laboratories:
        with tempfile.TemporaryDirectory() as name:
            every += measure(lab, seed, Path(name), sizes, "--network" in arguments)
    ratios, gains = (np.array(one) for one in zip(*every, strict=True))
    print(f"Within {RATIO} x the best: {np.sum(ratios <= RATIO)} of {len(ratios)} (mean {ratios.mean():.3f});")
    print(f"at least {GAIN:.0%} below a constant: {np.sum(gains >= GAIN)} of {len(gains)} (least {gains.min():.0%})")
    print(describe())
