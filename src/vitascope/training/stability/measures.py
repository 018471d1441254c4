"""What a run says of an image against what is known of it: loss, and what is made of the prediction downstream."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vitascope.core.formatting import is_number
from vitascope.tasks.spec import TaskSpec
from vitascope.tasks.training_data import Truth

HIGHER_IS_BETTER = frozenset({"pcc", "ssim", "right"})


def measure(spec: TaskSpec, row: Mapping[str, Any], labels: Mapping[str, float]) -> dict[str, float]:
    """Measure one row of results.

    Parameters
    ----------
    spec : TaskSpec
    row : mapping
        Of the result.
    labels : mapping of target name to float
        Truth of the image, where it is numbers.

    Returns
    -------
    dict
        For pictures ``loss`` (1 - PCC), ``pcc``, ``ssim``, ``nrmse``, and of the objects found in prediction and real
        stain ``count_error_percent``. For classes ``right`` (1 if the most probable class is the true one) and
        ``probability_error``. For amounts ``absolute_error``.
    """
    if spec.trained_on.truth is Truth.PICTURES:
        return _of_stain(row)
    if spec.trained_on.truth is Truth.CLASSES:
        return _of_classes(row, labels)
    (truth,) = labels.values()
    value = row.get(spec.headline)
    return {"absolute_error": abs(float(value) - truth)} if is_number(value) else {}


def _of_stain(row: Mapping[str, Any]) -> dict[str, float]:
    found = {name: float(row[name]) for name in ("pcc", "ssim", "nrmse") if is_number(row.get(name))}
    if "pcc" in found:
        found = {"loss": 1 - found["pcc"], **found}
    real, predicted = row.get("real_objects"), row.get("objects")
    if is_number(real) and is_number(predicted) and real > 0:
        found["count_error_percent"] = 100 * abs(predicted - real) / real
    return found


def _of_classes(row: Mapping[str, Any], labels: Mapping[str, float]) -> dict[str, float]:
    told = {name.removeprefix("prob_"): float(p) for name, p in row.items() if name.startswith("prob_")}
    known = {name: labels.get(name, 0.0) for name in told}
    if not told or not any(known.values()) or any(math.isnan(p) for p in told.values()):
        return {}
    best, true = max(told, key=lambda n: told[n]), max(known, key=lambda n: known[n])
    return {
        "right": float(best == true),
        "probability_error": sum(abs(told[n] - known[n]) for n in told) / len(told),
    }
