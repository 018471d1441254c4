"""Numbers from living cultures without staining or killing them.

The names listed here are the public ones, and stay: a test holds their signatures. They are loaded when first used, so
that ``import vitascope`` costs nothing. The command ``vitascope`` and the napari docks call the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitascope.api import (
        calibrate,
        fit_dose_response,
        list_models,
        list_tasks,
        read,
        read_image,
        read_images,
        read_plate,
        read_plate_map,
        run,
        run_plate,
        train,
    )
    from vitascope.client.client import Client
    from vitascope.core.micrograph import Micrograph
    from vitascope.core.result import Result

__version__ = "0.1.0"
__all__ = [
    "Client",
    "Micrograph",
    "Result",
    "__version__",
    "calibrate",
    "fit_dose_response",
    "list_models",
    "list_tasks",
    "read",
    "read_image",
    "read_images",
    "read_plate",
    "read_plate_map",
    "run",
    "run_plate",
    "train",
]

_HOMES = {
    "Client": "vitascope.client.client",
    "Micrograph": "vitascope.core.micrograph",
    "Result": "vitascope.core.result",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'vitascope' has no attribute '{name}'")
    from types import ModuleType

    from vitascope.core.late_import import import_late

    value = getattr(import_late(_HOMES.get(name, "vitascope.api"), ModuleType), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
