"""How often curves of one step are called two-phase, and how often real two-phase ones are found.

``python -m tests.benchmarks response_phases [CURVES]``. One step: wrong calls. Two steps of equal size 1.5 decades apart,
and a rise after a fall: found. Doses over four decades.
"""

import numpy as np
import pandas as pd

from vitascope.stats.proportion import wilson_interval
from vitascope.stats.response.analysis import fit_dose_response

DESIGNS = {"8 doses x 3": (8, 3), "8 doses x 1": (8, 1), "10 doses x 2": (10, 2), "6 doses x 3": (6, 3)}
NOISE = {"noise 3": (3.0, "normal"), "noise 10": (10.0, "normal"), "noise 6, heavy tails": (6.0, "t3")}


def step(x, middle, slope):
    return 1 / (1 + np.exp(slope * (x - middle)))


def curves(kind, doses, replicates, noise, tails, count, rng):
    x = np.log(np.repeat(10.0 ** np.linspace(-2, 2, doses), replicates))
    middle, slope = rng.uniform(np.log(0.1), np.log(10), (count, 1)), rng.uniform(0.7, 4, (count, 1))
    clean = step(x, middle, slope)
    if kind == "two steps":
        clean = 0.5 * step(x, np.log(10**-0.75), 3.0) + 0.5 * step(x, np.log(10**0.75), 3.0) + 0 * middle
    elif kind == "turns back":
        clean = step(x, np.log(0.3), 3.0) + 0.7 * (1 - step(x, np.log(20), 3.0)) + 0 * middle
    drawn = rng.standard_t(3, clean.shape) / np.sqrt(3) if tails == "t3" else rng.normal(0, 1, clean.shape)
    number = np.repeat(np.arange(count), len(x))
    values = (100 * clean + noise * drawn).ravel()
    return pd.DataFrame({"treatment": number, "dose": np.exp(np.tile(x, count)), "dose_unit": "µM", "value": values})


def called(table):
    reasons = fit_dose_response(table, response="value", interval="delta").curves["reason"]
    return int(reasons.str.contains("two steps|turns back").sum())


def main(arguments):
    count = int(arguments[0]) if arguments else 2000
    for design, (doses, replicates) in DESIGNS.items():
        for name, (noise, tails) in NOISE.items():
            told = []
            for kind in ("one step", "two steps", "turns back"):
                some = count if kind == "one step" else count // 4
                n = called(curves(kind, doses, replicates, noise, tails, some, np.random.default_rng(1)))
                low, high = wilson_interval(n / some, some)
                told.append(f"{kind} {100 * n / some:.1f} % ({100 * low:.1f} to {100 * high:.1f})")
            print(f"{design:14} {name:22} called two-phase: {'; '.join(told)}", flush=True)
