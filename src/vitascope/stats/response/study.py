"""A simulated study of liver injury, with known truth: numbers only, no images.

References
----------
NViR (seed 001): 108 drugs on liver spheroids, several doses about Cmax, viability by ATP and from the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from vitascope.core.errors import ParameterError

DRUGS = 108
CMAX_FOLDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class LiverStudy:
    """A simulated study.

    Parameters
    ----------
    wells : DataFrame
        ``plate, day, well, treatment, role, dose, dose_unit, assay, image``: what an ATP assay and an image say of each
        well, arbitrary units, with noise of their own.
    cmax : DataFrame
        ``compound, cmax, cmax_unit, label``.
    truth : DataFrame
        ``treatment, day, ic50``: true midpoints in µM.
    """

    wells: pd.DataFrame
    cmax: pd.DataFrame
    truth: pd.DataFrame


def simulate_liver_study(
    drugs: int = DRUGS,
    *,
    days: tuple[int, ...] = (3, 7, 14),
    replicates: int = 3,
    assay_cv: float = 0.08,
    image_cv: float = 0.12,
    separation: float = 1.2,
    seed: int = 0,
) -> LiverStudy:
    """Simulate drugs at eight doses about Cmax, on several days, read by an assay and from images.

    Half of the drugs injure the liver: their log10 margin of safety lies ``separation`` lower on average. Later days
    are more sensitive. A plate of 384 wells holds 13 drugs in triplicate, with 48 negative and 16 positive controls.

    Parameters
    ----------
    drugs : int, >= 2
    days : tuple of int
    replicates : int, >= 1
    assay_cv, image_cv : float, >= 0
        Coefficients of variation.
    separation : float
        Log10 units.
    seed : int

    Returns
    -------
    LiverStudy

    Raises
    ------
    ParameterError
        If there are fewer than two drugs or no replicate.
    """
    if drugs < 2 or replicates < 1:
        raise ParameterError(
            f"A study of {drugs} drugs in {replicates} replicates cannot be.", "Take 2 and 1 at least."
        )
    rng = np.random.default_rng(seed)
    label = (np.arange(drugs) % 2 == 0).astype(int)
    cmax = 10 ** rng.uniform(-1, 2, drugs)
    log_margin = rng.normal(1.9, 0.6, drugs) - separation * label
    hill = rng.uniform(0.8, 2.5, drugs)
    names = [f"Drug {i + 1:03d}" for i in range(drugs)]
    per_plate = max(1, (384 - 64) // (len(CMAX_FOLDS) * replicates))
    rows, truth = [], []
    for when, day in enumerate(days):
        ic50 = cmax * 10 ** (log_margin - 0.15 * when + rng.normal(0, 0.05, drugs))
        truth += [{"treatment": n, "day": day, "ic50": v} for n, v in zip(names, ic50, strict=True)]
        for first in range(0, drugs, per_plate):
            some = range(first, min(first + per_plate, drugs))
            gain = rng.lognormal(0, 0.2, 2)
            plate = [
                (names[i], "treated", float(f"{fold * cmax[i]:.4g}"), i)
                for i in some for fold in CMAX_FOLDS for _ in range(replicates)
            ]  # fmt: skip
            plate += [("DMSO", "negative", 0.0, -1)] * 48 + [("Digitonin", "positive", 0.0, -2)] * 16
            for place, (name, role, dose, i) in zip(rng.permutation(384), plate, strict=False):
                alive = 0.01 if i == -2 else 1.0 if i == -1 else 1 / (1 + (dose / ic50[i]) ** hill[i])
                noise = 1 + rng.normal(0, [assay_cv, image_cv]) + rng.normal(0, 0.01, 2) / max(alive, 0.05)
                assay, image = 1e5 * alive * gain[0] * noise[0], 100 * (0.05 + 0.95 * alive) * gain[1] * noise[1]
                rows.append({
                    "plate": f"D{day}P{first // per_plate + 1}", "day": day,
                    "well": f"{chr(65 + place // 24)}{place % 24 + 1:02d}", "treatment": name, "role": role,
                    "dose": dose, "dose_unit": "µM", "assay": assay, "image": image,
                })  # fmt: skip
    known = pd.DataFrame({"compound": names, "cmax": cmax, "cmax_unit": "µM", "label": label})
    return LiverStudy(pd.DataFrame(rows), known, pd.DataFrame(truth))
