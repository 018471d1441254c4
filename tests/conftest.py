"""Fixtures for all tests: a small model with random weights, and no network."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported: the networks of the tests are so small that threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is, not whether it is right. Examples are the same in each run, so
# that a change fails for what it does, not for what was drawn; ``--hypothesis-profile explore`` draws others.
common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("vitascope", derandomize=True, **common)
settings.register_profile("explore", max_examples=500, **common)
settings.load_profile("vitascope")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory, monkeypatch):
    """Keep caches and models of the tests out of the user's folders."""
    folder = tmp_path_factory.getbasetemp() / "vitascope"
    monkeypatch.setenv("VITASCOPE_CACHE", str(folder / "cache"))
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder / "models"))
    monkeypatch.setenv("VITASCOPE_SESSIONS", str(folder / "sessions"))
    monkeypatch.setenv("VITASCOPE_SERVERS", str(folder / "servers.json"))


@pytest.fixture
def no_network(monkeypatch):
    """Let every attempt to reach another machine fail the test."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"the network was used: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
