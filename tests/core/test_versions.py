import importlib.metadata
import platform

import numpy

from vitascope.core.versions import PACKAGES, _found, versions


def test_what_shapes_results_is_told_with_its_version():
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == numpy.__version__


def test_a_package_that_is_not_there_is_left_out(monkeypatch):
    real = importlib.metadata.version

    def absent(name):
        if name == "monai":
            raise importlib.metadata.PackageNotFoundError
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    _found.cache_clear()
    assert set(versions()) == {"python", *PACKAGES} - {"monai"}
    _found.cache_clear()


def test_what_is_returned_is_the_callers_own():
    versions()["numpy"] = "0"
    assert versions()["numpy"] == numpy.__version__


def test_in_a_container_its_image_is_told(monkeypatch):
    assert "container" not in versions()
    monkeypatch.setenv("VITASCOPE_IMAGE", "vitascope:1-cpu")
    assert versions()["container"] == "vitascope:1-cpu"
