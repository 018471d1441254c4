"""Networks that are built when they are first wanted, known before by what they compute."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from vitascope.core.paths import PACKAGE
from vitascope.core.versions import versions
from vitascope.engine import compiled_networks

if TYPE_CHECKING:
    from torch import nn


class DeferredNetwork:
    """A network that is built when it is first wanted: what was compiled of it before does without.

    Parameters
    ----------
    key : str
        Tells what the network computes: two of one key give the same numbers.
    name : str
        Of its class.
    build : callable
        Returns the network, in evaluation mode.
    """

    def __init__(self, key: str, name: str, build: Callable[[], nn.Module]) -> None:
        self.key, self.name = key, name
        self._build: Callable[[], nn.Module] | None = build
        self._network: nn.Module | None = None
        self._building = threading.Lock()

    @property
    def is_compiled(self) -> bool:
        """Whether it was compiled before on this machine, so that it may never be wanted."""
        return compiled_networks.holds(self.key)

    def get(self) -> nn.Module:
        """Return the network; the first call builds it."""
        with self._building:
            if self._network is None:
                assert self._build is not None
                self._network, self._build = self._build(), None  # the tensors it was built of go
            return self._network


def network_key(*parts: str) -> str:
    """Tell a network from all that compute something else: by its parts, our code of networks, and who compiles it.

    Parameters
    ----------
    *parts : str
        Such as the SHA-256 of the weights, and the architecture.
    """
    known = versions()
    made_by = (f"{name} {known.get(name)}" for name in ("vitascope", "torch", "openvino"))
    return hashlib.sha256("\n".join((*parts, _code(), *made_by)).encode()).hexdigest()


@lru_cache(maxsize=1)
def _code() -> str:
    """Return the SHA-256 of the source of our networks: the version alone does not tell a copy that is worked on."""
    files = sorted((PACKAGE / "networks").glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
