"""Networks of other programs on graphics cards of NVIDIA, by onnxruntime-gpu (extra ``onnx-cuda``)."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.late_import import import_late
from vitascope.engine.graphs.network import Array, pictures_of, to_axes
from vitascope.engine.openvino_backend import is_memory_error

PROVIDER = "CUDAExecutionProvider"


def can_run_on_cuda() -> bool:
    """Tell whether onnxruntime is there with its part for CUDA."""
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    return PROVIDER in import_late("onnxruntime", ModuleType).get_available_providers()


class CudaNetwork:
    """A graph on a graphics card, float32; what the card cannot do the processor does.

    Parameters
    ----------
    data : bytes
        Of an ONNX file that passed its checks and a trial.
    name, axes, dtype : str
        Of its input.
    index : int
        Of the card.

    Raises
    ------
    RuntimeError
        If the card does not take it.
    """

    def __init__(self, data: bytes, name: str, axes: str, dtype: str, index: int) -> None:
        onnxruntime: Any = import_late("onnxruntime", ModuleType)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        exact = {"device_id": str(index), "use_tf32": "0"}  # numbers as on the processor, not rounded to 10 bits
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=[(PROVIDER, exact), "CPUExecutionProvider"]
            )
        except Exception as error:  # of its own kinds, which are none of Python's
            raise RuntimeError(str(error)) from error
        if PROVIDER not in self._session.get_providers():
            raise RuntimeError("onnxruntime did not start on the graphics card")
        self._name, self._axes, self._dtype = name, axes, dtype

    def answers(self, x: Array) -> dict[str, NDArray[Any]]:
        """Return what the graph answers to one window (C, D, h, w), by the names of its outputs.

        Raises
        ------
        MemoryError
            If memory of the card does not suffice.
        RuntimeError
            If the graph does not take this shape.
        """
        names = [port.name for port in self._session.get_outputs()]
        try:
            found = self._session.run(names, {self._name: to_axes(x, self._axes, self._dtype)})
        except Exception as error:
            failed = RuntimeError(str(error))
            if is_memory_error(failed):
                raise MemoryError(str(error)) from error
            raise failed from error
        return {name: np.asarray(one) for name, one in zip(names, found, strict=True)}

    def pictures(self, x: Array, outputs: Any) -> Array:
        """Return the answers that are pictures, one after another, (K, D, h, w) float32."""
        return pictures_of(self.answers(x), outputs)
