"""Import by name, in the one place: what needs torch is loaded when it is wanted, not when a menu or dock opens."""

from __future__ import annotations

import importlib
from typing import TypeVar

from vitascope.core.errors import MissingPackageError

Kind = TypeVar("Kind")


def import_late(module: str, kind: type[Kind]) -> Kind:
    """Import a module of ours by its name, as the kind of module it is.

    Parameters
    ----------
    module : str
    kind : type
        ``ModuleType``, or a protocol that can be checked at run time: what the caller will use of the module.

    Raises
    ------
    MissingPackageError
        If a package that it needs is not there.
    TypeError
        If the module lacks something that its kind has.
    """
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"The package '{error.name}' is not installed here: nothing can be computed without it.",
            "Install vitascope again, with all it depends on: pip install vitascope.",
        ) from error
    if not isinstance(found, kind):
        raise TypeError(f"{module} lacks what a {kind.__name__} has.")
    return found
