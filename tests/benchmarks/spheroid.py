"""Spheroids: Dice and viability on simulated held-out ones and composed real stacks, speed against MONAI, and memory."""

from __future__ import annotations

import sys
import tempfile

import numpy as np
import torch
from scipy import ndimage
from tests.benchmarks.machine import describe, interleaved

from vitascope.core.errors import ReaderError, VitascopeError
from vitascope.core.folders import BUNDLED_MODELS
from vitascope.core.micrograph import Micrograph
from vitascope.core.steps import finish
from vitascope.engine.device import core_count
from vitascope.engine.load import load_model
from vitascope.engine.plan import resolve_plan
from vitascope.engine.predict import predict_picture
from vitascope.ops.geometry import volume_reader
from vitascope.pipelines.spheroid import run
from vitascope.pipelines.spheroid_data import read_stacks
from vitascope.simulate.spheroids import DEAD, LIVE, SpheroidParams, simulate_spheroid
from vitascope.simulate.volume_optics import NOISE_FREE, VolumeOptics
from vitascope.stats.bootstrap import group_interval
from vitascope.stats.overlap import count_overlap
from vitascope.tasks.recipe import read_recipe
from vitascope.tasks.spheroid import SPEC

MODEL = "spheroid-live-dead"
RECIPE = BUNDLED_MODELS / "recipes" / f"{MODEL}.yaml"
VOXEL = (4.0, 1.0, 1.0)
FIRST_SEED = 5000
"""Seeds from here on are in no part of the recipe."""

CONDITIONS = {
    "plain": {},
    "20 % brighter": {"brightness": 1.2},
    "20 % dimmer": {"brightness": 0.8},
    "autofluorescence 0.2": {"autofluorescence": 0.2},
}


def masks(image: np.ndarray, model: str, voxel: tuple[float, float, float] | None):
    """Run the task; live and dead masks and the row of numbers."""
    z, y = (voxel[0], voxel[1]) if voxel else (None, None)
    stack = Micrograph.from_array(
        image, axes="CZYX", pixel_size_um=y, z_step_um=z, channel_names=("live", "dead"), name="stack"
    )
    result = finish(run({"image": stack}, SPEC.make_params(model=model, least_diameter_um=20.0)))
    return result.output("labels").array > 0, result.output("dead").array > 0, result.rows[0]


