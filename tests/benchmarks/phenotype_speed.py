"""Whole-image prediction with its maps: ours against the same network in torch with captum's guided back-propagation.

``python -m tests.benchmarks phenotype_speed [SIDE]``; interleaved, the bundled model (or random weights).
"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import GuidedBackprop
from tests.benchmarks.machine import describe, interleaved
from torch import nn

from vitascope.core.params import RunParams
from vitascope.core.paths import BUNDLED_MODELS
from vitascope.core.progress import run_to_end
from vitascope.engine.device import core_count
from vitascope.engine.load_model import load_model
from vitascope.engine.mil_instances import InstanceGrid, Pooled, with_maps
from vitascope.engine.resolve_plan import resolve_plan
from vitascope.engine.tiled_prediction import predict_picture
from vitascope.ops.geometry.resample import array_reader

ROUNDS = 7


class Started(nn.Module):
    """The network as captum wants it: one number a class, whose derivative by z_ij is P_i p_ij."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = self.network(x)
        start = torch.exp(output.pooled.log_p)[:, :, None, None] * torch.sigmoid(output.logits)
        return (start.detach() * output.logits).sum((2, 3))


def main(arguments: list[str]) -> None:
    torch.set_num_threads(core_count())
    side = int(arguments[0]) if arguments else 640
    model = load_model(str(BUNDLED_MODELS / "translocation-bbbc013.json"), "phenotype")
    ready = with_maps(model, True)
    classes, step = len(model.card.targets), model.family.multiple_px
    picture = np.random.default_rng(0).standard_normal((model.card.network_channels, side, side), np.float32)
    read = array_reader(picture)
    plan = resolve_plan(ready, RunParams(), (side, side))
    maps = np.zeros((classes, side, side), np.float32)

    def sink(where, piece) -> None:
        maps[(slice(None), *where)] = piece

    def ours() -> np.ndarray:
        grid = InstanceGrid((side, side), classes, step)
        run_to_end(predict_picture(ready, read, (side, side), plan, sink, pool=grid))
        pooled = Pooled(model.network, grid.logits, np.ones(grid.logits.shape[1:], np.float32))
        maps[...] *= pooled.pooled.astype(np.float32)[:, None, None]
        return pooled.last

    network = model.network
    guided = GuidedBackprop(Started(network))

    def captum() -> tuple[np.ndarray, np.ndarray]:
        x = torch.from_numpy(picture)[None].requires_grad_(True)
        with torch.inference_mode():
            probabilities = network.probabilities(network(x.detach()).scores)[0].numpy()
        found = [guided.attribute(x, target=k)[0].sum(0).detach().numpy() for k in range(classes)]
        return probabilities, np.stack(found)

    print(describe())
    print(f"plan: {plan}; {classes} classes, {side} x {side} px")
    ours()
    expected, theirs = captum()
    seconds = interleaved({"ours": ours, "captum": captum}, ROUNDS)
    for name, times in seconds.items():
        print(f"{name:7} median {np.median(times):.3f} s, {1 / np.median(times):.2f} images/s; {np.round(times, 3)}")
    ratios = np.array(seconds["captum"]) / np.array(seconds["ours"])
    print(f"ratio captum / ours: median {np.median(ratios):.2f}, each {np.round(ratios, 2)}")
    print(f"probabilities {ours().round(4)} against {expected.round(4)}")
    print(
        f"PCC of the maps {np.corrcoef(maps.ravel(), theirs.ravel())[0, 1]:.4f}"
        " (captum rectifies behind each ReLU only, equation 5 at every layer)"
    )
    print(describe())
