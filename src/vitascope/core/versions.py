"""Versions of what a number depends on."""

from __future__ import annotations

import importlib.metadata
import platform

PACKAGES = ("vitascope", "torch", "openvino", "monai", "numpy", "scipy", "scikit-image")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape results; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
