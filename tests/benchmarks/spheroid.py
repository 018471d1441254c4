"""Spheroids: Dice and viability on simulated and composed real stacks, ablations, speed against MONAI, memory."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from scipy import ndimage
from tests.benchmarks.machine import describe, interleaved
from tests.optics_support import NOISE_FREE

from vitascope.core.card import Architecture
from vitascope.core.errors import ReaderError, VitascopeError
from vitascope.core.micrograph import Micrograph
from vitascope.core.paths import BUNDLED_MODELS, training_data
from vitascope.core.progress import run_to_end
from vitascope.engine.device import core_count
from vitascope.engine.load_model import build_network, load_model
from vitascope.engine.resolve_plan import resolve_plan
from vitascope.engine.tiled_prediction import predict_picture
from vitascope.networks.unet import initialise
from vitascope.ops.geometry.resample import volume_reader
from vitascope.pipelines.spheroid import run
from vitascope.recipes.recipe import read_recipe
from vitascope.simulate.spheroids import DEAD, LIVE, StackParams, simulate_spheroid
from vitascope.simulate.volume_optics import VolumeOptics
from vitascope.stats.bootstrap import group_interval
from vitascope.stats.overlap import count_overlap
from vitascope.tasks.spheroid import SPEC
from vitascope.training.data.spheroid import Stack, load_volumes, read_stack, read_stacks
from vitascope.training.loop.loop import train
from vitascope.training.make_model import choose_device
from vitascope.training.tasks.spheroid import SpheroidJob, volume_overlaps

MODEL = "spheroid-live-dead"
RECIPE = BUNDLED_MODELS / "recipes" / f"{MODEL}.yaml"
VOXEL = (4.0, 1.0, 1.0)
FIRST_SEED = 5000
"""Seeds from here on are in no part of the recipe."""

PLAIN = VolumeOptics()
LONGER = 561 / 488
CONDITIONS = {
    "plain": (1.0, PLAIN),
    "20 % brighter": (1.2, PLAIN),
    "20 % dimmer": (0.8, PLAIN),
    "autofluorescence 0.2": (1.0, replace(PLAIN, autofluorescence=0.2)),
    "at 561 nm": (
        1.0,
        replace(
            PLAIN,
            blur_zyx_um=tuple(LONGER * s for s in PLAIN.blur_zyx_um),
            attenuation_um=LONGER * PLAIN.attenuation_um,
        ),
    ),
}
"""Brightness of the cells and microscope; light of a longer wave is blurred more, and reaches deeper."""

VARIANTS = {
    "full": {},
    "no residual": {"residual": False},
    "no deep supervision": {"deep_supervision": False},
    "slice-wise 2-D": {"planar": True},
}
NEAR_VOXELS = 3
NEAREST_UM = 6.0
"""What lies further from every labelled nucleus is called background, where each nucleus has its own threshold."""


def masks(image: np.ndarray, model: str, voxel: tuple[float, ...] | None):
    """Run the task; live and dead masks and the row of numbers."""
    z, y = (voxel[0], voxel[1]) if voxel else (None, None)
    names = ("live", "dead")[: len(image)]
    stack = Micrograph.from_array(image, axes="CZYX", pixel_size_um=y, z_step_um=z, channel_names=names, name="stack")
    result = run_to_end(run({"image": stack}, SPEC.make_params(model=model, least_diameter_um=20.0)))
    return result.output("labels").array > 0, result.output("dead").array > 0, result.rows[0]


def agreement(live: np.ndarray, dead: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    found = np.where(live, LIVE, np.where(dead, DEAD, 1))
    overlap = count_overlap(found, classes, LIVE)
    names = ("dice", "iou", "precision", "recall")
    return {**{n: getattr(overlap, n) for n in names}, "dice dead": count_overlap(found, classes, DEAD).dice}


def simulated(model: str, count: int, diameters: tuple[float, ...]) -> None:
    """Live Dice, IoU, precision, recall by condition; viability over all of them."""
    viability: list[tuple[float, float]] = []
    inside: list[bool] = []
    for name, (brightness, optics) in CONDITIONS.items():
        rows = []
        for number in range(count):
            rng = np.random.default_rng((9, number))
            params = StackParams(
                diameter_um=diameters[number % len(diameters)],
                dose=float(10 ** rng.uniform(-1.5, 1)),
                brightness=brightness,
            )
            truth = simulate_spheroid(params, VOXEL, optics, FIRST_SEED + number)
            live, dead, row = masks(truth.image.astype(np.uint16), model, VOXEL)
            rows.append(agreement(live, dead, truth.classes))
            viability.append((100 * truth.viability, row["viability_percent"]))
            inside.append(row["viability_low"] <= 100 * truth.viability <= row["viability_high"])
            print(f"  {params.diameter_um:.0f} µm: live Dice {rows[-1]['dice']:.3f}", flush=True)
        told = ", ".join(f"{k} {interval([r[k] for r in rows])}" for k in rows[0])
        print(f"simulated, {name}: {told}; n = {count}, diameters {diameters} µm", flush=True)
    true, found = np.array(viability).T
    kept = np.isfinite(found)
    true, found = true[kept], found[kept]
    told = f"MAE {np.abs(found - true).mean():.2f} points, {np.mean(inside):.0%} in the interval, n = {len(true)}"
    if np.ptp(true) > 0:
        residual = ((found - true) ** 2).sum() / ((true - true.mean()) ** 2).sum()
        told += f", Pearson {np.corrcoef(true, found)[0, 1]:.3f}, R² {1 - residual:.3f}"
    print(f"viability, simulated: {told} (paper: Pearson 0.92, MAE 5.6, R² 0.85)")
    clean = simulate_spheroid(StackParams(diameters[0], dose=1.0), VOXEL, NOISE_FREE, FIRST_SEED)
    row = masks(clean.image.astype(np.uint16), model, VOXEL)[2]
    print(
        f"noise-free: true {100 * clean.viability:.1f} %, found {row['viability_percent']:.1f} % (bar: within 2 points)"
    )


def interval(values: list[float]) -> str:
    values = [v for v in values if np.isfinite(v)]
    if len(values) < 2:
        return ", ".join(f"{v:.3f}" for v in values) or "none"
    array = np.array(values)
    found = group_interval(list(range(len(array))), lambda r: float(array[r].mean()), resamples=1000)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def best_threshold(image: np.ndarray, truth: np.ndarray) -> float:
    """Dice of the best single threshold on the smoothed channel, chosen knowing the answer."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), (0.5, 1, 1))
    levels = np.quantile(smooth, np.linspace(0.5, 0.999, 60))
    return max(count_overlap(np.where(smooth > level, LIVE, 1), truth, LIVE).dice for level in levels)


