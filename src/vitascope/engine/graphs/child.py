"""The process in which a network of another program is first opened: little memory, little time, nothing to lose.

``python -m vitascope.engine.graphs.child FILE`` reads a question as JSON from its input and writes what it found, a
line of JSON each; it may die of what the file does to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

MEMORY_BYTES = 4 << 30
"""What it may take: the largest public networks of one picture need some 1.5 GiB for a small window."""

GIVEN, FOUND = "given.npz", "found.npz"
"""Pictures for a file, and its answers, in a folder of the parent."""


def limit_memory() -> None:
    """Let the system refuse more memory; Windows has no such limit, there the parent watches."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def most_memory() -> int:
    """Return the most bytes that this process has taken so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(arguments: list[str]) -> int:
    """Open the file, run it, and say what was found."""
    limit_memory()
    from vitascope.engine.graphs.measure import GraphQuestion, explore

    asked = json.loads(sys.stdin.read())
    if "pictures" in asked:
        tell_faults(answer_pictures(Path(arguments[0]).read_bytes(), Path(asked["pictures"])))
        return 0
    question = GraphQuestion(
        name=asked["name"],
        axes=asked["axes"],
        channels=asked["channels"],
        sides=tuple(asked["sides"]),
        dtype=asked["dtype"],
        divisor=tuple(asked["divisor"]) if asked["divisor"] else None,
        outputs=tuple((name, axes) for name, axes in asked["outputs"]),
    )
    tell_faults(explore(Path(arguments[0]).read_bytes(), question, most_memory))
    return 0


def answer_pictures(data: bytes, folder: Path) -> Iterator[dict[str, object]]:
    """Run a file on each of the pictures in a folder (``given.npz``), and leave its answers there (``found.npz``)."""
    import numpy as np

    from vitascope.engine.openvino_backend import run_onnx

    with np.load(folder / GIVEN, allow_pickle=False) as given:
        pictures = [given[key] for key in given.files]
    answers = run_onnx(data, pictures)
    names = list(answers[0])
    arrays = {f"{n}-{names.index(name)}": value for n, one in enumerate(answers) for name, value in one.items()}
    np.savez(folder / FOUND, **arrays)  # type: ignore[arg-type]
    yield {"names": names}


def tell_faults(steps: Iterator[dict[str, object]]) -> None:
    """Write what is found step by step, and what goes wrong in words."""
    from vitascope.engine.graphs.measure import UnfitGraphError

    try:
        for found in steps:
            say(found)
    except (RuntimeError, ValueError, UnfitGraphError, MemoryError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # OpenVINO names its own source files first
        told = [line for line in lines if not line.startswith(("Exception from", "Check '", "While validating"))]
        say({"error": (told or lines or [type(error).__name__])[0][:400]})


def say(found: dict[str, object]) -> None:
    """Write one line for the parent."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
