"""The machine a figure was measured on, and how busy it was."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil


def describe() -> str:
    """Processor, cores, memory and load, in one line."""
    from vitascope.engine.device import core_count
    from vitascope.engine.openvino_backend import cpu_name, cpu_precisions

    load = ", ".join(f"{v:.2f}" for v in psutil.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"machine: {cpu_name()}, {core_count()} cores, {memory:.0f} GiB, formats {'/'.join(cpu_precisions())}; "
        f"load {load}; pid {os.getpid()}"
    )


def interleaved(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time functions in turn, so that what else the machine does hits all alike; seconds by name."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, function in runs.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return seconds
