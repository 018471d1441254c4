"""What a plain U-Net reaches on the five-stain field: the yardstick beside the bundled recipe, in nothing but torch.

``plain_unet [STEPS]`` trains 16, 32, 64 and 128 filters with batch normalisation and ReLU after every convolution, no
sigmoid, on crops of 256 px of rows 0-543, four a step, mirrored and not changed otherwise; squared error of stains in
standard deviations, Adam at 0.001, 700 steps (about 5 minutes of one quiet core). Read on rows 640-809: Pearson with
the stains as they are, and with bright ends cut off at percentiles of the whole field.
"""

from __future__ import annotations

import numpy as np
import tifffile
import torch
import torch.nn.functional as F
from tests.benchmarks.isl import RECIPES
from tests.benchmarks.machine import describe
from torch import Tensor, nn

from vitascope.core.errors import ReaderError
from vitascope.recipes.recipe import find_data, read_recipe
from vitascope.stats.agreement import pcc

FILTERS = (16, 32, 64, 128)
CROP_PX, BATCH, STEPS, RATE = 256, 4, 700, 1e-3
TRAIN_ROWS, TEST_ROWS = 544, slice(640, 810)
CUTS = (95.0, 99.0, 99.9, 100.0)


def pair_of(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers += [nn.Conv2d(channels, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


class Plain(nn.Module):
    """Four levels, as drawn in any introduction."""

    def __init__(self, targets: int) -> None:
        super().__init__()
        above = FILTERS[:-1]
        self.down = nn.ModuleList(pair_of(i, o) for i, o in zip((1, *above), FILTERS, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * f, f, 2, stride=2) for f in reversed(above))
        self.back = nn.ModuleList(pair_of(2 * f, f) for f in reversed(above))
        self.last = nn.Conv2d(FILTERS[0], targets, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for level, pair in enumerate(self.down):
            x = pair(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        kept.pop()
        for up, pair in zip(self.up, self.back, strict=True):
            x = pair(torch.cat([kept.pop(), up(x)], 1))
        return self.last(x)


def crops(image: np.ndarray, stains: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> list[Tensor]:
    """Draw image (B, 1, h, w), stains (B, K, h, w) and what counts (B, 1, h, w)."""
    found = []
    for _ in range(BATCH):
        top, left = rng.integers(0, (TRAIN_ROWS - CROP_PX + 1, image.shape[1] - CROP_PX + 1))
        turned = tuple(slice(None, None, step) for step in rng.choice((1, -1), 2))
        cut = np.concatenate([image[None], stains, weight[None]])[:, top : top + CROP_PX, left : left + CROP_PX]
        found.append(cut[:, turned[0], turned[1]])
    drawn = torch.from_numpy(np.ascontiguousarray(np.stack(found)))
    return [drawn[:, :1], drawn[:, 1:-1], drawn[:, -1:]]


def train(image: np.ndarray, stains: np.ndarray, weight: np.ndarray, steps: int) -> nn.Module:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = Plain(len(stains)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    for _ in range(steps):
        seen, wanted, counts = crops(image, stains, weight, rng)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(seen.contiguous(memory_format=torch.channels_last))
        loss = ((found.float() - wanted) ** 2 * counts).sum() / (counts.sum() * len(stains))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def main(arguments: list[str]) -> None:
    print(describe())
    recipe = read_recipe(RECIPES / "organelles-brightfield-twin.yaml")
    try:
        folder = find_data(recipe.data[0], RECIPES)
    except ReaderError as error:
        print(f"skipped: {error}")
        return
    (pair,) = recipe.data[0].pairs
    image = tifffile.imread(folder / pair.image).astype(np.float32)
    real = np.stack([tifffile.imread(folder / pair.targets[t.name]).astype(np.float32) for t in recipe.targets])
    weight = np.ones_like(image)
    for top, bottom, left, right in pair.left_out:
        weight[top:bottom, left:right] = 0
    image = np.clip((image - np.median(image)) / image[weight > 0].std(), -5, 5)
    stains = (real - real.mean((1, 2), keepdims=True)) / real.std((1, 2), keepdims=True)
    steps = int(arguments[0]) if arguments else STEPS
    network = train(image, stains, weight, steps)
    padded = np.pad(image, [(0, -n % 16) for n in image.shape], mode="reflect")
    with torch.inference_mode():
        found = network(torch.from_numpy(padded)[None, None])[0, :, : image.shape[0], : image.shape[1]].float().numpy()
    print(f"{steps} steps; rows 640-809; PCC with the stain cut off at a percentile of the field:", CUTS)
    for k, target in enumerate(recipe.targets):
        told = [pcc(np.minimum(real[k], np.percentile(real[k], cut))[TEST_ROWS], found[k][TEST_ROWS]) for cut in CUTS]
        print(f"  {target.name:8}", "  ".join(f"{value:.3f}" for value in told))
