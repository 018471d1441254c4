"""Calibration on one laboratory's wells against the best of its three ways, and against a constant.

Laboratories are drawn: organoids of another size, another contrast (a power of the light that is left), another unit.
``calibrate [LABORATORY ...] [--seed N] [--network]``: calibrated on 16 and on 48 wells, read on 120 wells of other
plates that chose nothing. Without ``--network`` the third way, fine-tuning, is left out. What is chosen (features,
powers, when the blend is kept) was chosen on laboratories of other sizes, contrasts and seeds (301 to 304).
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from tests.benchmarks import finetune_atp
from tests.benchmarks.machine import describe

import vitascope
from vitascope.core.progress import run_to_end
from vitascope.core.readout import NUMBER
from vitascope.recipes.calibration import CalibrateParams
from vitascope.stats.calibration.readouts import Wells, read_out
from vitascope.training.calibration.network import finetune, finetuning_recipe, numbers
from vitascope.training.calibration.wells import read_laboratory

SEED, TEST, SIZES = 91, 120, (16, 48)
LABORATORIES = {"larger-fainter": (1.35, 0.6), "smaller-stronger": (0.75, 1.5), "same-size-fainter": (1.0, 0.7)}
RATIO, GAIN = 1.05, 0.25


def measure(lab: str, seed: int, folder: Path, with_network: bool) -> list[tuple[float, float]]:
    os.environ["VITASCOPE_MODELS"] = str(folder / "models")
    finetune_atp.make_wells(folder / "test", LABORATORIES[lab], seed, 400, TEST)
    test = run_to_end(read_laboratory(folder / "test", folder / "test" / "atp.csv", CalibrateParams()))
    found = []
    for size in SIZES:
        own = folder / f"train{size}"
        finetune_atp.make_wells(own, LABORATORIES[lab], seed, 0, size)
        begin = time.perf_counter()
        settings = {"network": with_network, "unit": "nM"}
        done = vitascope.calibrate("atp", own, own / "atp.csv", f"lab{size}", **settings)
        seconds = time.perf_counter() - begin
        errors = ways(own, test.wells, with_network)
        predicted = [float(r) for r in run_all(done.path, test.wells, done)] if done.card.readout else None
        kept = errors[done.chosen] if predicted is None else mean_error(np.array(predicted), test.wells)
        best = min(errors[name] for name in ("line", "features", "network") if name in errors)
        found.append((kept / best, 1 - kept / errors["constant"]))
        told = ", ".join(f"{name} {error:.4g}" for name, error in errors.items())
        bar = "met" if found[-1][0] <= RATIO and found[-1][1] >= GAIN else "MISSED"
        print(
            f"  {lab}, {size} wells: kept {done.chosen}, MAE {kept:.4g} = {found[-1][0]:.3f} x the best (bar {RATIO}), "
            f"{found[-1][1]:.0%} below the constant (bar {GAIN:.0%}): {bar}. {told}. {seconds:.0f} s",
            flush=True,
        )
    return found


def ways(folder: Path, test: Wells, with_network: bool) -> dict[str, float]:
    """Error on the test wells of each way, fitted to all calibration wells."""
    from vitascope.stats.calibration.readouts import READ_METHODS, fit_readout

    laboratory = run_to_end(read_laboratory(folder, folder / "atp.csv", CalibrateParams()))
    errors = {m: mean_error(read_out(fit_readout(m, laboratory.wells), test.values()), test) for m in READ_METHODS}
    if with_network:
        recipe = finetuning_recipe(laboratory, "finetuned", folder, 0)
        network = run_to_end(finetune(recipe, laboratory, np.arange(len(laboratory.wells))))
        seen = run_to_end(
            read_laboratory(folder.parent / "test", folder.parent / "test" / "atp.csv", CalibrateParams())
        )
        errors["network"] = mean_error(numbers(network, seen.known), test)
    return {**errors, "constant": mean_error(np.full(len(test), np.median(laboratory.wells.truth)), test)}


def run_all(path: Path, test: Wells, done: object) -> np.ndarray:
    """Numbers of the calibrated model as its card reads them, from the file."""
    from vitascope.io.models.cards import read_card

    card = read_card(path)
    assert card.readout is not None
    assert NUMBER in test.values()
    return read_out(card.readout, test.values())


def mean_error(predicted: np.ndarray, test: Wells) -> float:
    return float(np.abs(predicted - test.truth).mean())


def main(arguments: list[str]) -> None:
    seed = int(arguments[arguments.index("--seed") + 1]) if "--seed" in arguments else SEED
    print(describe())
    every: list[tuple[float, float]] = []
    for lab in [a for a in arguments if a in LABORATORIES] or LABORATORIES:
        with tempfile.TemporaryDirectory() as name:
            every += measure(lab, seed, Path(name), "--network" in arguments)
    ratios, gains = (np.array(one) for one in zip(*every, strict=True))
    print(f"Within {RATIO} x the best: {np.sum(ratios <= RATIO)} of {len(ratios)} (mean {ratios.mean():.3f});")
    print(f"at least {GAIN:.0%} below a constant: {np.sum(gains >= GAIN)} of {len(gains)} (least {gains.min():.0%})")
    print(describe())
