"""Try a network of another program in a process of its own, before it is opened in this one."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from vitascope.core.errors import ModelError
from vitascope.core.graph_spec import GraphOutput, GraphSpec
from vitascope.core.paths import PACKAGE
from vitascope.core.versions import versions
from vitascope.engine import compiled_networks
from vitascope.engine.graphs.child import FOUND, GIVEN, MEMORY_BYTES
from vitascope.engine.graphs.measure import GraphQuestion

TIME_S = 60.0
"""For reading, compiling and one answer; as long again for measuring how far it sees."""

CHILD = "vitascope.engine.graphs.child"


@dataclass(frozen=True)
class Found:
    """What a trial told.

    Parameters
    ----------
    outputs : tuple of GraphOutput
    divisor, step : tuple of int
        Along (z, y, x).
    reach : tuple of int, or None
    bytes_per_px : float
    depth : int or None
        Planes that it takes at once; None where it takes any number.
    """

    outputs: tuple[GraphOutput, ...]
    divisor: tuple[int, int, int]
    step: tuple[int, int, int]
    reach: tuple[int, int, int] | None
    bytes_per_px: float
    depth: int | None = None


def try_graph(
    data: bytes, name: str, question: GraphQuestion, time_s: float = TIME_S, *, measure: bool = True
) -> Found:
    """Read, compile and run a graph in a child process, and measure how far it sees.

    Parameters
    ----------
    data : bytes
        That :func:`vitascope.io.models.onnx_file.check_onnx` has passed.
    name : str
        Of the file, for messages.
    question : GraphQuestion
    time_s : float
        Seconds for the trial, and again for measuring.
    measure : bool
        Whether to measure how far it sees.

    Raises
    ------
    ModelError
        If it cannot be read or run, takes too long or too much memory, or ends the process.
    """
    tried, measured = _ask(data, name, asdict(question), time_s, measure=measure)
    reach = measured.get("reach")
    return Found(
        outputs=tuple(
            GraphOutput(name=one, axes=axes, channels=k, centre=centre) for one, axes, k, centre in tried["outputs"]
        ),
        divisor=tuple(tried["divisor"]),
        step=tuple(measured.get("step", tried["divisor"])),
        reach=tuple(reach) if reach else None,
        bytes_per_px=float(tried["bytes_per_px"]),
        depth=tried["depth"],
    )


def try_pictures(
    data: bytes, name: str, pictures: Sequence[NDArray[np.float32]]
) -> list[dict[str, NDArray[np.float32]]]:
    """Run a file on pictures in a child process.

    Parameters
    ----------
    data : bytes
        That :func:`vitascope.io.models.onnx_file.check_onnx` has passed.
    name : str
        Of the file, for messages.
    pictures : sequence of array
        For the file's one input.

    Returns
    -------
    list of dict
        Its answers to each, by name.

    Raises
    ------
    ModelError
        If it cannot be run, takes too long or too much memory, or ends the process.
    """
    with tempfile.TemporaryDirectory(prefix="vitascope-") as folder:
        np.savez(Path(folder) / GIVEN, *pictures)
        told, _ = _ask(data, name, {"pictures": folder}, TIME_S, measure=False)
        with np.load(Path(folder) / FOUND, allow_pickle=False) as found:
            return [{n: found[f"{k}-{i}"] for i, n in enumerate(told["names"])} for k in range(len(pictures))]


def make_sure(data: bytes, name: str, spec: GraphSpec, channels: int) -> None:
    """Try a graph as its card says, unless it was tried on this machine before.

    Raises
    ------
    ModelError
        See :func:`try_graph`.
    """
    key = _key(data, spec)
    if compiled_networks.holds(key):
        return
    question = GraphQuestion(
        name=spec.input,
        axes=spec.axes,
        channels=channels,
        sides=spec.sides,
        dtype=spec.dtype,
        divisor=spec.divisor,
        outputs=tuple((output.name, output.axes) for output in spec.outputs),
    )
    _ask(data, name, asdict(question), TIME_S, measure=False)
    remember(data, spec)


def remember(data: bytes, spec: GraphSpec) -> None:
    """Take note that a graph was tried on this machine."""
    compiled_networks.write(_key(data, spec), b"tried")


def _key(data: bytes, spec: GraphSpec) -> str:
    parts = (hashlib.sha256(data).hexdigest(), spec.model_dump_json(), str(versions().get("openvino")))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _ask(
    data: bytes, name: str, question: Mapping[str, Any], time_s: float, *, measure: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="vitascope-") as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(data)
        child = subprocess.Popen(
            [sys.executable, "-m", CHILD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_environment(),
            text=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        try:
            assert child.stdin is not None
            with suppress(BrokenPipeError):
                child.stdin.write(json.dumps(question))
                child.stdin.close()
            lines = _Lines(child)
            tried = lines.next(time_s)
            if tried is None or "error" in tried:
                raise _refusal(name, child, tried, timed_out=lines.timed_out, time_s=time_s)
            return tried, (lines.next(time_s) or {}) if measure else {}
        finally:
            with suppress(OSError):
                child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def _environment() -> dict[str, str]:
    # The child finds the same package, and starts as few threads as it can: each takes address space.
    paths = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return {**os.environ, "PYTHONPATH": paths, "PYTHONSAFEPATH": "1", **threads}


class _Lines:
    """What a child says, line by line, with a limit to how long is waited."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child, self.timed_out, self.too_large = child, False, False
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        with suppress(ValueError, OSError):
            for line in self._child.stdout:
                self._said.put(line)
        self._said.put(None)

    def next(self, time_s: float) -> dict[str, Any] | None:
        """Return the next line; None if the child ended, took too long, or (on Windows) too much memory."""
        end = time.monotonic() + time_s
        while True:
            try:
                line = self._said.get(timeout=min(1.0, max(0.0, end - time.monotonic())))
            except queue.Empty:
                if time.monotonic() >= end or self._takes_too_much():
                    self.timed_out = time.monotonic() >= end
                    return None
                continue
            try:
                found = json.loads(line) if line is not None else None
            except ValueError:
                continue  # a library's own words
            if line is None or isinstance(found, dict):
                return found

    def _takes_too_much(self) -> bool:
        if sys.platform != "win32":
            return False
        with suppress(psutil.Error):
            return bool(psutil.Process(self._child.pid).memory_info().rss > MEMORY_BYTES)
        return False


def _refusal(
    name: str, child: subprocess.Popen[str], said: dict[str, Any] | None, *, timed_out: bool, time_s: float
) -> ModelError:
    if said is not None:
        told = str(said["error"]).rstrip(".")
        if "bad_alloc" in told or "alloc" in told.lower() or told == "MemoryError":
            return ModelError(
                f"{name} takes more than {MEMORY_BYTES >> 30} GiB of memory for a small picture.",
                "Nothing was imported; ask for a smaller network.",
            )
        return ModelError(
            f"{name} cannot be run: {told}.",
            "Only networks are run that answer with a picture of the size of their input; axes, channels, depth and "
            "divisor can be told (--spec).",
        )
    if timed_out:
        return ModelError(
            f"{name} did not answer to a small picture within {time_s:g} s.",
            "Nothing was imported; ask for a smaller one.",
        )
    with suppress(subprocess.TimeoutExpired):
        child.wait(5)
    return ModelError(
        f"{name} ended the process that tried it (code {child.poll()}).",
        "Nothing was imported; do not trust this file.",
    )
