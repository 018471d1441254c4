"""An image that a network of another program does well on, as its user says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitascope.core.micrograph import Micrograph


@dataclass(frozen=True)
class GoodImage:
    """An image that the network does well on.

    Parameters
    ----------
    name : str
    image : callable
        Opens it.
    stain : callable or None
        Opens the real stain of the same field.
    """

    name: str
    image: Callable[[], Micrograph]
    stain: Callable[[], Micrograph] | None = None
