"""What a folder says of how its numbers were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitascope.io.results.folder import PROVENANCE


def read_provenance(folder: Path) -> dict[str, Any]:
    """Read ``provenance.json`` of a folder; empty where there is none, or it cannot be read."""
    try:
        found = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def task_of(folder: Path) -> str:
    """Task that was run in a folder; empty where nothing tells."""
    return str(read_provenance(folder).get("task") or "")
