"""What bioimage.io packages say of preparing pictures: our normalisation in their words, and their words done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitascope.core.card import InputSpec

EPS = 1e-6

Floats = NDArray[np.float32]


def steps_of(given: InputSpec) -> list[dict[str, Any]]:
    """Say a card's normalisation in the words of the format; empty where it has none for it."""
    how = given.normalisation
    if given.spatial_dims == 3:
        return []  # no word for the filter that comes first
    axes = ["y", "x"] if how.per == "plane" else ["channel", "y", "x"]
    steps: list[dict[str, Any]] = []
    if how.method in ("percentile", "minmax"):
        low, high = (how.low, how.high) if how.method == "percentile" else (0.0, 100.0)
        kwargs = {"axes": axes, "min_percentile": low, "max_percentile": high, "eps": EPS}
        steps.append({"id": "scale_range", "kwargs": kwargs})
    if how.method == "dataset":
        each = {"mean": list(how.means), "std": list(how.stds), "axis": "channel"}
        one = {"mean": how.means[0], "std": how.stds[0]}
        steps.append({"id": "fixed_zero_mean_unit_variance", "kwargs": each if len(how.means) > 1 else one})
    if steps and how.clip is not None:
        steps.append({"id": "clip", "kwargs": {"min": how.clip[0], "max": how.clip[1]}})
    return steps


def apply_steps(values: NDArray[Any], steps: Sequence[dict[str, Any]], axes: str) -> Floats | None:
    """Do steps of pre- or postprocessing; None where one is not known here.

    Parameters
    ----------
    values : array
    steps : sequence of mapping
        ``id`` (``name`` in format 0.4) and ``kwargs``.
    axes : str
        A letter for each axis, such as ``bcyx``.
    """
    found = np.asarray(values, np.float32)
    for step in steps:
        kwargs = step.get("kwargs") or {}
        over = _axes(kwargs.get("axes"), axes)
        kind = step.get("id") or step.get("name")
        eps = float(kwargs.get("eps", EPS))
        if kind == "scale_range" and not kwargs.get("reference_tensor"):
            shares = [float(kwargs.get(k, d)) for k, d in (("min_percentile", 0.0), ("max_percentile", 100.0))]
            low, high = (np.percentile(found, share, axis=over, keepdims=True) for share in shares)
            found = ((found - low) / (high - low + eps)).astype(np.float32)
        elif kind == "clip":
            found = np.clip(found, kwargs.get("min"), kwargs.get("max"))
        elif kind == "scale_linear" and np.ndim(kwargs.get("gain", 1.0)) == 0:
            found = found * np.float32(kwargs.get("gain", 1.0)) + np.float32(kwargs.get("offset", 0.0))
        elif kind == "zero_mean_unit_variance" and kwargs.get("mode", "per_sample") == "per_sample":
            mean, spread = (f(found, axis=over, keepdims=True) for f in (np.mean, np.std))
            found = ((found - mean) / (spread + eps)).astype(np.float32)
        elif kind == "fixed_zero_mean_unit_variance":
            shape = [-1 if letter == "c" and np.ndim(kwargs["mean"]) else 1 for letter in axes]
            mean, spread = (np.asarray(kwargs[k], np.float32).reshape(shape) for k in ("mean", "std"))
            found = (found - mean) / spread
        elif kind == "sigmoid":
            found = (1 / (1 + np.exp(-found))).astype(np.float32)
        elif kind != "ensure_dtype":
            return None
    return np.asarray(found, np.float32)


def _axes(named: Any, axes: str) -> tuple[int, ...] | None:
    """Return the places of named axes; without names those of all but the batch."""
    letters = axes.replace("b", "") if named is None else [str(name)[0] for name in named]
    return tuple(axes.index(letter) for letter in letters if letter in axes)
