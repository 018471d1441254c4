"""Networks put on the device of a plan, kept ready, and asked for many answers at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from vitascope.engine.deferred_network import DeferredNetwork
from vitascope.engine.device import core_count, give_up_device, is_device_error
from vitascope.engine.execution_plan import Plan
from vitascope.engine.load_model import LoadedModel
from vitascope.engine.openvino_backend import OpenVinoBackend, is_memory_error

if TYPE_CHECKING:
    from vitascope.engine.torch_backend import TorchBackend

logger = logging.getLogger(__name__)

Backend: TypeAlias = "OpenVinoBackend | TorchBackend"

T = TypeVar("T")

AT_ANY_TIME: AbstractContextManager[None] = nullcontext()

MOST_STREAMS = 16
"""Whole squares that may be in a network at once: each has buffers of its own."""

_opened: WeakKeyDictionary[object, dict[tuple[str, str, int, int, int], Backend]] = WeakKeyDictionary()

_OPENING = threading.Lock()


def open_backend(model: LoadedModel, plan: Plan, streams: int = 1) -> Backend:
    """Put a network on the plan's device; as long as the network lives, the last device and precision stay ready."""
    key = _key(plan, streams)
    with _OPENING:
        ready = _opened.setdefault(model.source, {})
        if key not in ready:
            ready.clear()
            ready[key] = open_anew(model, plan, streams)
        return ready[key]


def _key(plan: Plan, streams: int) -> tuple[str, str, int, int, int]:
    return plan.device, plan.precision, plan.threads, streams, plan.batch


def open_anew(model: LoadedModel, plan: Plan, streams: int = 1) -> Backend:
    """Put a network on the plan's device, and keep nothing ready."""
    if plan.device == "cpu":
        sides = (64, 64) if not model.family.is_3d else (16, 32, 32)
        channels = model.card.network_channels
        source = model.source if isinstance(model.source, DeferredNetwork) else model.network
        rounding = model.card.int8.layers if model.card.int8 is not None else ()
        return OpenVinoBackend(source, channels, plan.precision, plan.threads, sides, streams, rounding)
    from vitascope.engine.torch_backend import TorchBackend

    return TorchBackend(model.network, plan.device, plan.precision, plan.batch)


@contextmanager
def watched(model: LoadedModel, threads: int, watch: Callable[[NDArray[np.float32]], object]) -> Iterator[None]:
    """Show every window (C, …) that a network is given on the processor in 32 bit to ``watch``, while this lasts."""
    plan = Plan(device="cpu", precision="f32", tile_px=0, threads=threads)
    backend = open_anew(model, plan)
    assert isinstance(backend, OpenVinoBackend)
    backend.watch = watch
    with _OPENING:
        _opened[model.source] = {_key(plan, 1): backend}
    try:
        yield
    finally:
        with _OPENING:
            _opened.pop(model.source, None)


def answers_of(
    backend: Backend, windows: Iterable[NDArray[np.float32]], turn: AbstractContextManager[object] = AT_ANY_TIME
) -> Iterator[tuple[NDArray[np.float32], ...]]:
    """Run windows of one shape in order, on a graphics card in batches; the arrays are the caller's to keep.

    Parameters
    ----------
    backend : Backend
    windows : iterable of array
        Each (C, h, w) or (C, d, h, w), float32.
    turn : context manager
        Held while the processor computes, whose buffers all callers share.
    """
    in_batches = getattr(backend, "answers", None)
    if in_batches is not None:
        yield from in_batches(windows)
        return
    for x in windows:
        with turn:
            outputs = tuple(np.array(output) for output in backend(x))
        yield outputs


class SquareBackend:
    """A network that sees one whole square, for all images that are run side by side.

    There are streams for as many images as the plan's threads leave cores for. Where a graphics card fails, or has too
    little memory for one square, the processor goes on.

    Attributes
    ----------
    plan : Plan
        The one that the last answer was computed by.
    """

    def __init__(
        self, model: LoadedModel, plan: Plan, open_with: Callable[[LoadedModel, Plan, int], Backend] | None = None
    ) -> None:
        self.plan = plan
        self._model, self._open = model, open_with or open_backend

    def infer_concurrently(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Run one square while other threads run theirs; the arrays are the caller's to keep.

        Raises
        ------
        MemoryError, RuntimeError
            Of the processor.
        """
        return self._answered(lambda backend: backend.infer_concurrently(x))

    def infer_many(self, squares: Sequence[NDArray[np.float32]]) -> list[tuple[NDArray[np.float32], ...]]:
        """Run squares of one shape, on a graphics card in batches; errors and arrays as of one."""

        def in_turn(backend: Backend) -> list[tuple[NDArray[np.float32], ...]]:
            if isinstance(backend, OpenVinoBackend):
                return [backend.infer_concurrently(x) for x in squares]
            return list(answers_of(backend, squares))

        return self._answered(in_turn, in_batches=True)

    def _answered(self, ask: Callable[[Backend], T], in_batches: bool = False) -> T:
        while True:
            plan = self.plan
            streams = max(1, min(core_count() // plan.threads, MOST_STREAMS))
            try:
                return ask(self._open(self._model, plan, streams))
            except (MemoryError, RuntimeError) as error:
                if in_batches and is_memory_error(error) and plan.batch > 1:
                    self.plan = replace(plan, batch=plan.batch // 2, flags=(*plan.flags, "tile_reduced"))
                    continue
                on_processor = plan_after(error, plan)
                if on_processor is None:
                    raise
                self.plan = on_processor


def plan_after(error: BaseException, plan: Plan) -> Plan | None:
    """Return the plan to go on with on the processor where a graphics card gave up, or None.

    A card whose context failed is not used again in this process: what CUDA does after a failed kernel is undefined.
    """
    failed = not is_memory_error(error) and is_device_error(error)
    if plan.device == "cpu" or not (failed or is_memory_error(error)):
        return None
    if failed:
        logger.warning("%s failed (%s): the processor goes on.", plan.device, str(error).splitlines()[0][:200])
        give_up_device(plan.device)
    return replace(plan, device="cpu", precision="f32", batch=1, flags=(*plan.flags, "device_fallback"))
