"""Stop at random moments and resume: are the weights those of the run that was never stopped (CPU, fp32)?

``finetune_resume [STOPS]``: a U-Net on crops of the bundled field, stopped after a random step, or killed between two
checkpoints, and resumed from what lies in its folder.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import torch
from tests.benchmarks.finetune_speed import Job, make_sampler
from tests.benchmarks.machine import describe

from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.networks.unet import UNet
from vitascope.training.loop.loop import train

CROP_PX, WIDTH = 64, 0.25
PARAMS = TrainingParams(
    epochs=3, steps_per_epoch=5, batch_size=4, average_decay=0.9, schedule="cosine", precision="f32"
)


class SmallJob(Job):
    def __init__(self, sampler) -> None:
        super().__init__(sampler)
        torch.manual_seed(0)
        self.network = UNet(width=WIDTH)


def main(arguments: list[str]) -> None:
    stops = int(arguments[0]) if arguments else 8
    print(describe())
    sampler, rng = make_sampler(CROP_PX), random.Random(0)
    expected = run_to_end(train(SmallJob(sampler), PARAMS)).network.state_dict()
    total, equal, largest = PARAMS.epochs * PARAMS.steps_per_epoch, 0, 0.0
    for number in range(stops):
        with tempfile.TemporaryDirectory() as name:
            stop, killed = rng.randint(1, total - 1), number % 2 == 1
            steps = train(SmallJob(sampler), PARAMS, folder=Path(name), fingerprint="run")
            while next(steps).done < stop:
                pass
            left = {p.name: p.read_bytes() for p in Path(name).iterdir()}
            steps.close()  # writes where it stands
            if killed:  # a killed program writes nothing more
                for path in Path(name).iterdir():
                    path.unlink()
                for file, data in left.items():
                    (Path(name) / file).write_bytes(data)
            found = run_to_end(
                train(SmallJob(sampler), PARAMS, folder=Path(name), fingerprint="run")
            ).network.state_dict()
        equal += all(torch.equal(found[k], v) for k, v in expected.items())
        largest = max([largest, *(float((found[k] - v).abs().max()) for k, v in expected.items())])
        print(f"{'killed' if killed else 'stopped'} after step {stop} of {total}")
    told = "have the weights of the uninterrupted one, bit for bit; largest difference"
    print(f"{equal} of {stops} resumed runs {told} {largest:g}")