def own_thresholds(stack: Stack) -> float:
    """Dice where each nucleus, with what lies nearest to it, has the best threshold of its own, knowing the answer."""
    cells = stack.cells
    assert cells is not None
    distance, nearest = ndimage.distance_transform_edt(cells == 0, sampling=stack.voxel_zyx_um, return_indices=True)
    region = np.where(distance <= NEAREST_UM, cells[tuple(nearest)], 0)
    found = np.ones(cells.shape, np.uint8)
    for number in np.unique(cells[cells > 0]):
        where = region == number
        grey, right = stack.channels[0][where], cells[where] == number
        order = np.argsort(-grey)
        dice = 2 * np.cumsum(right[order]) / (right.sum() + np.arange(1, len(order) + 1))
        found[where] = np.where(grey >= grey[order][dice.argmax()], LIVE, 1)
    return count_overlap(found, stack.classes, LIVE).dice


def composed(model: str) -> None:
    """Composed real stacks of the recipe, each beside the best threshold; which were trained on is said."""
    recipe = read_recipe(RECIPE)
    try:
        stacks = run_to_end(read_stacks(recipe, RECIPE.parent))
    except ReaderError as error:
        print(f"composed: skipped: {error}")
        return
    for name in dict.fromkeys(s.group for s in stacks):
        own = [s for s in stacks if s.group == name]
        found = [masks(np.stack(s.channels).astype(np.float32), model, s.voxel_zyx_um)[:2] for s in own]
        rows = [agreement(*f, s.classes) for f, s in zip(found, own, strict=True)]
        best = np.mean([best_threshold(s.channels[0], s.classes) for s in own])
        each = [own_thresholds(s) for s in own if s.cells is not None]
        near = [near_labels(f[0], s.classes) for f, s in zip(found, own, strict=True)]
        part = "kept apart" if name in (*recipe.split.test_groups, *recipe.split.validation_groups) else "trained on"
        told = ", ".join(f"{k} {np.nanmean([r[k] for r in rows]):.3f}" for k in rows[0])
        thresholds = f"best threshold {best:.3f}" + (f", for each nucleus its own {np.mean(each):.3f}" if each else "")
        print(
            f"composed {name} ({part}), mean of {len(own)} dead stacks: {told}; {thresholds}; within {NEAR_VOXELS} voxels "
            f"of labels: Dice {np.mean([n[0] for n in near]):.3f}, nuclei found {np.mean([n[1] for n in near]):.2f}",
            flush=True,
        )


