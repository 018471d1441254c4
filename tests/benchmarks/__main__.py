"""Print measured figures: ``python -m tests.benchmarks NAME [ARGUMENTS]``; without a name, list what there is."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    return sorted(
        m.name for m in pkgutil.iter_modules([str(HERE)]) if not m.name.startswith("_") and m.name != "machine"
    )


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in names():
        for name in names():
            module = importlib.import_module(f"tests.benchmarks.{name}")
            print(f"{name:10} {(module.__doc__ or '').strip().splitlines()[0]}")
        return 0 if len(sys.argv) < 2 else 2
    importlib.import_module(f"tests.benchmarks.{sys.argv[1]}").main(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
