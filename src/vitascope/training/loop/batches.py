"""Batches for a training on a graphics card, the next one prepared while the card computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

Batch = Mapping[str, Tensor]


class Batches:
    """The batches of a training, step by step.

    A batch depends on its step alone, so that one prepared ahead is the one that would be made now. On the processor
    nothing is prepared ahead: there is nobody beside it to do so.

    Parameters
    ----------
    make : callable
        Gives the batch of a step, of a size.
    size : int
    device : torch.device
    ahead : bool, optional
        Whether to prepare the next batch; by default where the device is no processor.
    """

    def __init__(
        self, make: Callable[[int, int], Batch], size: int, device: torch.device, ahead: bool | None = None
    ) -> None:
        self._make, self._size = make, size
        self._pinned = device.type == "cuda"
        ahead = device.type != "cpu" if ahead is None else ahead
        self._helper = ThreadPoolExecutor(1, "vitascope-batches") if ahead else None
        self._next: tuple[int, Future[Batch]] | None = None

    def get(self, step: int) -> Batch:
        """Return the batch of a step, and have the next one prepared."""
        if self._helper is None:
            return self._made(step)
        prepared, self._next = self._next, None
        batch = prepared[1].result() if prepared is not None and prepared[0] == step else self._made(step)
        self._next = (step + 1, self._helper.submit(self._made, step + 1))
        return batch

    def close(self) -> None:
        """Stop preparing."""
        if self._helper is not None:
            self._helper.shutdown(wait=False, cancel_futures=True)

    def _made(self, step: int) -> Batch:
        batch = self._make(step, self._size)
        return {k: v.pin_memory() for k, v in batch.items()} if self._pinned else batch
