"""Wells of 1992 x 1992 px to ATP, end to end, against a plain torch loop: ``wells_speed [WELLS] [ROUNDS]``; 384 and 3.

The plain loop reads with tifffile, finds and cuts the well out by the same functions, and runs the network in 32 bit,
channels last, on all cores, well by well. Ours is ``run_images`` without maps, with its tables and provenance. The two
take turns; numbers agree within 1 %.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import torch
from tests.benchmarks.machine import describe, interleaved

from vitascope.batch.run import Job, run_images
from vitascope.core.steps import finish
from vitascope.engine.device import core_count
from vitascope.engine.load import load_model
from vitascope.io.grouping import find_groups
from vitascope.ops.wells import cut_square, find_well, well_mask
from vitascope.simulate.wells import make_well
from vitascope.tasks.atp import SPEC

MODEL, SIDE_PX, DISTINCT = "atp-organoid-sim", 1992, 4


def write_wells(folder: Path, count: int) -> list[Path]:
    """Write wells as TIFF; a few distinct ones, over and over, each turned another way."""
    drawn = [make_well(0, n, n, SIDE_PX).image for n in range(min(count, DISTINCT))]
    paths = []
    for n in range(count):
        row, column = divmod(n, 24)
        paths.append(folder / f"P_{chr(ord('A') + row)}{column + 1:02d}_1.tif")
        tifffile.imwrite(paths[-1], np.rot90(drawn[n % DISTINCT], n // DISTINCT))
    return paths


def plain(paths: list[Path]) -> list[float]:
    """A loop as one writes it."""
    torch.set_num_threads(core_count())
    model = load_model(MODEL, "atp")
    network = model.network.to(memory_format=torch.channels_last)
    side, low_high = model.card.input.side_px, model.card.input.normalisation.clip
    found = []
    with torch.inference_mode():
        for path in paths:
            image = tifffile.imread(path)
            square = cut_square(image, find_well(image), side)
            shown = np.isfinite(square) & well_mask(side)
            square = np.where(shown, square, np.median(square[shown]))
            x = torch.from_numpy(np.clip(square / np.median(square) - 1, *low_high).astype(np.float32))
            found.append(float(network(x[None, None].contiguous(memory_format=torch.channels_last)).value))
    return found


def main(arguments: list[str]) -> None:
    count, rounds = (int(a) for a in (*arguments, "384", "3")[:2]) if len(arguments) != 1 else (int(arguments[0]), 3)
    print(describe())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wells").mkdir()
        paths = write_wells(folder / "wells", count)
        answers: dict[str, list[float]] = {}

        def ours() -> None:
            job = Job(SPEC, find_groups(paths), SPEC.make_params(model=MODEL, maps=False), folder / "out")
            finish(run_images(job))
            answers["ours"] = pd.read_csv(folder / "out" / "results.csv")["atp"].tolist()

        def theirs() -> None:
            answers["plain"] = plain(paths)

        seconds = interleaved({"ours": ours, "plain": theirs}, rounds + 1)
    difference = np.abs(np.array(answers["ours"]) / np.array(answers["plain"]) - 1).max()
    best = {one: min(times[1:]) for one, times in seconds.items()}  # the first round warms up
    for one, time in best.items():
        print(f"{one:6} {count / time:6.1f} wells/s (best of {rounds}, {time:.2f} s)")
    print(f"ours is {best['plain'] / best['ours']:.2f} times as fast; numbers differ by {difference:.2%} at most")
