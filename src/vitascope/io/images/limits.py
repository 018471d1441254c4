"""What a file may declare before anything is allocated for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import psutil

from vitascope.core.errors import ReaderError

MAX_PIXELS = 2**36
EAGER_BYTES = 2**28
# Deflate packs at most 1032 : 1; files of one grey value in small tiles reach a few thousand with other codecs.
MAX_EXPANSION = 10_000


def count_pixels(shape: Sequence[int]) -> int:
    """Count pixels without overflow."""
    return math.prod(int(side) for side in shape)


def count_bytes(shape: Sequence[int], dtype: object) -> int:
    """Count the bytes an array takes."""
    return count_pixels(shape) * int(np.dtype(dtype).itemsize)  # type: ignore[call-overload]


def check_declared(name: str, shape: Sequence[int], dtype: object, stored_bytes: int | None = None) -> None:
    """Refuse what is too large to be an image, or what its file cannot hold.

    Parameters
    ----------
    name : str
        Of the file, for the message.
    shape : sequence of int
    dtype : dtype
    stored_bytes : int, optional
        Bytes on the disk that the pixels are unpacked from.

    Raises
    ------
    ReaderError
        If there are more than 2^36 pixels, or more than 10,000 bytes for each stored one.
    """
    pixels = count_pixels(shape)
    sides = " x ".join(str(int(side)) for side in shape)
    if pixels > MAX_PIXELS:
        raise ReaderError(
            f"'{name}' declares {sides} pixels, more than the {MAX_PIXELS:,} that are read.",
            "Check the file; if it is right, cut the image into parts.",
            flag="too_large",
        )
    nbytes = count_bytes(shape, dtype)
    if stored_bytes is not None and nbytes > max(EAGER_BYTES // 16, MAX_EXPANSION * stored_bytes):
        raise ReaderError(
            f"'{name}' declares {sides} pixels, but holds only {stored_bytes:,} bytes of them.",
            "The file is damaged: copy it again from its source.",
            flag="too_large",
        )


def check_memory(name: str, shape: Sequence[int], dtype: object) -> None:
    """Refuse to read at once what does not fit into the free memory.

    Raises
    ------
    ReaderError
        If the array needs more than what is available.
    """
    nbytes = count_bytes(shape, dtype)
    available = int(psutil.virtual_memory().available)
    if nbytes > available:
        raise ReaderError(
            f"'{name}' needs {nbytes / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB are free.",
            "Save it as uncompressed or tiled TIFF, or as OME-Zarr: these are read in parts.",
            flag="memory",
        )
