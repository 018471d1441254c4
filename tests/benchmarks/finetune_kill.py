"""kill -9 at 40 random moments while checkpoints are written: does the last complete one always load?"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from pathlib import Path

import torch
from tests.benchmarks.machine import describe

from vitascope.training.loop.checkpoint import load_state, save_state

KILLS, FLOATS = 40, 200_000


def main(arguments: list[str]) -> None:
    print(describe())
    rng, loaded, none, late, backwards, previous = random.Random(0), 0, 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        last = 0
        for _ in range(KILLS):
            child = os.fork()
            if child == 0:
                step = last
                while True:
                    step += 1
                    save_state(folder, {"step": step, "weights": torch.full((FLOATS,), float(step))})
            time.sleep(rng.uniform(0.05, 0.6))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            found = load_state(folder)
            if found is None:
                none, late = none + 1, late + (last > 0)
                continue
            state, file = found
            sound = bool((state["weights"] == state["step"]).all())
            loaded += sound
            backwards += state["step"] < last
            previous += file != "latest.pt"
            last = max(last, state["step"])
        left = len(list(folder.iterdir()))
    print(
        f"{KILLS} kills, {last} checkpoints: {loaded} loaded whole, {none} before the first was complete ({late} after "
        f"it), {backwards} went back, {previous} from the one before the last; {left} files left"
    )
