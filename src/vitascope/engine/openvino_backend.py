"""Networks on the processor through OpenVINO, the only module that imports it.

OpenVINO's telemetry would start processes that post to an analytics host and write to the home folder on import; it is
made unimportable first, which OpenVINO takes as "not installed".
"""

from __future__ import annotations

import queue
import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def _openvino() -> Any:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


@lru_cache(maxsize=1)
def _core() -> Any:
    return _openvino().Core()


def cpu_precisions() -> tuple[str, ...]:
    """Return the number formats this processor computes natively, ``f32`` first."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("f32", "bf16") if "BF16" in capabilities else ("f32",)


def cpu_name() -> str:
    """Return the processor's name."""
    return str(_core().get_property("CPU", "FULL_DEVICE_NAME"))


def run_onnx(data: bytes, inputs: Sequence[NDArray[np.float32]]) -> list[dict[str, NDArray[np.float32]]]:
    """Compute the answers of an ONNX file in float32, by name.

    Parameters
    ----------
    data : bytes
        Of the file.
    inputs : sequence of array
        For the file's one input; computed one after another.

    Raises
    ------
    RuntimeError
        If OpenVINO cannot run the file.
    """
    model = _core().read_model(data)
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = _core().compile_model(model, "CPU", options)
    return [{port.get_any_name(): np.array(value, np.float32) for port, value in compiled([x]).items()} for x in inputs]


class OpenVinoBackend:
    """A network compiled for the processor.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; its outputs are a tuple of tensors.
    channels : int
        Channels of the input.
    precision : {"f32", "bf16"}
        Set explicitly: OpenVINO's own default on a processor with bf16 is bf16.
    threads : int, >= 1
    sides : tuple of int
        Of a small window, (depth,) height and width, to trace the network with.
    streams : int, >= 1
        How many windows can be in the network at once, with ``threads`` threads each; see :meth:`apart`.
    """

    _kept_shapes = 2

    def __init__(
        self,
        network: nn.Module,
        channels: int,
        precision: str,
        threads: int,
        sides: tuple[int, ...] = (64, 64),
        streams: int = 1,
    ) -> None:
        self._options = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads * streams,
            "NUM_STREAMS": streams,
            "PERFORMANCE_HINT": "LATENCY",
            "EXECUTION_MODE_HINT": "ACCURACY" if precision == "f32" else "PERFORMANCE",
        }
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing warns about its own internals
            self._model = _openvino().convert_model(network, example_input=torch.zeros(1, channels, *sides))
        self._streams = streams
        self._requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._lent: dict[tuple[int, ...], queue.SimpleQueue[Any]] = {}
        self._lending = threading.Lock()

    def __call__(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run one window.

        Parameters
        ----------
        x : array, shape (C, h, w) or (C, d, h, w), float32

        Returns
        -------
        tuple of array
            The network's outputs without the batch axis, float32, valid until the next call.

        Raises
        ------
        MemoryError
            If memory does not suffice for this window.
        """
        shape = (1, *x.shape)
        try:
            request = self._requests.get(shape) or self._compile(shape)
            request.infer([np.ascontiguousarray(x[None])], share_inputs=True)
        except RuntimeError as error:
            if is_memory_error(error):
                raise MemoryError(str(error)) from error
            raise
        return tuple(np.asarray(tensor.data)[0] for tensor in request.output_tensors)

    def infer_concurrently(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run one window, also while other threads run theirs: as many at once as there are streams, the rest wait.

        The same arguments, errors and numbers, bit for bit, as a call; the arrays are the caller's to keep.
        """
        shape = (1, *x.shape)
        with self._lending:
            if shape not in self._lent:
                compiled = self._compiled(shape)
                self._lent[shape] = queue.SimpleQueue()
                for _ in range(self._streams):
                    self._lent[shape].put(compiled.create_infer_request())
        free = self._lent[shape]
        request = free.get()
        try:
            request.infer([np.ascontiguousarray(x[None])], share_inputs=True)
            return tuple(np.array(tensor.data)[0] for tensor in request.output_tensors)
        except RuntimeError as error:
            if is_memory_error(error):
                raise MemoryError(str(error)) from error
            raise
        finally:
            free.put(request)

    def _compile(self, shape: tuple[int, ...]) -> Any:
        while len(self._requests) >= self._kept_shapes:
            self._requests.popitem(last=False)
        self._requests[shape] = self._compiled(shape).create_infer_request()
        return self._requests[shape]

    def _compiled(self, shape: tuple[int, ...]) -> Any:
        self._model.reshape({0: _openvino().PartialShape(list(shape))})
        return _core().compile_model(self._model, "CPU", self._options)


def is_memory_error(error: BaseException) -> bool:
    """Tell a shortage of memory from another error, whichever library reports it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        sign in text
        for sign in (
            "out of memory",
            "bad alloc",
            "bad_alloc",
            "can't allocate",
            "cannot allocate",
            "failed to allocate",
        )
    )
