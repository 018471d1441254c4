"""Networks on a GPU (or, for comparison, the processor) through torch."""

from __future__ import annotations

import copy
import threading
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class TorchBackend:
    """A network on a torch device, channels last, without gradients.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; copied, so that the original stays on the CPU.
    device : str
        ``cuda:0``, ``mps`` or ``cpu``.
    precision : {"f32", "bf16", "f16"}
    """

    def __init__(self, network: nn.Module, device: str, precision: str) -> None:
        self._device = torch.device(device)
        self._dtype = DTYPES[precision]
        volumes = any(isinstance(m, nn.Conv3d) for m in network.modules())
        self._format = torch.channels_last_3d if volumes else torch.channels_last
        self._turn = threading.Lock()
        self._network = copy.deepcopy(network).to(self._device, memory_format=self._format)  # type: ignore[call-overload]

    def __call__(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run one window (C, h, w) or (C, d, h, w) and return the outputs without the batch axis, float32.

        Raises
        ------
        torch.OutOfMemoryError
            If memory does not suffice for this window.
        """
        tensor = torch.from_numpy(np.ascontiguousarray(x)[None]).to(self._device, memory_format=self._format)
        low = self._dtype is not torch.float32
        with torch.inference_mode():
            with torch.autocast(self._device.type, self._dtype) if low else nullcontext():
                outputs = self._network(tensor)
            return tuple(output[0].float().cpu().numpy() for output in outputs)

    def infer_concurrently(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run one window while other threads wait with theirs; the arrays are the caller's to keep."""
        with self._turn:
            return tuple(np.array(output) for output in self(x))
