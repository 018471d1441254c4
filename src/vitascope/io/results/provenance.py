"""``provenance.json``: where the numbers of a run come from, the same from the dock, Python and the command line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitascope.core.micrograph import Micrograph
from vitascope.core.result import Provenance
from vitascope.core.versions import versions
from vitascope.io.results.hashing import sha256_of

SHARED = ("model", "model_sha256", "params", "device", "device_name", "precision")


def describe_run(command: str, images: Sequence[Provenance], started: str, seconds: float) -> dict[str, Any]:
    """Put the provenance of all images of a run together.

    Parameters
    ----------
    command : str
        That repeats the run; empty where there is none.
    images : sequence of Provenance
    started : str
        Time in ISO 8601, UTC.
    seconds : float

    Returns
    -------
    dict
        What all images share (model, resolved parameters, device, precision) at the top, all inputs with their hashes,
        and each image's own under ``images``.
    """
    each = [image.model_dump(mode="json") for image in images]
    shared = {name: each[0][name] for name in SHARED if each and all(one[name] == each[0][name] for one in each)}
    return {
        "command": command,
        "started": started,
        "seconds": round(seconds, 3),
        "versions": versions(),
        **shared,
        "inputs": [given for one in each for given in one["inputs"]],
        "images": each,
    }


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
        "z_step_um": image.z_step_um,
        "channels": list(image.channel_names),
    }
    if files:
        described["files"] = sha256_of(files)
    elif isinstance(image.array, np.ndarray) and image.array.nbytes <= MOST_HASHED_BYTES:
        described["pixels_sha256"] = hashlib.sha256(np.ascontiguousarray(image.array).tobytes()).hexdigest()
    return described
