"""Wells of 1992 x 1992 px to ATP, end to end, against a plain torch loop: ``wells_speed [WELLS] [ROUNDS]``; 384 and 3.

The plain loop reads with tifffile, finds and cuts the well out by the same functions, and runs the network in 32 bit,
channels last, on all cores, well by well. Ours is ``run_images`` without maps, with its tables and provenance. The two
take turns; numbers agree within 1 %.
"""

from __future__ import annotations

import tempfile
import time
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
        spent: dict[str, list[float]] = {"ours": [], "plain": []}

        def ours() -> None:
            clock = time.process_time()
            job = Job(SPEC, find_groups(paths), SPEC.make_params(model=MODEL, maps=False), folder / "out")
            finish(run_images(job))
            spent["ours"].append(time.process_time() - clock)
            answers["ours"] = pd.read_csv(folder / "out" / "results.csv")["atp"].tolist()

        def theirs() -> None:
            clock = time.process_time()
            answers["plain"] = plain(paths)
            spent["plain"].append(time.process_time() - clock)

        seconds = interleaved({"ours": ours, "plain": theirs}, rounds + 1)
    difference = np.abs(np.array(answers["ours"]) / np.array(answers["plain"]) - 1).max()
    wall, cpu = ({n: float(np.median(t[1:])) for n, t in s.items()} for s in (seconds, spent))  # the first warms up
    for name in wall:
        print(f"{name:6} {count / wall[name]:6.1f} wells/s; {1e3 * cpu[name] / count:.0f} ms of processor time a well")
    print(
        f"ours is {wall['plain'] / wall['ours']:.2f} times as fast (median of {rounds} rounds, each in turn), and takes "
        f"1/{cpu['plain'] / cpu['ours']:.2f} of the processor time; numbers differ by {difference:.2%} at most"
    )
