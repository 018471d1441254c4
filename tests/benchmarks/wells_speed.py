"""Wells of 1992 x 1992 px to ATP, end to end: ``wells_speed [WELLS] [ROUNDS] [SIDE]``; 384, 3 and 512.

The wells are the 24 real ones of ``VITASCOPE_DATA``, enlarged and taken over and over; without them, simulated ones. The
network is the bundled one, shown squares of SIDE px (512 is the method's default, 128 what it was trained on). Ours is
``run_images`` without maps: with hashes, judgement, tables and provenance. Two plain loops, which write nothing, decode
with tifffile and run the network in 32 bit, channels last, on all cores, well by well. All show the network a well one
way up, where ours does so eight ways by default. All find the well by our function and make its ground even, as the
bundled model has it:

- ``plain``: crops, averages and fits the ground by our own functions too, whatever was done to make them fast; again on
  one thread, whose processor time no waiting of threads for each other hides in;
- ``scikit-image``: crops by slicing and averages by ``resize_local_mean``, the same mean over areas, at full resolution;
  the ground is a polynomial through ``nanpercentile`` of 8 x 8 blocks of ``view_as_blocks``, fitted twice by ten
  reweighted ``lstsq``.

``by default`` is ours with its eight views, ``network`` their network alone on a square that is ready: the rest is what a
run adds (decoding, SHA-256, the crop, judgement, tables, provenance). All take turns. Numbers of
``plain`` are the same; slicing at whole pixels moves those of ``scikit-image``. How far is printed.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import resize_local_mean
from skimage.util import view_as_blocks
from tests.benchmarks.machine import describe, interleaved

from vitascope.batch.run_images import Job, run_images
from vitascope.core.paths import BUNDLED_MODELS, training_data
from vitascope.core.progress import run_to_end
from vitascope.engine.device import core_count
from vitascope.engine.eight_views import EIGHT, averaged
from vitascope.engine.load_model import LoadedModel, load_model
from vitascope.engine.open_backends import SquareBackend
from vitascope.engine.resolve_plan import fixed_plan
from vitascope.io.filenames.grouping import find_groups
from vitascope.io.models.cards import read_card
from vitascope.ops.wells.light import ground_surface
from vitascope.ops.wells.locate import find_well
from vitascope.ops.wells.squares import Region, cut_square, well_mask
from vitascope.simulate.wells import make_well
from vitascope.tasks.atp import SPEC

MODEL, SIDE_PX, DISTINCT = "atp-organoid", 1992, 24
REAL = "2_organoid_atp/deepOrganoid_plate23997_rowA"

Resize = Callable[[NDArray[np.uint16], Region, int], NDArray[np.float32]]
Ground = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.floating]]


def pictures() -> list[NDArray[np.uint16]]:
    """The real wells, enlarged; simulated ones where they are not at hand."""
    root = training_data()
    files = sorted((root / REAL).glob("*.tif")) if root is not None else []
    if not files:
        print("The real wells are not under VITASCOPE_DATA: simulated ones are taken.")
        return [make_well(0, n, n, SIDE_PX).image for n in range(4)]
    real = [tifffile.imread(path) for path in files[:DISTINCT]]
    return [ndimage.zoom(one, SIDE_PX / one.shape[0], order=1) for one in real]


def write_wells(folder: Path, count: int) -> list[Path]:
    """Write each picture once, and let the wells of plates be links to them."""
    written = []
    for n, picture in enumerate(pictures()):
        written.append(folder.parent / f"distinct{n}.tif")
        tifffile.imwrite(written[-1], picture)
    paths = []
    for n in range(count):
        row, column = divmod(n, 24)
        paths.append(folder / f"P_{chr(ord('A') + row % 16)}{column + 1:02d}_{1 + row // 16}.tif")
        os.link(written[n % len(written)], paths[-1])
    return paths


def write_model(folder: Path, side_px: int) -> Path:
    """Write the bundled model with another size of its square; its numbers then mean nothing, and are all the same."""
    card = read_card(BUNDLED_MODELS / f"{MODEL}.json")
    seen = card.model_copy(
        update={"id": f"{MODEL}-{side_px}", "input": card.input.model_copy(update={"side_px": side_px})}
    )
    (folder / card.weights.file).write_bytes((BUNDLED_MODELS / card.weights.file).read_bytes())
    path = folder / f"{seen.id}.json"
    path.write_text(seen.model_dump_json())
    return path


def by_scikit_image(image: NDArray[np.uint16], region: Region, side_px: int) -> NDArray[np.float32]:
    """Crop by slicing, and average over areas; what lies outside the picture has the median of the crop."""
    top, left, size = round(region.top), round(region.left), round(region.side)
    beyond = [max(0, -top), max(0, top + size - image.shape[0]), max(0, -left), max(0, left + size - image.shape[1])]
    crop = image[max(0, top) : top + size, max(0, left) : left + size]
    if any(beyond):
        crop = np.pad(crop, (beyond[:2], beyond[2:]), constant_values=int(np.median(crop)))
    return np.asarray(resize_local_mean(crop, (side_px, side_px), preserve_range=True), np.float32)


def ground_by_blocks(square: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fit a polynomial of second degree to the logarithm of the light in 8 x 8 blocks."""
    side = len(square)
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    middle = axis.reshape(8, -1).mean(axis=1)
    block_y, block_x = (at.ravel() for at in np.meshgrid(middle, middle, indexing="ij"))
    light = np.ones_like(square, np.float64)
    for _ in range(2):
        even = np.where(shown, square / light, np.nan)
        blocks = view_as_blocks(even, (side // 8, side // 8)).reshape(64, -1)
        use = np.isfinite(blocks).mean(axis=1) >= 0.5
        ground = np.log(np.nanpercentile(blocks[use], 70, axis=1))
        a, b = block_y[use], block_x[use]
        terms = np.column_stack([np.ones_like(a), a, b, a**2, a * b, b**2])
        weights = np.ones_like(ground)
        for _ in range(10):
            root = np.sqrt(weights)
            found = np.linalg.lstsq(terms * root[:, None], ground * root, rcond=None)[0]
            off = ground - terms @ found
            weights = 1 / (1 + (off / (2 * (1.4826 * np.median(np.abs(off)) + 1e-4))) ** 2)
        c = found
        light = light * np.exp(c[0] + c[1] * y + c[2] * x + c[3] * y**2 + c[4] * y * x + c[5] * x**2)
    return light


def plain(paths: list[Path], model: LoadedModel, resize: Resize, ground_of: Ground, threads: int) -> list[float]:
    """A loop as one writes it."""
    torch.set_num_threads(threads)
    network = model.network.to(memory_format=torch.channels_last)
    side, low_high = model.card.input.side_px, model.card.input.normalisation.clip
    assert side is not None
    found = []
    with torch.inference_mode():
        for path in paths:
            image = tifffile.imread(path)
            square = resize(image, find_well(image), side)
            shown = np.isfinite(square) & well_mask(side)
            even = np.where(shown, square / ground_of(square, shown), 1)
            x = torch.from_numpy(np.clip(even - 1, *low_high).astype(np.float32))
            found.append(float(network(x[None, None].contiguous(memory_format=torch.channels_last)).value))
    return found


def main(arguments: list[str]) -> None:
    count, rounds, side = (int(a) for a in (*arguments, *("384", "3", "512")[len(arguments) :]))
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wells").mkdir()
        paths, card = write_wells(folder / "wells", count), write_model(folder, side)
        model = load_model(str(card), "atp")
        answers: dict[str, list[float]] = {}
        spent: dict[str, list[float]] = {}

        def ours(views: int) -> list[float]:
            params = SPEC.make_params(model=str(card), maps=False, abstain=False, views=views)
            run_to_end(run_images(Job(SPEC, find_groups(paths), params, folder / "out")))
            return pd.read_csv(folder / "out" / "results.csv")["atp"].tolist()

        backend = SquareBackend(model, fixed_plan(SPEC.make_params(threads=1), side))
        square = np.zeros((1, side, side), np.float32)

        def network(views: int) -> list[float]:
            return [float(averaged(backend.infer_many, square, views)[0].ravel()[0]) for _ in paths]

        def timed(name: str, run: Callable[[], list[float]]) -> Callable[[], None]:
            def once() -> None:
                clock = time.process_time()
                answers[name] = run()
                spent.setdefault(name, []).append(time.process_time() - clock)

            return once

        ways = {
            "ours": lambda: ours(1),
            "network, once": lambda: network(1),
            "by default": lambda: ours(EIGHT),
            "network": lambda: network(EIGHT),
            "plain": lambda: plain(paths, model, cut_square, ground_surface, core_count()),
            "one thread": lambda: plain(paths, model, cut_square, ground_surface, 1),
            "scikit-image": lambda: plain(paths, model, by_scikit_image, ground_by_blocks, core_count()),
        }
        seconds = interleaved({name: timed(name, run) for name, run in ways.items()}, rounds + 1)
    tell(count, rounds, side, seconds, spent, answers)


def tell(
    count: int,
    rounds: int,
    side: int,
    seconds: dict[str, list[float]],
    spent: dict[str, list[float]],
    answers: dict[str, list[float]],
) -> None:
    """Print medians over the rounds; the first one warms up and does not count."""
    print(f"{count} wells of {SIDE_PX} px, seen at {side} px; median of {rounds} rounds, each way in turn")
    wall, cpu = ({n: float(np.median(t[1:])) for n, t in s.items()} for s in (seconds, spent))
    for name in wall:
        print(f"{name:13} {count / wall[name]:6.1f} wells/s; {1e3 * cpu[name] / count:.0f} ms of processor time a well")
    ours = np.array(answers["ours"])
    for name in ("plain", "one thread", "scikit-image"):
        difference = np.abs(ours / np.array(answers[name]) - 1)
        print(
            f"ours is {wall[name] / wall['ours']:.2f} times as fast as {name}, with 1/{cpu[name] / cpu['ours']:.2f} of its "
            f"processor time; numbers differ by {np.median(difference):.2%}, {difference.max():.2%} at most"
        )
    for name, alone in (("by default", "network"), ("ours", "network, once")):
        print(f"share of {name} that is not the network: {1 - cpu[alone] / cpu[name]:.0%} of its processor time")
