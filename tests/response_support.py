"""Published data with the values that others found for them, and simulated curves."""

from __future__ import annotations

import numpy as np
import pandas as pd

RYEGRASS = pd.DataFrame(
    {
        "conc": np.repeat([0, 0, 0.94, 1.88, 3.75, 7.5, 15, 30], 3),
        "rootl": [
            7.58, 8.0, 8.3285714, 7.25, 7.375, 7.9625, 8.3555556, 6.9142857, 7.75, 6.8714286, 6.45, 5.9222222, 1.925,
            2.8857143, 4.2333333, 1.1875, 0.8571429, 1.0571429, 0.6875, 0.525, 0.825, 0.25, 0.22, 0.44,
        ],
    }
)  # fmt: skip
"""Root length of ryegrass under ferulic acid: Inderjit, Streibig, Olofsdotter, Physiol. Plant. 114:422 (2002), shipped
with the R package drc, whose LL.4 gives b 2.982, c 0.481, d 7.793, e 3.058."""

RAT42 = pd.DataFrame(
    {"x": [9, 14, 21, 28, 42, 57, 63, 70, 79], "y": [8.93, 10.8, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08]}
)
"""Pasture yield over time: NIST Statistical Reference Datasets, Rat42 (Ratkowsky 1983), y = b1 / (1 + exp(b2 - b3 x)).
Certified: b1 72.462237576, b2 2.6180768402, b3 0.067359200066, residual sum of squares 8.0565229338, standard errors
1.7340283401, 0.088295217536, 0.0034465663377."""

DNASE1 = pd.DataFrame(
    {
        "conc": np.repeat(0.04882812 * 2.0 ** np.array([0, 2, 3, 4, 5, 6, 7, 8]), 2),
        "density": [
            0.017, 0.018, 0.121, 0.124, 0.206, 0.215, 0.377, 0.374, 0.614, 0.609, 1.019, 1.001, 1.334, 1.364, 1.73,
            1.71,
        ],
    }
)  # fmt: skip
"""ELISA of DNase, run 1: Davidian, Giltinan, Nonlinear Models for Repeated Measurement Data (1995), section 5.2.4. R's
help of nls: SSlogis gives Asym 2.34518 (0.07815), xmid 1.48309 (0.08135), scal 1.04146 (0.03227), residual standard
error 0.01919; SSfpl gives A -0.007897, B 2.377239, xmid 1.507403, scal 1.062579."""

PUROMYCIN = pd.DataFrame(
    {
        "conc": np.repeat([0.02, 0.06, 0.11, 0.22, 0.56, 1.1], 2),
        "rate": [76, 47, 97, 107, 123, 139, 159, 152, 191, 201, 207, 200],
    }
)
"""Velocity of an enzyme treated with puromycin: Bates, Watts, Nonlinear Regression Analysis (1988), table A1.3: Vm
212.7 (6.947), K 0.06412 (0.008281), residual standard error 10.93."""

PHARMACOGX_141 = pd.DataFrame(
    {
        "conc": [0.0008, 0.0025, 0.0079, 0.0251, 0.0793, 0.2507, 0.7923, 2.5036, 7.9114, 25.0],
        "viability": [1.0, 0.8893, 0.9582, 0.9357, 0.9285, 0.7814, 0.5541, 0.2886, 0.1168, 0.0],
    }
)
"""bhklab/PharmacoGx, issue 141: computeIC50 returned 0.7923, a tested dose; their logLogisticRegression gives slope
0.953125, EC50 0.9646616, bottom 0 with the top held at 1."""

DOSES = np.repeat(10.0 ** np.linspace(-2, 2, 9), 3)


def logistic(doses, top=100.0, bottom=0.0, ic50=1.0, hill=1.5):
    doses = np.asarray(doses, float)
    return bottom + (top - bottom) / (1 + (doses / ic50) ** hill)
