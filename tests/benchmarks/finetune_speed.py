"""Training images per second against a plain PyTorch fp32 loop with the same network and augmentations, one run."""

from __future__ import annotations

import time

import numpy as np
import torch
from tests.benchmarks.machine import describe

from vitascope.core.paths import SAMPLES
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import CropFilter, TrainingParams
from vitascope.engine.device import pick_device
from vitascope.io.images.read import read_image
from vitascope.networks.unet import UNet
from vitascope.recipes.recipe import read_recipe
from vitascope.training.loop.loop import TrainingJob, train
from vitascope.training.losses.images import weighted_sum
from vitascope.training.samplers.crops import CropSampler, Pair

BATCH, CROP_PX, STEPS = 8, 192, 6


class Job(TrainingJob):
    def __init__(self, sampler: CropSampler) -> None:
        torch.manual_seed(0)
        self.network, self.sampler = UNet(), sampler

    def batch(self, step, size):
        return self.sampler.batch(step, size)

    def loss(self, network, batch):
        return weighted_sum({"pcc_image": 1.0}, network(batch["image"]).image, batch["target"], batch["weight"])

    def validate(self, network):
        return {}


def plain(job: Job) -> None:
    optimizer = torch.optim.AdamW(job.network.parameters(), lr=1e-3)
    for step in range(STEPS):
        batch = job.batch(step, BATCH)
        optimizer.zero_grad()
        job.loss(job.network, {k: v.contiguous() for k, v in batch.items()}).backward()
        optimizer.step()


def make_sampler(crop_px: int) -> CropSampler:
    recipe = read_recipe(SAMPLES.parent / "zoo" / "recipes" / "nuclei-phase-twin.yaml")
    phase = np.asarray(read_image(str(SAMPLES / "isl_phase.ome.tif")).plane(0, 0, 3), np.float32)[None]
    stain = np.asarray(read_image(str(SAMPLES / "isl_stains.ome.tif")).plane(0, 0, 0), np.float32)[None]
    pair = Pair((phase - phase.mean()) / phase.std(), np.clip(stain / stain.max(), 0, 1), np.ones_like(phase))
    return CropSampler([pair], crop_px, recipe.augment, CropFilter(), 0)


def main(arguments: list[str]) -> None:
    print(describe())
    sampler = make_sampler(CROP_PX)
    precisions = pick_device("cpu")[0].precisions
    precision = "bf16" if "bf16" in precisions else "f32"
    params = TrainingParams(epochs=1, steps_per_epoch=STEPS, batch_size=BATCH)
    ways = {
        "plain loop, fp32": lambda: plain(Job(sampler)),
        f"ours, {precision}": lambda: run_to_end(train(Job(sampler), params, precision=precision)),
    }
    rates = {}
    for name, way in ways.items():
        begin = time.perf_counter()
        way()
        rates[name] = STEPS * BATCH / (time.perf_counter() - begin)
        print(f"{name:20} {rates[name]:.2f} images/s of {CROP_PX} px")
    first, second = rates.values()
    print(f"factor {second / first:.2f}")
