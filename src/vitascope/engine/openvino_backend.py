"""Networks on the processor through OpenVINO, the only module that imports it.

OpenVINO's telemetry would start processes that post to an analytics host and write to the home folder on import; it is
made unimportable first, which OpenVINO takes as "not installed".
"""

from __future__ import annotations

import hashlib
import platform
import queue
import sys
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.late_import import import_late
from vitascope.engine import compiled_networks
from vitascope.engine.deferred_network import DeferredNetwork

if TYPE_CHECKING:
    from torch import nn


def _openvino() -> Any:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


_starting = threading.Lock()


@lru_cache(maxsize=1)
def _core() -> Any:
    openvino = _openvino()
    # OpenVINO fills a table of types when it is first asked for one, and lets go of Python's lock meanwhile: two
    # threads that ask at once would wait for each other for ever
    with _starting:
        openvino.Type.f32.to_dtype()
        return openvino.Core()


def cpu_precisions() -> tuple[str, ...]:
    """Return the number formats this processor computes natively, ``f32`` first."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("f32", "bf16") if "BF16" in capabilities else ("f32",)


def cpu_name() -> str:
    """Return the processor's name."""
    return str(_core().get_property("CPU", "FULL_DEVICE_NAME"))


@lru_cache(maxsize=1)
def cpu_key() -> str:
    """Return what tells a processor from one that computes in another way: its name, its flags, OpenVINO's version."""
    flags = platform.machine()
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as lines:
        flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), flags)
    parts = (cpu_name(), *sorted(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")), *sorted(flags.split()))
    return hashlib.sha256(" ".join((*parts, _openvino().get_version())).encode()).hexdigest()[:16]


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


def read_graph(data: bytes) -> Any:
    """Read an ONNX file that was looked through before, by :func:`vitascope.io.models.onnx_file.check_onnx`.

    Raises
    ------
    RuntimeError
        If OpenVINO cannot read it.
    """
    return _core().read_model(data)


def folded_graph(data: bytes, name: str, shape: tuple[int, ...]) -> Any:
    """Read a graph for one shape of its input, with all that does not depend on the pixels worked out.

    Raises
    ------
    RuntimeError
        If it does not take this shape.
    """
    openvino = _openvino()
    model = _core().read_model(data)
    model.reshape({name: openvino.PartialShape(list(shape))})
    passes = import_late("openvino.passes", ModuleType)
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)
    return model


def has_intel_card() -> bool:
    """Tell whether OpenVINO finds a graphics card of Intel."""
    return any(name.startswith("GPU") for name in _core().available_devices)


def compile_graph(
    model: Any,
    name: str,
    shape: tuple[int, ...],
    threads: int,
    device: str = "cpu",
    rewrite: Callable[[Any, Any], object] = lambda model, operations: None,
) -> Any:
    """Compile a graph for one shape of its input, in float32.

    Parameters
    ----------
    model : openvino.Model
        Left as it is.
    name : str
        Of its input.
    shape : tuple of int
    threads : int, >= 1
    device : str
    rewrite : callable
        Changes the graph for this shape first; takes OpenVINO's operations too.

    Raises
    ------
    RuntimeError
        If it does not take this shape, or memory does not suffice.
    """
    model = model.clone()  # what is written anew for one shape is wrong for others
    model.reshape({name: _openvino().PartialShape(list(shape))})
    rewrite(model, import_late("openvino.opset13", ModuleType))
    options = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY", "NUM_STREAMS": 1}
    if device == "cpu":
        options["INFERENCE_NUM_THREADS"] = threads
    return _core().compile_model(model, device.upper(), options)


class OpenVinoBackend:
    """A network compiled for the processor.

    Parameters
    ----------
    network : nn.Module or DeferredNetwork
        In evaluation mode; its outputs are a tuple of tensors. A deferred one is not built where it was compiled before
        on this machine.
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
        network: nn.Module | DeferredNetwork,
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
        self._network, self._example = network, (1, channels, *sides)
        self._traced: Any = None
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
        """Return the network compiled for one shape: as it was kept of an earlier start, or now."""
        key = self._key(shape)
        kept = compiled_networks.read(key) if key else None
        if kept is not None:
            try:
                return _core().import_model(kept, "CPU", self._options)
            except RuntimeError as error:
                if is_memory_error(error):
                    raise
                compiled_networks.forget(key)
        if self._traced is None:
            self._traced = _traced(self._network, self._example)
        self._traced.reshape({0: _openvino().PartialShape(list(shape))})
        compiled = _core().compile_model(self._traced, "CPU", self._options)
        if key:
            compiled_networks.write(key, _exported(compiled))
        return compiled

    def _key(self, shape: tuple[int, ...]) -> str:
        """Tell the network compiled for a shape from all others; empty where the network itself has no key."""
        if not isinstance(self._network, DeferredNetwork):
            return ""
        options = sorted(self._options.items())
        return hashlib.sha256(f"{self._network.key} {cpu_key()} {options} {shape}".encode()).hexdigest()


def _traced(network: nn.Module | DeferredNetwork, example: tuple[int, ...]) -> Any:
    """Return a network as OpenVINO's operations, for inputs of any size; kept, so that no later start needs torch."""
    if not isinstance(network, DeferredNetwork):
        return _trace(network, example)
    kept = compiled_networks.read(network.key)
    if kept is not None:
        try:
            return _unpacked(kept)
        except (RuntimeError, ValueError):
            compiled_networks.forget(network.key)
    packed = _packed(_trace(network.get(), example))
    compiled_networks.write(network.key, packed)
    return _unpacked(packed)


def _trace(network: nn.Module, example: tuple[int, ...]) -> Any:
    import torch

    inputs = torch.zeros(example)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns about its own internals
        # Left to OpenVINO, torch would check its trace, for which it imports twice as much as itself.
        traced = torch.jit.trace(network, inputs, strict=False, check_trace=False)  # type: ignore[no-untyped-call]
        return _openvino().convert_model(traced, example_input=inputs)


def _packed(model: Any) -> bytes:
    """Write a model of OpenVINO as bytes: the length of its graph, the graph, and the weights."""
    with tempfile.TemporaryDirectory(prefix="vitascope-") as folder:
        graph, weights = Path(folder) / "network.xml", Path(folder) / "network.bin"
        _openvino().serialize(model, graph, weights)
        text = graph.read_bytes()
        return len(text).to_bytes(8, "little") + text + weights.read_bytes()


def _unpacked(data: bytes) -> Any:
    end = 8 + int.from_bytes(data[:8], "little")
    weights = np.frombuffer(data, np.uint8, offset=end)
    return _core().read_model(data[8:end], _openvino().Tensor(weights))


def _exported(compiled: Any) -> bytes:
    exported = compiled.export_model()
    return exported if isinstance(exported, bytes) else exported.getvalue()  # by version


def is_memory_error(error: BaseException) -> bool:
    """Tell a shortage of memory from another error, whichever library reports it."""
    torch = sys.modules.get("torch")  # what was never loaded raises nothing
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
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
