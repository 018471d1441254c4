"""2136 x 2136 px through the base network: ours against MONAI's sliding window, same weights, interleaved.

Ours at the number format that ``auto`` takes here, and in 32 bit beside it where that is another one. The share of the
limit is that of 32 bit in products of 32-bit matrices, or of bf16 in those of bf16.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from tests.benchmarks.machine import describe, interleaved

from vitascope.core.params import RunParams
from vitascope.core.progress import run_to_end
from vitascope.engine.device import core_count
from vitascope.engine.load_model import load_model
from vitascope.engine.resolve_plan import resolve_plan
from vitascope.engine.tiled_prediction import predict_picture
from vitascope.ops.geometry.resample import array_reader

MODEL = "nuclei-phase"
SIDE = 2136
ROUNDS = 5


def sample_field() -> np.ndarray:
    """The bundled phase-contrast field, mirrored on and on to the side wanted: (Y, X) in network units."""
    from vitascope.core.paths import SAMPLES
    from vitascope.io.images.read import read_image

    plane = np.asarray(read_image(str(SAMPLES / "isl_phase.ome.tif")).plane(z=3)).astype(np.float32)
    plane = (plane - plane.min()) / (plane.max() - plane.min())
    return np.pad(plane, [(0, SIDE - n) for n in plane.shape], mode="reflect")


def main(arguments: list[str]) -> None:
    torch.set_num_threads(core_count())
    model = load_model(MODEL, "stain")
    picture = sample_field()[None]
    read = array_reader(picture)
    plans = {"ours": resolve_plan(model, RunParams(), (SIDE, SIDE))}
    if plans["ours"].precision == "int8":
        plans["ours in f32"] = resolve_plan(model, RunParams(precision="f32"), (SIDE, SIDE))
    out = {name: np.zeros((1, SIDE, SIDE), np.float32) for name in plans}

    def predict(name: str) -> None:
        def sink(where, piece) -> None:
            out[name][(slice(None), *where)] = piece

        run_to_end(predict_picture(model, read, (SIDE, SIDE), plans[name], sink))

    inferer = SlidingWindowInferer((256, 256), sw_batch_size=4, overlap=0.25, mode="gaussian")
    tensor = torch.from_numpy(picture)[None]

    def monai() -> None:
        with torch.inference_mode():
            inferer(tensor, lambda x: model.network(x).image)

    print(describe())
    for name, plan in plans.items():
        print(f"plan of {name}: {plan}")
    seconds = {}
    for name in plans:  # each in turns with the peer: another format has buffers of its own to make
        predict(name)
        times = interleaved({name: partial(predict, name), f"monai beside {name}": monai}, ROUNDS)
        seconds |= times
    with torch.inference_mode():
        whole = model.network(torch.from_numpy(read((slice(0, 2144), slice(0, 2144))))[None])
        expected = whole.image[0, 0, :SIDE, :SIDE].numpy()
    for name, times in seconds.items():
        print(f"{name}: median {np.median(times):.3f} s, each {[round(t, 3) for t in times]}")
    for name in plans:
        ratios = np.array(seconds[f"monai beside {name}"]) / np.array(seconds[name])
        words = "ratio MONAI / ours:" if name == "ours" else f"against MONAI {name}:"
        print(f"{words} median {np.median(ratios):.2f}, each {[round(float(r), 2) for r in ratios]}")
        inside = expected > np.quantile(expected, 0.95)
        pcc, pcc_inside = (np.corrcoef(out[name][0][m], expected[m])[0, 1] for m in (expected > -1, inside))
        print(f"PCC of {name} to the 32-bit whole-image output: {pcc:.6f}, of its brightest twentieth {pcc_inside:.6f}")
        print(f"largest difference: {np.abs(out[name][0] - expected).max():.2e}")
    name, plan = list(plans.items())[-1]
    peak = matmul_flops(plan.precision)
    done = network_flops() * SIDE**2 / float(np.median(seconds[name]))
    print(describe())
    print(
        f"matrix-product limit here ({plan.precision}): {peak / 1e9:.0f} GFLOP/s; {name}: {done / 1e9:.0f}, {done / peak:.0%}"
    )


def network_flops() -> float:
    """Multiply-adds of the base network per pixel, counted twice, from its layers."""
    network = load_model(MODEL, "stain").network
    total = 0.0
    for k, pair in enumerate(network.encoder):
        total += sum(2 * c.weight.numel() for c in (pair.first, pair.second)) / 4**k
    for k, (up, pair) in zip((3, 2, 1, 0), zip(network.up, network.decoder, strict=True), strict=True):
        total += sum(2 * c.weight.numel() for c in (pair.first, pair.second)) / 4**k
        total += 2 * up.weight.numel() / 4 / 4**k
    return total + 2 * network.last.weight.numel()


def matmul_flops(precision: str) -> float:
    """The best of a few large matrix products, FLOP/s."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(2048, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)
    times = interleaved({"matmul": lambda: a @ b}, 12)["matmul"]
    return 2 * 2048**3 / min(times)
