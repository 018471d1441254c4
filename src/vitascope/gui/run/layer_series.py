"""A run on several layers, one by one, and what is asked of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Image

from vitascope.core.micrograph import Micrograph
from vitascope.core.params import RunParams
from vitascope.core.result import Result
from vitascope.gui.layers.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Series:
    """A run on several layers, one by one.

    Parameters
    ----------
    layers : tuple of Image
    snapshots : tuple of mapping of role to Snapshot
        Of each layer.
    results : tuple of Result
    params : RunParams
    """

    layers: tuple[Image, ...]
    snapshots: tuple[Mapping[str, Snapshot], ...]
    results: tuple[Result, ...]
    params: RunParams


def micrographs(snapshots: Mapping[str, Snapshot]) -> dict[str, Micrograph]:
    """Return the images of a layer's snapshots, by role."""
    return {role: snapshot.micrograph() for role, snapshot in snapshots.items()}


def with_params(result: Result, params: RunParams) -> Result:
    """Let the provenance say what was asked for, maps included."""
    if result.provenance is None or "maps" not in result.provenance.params:
        return result
    resolved = {**result.provenance.params, "maps": params.model_dump()["maps"]}
    return replace(result, provenance=result.provenance.model_copy(update={"params": resolved}))


def position(row: Mapping[str, Any], axis: str) -> int:
    """Return the index of a row's picture along an axis of its stack."""
    value = row.get({"T": "time", "Z": "z"}.get(axis, ""))
    return int(value) if isinstance(value, int | np.integer) else 0
