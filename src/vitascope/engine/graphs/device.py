"""What a network of another program runs on."""

from __future__ import annotations

from vitascope.engine.device import Device, list_devices, pick_device
from vitascope.engine.graphs.cuda import can_run_on_cuda
from vitascope.engine.openvino_backend import has_intel_card

INTEL = "gpu"
"""A graphics card of Intel, which OpenVINO runs on; taken only where it is asked for, as it computes otherwise."""


def pick_graph_device(wanted: str, devices: list[Device] | None = None) -> tuple[str, bool]:
    """Turn ``auto``, ``cpu``, ``cuda:1`` or ``gpu`` into what a graph runs on.

    Graphics cards of NVIDIA by onnxruntime-gpu, where it is installed; those of Intel and the processor by OpenVINO.

    Returns
    -------
    tuple of str and bool
        ``cpu``, ``gpu`` or ``cuda:0``, and whether it stands in for another.

    Raises
    ------
    ParameterError
        If the text names no kind of device.
    """
    if wanted == INTEL:
        return (INTEL, False) if has_intel_card() else ("cpu", True)
    device, fallback = pick_device(wanted, list_devices() if devices is None else devices)
    if device.id == "cpu":
        return "cpu", fallback
    if device.id.startswith("cuda") and can_run_on_cuda():
        return device.id, fallback
    return "cpu", True
