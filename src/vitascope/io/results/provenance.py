"""``provenance.json``: where the numbers of a run come from, the same from the dock, Python and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitascope.core.result import Provenance
from vitascope.core.versions import versions

SHARED = ("model", "model_sha256", "params", "device", "precision")


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
