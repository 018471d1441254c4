"""A graphics card against MONAI's window in the same run: pictures, wells, stacks, training; and how long it waits.

``gpu [ROUNDS]``, 5. A stack of 499 MB (200 x 790 x 790 x 2, uint16) is read, prepared, predicted and measured apart.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import torch
from monai.inferers import SlidingWindowInferer
from tests.benchmarks.machine import describe, interleaved
from tests.benchmarks.speed import sample_field

import vitascope
from vitascope.core.params import RunParams
from vitascope.core.progress import run_to_end
from vitascope.core.training_params import TrainingParams
from vitascope.engine.device import describe_device, list_devices
from vitascope.engine.execution_plan import Plan
from vitascope.engine.load_model import load_model
from vitascope.engine.number_format import settings
from vitascope.engine.open_backends import SquareBackend, open_backend
from vitascope.engine.resolve_plan import resolve_plan
from vitascope.engine.tiled_prediction import predict_picture
from vitascope.ops.geometry.resample import array_reader
from vitascope.training.loop.loop import TrainingJob, train

SIDE = 2136
STACK = (200, 2, 790, 790)


def main(arguments: list[str]) -> None:
    rounds = int(arguments[0]) if arguments else 5
    card = next((d for d in list_devices() if d.id.startswith("cuda")), None)
    if card is None:
        print("No NVIDIA card here that this torch can use: nothing was measured.")
        return
    print(describe())
    print(f"card: {describe_device(card.id)}")
    for precision in card.precisions:
        pictures(card.id, precision, rounds)
    wells(card.id)
    stacks(card.id, rounds)
    training(card.id)
    print(describe())


def busy_share(work) -> tuple[float, float]:
    """Seconds of a piece of work, and the share of it in which the card computed or copied."""
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return seconds, sum(e.self_device_time_total for e in seen.key_averages()) / 1e6 / seconds


def pictures(device: str, precision: str, rounds: int) -> None:
    model = load_model("nuclei-phase", "stain")
    picture = sample_field()[None]
    plan = resolve_plan(model, RunParams(device=device, precision=precision), (SIDE, SIDE))
    out = np.zeros((1, SIDE, SIDE), np.float32)

    def sink(where, piece) -> None:
        out[(slice(None), *where)] = piece

    def ours() -> None:
        run_to_end(predict_picture(model, array_reader(picture), (SIDE, SIDE), plan, sink))

    network = open_backend(model, plan)._network
    inferer = SlidingWindowInferer((256, 256), sw_batch_size=16, overlap=0.25, mode="gaussian")
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)

    def monai() -> None:
        tensor = torch.from_numpy(picture)[None].to(device, memory_format=torch.channels_last)
        cast = torch.autocast("cuda", dtype or torch.float32, enabled=dtype is not None)
        with torch.inference_mode(), settings(torch.device(device), precision), cast:
            inferer(tensor, lambda x: network(x).image).float().cpu()

    ours(), monai()
    seconds = interleaved({"ours": ours, "monai": monai}, rounds)
    ratio = np.median(np.array(seconds["monai"]) / np.array(seconds["ours"]))
    _, busy = busy_share(ours)
    print(
        f"pictures {precision}: {SIDE**2 / 1e6 / np.median(seconds['ours']):.0f} Mpx/s, {ratio:.1f} times MONAI, the card "
        f"waits {1 - busy:.0%} of the time ({plan.tile_px} px, {plan.batch} at once)"
    )


def wells(device: str, count: int = 256) -> None:
    model = load_model("viability-ldc", "viability")
    side = model.card.input.side_px
    squares = np.random.default_rng(0).standard_normal((count, 1, side, side), np.float32)
    backend = SquareBackend(model, Plan(device, "f32", side, 1, batch=8))
    for name, work in {
        "one by one": lambda: [backend.infer_concurrently(x) for x in squares],
        "in batches of 8": lambda: backend.infer_many(list(squares)),
    }.items():
        work()
        seconds, busy = busy_share(work)
        print(f"wells {name}: {count / seconds:.0f} a second, the card waits {1 - busy:.0%}")


def stacks(device: str, rounds: int) -> None:
    model = load_model("spheroid-live-dead", "spheroid")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stack.ome.tif"
        tifffile.imwrite(path, rng.integers(0, 4096, STACK, np.uint16), metadata={"axes": "ZCYX"})
        clock = time.perf_counter()
        image = vitascope.read_image(path)
        voxels = np.asarray(image.array)
        read = time.perf_counter() - clock
    clock = time.perf_counter()
    x = np.ascontiguousarray(np.moveaxis(voxels.reshape(STACK), 1, 0)).astype(np.float32)
    x = (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True)
    prepared = time.perf_counter() - clock
    shape = x.shape[1:]
    plan = resolve_plan(model, RunParams(device=device), shape)
    out = np.zeros((3, *shape), np.float32)

    def sink(where, piece) -> None:
        out[(slice(None), *where)] = piece[:3]

    def ours() -> None:
        run_to_end(predict_picture(model, array_reader(x), shape, plan, sink))

    network = open_backend(model, plan)._network
    inferer = SlidingWindowInferer((64, 128, 128), sw_batch_size=8, overlap=0.25, mode="gaussian")
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16}.get(plan.precision)

    def monai() -> None:
        cast = torch.autocast("cuda", dtype or torch.float32, enabled=dtype is not None)
        with torch.inference_mode(), settings(torch.device(device), plan.precision), cast:
            inferer(torch.from_numpy(x)[None].to(device), lambda v: network(v)[0]).float().cpu()

    ours(), monai()
    seconds = interleaved({"ours": ours, "monai": monai}, rounds)
    clock = time.perf_counter()
    shares = np.bincount(out.argmax(0).ravel(), minlength=3)
    measured = time.perf_counter() - clock
    _, busy = busy_share(ours)
    ratio = np.median(np.array(seconds["monai"]) / np.array(seconds["ours"]))
    print(
        f"stack of {np.prod(STACK) * 2 / 1e6:.0f} MB ({plan.precision}, {plan.batch} at once): read {read:.2f} s, prepare "
        f"{prepared:.2f} s, predict {np.median(seconds['ours']):.2f} s ({ratio:.1f} times MONAI, the card waits {1 - busy:.0%}), "
        f"measure {measured:.2f} s ({shares.tolist()} voxels)"
    )


class _Noise(TrainingJob):
    def __init__(self) -> None:
        import copy

        self.network = copy.deepcopy(load_model("nuclei-phase", "stain").network).requires_grad_(True)

    def batch(self, step, size):
        x = np.random.default_rng(step).standard_normal((2, size, 1, 256, 256), np.float32)
        return {"image": torch.from_numpy(x[0]), "target": torch.from_numpy(x[1])}

    def loss(self, network, batch):
        return ((network(batch["image"]).image - batch["target"]) ** 2).mean()

    def validate(self, network):
        return {}


def training(device: str, steps: int = 40, size: int = 16) -> None:
    for precision in ("f32", "bf16"):
        params = TrainingParams(epochs=1, steps_per_epoch=steps, batch_size=size)

        def work(params=params, precision=precision) -> None:
            run_to_end(train(_Noise(), params, device=device, precision=precision))

        work()
        seconds, busy = busy_share(work)
        print(
            f"training {precision}: {steps * size / seconds:.0f} images of 256 px a second, the card waits {1 - busy:.0%}"
        )


if __name__ == "__main__":
    main([])
