"""Import by name, in the one place: what needs torch is loaded when it is wanted, not when a menu or dock opens."""

from __future__ import annotations

import importlib
from types import ModuleType

from vitascope.core.errors import MissingPackageError


def import_late(module: str) -> ModuleType:
    """Import a module of ours by its name.

    Raises
    ------
    MissingPackageError
        If a package that it needs is not there.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"The package '{error.name}' is not installed here: nothing can be computed without it.",
            "Install vitascope again, with all it depends on: pip install vitascope.",
        ) from error
