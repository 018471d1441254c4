"""What this machine can compute on, and with which numbers."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

from vitascope.core.errors import ParameterError
from vitascope.engine.openvino_backend import cpu_name, cpu_precisions


@dataclass(frozen=True)
class Device:
    """A device as the picker shows it.

    Parameters
    ----------
    id : str
        ``cpu``, ``cuda:0``, ``mps``.
    label : str
        Name and memory, for people.
    memory_bytes : int
    precisions : tuple of str
        Number formats it computes natively, ``f32`` first.
    """

    id: str
    label: str
    memory_bytes: int
    precisions: tuple[str, ...]


_DEVICE_ERROR = re.compile(
    r"CUDA (driver )?error|CUDA kernel|device-side assert|cuDNN|CUDNN_|cuBLAS|CUBLAS_|HIP error|MPS backend",
    re.IGNORECASE,
)
_broken: set[str] = set()
"""Devices that failed in this process: a context in which a kernel failed cannot be used again."""


def is_device_error(error: BaseException) -> bool:
    """Tell a failure of the graphics card or its driver from one of the calculation.

    Shortage of memory is told apart first, by :func:`vitascope.engine.openvino_backend.is_memory_error`.
    """
    failed = getattr(sys.modules.get("torch"), "AcceleratorError", None)
    if failed is not None and isinstance(error, failed):
        return True
    return isinstance(error, RuntimeError) and _DEVICE_ERROR.search(str(error)) is not None


def give_up_device(device_id: str) -> None:
    """Leave a device out for the rest of this process; the processor stands in for it."""
    _broken.add(device_id)


def list_devices() -> list[Device]:
    """List the devices, the fastest kind first, the processor last; those that failed are left out."""
    return [device for device in _all_devices() if device.id not in _broken]


def _all_devices() -> list[Device]:
    return [*(_graphics_cards() if may_have_graphics_card() else ()), _processor()]


@lru_cache(maxsize=1)
def may_have_graphics_card() -> bool:
    """Tell whether it is worth to ask torch for a graphics card: importing it takes longer than most runs.

    No is certain: torch was built for processors only, or there is no driver of NVIDIA that its CUDA could use.
    """
    if sys.platform == "darwin" or "torch" in sys.modules:
        return True
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return True  # importing it will say what is wrong
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return True
    built_for = dict(re.findall(r"^(cuda|hip|xpu)\b.*=\s*(\S+)\s*$", text, re.MULTILINE))
    if built_for.get("cuda") == "None" == built_for.get("hip", "None"):
        return False
    if built_for.get("hip", "None") != "None" or "cuda" not in built_for:
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _graphics_cards() -> list[Device]:
    import torch

    devices = []
    for index in range(torch.cuda.device_count()) if torch.cuda.is_available() else []:
        properties = torch.cuda.get_device_properties(index)
        formats = ("f32", "tf32", "bf16", "f16") if properties.major >= 8 else ("f32", "f16")
        devices.append(
            Device(
                f"cuda:{index}",
                f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)",
                properties.total_memory,
                formats,
            )
        )
    memory = psutil.virtual_memory().total
    if torch.backends.mps.is_available():
        devices.append(Device("mps", f"Apple GPU ({memory / 2**30:.0f} GiB shared)", memory, ("f32", "f16")))
    return devices


def describe_device(device_id: str) -> str:
    """Return a device's name for records: of an NVIDIA card with its driver's CUDA and torch's; empty if it is gone."""
    if device_id == "cpu":
        return cpu_name()
    device = next((d for d in _graphics_cards() if d.id == device_id), None)
    if device is None or not device_id.startswith("cuda"):
        return device.label if device is not None else ""
    import torch

    return f"{device.label}, driver for CUDA {_driver_version()}, torch for CUDA {torch.version.cuda}"


def _driver_version() -> str:
    """Return the newest CUDA that the driver of NVIDIA serves, such as ``12.8``; ``?`` where it does not tell."""
    found = ctypes.c_int()
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        failed = driver.cuDriverGetVersion(ctypes.byref(found))
    except (OSError, AttributeError):
        return "?"
    return "?" if failed else f"{found.value // 1000}.{found.value % 1000 // 10}"


@lru_cache(maxsize=1)
def _apple_runs_volumes() -> bool:
    """Try once whether this torch computes convolutions of volumes on Apple's GPU: some versions do not."""
    import torch

    try:
        with torch.inference_mode():
            torch.nn.functional.conv3d(*(torch.zeros(1, 1, 3, 3, 3, device="mps"),) * 2)
    except (RuntimeError, NotImplementedError):
        return False
    return True


def for_volumes(device: Device, fallback: bool) -> tuple[Device, bool]:
    """Return the device for a network of volumes: the processor stands in for an Apple GPU that has none for them."""
    if device.id != "mps" or _apple_runs_volumes():
        return device, fallback
    return _processor(), True


def _processor() -> Device:
    memory = psutil.virtual_memory().total
    return Device("cpu", f"Processor, {core_count()} cores ({memory / 2**30:.0f} GiB)", memory, cpu_precisions())


def core_count() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def pick_device(wanted: str, devices: list[Device] | None = None) -> tuple[Device, bool]:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` into a device of this machine.

    Returns
    -------
    tuple of Device and bool
        The device, and whether it stands in for one that is not there or has failed.

    Raises
    ------
    ParameterError
        If the text names no kind of device.
    """
    devices = list_devices() if devices is None else devices
    if wanted == "auto":
        return devices[0], bool(_broken)
    kind = wanted.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise ParameterError(f"'{wanted}' is no device.", "Choose auto, cpu, cuda, cuda:1 or mps.")
    for device in devices:
        if wanted in (device.id, device.id.split(":")[0]):
            return device, False
    return devices[-1], True
