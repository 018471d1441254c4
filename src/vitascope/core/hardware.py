"""What this machine can compute on, as far as it can be told without loading torch: docks open without it."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psutil

GIB = 1 << 30
NAME_BYTES = 96
_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*(?P<version>.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class GraphicsCard:
    """A graphics card of NVIDIA.

    Parameters
    ----------
    name : str
    memory_bytes : int
    """

    name: str
    memory_bytes: int


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


@cache
def nvidia_cards() -> tuple[GraphicsCard, ...]:
    """List the NVIDIA cards that the driver knows, in its order; none where there is no driver.

    References
    ----------
    NVIDIA Management Library (NVML), API reference: nvmlDeviceGetName, nvmlDeviceGetMemoryInfo.
    """
    try:
        nvml = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return ()
    if nvml.nvmlInit_v2() != 0:
        return ()
    try:
        return tuple(_cards(nvml))
    finally:
        nvml.nvmlShutdown()


def _cards(nvml: ctypes.CDLL) -> list[GraphicsCard]:
    count = ctypes.c_uint()
    if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return []
    found = []
    for index in range(count.value):
        handle, name, memory = ctypes.c_void_p(), ctypes.create_string_buffer(NAME_BYTES), _Memory()
        answers = (
            nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)),
            nvml.nvmlDeviceGetName(handle, name, NAME_BYTES),
            nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)),
        )
        if not any(answers):
            found.append(GraphicsCard(name.value.decode(errors="replace"), memory.total))
    return found


def torch_has_cuda(folder: Path | None = None) -> bool:
    """Tell whether the torch that is installed was built for CUDA, from its file ``version.py``.

    Parameters
    ----------
    folder : Path, optional
        Of torch; the one that would be imported by default.
    """
    if folder is None:
        spec = find_spec("torch")
        if spec is None or not spec.submodule_search_locations:
            return False
        folder = Path(next(iter(spec.submodule_search_locations)))
    try:
        text = (folder / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    match = _CUDA.search(text)
    return match is not None and match["version"] not in ("None", "''", '""')


def offered_devices() -> list[tuple[str, str]]:
    """List what can be asked for: id and name with memory, graphics cards first.

    Returns
    -------
    list of tuple of str
        Such as ``("cuda:0", "NVIDIA H200 (139 GiB)")`` and ``("cpu", "Processor, 8 cores (32 GiB)")``.
    """
    cards = nvidia_cards() if torch_has_cuda() else ()
    found = [(f"cuda:{i}", f"{card.name} ({card.memory_bytes / GIB:.0f} GiB)") for i, card in enumerate(cards)]
    memory = f"{psutil.virtual_memory().total / GIB:.0f} GiB"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        found.append(("mps", f"Apple graphics ({memory} shared)"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else psutil.cpu_count() or 1
    found.append(("cpu", f"Processor, {cores} cores ({memory})"))
    return found


def unused_card() -> str:
    """Say what to do where there is an NVIDIA card that this torch cannot use; empty where there is none."""
    cards = nvidia_cards()
    if not cards or torch_has_cuda():
        return ""
    return (
        f"NVIDIA card found ({cards[0].name}), but this torch cannot use it: it was built for the processor. "
        "How to: 'With an NVIDIA card' on the page Install of the documentation."
    )