def agreement(live: np.ndarray, dead: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    found = np.where(live, LIVE, np.where(dead, DEAD, 1))
    overlap = count_overlap(found, classes, LIVE)
    names = ("dice", "iou", "precision", "recall")
    return {**{n: getattr(overlap, n) for n in names}, "dice dead": count_overlap(found, classes, DEAD).dice}


def simulated(model: str, count: int, diameters: tuple[float, ...]) -> None:
    """Live Dice, IoU, precision, recall by condition; viability over all of them."""
    viability: list[tuple[float, float]] = []
    for name, changes in CONDITIONS.items():
        haze = changes.get("autofluorescence", VolumeOptics().autofluorescence)
        rows = []
        for number in range(count):
            rng = np.random.default_rng((9, number))
            params = SpheroidParams(
                diameter_um=diameters[number % len(diameters)],
                dose=float(10 ** rng.uniform(-1.5, 1)),
                brightness=changes.get("brightness", 1.0),
            )
            truth = simulate_spheroid(params, VOXEL, VolumeOptics(autofluorescence=haze), FIRST_SEED + number)
            live, dead, row = masks(truth.image.astype(np.uint16), model, VOXEL)
            rows.append(agreement(live, dead, truth.classes))
            viability.append((100 * truth.viability, row["viability_percent"]))
        told = ", ".join(f"{k} {interval([r[k] for r in rows])}" for k in rows[0])
        print(f"simulated, {name}: {told}; n = {count}, diameters {diameters} µm")
    true, found = np.array(viability).T
    kept = np.isfinite(found)
    true, found = true[kept], found[kept]
    residual = ((found - true) ** 2).sum() / ((true - true.mean()) ** 2).sum()
    print(
        f"viability, simulated: Pearson {np.corrcoef(true, found)[0, 1]:.3f}, MAE {np.abs(found - true).mean():.2f} points, "
        f"R² {1 - residual:.3f}, n = {len(true)} (paper 0.92, 5.6, 0.85)"
    )
    clean = simulate_spheroid(SpheroidParams(diameters[0], dose=1.0), VOXEL, NOISE_FREE, FIRST_SEED)
    row = masks(clean.image.astype(np.uint16), model, VOXEL)[2]
    print(
        f"noise-free: true {100 * clean.viability:.1f} %, found {row['viability_percent']:.1f} % (bar: within 2 points)"
    )


def interval(values: list[float]) -> str:
    values = [v for v in values if np.isfinite(v)]
    if not values:
        return "none"
    array = np.array(values)
    found = group_interval(list(range(len(array))), lambda r: float(array[r].mean()), resamples=1000)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def best_threshold(image: np.ndarray, truth: np.ndarray) -> float:
    """Dice of the best single threshold on the smoothed channel, chosen knowing the answer."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), (0.5, 1, 1))
    levels = np.quantile(smooth, np.linspace(0.5, 0.999, 60))
    return max(count_overlap(np.where(smooth > level, LIVE, 1), truth, LIVE).dice for level in levels)


def composed(model: str) -> None:
    """Composed real stacks of the recipe, each beside the best threshold; which were trained on is said."""
    recipe = read_recipe(RECIPE)
    try:
        stacks = finish(read_stacks(recipe, RECIPE.parent))
    except ReaderError as error:
        print(f"composed: skipped: {error}")
        return
    for stack in stacks:
        live, dead, _ = masks(np.stack(stack.channels).astype(np.float32), model, stack.voxel_zyx_um)
        part = "kept apart" if stack.group in recipe.split.validation_groups else "trained on"
        told = ", ".join(f"{k} {v:.3f}" for k, v in agreement(live, dead, stack.classes).items())
        print(
            f"composed {stack.group} ({part}): {told}; best threshold {best_threshold(stack.channels[0], stack.classes):.3f}"
        )


def speed(model_name: str, shape: tuple[int, int, int], rounds: int) -> None:
    """Ours against MONAI's sliding window, same network and weights, in turn."""
    from monai.inferers import SlidingWindowInferer

    torch.set_num_threads(core_count())
    model = load_model(model_name, "spheroid")
    volume = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    volume = ndimage.gaussian_filter(volume, (0, 1, 3, 3)) * 6
    plan = resolve_plan(model, SPEC.make_params(), shape)
    out = np.zeros((len(model.card.targets), *shape), np.float32)

    def sink(where, piece) -> None:
        out[(slice(None), *where)] = piece

    inferer = SlidingWindowInferer((64, 128, 128), sw_batch_size=1, overlap=0.25, mode="gaussian")
    tensor, theirs = torch.from_numpy(volume)[None], []

    def monai() -> None:
        with torch.inference_mode():
            theirs[:] = [inferer(tensor, lambda x: model.network(x).image)[0].numpy()]

    def ours() -> None:
        finish(predict_picture(model, volume_reader(volume), shape, plan, sink))

    ours()
    seconds = {n: float(np.median(s)) for n, s in interleaved({"ours": ours, "MONAI": monai}, rounds).items()}
    dice = count_overlap(np.where(out[0] > 0.5, LIVE, 1), np.where(theirs[0][0] > 0.5, LIVE, 1), LIVE).dice
    print(
        f"{shape}: {plan}; ours {seconds['ours']:.1f} s, MONAI {seconds['MONAI']:.1f} s, Dice between them {dice:.4f}"
    )


def memory(model: str, shape: tuple[int, int, int]) -> None:
    """Peak resident memory of the whole command on a zarr of two channels."""
    import os
    import subprocess

    import zarr

    with tempfile.TemporaryDirectory(prefix="vitascope-memory-") as folder:
        array = zarr.create_array(f"{folder}/large.zarr", shape=(2, *shape), chunks=(1, 1, 1024, 1024), dtype="u2")
        rng = np.random.default_rng(0)
        for z in range(shape[0]):
            array[:, z] = rng.poisson(200, (2, *shape[1:])).astype(np.uint16)
        code = "from vitascope.cli.main import app; app()"
        command = [sys.executable, "-c", code, "run", "spheroid", f"{folder}/large.zarr", "-o", f"{folder}/out"]
        command += ["--axes", "CZYX", "--model", model, "--set", "channels=[0, 1]", "--format", "zarr"]
        _, status, usage = os.wait4(subprocess.Popen(command).pid, 0)
        print(f"{shape}: exit {status}, peak {usage.ru_maxrss / 2**20:.2f} GiB (bar 3 GiB)")


def main(arguments: list[str]) -> None:
    """Arguments: part (all, simulated, composed, speed, memory), model, number of spheroids."""
    part = arguments[0] if arguments else "all"
    model = arguments[1] if len(arguments) > 1 else MODEL
    count = int(arguments[2]) if len(arguments) > 2 else 8
    print(describe())
    try:
        if part in ("all", "simulated"):
            simulated(model, count, (200.0, 300.0, 400.0, 500.0) if count > 4 else (200.0, 250.0))
        if part in ("all", "composed"):
            composed(model)
        if part in ("all", "speed"):
            speed(model, (200, 512, 512), 3)
        if part in ("all", "memory"):
            memory(model, (200, 2048, 2048))
    except VitascopeError as error:
        print(f"skipped: {error}")
    print(describe())
