"""Weights as safetensors, trusted only after every check: size, hash, header, then the numbers.

The library accepts duplicate names, a flipped byte and NaN; this module does not. Nothing in a weights file can
execute.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from vitascope.core.errors import ModelError, describe
from vitascope.io.atomic import write_bytes

MAX_BYTES = 4 << 30
MAX_HEADER_BYTES = 16 << 20
_ITEMSIZE = {"F16": 2, "F32": 4, "F64": 8, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}
_ASK = "Ask for the file again from where the model came from; nothing was loaded."


def sha256_of_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def read_weights(path: Path, sha256: str | None) -> dict[str, NDArray[Any]]:
    """Read a safetensors file after checking all of it.

    Parameters
    ----------
    path : Path
    sha256 : str or None
        What the card says; None skips this one check (a file that the user trusts and names).

    Returns
    -------
    dict of str to array
        float16, float32, float64 or whole numbers.

    Raises
    ------
    ModelError
        If the file is missing, too large, altered, no safetensors, inconsistent, or holds NaN, infinity or numbers
        beyond float32.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{path.name} has {size / 2**30:.1f} GiB; models of up to 4 GiB are read.", _ASK)
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The weights {path.name} cannot be read: {describe(error)}.", _ASK) from error
    if sha256 is not None and sha256_of_bytes(data) != sha256:
        raise ModelError(
            f"The weights {path.name} are not those its card describes (SHA-256 differs): the file was altered or cut.",
            _ASK,
        )
    check_header(data, path.name)
    try:
        tensors: dict[str, NDArray[Any]] = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ModelError(f"{path.name} is not a sound safetensors file: {describe(error)}.", _ASK) from error
    for name, tensor in tensors.items():
        with np.errstate(over="ignore"):
            narrow = tensor.astype(np.float32)  # what the network will hold
        if not np.isfinite(narrow).all():
            raise ModelError(f"The weights {path.name} hold NaN or infinity in '{name}'.", _ASK)
    return tensors


def check_header(data: bytes, name: str) -> None:
    """Check that a safetensors header is sound and describes the bytes that follow it exactly.

    Raises
    ------
    ModelError
        Naming what is wrong: length, JSON, a tensor named twice, an unknown type, gaps, overlaps or a wrong extent.
    """

    def refuse(why: str) -> ModelError:
        return ModelError(f"{name} is not a sound safetensors file: {why}.", _ASK)

    if len(data) < 8:
        raise refuse("it is shorter than its own header")
    length = int.from_bytes(data[:8], "little")
    if length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise refuse("the header says it is longer than the file")
    try:
        pairs = json.loads(data[8 : 8 + length], object_pairs_hook=list)
        entries = [(key, dict(value)) for key, value in pairs]
    except (ValueError, TypeError, RecursionError) as error:
        raise refuse("the header cannot be read") from error
    names = [key for key, _ in entries]
    if len(set(names)) != len(names):
        raise refuse("a tensor is named twice")
    spans = sorted(_span(key, value, refuse) for key, value in entries if key != "__metadata__")
    position = 0
    for begin, end in spans:
        if begin != position:
            raise refuse("the tensors overlap or leave gaps")
        position = end
    if position != len(data) - 8 - length:
        raise refuse("the tensors do not fill the file")


def _span(key: str, entry: dict[str, Any], refuse: Any) -> tuple[int, int]:
    try:
        begin, end = (int(v) for v in entry["data_offsets"])
        extent = math.prod(int(n) for n in entry["shape"]) * _ITEMSIZE[entry["dtype"]]
        shape_ok = all(int(n) >= 0 for n in entry["shape"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise refuse(f"the entry of '{key}' cannot be read") from error
    if not shape_ok or begin < 0 or end - begin != extent:
        raise refuse(f"'{key}' has another length than its shape")
    return begin, end


def write_weights(path: Path, tensors: Mapping[str, NDArray[Any]]) -> str:
    """Write tensors as safetensors, whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    tensors : mapping of str to array

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full; an older file stays as it was.
    """
    data = _packed(tensors)
    write_bytes(path, data)
    return sha256_of_bytes(data)


def weights_sha256(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of the file that :func:`write_weights` would write."""
    return sha256_of_bytes(_packed(tensors))


def _packed(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    packed: bytes = safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in tensors.items()})
    return packed
