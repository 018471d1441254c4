"""The house in numbers: modules of the largest folder, imports that close cycles, ``Any`` at the seam."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import grimp

PACKAGE = Path(__file__).parent.parent / "src" / "vitascope"
MOST_MODULES = 30
SEAM = ("tasks/spec.py", "tasks/protocols.py", "tasks/late_modules.py", "core/late_import.py")


def largest_folder() -> tuple[str, int]:
    """Return the folder with the most modules, and their number; ``__init__`` counts."""
    counts = Counter(path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    return counts.most_common(1)[0]


def cycle_closers() -> list[str]:
    """List the imports that close a cycle between modules or folders side by side, at any depth."""
    sys.path.insert(0, str(PACKAGE.parent))
    graph = grimp.build_graph(PACKAGE.name, include_external_packages=False, cache_dir=None)
    found = set()
    for module in graph.modules:
        if graph.find_children(module):
            found |= graph.nominate_cycle_breakers(module)
    return sorted(f"{importer} -> {imported}" for importer, imported in found)


def unknown_returns(path: Path) -> list[str]:
    """List the functions of a module whose return type is missing or holds ``Any``."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [f.name for f in functions if f.returns is None or "Any" in words(f.returns)]


def words(annotation: ast.expr) -> set[str]:
    """Return the names in an annotation."""
    return {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} | {
        node.attr for node in ast.walk(annotation) if isinstance(node, ast.Attribute)
    }


def main() -> int:
    """Print the numbers; 1 where one is too many."""
    folder, modules = largest_folder()
    closers = cycle_closers()
    unknown = [f"{name}: {function}" for name in SEAM for function in unknown_returns(PACKAGE / name)]
    print(f"Largest folder: {folder}, {modules} modules (at most {MOST_MODULES})")
    print("Cycles:", len(closers), *closers)
    print("Any in return types at the seam:", len(unknown), *unknown)
    return int(modules > MOST_MODULES or bool(closers) or bool(unknown))


if __name__ == "__main__":
    sys.exit(main())
