"""The process in which a network of another program is first opened: little memory, little time, nothing to lose.

``python -m vitascope.engine.graphs.child FILE`` reads a question as JSON from its input and writes what it found, a
line of JSON each; it may die of what the file does to it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MEMORY_BYTES = 4 << 30
"""What it may take: the largest public networks of one picture need some 1.5 GiB for a small window."""


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
    from vitascope.engine.graphs.measure import GraphQuestion, UnfitGraphError, explore

    asked = json.loads(sys.stdin.read())
    question = GraphQuestion(
        name=asked["name"],
        axes=asked["axes"],
        channels=asked["channels"],
        sides=tuple(asked["sides"]),
        dtype=asked["dtype"],
        divisor=tuple(asked["divisor"]) if asked["divisor"] else None,
        outputs=tuple((name, axes) for name, axes in asked["outputs"]),
    )
    try:
        for found in explore(Path(arguments[0]).read_bytes(), question, most_memory):
            say(found)
    except (RuntimeError, ValueError, UnfitGraphError, MemoryError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # OpenVINO names its own source files first
        told = [line for line in lines if not line.startswith(("Exception from", "Check '", "While validating"))]
        say({"error": (told or lines or [type(error).__name__])[0][:400]})
    return 0


def say(found: dict[str, object]) -> None:
    """Write one line for the parent."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
