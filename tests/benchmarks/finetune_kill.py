"""kill -9 at 40 random moments while checkpoints are written, and of a training at 20 random moments after its first step.

Does the last complete checkpoint always load, and are the weights of a training that was killed and resumed over and over
those of one that was not?
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from tests.benchmarks.machine import describe

from vitascope.training.loop.checkpoint import load_state, save_state

KILLS, FLOATS = 40, 200_000
TRAINING_KILLS, EPOCHS, STEPS = 20, 120, 6
TRAIN = """
import sys
from pathlib import Path
from vitascope.recipes.recipe import read_recipe
from vitascope.training.tasks.stain import run_training
folder, out, log = map(Path, sys.argv[1:])
with log.open("a") as file:
    for progress in run_training(read_recipe(folder / "recipe.yaml"), folder, out):
        if getattr(progress, "epoch", 0):
            print(progress.done, file=file, flush=True)
"""


def main(arguments: list[str]) -> None:
    print(describe())
    checkpoints()
    training(int(arguments[0]) if arguments else TRAINING_KILLS)


def training(kills: int) -> None:
    """Kill a training again and again, in the middle of steps, epochs and checkpoints; compare its weights."""
    import yaml

    support = Path(__file__).parent.parent
    sys.path.insert(0, str(support))
    from tests_support import make_recipe

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    rng, made, most = random.Random(1), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = {"epochs": EPOCHS, "steps_per_epoch": STEPS, "batch_size": 2, "precision": "f32"}
        (folder / "recipe.yaml").write_text(yaml.safe_dump(make_recipe(folder, training=plan)))

        def start(out: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", TRAIN, *map(str, (folder, folder / out, folder / f"{out}.log"))]
            return subprocess.Popen(command, env=environment)

        def lines() -> list[str]:
            log = folder / "killed.log"
            return log.read_text().split() if log.exists() else []

        assert start("whole").wait() == 0
        wanted = (folder / "whole" / "tiny.safetensors").read_bytes()
        while made < kills:
            run, before = start("killed"), len(lines())
            while run.poll() is None and len(lines()) <= before:  # killed while it trains, not while it starts
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.4))
            if run.poll() is not None:
                break
            run.send_signal(signal.SIGKILL)
            run.wait()
            made, most = made + 1, max(most, *map(int, lines()[before:] or ["0"]))
        ended = start("killed").wait()
        found = folder / "killed" / "tiny.safetensors"
        equal = found.exists() and found.read_bytes() == wanted
        again = len(lines()) - EPOCHS * STEPS
        print(f"training killed {made} times, the last after {most} of {EPOCHS * STEPS} steps: exit {ended}, "
              f"about {again} steps computed again, weights equal: {equal}")  # fmt: skip


def checkpoints() -> None:
    """Kill what only writes checkpoints."""
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
