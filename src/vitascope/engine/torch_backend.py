"""Networks on a graphics card (or, for comparison, the processor) through torch."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.engine.number_format import numbers

Answer = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class _Sent:
    """A batch under way: what will hold its answers, how they lie there, and what tells that they have arrived."""

    held: Tensor
    shapes: tuple[tuple[int, ...], ...]
    used: int
    arrived: Any


class TorchBackend:
    """A network on a torch device, channels last, without gradients, by deterministic algorithms.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; copied, so that the original stays on the processor.
    device : str
        ``cuda:0``, ``mps`` or ``cpu``.
    precision : {"f32", "tf32", "bf16", "f16"}
    at_once : int, >= 1
        Windows in a batch. A last batch with fewer is filled up with empty ones, so that the same kernels compute
        every window.
    """

    def __init__(self, network: nn.Module, device: str, precision: str, at_once: int = 1) -> None:
        self.at_once = at_once
        self._device, self._precision = torch.device(device), precision
        self._on_card = self._device.type == "cuda"
        volumes = any(isinstance(m, nn.Conv3d) for m in network.modules())
        self._format = torch.channels_last_3d if volumes else torch.channels_last
        self._turn = threading.Lock()
        self._network = copy.deepcopy(network).to(self._device, memory_format=self._format)  # type: ignore[call-overload]

    def __call__(self, x: NDArray[np.float32]) -> Answer:
        """Run one window (C, h, w) or (C, d, h, w) and return the outputs without the batch axis, float32.

        Raises
        ------
        torch.OutOfMemoryError
            If memory does not suffice for this window.
        """
        return next(self.answers([x], at_once=1))

    def infer_concurrently(self, x: NDArray[np.float32]) -> Answer:
        """Run one window, also while other threads wait with theirs; the arrays are the caller's to keep."""
        return self(x)

    def answers(self, windows: Iterable[NDArray[np.float32]], at_once: int | None = None) -> Iterator[Answer]:
        """Run windows of one shape, batch by batch, and give their answers in order; they are the caller's to keep.

        While the device computes a batch, the next one is read and sent: there are two buffers on either side.

        Parameters
        ----------
        windows : iterable of array
            Each (C, h, w) or (C, d, h, w), float32; drawn when a batch is made of them.
        at_once : int, optional
            Windows in a batch, where it is not the backend's own number.

        Yields
        ------
        tuple of array
            The network's outputs for one window, without the batch axis, float32.

        Raises
        ------
        torch.OutOfMemoryError
            If memory does not suffice for a batch.
        """
        left, at_once = iter(windows), at_once or self.at_once
        buffers: list[Tensor] = []
        under_way: _Sent | None = None
        while group := list(islice(left, at_once)):
            if len(buffers) < 2:
                buffers.append(torch.zeros((at_once, *group[0].shape), pin_memory=self._on_card))
            with self._turn:
                sent = self._send(group, buffers[-1])
            if under_way is not None:
                yield from self._collect(under_way)
            under_way = sent
            buffers.reverse()
        if under_way is not None:
            yield from self._collect(under_way)

    def _send(self, group: Sequence[NDArray[np.float32]], buffer: Tensor) -> _Sent:
        """Start a batch of as many windows as the buffer holds; a graphics card still computes when this returns."""
        for place, x in zip(buffer, group, strict=False):
            place.numpy()[...] = x
        buffer[len(group) :] = 0
        with torch.inference_mode(), numbers(self._device, self._precision):
            batch = buffer.to(self._device, non_blocking=True).contiguous(memory_format=self._format)
            outputs = [output.float() for output in self._network(batch)]
            flat = torch.cat([output.reshape(len(buffer), -1) for output in outputs], 1)  # copied back in one piece
            held = torch.empty(flat.shape, pin_memory=self._on_card)
            held.copy_(flat, non_blocking=True)
        shapes = tuple(tuple(output.shape[1:]) for output in outputs)
        return _Sent(held, shapes, len(group), self._mark())

    def _mark(self) -> Any:
        if not self._on_card:
            return None
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))  # type: ignore[no-untyped-call]
        return event

    def _collect(self, sent: _Sent) -> Iterator[Answer]:
        if sent.arrived is not None:
            sent.arrived.synchronize()
        sizes = [int(np.prod(shape)) for shape in sent.shapes]
        ends = np.cumsum(sizes)
        for row in sent.held.numpy()[: sent.used]:
            pieces = zip(ends - sizes, ends, sent.shapes, strict=True)
            yield tuple(np.ascontiguousarray(row[start:end].reshape(shape)) for start, end, shape in pieces)