def near_labels(live: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """Dice within a few voxels of labelled nuclei, and the share of nuclei that are found for more than a half."""
    truth = classes == LIVE
    near = ndimage.maximum_filter(truth, 2 * NEAR_VOXELS + 1) & (classes > 0)
    nuclei, count = ndimage.label(truth)
    hit = ndimage.mean(live, nuclei, range(1, count + 1)) if count else []
    dice = count_overlap(np.where(live, LIVE, 1), np.where(near, np.where(truth, LIVE, 1), 0), LIVE).dice
    return dice, float(np.mean(np.asarray(hit) > 0.5))


def labelled(model: str) -> None:
    """Fully labelled nuclei of other laboratories as the live dye alone, scaled so that a nucleus is 10 µm wide."""
    root = training_data()
    folder = root / "5_spheroid_3d" if root is not None else None
    if folder is None or not folder.is_dir():
        print("labelled: skipped: the data are not on this machine")
        return
    for image, truth in (
        ("stardist_3d/img3d.tif", "stardist_3d/mask3d.tif"),
        ("qcanet_embryo/8_cell_stage_raw.tif", "qcanet_embryo/8_cell_stage_nsn.tif"),
        ("qcanet_embryo/16_cell_stage_raw.tif", "qcanet_embryo/16_cell_stage_nsn.tif"),
    ):
        pixels, cells = (np.asarray(read_stack(folder / n).array).squeeze() for n in (image, truth))
        classes = np.where(cells > 0, LIVE, 1).astype(np.uint8)
        nuclei = ndimage.label(cells > 0)[0] if cells.max() == 255 else cells
        sides = [s[1].stop - s[1].start for s in ndimage.find_objects(nuclei.astype(int)) if s is not None]
        across = 10.0 / float(np.median(sides))
        live, _, _ = masks(pixels[None], model, (across, across))
        dice = count_overlap(np.where(live, LIVE, 1), classes, LIVE).dice
        print(f"{image}: live Dice {dice:.3f}; best threshold {best_threshold(pixels, classes):.3f}", flush=True)


def ablations(steps: int, count: int) -> None:
    """Networks without a part, trained alike on small simulated spheroids: live Dice, and what the part gives."""
    recipe = read_recipe(RECIPE).changed(
        {
            "data": [],
            "volumes.simulated": [8, 0, count],
            "volumes.diameters_um": [100, 200],
            "volumes.keep_px": 96,
            "volumes.fields": 0.0,
            "training.epochs": 1,
            "training.steps_per_epoch": steps,
        }
    )
    volumes = run_to_end(load_volumes(recipe, RECIPE.parent))
    _, precision = choose_device(recipe, "cpu")
    dice: dict[str, np.ndarray] = {}
    for name, changes in VARIANTS.items():
        network = build_network(Architecture(name="unet3d", arguments={**recipe.network.arguments, **changes}))
        initialise(network, torch.Generator().manual_seed(recipe.training.seed))
        trained = run_to_end(train(SpheroidJob(recipe, volumes, network), recipe.training, precision=precision)).network
        dice[name] = np.array([volume_overlaps(trained, v, 2)[0].dice for v in volumes["test"]])
        gain = "" if name == "full" else f"; full minus this {interval(list(dice['full'] - dice[name]))}"
        print(f"{name}, {steps} steps: live Dice {interval(list(dice[name]))}{gain}; n = {count}", flush=True)


def speed(model_name: str, shape: tuple[int, int, int], rounds: int) -> None:
    """Ours against MONAI's sliding window, same network and weights, in turn."""
    from monai.inferers import SlidingWindowInferer

    torch.set_num_threads(core_count())
    model = load_model(model_name, "spheroid")
    volume = spheroids_side_by_side(shape)
    plans = {name: resolve_plan(model, SPEC.make_params(precision=name), shape) for name in ("auto", "f32")}
    found = {name: np.zeros((len(model.card.targets), *shape), np.float32) for name in plans}

    def ours(name: str) -> None:
        def sink(where, piece) -> None:
            found[name][(slice(None), *where)] = piece

        run_to_end(predict_picture(model, volume_reader(volume), shape, plans[name], sink))

    inferer = SlidingWindowInferer((64, 128, 128), sw_batch_size=1, overlap=0.25, mode="gaussian")
    tensor, theirs = torch.from_numpy(volume)[None], []

    def monai() -> None:
        with torch.inference_mode():
            theirs[:] = [inferer(tensor, lambda x: model.network(x).image)[0].numpy()]

    ours("auto")
    ways = {**{name: partial(ours, name) for name in plans}, "MONAI": monai}
    seconds = {n: float(np.median(s)) for n, s in interleaved(ways, rounds).items()}
    print(f"{shape}, median of {rounds} rounds: MONAI {seconds['MONAI']:.1f} s")
    for name, plan in plans.items():
        dice = count_overlap(np.where(found[name][0] > 0.5, LIVE, 1), np.where(theirs[0][0] > 0.5, LIVE, 1), LIVE).dice
        times = seconds["MONAI"] / seconds[name]
        print(f"  ours {plan}: {seconds[name]:.1f} s, {times:.1f} times as fast, Dice between them {dice:.4f}")


def spheroids_side_by_side(shape: tuple[int, int, int]) -> np.ndarray:
    """A simulated spheroid in network units, repeated until the volume is full; shape (2, Z, Y, X)."""
    image = simulate_spheroid(StackParams(150.0, dose=1.0), VOXEL, PLAIN, FIRST_SEED).image
    image = np.stack([ndimage.median_filter(c, (1, 3, 3)) for c in image])
    image = (image - image.mean((1, 2, 3), keepdims=True)) / image.std((1, 2, 3), keepdims=True)
    missing = [(0, max(0, n - m)) for n, m in zip(shape, image.shape[1:], strict=True)]
    return np.pad(image, [(0, 0), *missing], mode="wrap")[(slice(None), *(slice(0, n) for n in shape))]


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
    """Arguments: part (all, simulated, composed, labelled, ablations, speed, memory), model, number or size.

    The number is that of spheroids (of steps, for ablations), the size such as 64x256x256 (speed, memory).
    """
    part = arguments[0] if arguments else "all"
    model = arguments[1] if len(arguments) > 1 else MODEL
    size = tuple(int(n) for n in arguments[2].split("x")) if len(arguments) > 2 else ()
    print(describe())
    try:
        if part in ("all", "simulated"):
            count = size[0] if size else 8
            simulated(model, count, (200.0, 300.0, 400.0, 500.0) if count > 3 else (200.0, 300.0))
        if part in ("all", "composed"):
            composed(model)
        if part in ("all", "labelled"):
            labelled(model)
        if part in ("all", "ablations"):
            ablations(size[0] if size else 1000, 8)
        if part in ("all", "speed"):
            speed(model, size or (200, 512, 512), 3)
        if part in ("all", "memory"):
            memory(model, size or (200, 2048, 2048))
    except VitascopeError as error:
        print(f"skipped: {error}")
    print(describe())
