"""Named settings: parameters of a task in a JSON file, in any folder or under a name in the user's own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from vitascope.core.errors import ParameterError, ReaderError, describe
from vitascope.core.paths import user_settings

HINT = "Take a file that 'vitascope calibrate-counts' wrote."
NAME = re.compile(r"[A-Za-z0-9][\w .\-]{0,63}")


def settings_path(name: str, task: str) -> Path:
    """Return where the settings of a name are kept for this user.

    Raises
    ------
    ParameterError
        If the text cannot be the name of a file.
    """
    if not NAME.fullmatch(name) or name.endswith((".", " ")):
        raise ParameterError(
            f"'{name}' cannot be a name of settings.", "Take letters, digits, spaces, dots, dashes, underscores."
        )
    return user_settings(task) / f"{name}.json"


def list_settings(task: str) -> list[str]:
    """List the names of the settings that this user keeps for a task."""
    return sorted(path.stem for path in user_settings(task).glob("*.json"))


def free_settings_name(wanted: str, task: str) -> str:
    """Return a name that no settings have yet: the one that is wanted, or with a number behind it."""
    plain = re.sub(r"[^\w.\-]+", "-", wanted, flags=re.ASCII).strip("-._")[:58] or "mine"
    taken = set(list_settings(task))
    tries = (plain if number == 1 else f"{plain}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in tries if name not in taken)


def find_settings(text: str, task: str) -> Path:
    """Return the file that a path or a name stands for: a file that is there comes first."""
    path = Path(text)
    if path.exists() or path.suffix == ".json" or path.name != text:
        return path
    kept = list_settings(task)
    if text in kept:
        return settings_path(text, task)
    raise ParameterError(
        f"There are no settings '{text}'.",
        f"Kept are {', '.join(kept)}." if kept else "Give a file, as 'vitascope calibrate-counts' writes it.",
    )


def read_settings(path: Path, task: str) -> dict[str, Any]:
    """Read parameters from a file that :mod:`vitascope.batch.calibrate_counts` wrote, or of plain names and values.

    Raises
    ------
    ReaderError
        If it cannot be read, or is no such file.
    ParameterError
        If it is for another task.
    """
    try:
        tree = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ReaderError(f"The settings {path.name} cannot be read: {describe(error)}.", "Check the path.") from error
    except ValueError as error:
        raise ReaderError(f"{path.name} is no JSON.", HINT) from error
    values = tree.get("settings", tree) if isinstance(tree, dict) else None
    if not isinstance(values, dict):
        raise ReaderError(f"{path.name} holds no settings.", HINT)
    if "settings" in tree and tree.get("task", task) != task:
        raise ParameterError(f"{path.name} holds settings of the task '{tree['task']}'.", f"This is a run of '{task}'.")
    return values
