"""Versions of what a number depends on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from functools import lru_cache

PACKAGES = ("vitascope", "torch", "openvino", "monai", "numpy", "scipy", "scikit-image")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape results; absent ones are left out.

    In a container ``container`` holds its image, as ``VITASCOPE_IMAGE`` names it.
    """
    image = os.environ.get("VITASCOPE_IMAGE")
    return {**_found(), **({"container": image} if image else {})}


@lru_cache(maxsize=1)
def _found() -> dict[str, str]:
    """Look them up once: reading what is installed takes as long as estimating a well."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
