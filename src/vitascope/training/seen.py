"""What a card keeps of the images that a model was trained on, to know them again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vitascope.ops.intensity.fingerprint import SHA
from vitascope.ops.intensity.likeness import PREFIX, kept_looks


@dataclass(frozen=True)
class Seen:
    """Marks of the pictures that were trained or validated on, each once.

    Parameters
    ----------
    fingerprints : tuple of str
        Of the middle of each plane.
    image_sha256 : tuple of str
        Of all its raw pixels.
    looks : tuple of str
        Small versions, in which crops are found.
    """

    fingerprints: tuple[str, ...]
    image_sha256: tuple[str, ...]
    looks: tuple[str, ...]

    @classmethod
    def of(cls, marks: Iterable[str]) -> Seen:
        """Sort what :func:`vitascope.ops.intensity.fingerprint.marks` gave."""
        found = list(dict.fromkeys(marks))
        return cls(
            tuple(m for m in found if not m.startswith((SHA, PREFIX))),
            tuple(m.removeprefix(SHA) for m in found if m.startswith(SHA)),
            tuple(kept_looks([m for m in found if m.startswith(PREFIX)])),
        )

    def for_card(self) -> dict[str, Any]:
        """Return what stands under ``training`` of the card."""
        return {"image_sha256": list(self.image_sha256), "looks": list(self.looks)}
