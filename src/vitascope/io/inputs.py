"""What a run was given, for its provenance."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.core.micrograph import Micrograph
from vitascope.io.results.hashing import sha256_of

MOST_HASHED_BYTES = 1 << 30


def describe_input(role: str, image: Micrograph) -> dict[str, Any]:
    """Describe an input: name, shape, pixel size, and hashes of its files or, for arrays in memory, of its pixels.

    Paths are left out: they tell of the user's computer, not of the image.
    """
    files = [Path(s) for s in image.sources if Path(s).exists()]
    described: dict[str, Any] = {
        "role": role,
        "name": image.name,
        "axes": image.axes,
        "shape": [int(n) for n in image.array.shape],
        "dtype": str(image.array.dtype),
        "pixel_size_um": image.pixel_size_um,
        "channels": list(image.channel_names),
    }
    if files:
        described["files"] = sha256_of(files)
    elif isinstance(image.array, np.ndarray) and image.array.nbytes <= MOST_HASHED_BYTES:
        described["pixels_sha256"] = hashlib.sha256(np.ascontiguousarray(image.array).tobytes()).hexdigest()
    return described
