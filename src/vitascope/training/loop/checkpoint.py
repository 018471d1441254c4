"""Checkpoints of a training run: written whole or not at all, read without executing anything.

A file is the SHA-256 of what follows, then what ``torch.save`` writes: torch itself loads flipped bytes without a word.
"""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch

from vitascope.core.errors import ModelError
from vitascope.io.atomic import write_bytes

logger = logging.getLogger(__name__)

LATEST, PREVIOUS, COMING = "latest.pt", "previous.pt", "coming.pt"
_DIGEST_BYTES = 32


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write a state as the latest checkpoint; the one before it is kept as the previous.

    Parameters
    ----------
    folder : Path
    state : dict
        Tensors, numbers, text, lists and dicts only.

    Raises
    ------
    OutputError
        If the disk is full or the folder cannot be written; older checkpoints stay.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    latest, coming = folder / LATEST, folder / COMING
    write_bytes(coming, hashlib.sha256(data).digest() + data)  # the others stay until it is whole
    if latest.exists():
        latest.replace(folder / PREVIOUS)
    coming.replace(latest)


def load_state(folder: Path) -> tuple[dict[str, Any], str] | None:
    """Read the latest checkpoint that is whole; a damaged latest one is deleted, so that it never becomes the previous.

    Returns
    -------
    tuple of dict and str, or None
        The state and the name of its file (:data:`PREVIOUS` if the latest was broken); None if there is none.

    Raises
    ------
    ModelError
        If there are checkpoints but none can be read.
    """
    found = [folder / name for name in (LATEST, PREVIOUS) if (folder / name).exists()]
    for path in found:
        state = _read(path)
        if state is None:
            logger.warning("The checkpoint %s is damaged.", path.name)
            continue
        for damaged in found[: found.index(path)]:
            damaged.unlink(missing_ok=True)
        return state, path.name
    if found:
        raise ModelError(
            f"The checkpoints in {folder.name} are damaged or are none of ours.", "Delete the folder and start again."
        )
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """Return the state in a file, or None if the file is damaged or none of ours."""
    data = path.read_bytes()
    if hashlib.sha256(data[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
        return None
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(data[_DIGEST_BYTES:]), map_location="cpu", weights_only=True)
    except Exception:  # one type for each of zip, pickle and tensors; none of them says "none of ours"
        return None
    return state
