"""A network of another program run as it is: torch's numbers, time against MONAI's window.

``normalised [SIDE …]``: one that adds up whole pictures, in large windows; ``mutated [COUNT]`` tries 500 spoilt files.
"""

import sys
import time
from pathlib import Path

import numpy as np
from tests.benchmarks.machine import describe, interleaved
from tests.graph_support import SmallUNet, seeded, to_onnx

SIDE, TILE, LEVELS, WIDTH = 2048, 512, 4, 16
MUTANTS = 500


def compare(side=SIDE, rounds=2):
    """Largest difference to torch in one pass, and seconds of our tiles against MONAI's window of equal overlap."""
    import torch
    from monai.inferers import SlidingWindowInferer

    from vitascope.engine.device import core_count
    from vitascope.engine.graphs.prediction import GraphSource, predict_graph
    from vitascope.engine.graphs.trial import try_graph
    from vitascope.exchange.graph_description import Description
    from vitascope.exchange.graph_import import ask, graph_spec
    from vitascope.io.models.onnx_file import check_onnx
    from vitascope.ops.geometry.resample import array_reader

    network = seeded(SmallUNet, levels=LEVELS, width=WIDTH)
    data = to_onnx(network, (1, 1, 64, 64), free=(2, 3))
    summary = check_onnx(data, "net.onnx")
    question = ask(summary, Description(), "net.onnx")[0]
    spec = graph_spec(summary, question, try_graph(data, "net.onnx", question))
    source, threads = GraphSource(data, spec), core_count()
    torch.set_num_threads(threads)
    image = np.random.default_rng(0).standard_normal((1, side, side), np.float32)
    found = np.zeros((2, side, side), np.float32)
    overlap = 2 * -(-max(spec.reach) // spec.step[1]) * spec.step[1] / TILE
    window = SlidingWindowInferer(TILE, overlap=overlap, mode="constant")

    def ours():
        for _ in predict_graph(
            source,
            [array_reader(image)],
            (1, side, side),
            [[found[0]], [found[1]]],
            threads=threads,
            tile_px=TILE,
        ):
            pass

    def monai():
        with torch.inference_mode():
            window(torch.from_numpy(image[None]), network)

    with torch.inference_mode():
        wanted = network(torch.from_numpy(image[None]))[0].numpy()
    ours()
    difference = float(np.abs(found - wanted).max() / np.ptp(wanted))
    seconds = interleaved({"ours": ours, "MONAI": monai}, rounds)
    best = {name: min(values) for name, values in seconds.items()}
    print(
        f"foreign_onnx: {LEVELS} levels, {WIDTH} filters, {side} px, tiles {TILE} px, reach {max(spec.reach)} px; "
        f"largest difference to torch {difference:.1e} of the range; ours {best['ours']:.1f} s, MONAI's window with "
        f"overlap {overlap:.2f} {best['MONAI']:.1f} s, ratio {best['MONAI'] / best['ours']:.2f} (best of {rounds})"
    )


def normalised(sides=(256, 1024, 2048)):
    """Largest difference to torch in float64 of instance normalisation in one window, and of OpenVINO left alone."""
    import torch

    from vitascope.engine.graphs import steady_sums
    from vitascope.engine.graphs.network import GraphNetwork

    network = seeded(SmallUNet, levels=2, width=8, norm="instance")
    data = to_onnx(network, (1, 1, 64, 64), free=(2, 3))
    exact = seeded(SmallUNet, levels=2, width=8, norm="instance").double()
    for side in sides:
        rng = np.random.default_rng(0)
        wave = 0.3 * np.sin(np.arange(side) / 50) + 0.2 * (np.arange(side) > side // 2)
        image = (rng.random((1, 1, side, side)) * 0.2 + wave + 0.5).astype(np.float32)
        with torch.inference_mode():
            wanted = exact(torch.from_numpy(image).double()).numpy()[0, :, None]
            plain = network(torch.from_numpy(image)).numpy()[0, :, None]
        found, seconds = {"torch": plain}, {}
        for name in ("ours", "OpenVINO"):
            most = steady_sums.NOT_STEADY
            steady_sums.NOT_STEADY = most if name == "ours" else 1 << 62
            graph = GraphNetwork(data, "x", "bcyx", 1)
            graph.pictures(image, [("y", "bcyx")])
            steady_sums.NOT_STEADY = most
            clock = time.process_time()
            found[name] = graph.pictures(image, [("y", "bcyx")])
            seconds[name] = time.process_time() - clock
        told = ", ".join(f"{k} {np.abs(v - wanted).max() / np.ptp(wanted):.1e}" for k, v in found.items())
        times = ", ".join(f"{k} {v:.2f} s" for k, v in seconds.items())
        print(f"foreign_onnx normalised: {side} px, largest difference to float64 of the range: {told}; {times}")


def mutated(count=MUTANTS):
    """How many mutated files are refused by the reader, by the trial, or run; one that ends this process ends the bench."""
    sys.path.insert(0, str(Path(__file__).parent.parent))  # where the tests find their support
    from tests.engine.graphs.test_trial import QUESTION
    from tests.engine.graphs.test_trial import mutated as spoil

    from vitascope.core.errors import ModelError
    from vitascope.engine.graphs.trial import try_graph
    from vitascope.io.models.onnx_file import check_onnx

    data = to_onnx(seeded(SmallUNet, levels=1, width=2), (1, 1, 32, 32), free=(2, 3))
    counts = {"refused by the reader": 0, "refused by the trial": 0, "ended the trial's process": 0, "ran": 0}
    start = time.perf_counter()
    for seed in range(count):
        spoilt = spoil(data, seed)
        try:
            check_onnx(spoilt, "net.onnx")
        except ModelError:
            counts["refused by the reader"] += 1
            continue
        try:
            try_graph(spoilt, "net.onnx", QUESTION, measure=False)
            counts["ran"] += 1
        except ModelError as error:
            ended = "ended the process" in error.message
            counts["ended the trial's process" if ended else "refused by the trial"] += 1
    told = ", ".join(f"{k} {v}" for k, v in counts.items())
    print(f"foreign_onnx mutated: {count} files, {told}; no crash here; {time.perf_counter() - start:.0f} s")


def main(arguments):
    """Without arguments the comparison; ``normalised`` and ``mutated`` as told above."""
    print(describe())
    if arguments[:1] == ["mutated"]:
        mutated(int(arguments[1]) if len(arguments) > 1 else MUTANTS)
    elif arguments[:1] == ["normalised"]:
        normalised(*([tuple(int(n) for n in arguments[1:])] if arguments[1:] else []))
    else:
        compare(int(arguments[0]) if arguments else SIDE)
