"""Dose-response intervals: how often the 95 % intervals of the IC50 hold the true one, on simulated curves.

``python -m tests.benchmarks response_coverage [CURVES]``. Eight doses in triplicate over four decades, true IC50s inside
the doses; curves whose fitted IC50 lies beyond the doses are counted apart.
"""

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from vitascope.stats.response.analysis import fit_dose_response
from vitascope.stats.response.logistic import curve

DOSES = np.repeat(10.0 ** np.linspace(-2, 2, 8), 3)
DESIGNS = {
    "IC50 0.1-10, noise 3": (0.1, 10, 3.0, "normal"),
    "IC50 0.1-10, noise 6": (0.1, 10, 6.0, "normal"),
    "IC50 0.03-30, noise 6": (0.03, 30, 6.0, "normal"),
    "IC50 0.03-30, noise 12": (0.03, 30, 12.0, "normal"),
    "IC50 0.1-10, heavy tails": (0.1, 10, 6.0, "t4"),
}
UNEVEN = {
    "IC50 0.1-10, in proportion": (0.1, 10, 15.0, "proportion"),
    "IC50 0.1-10, as of a share": (0.1, 10, 4.0, "share"),
}
"""Designs whose points do not scatter alike: by 15 % of each value; and by 4 halfway, nearly none at either plateau."""


def study(curves, lowest, highest, noise, kind="normal", seed=0, **settings):
    """Fit simulated curves; a table with ``true`` beside the columns of the result."""
    rng = np.random.default_rng(seed)
    truth = np.stack(
        [
            rng.normal(100, 5, curves),
            rng.normal(10, 5, curves),
            np.log(rng.uniform(0.7, 3, curves)),
            rng.uniform(np.log(lowest), np.log(highest), curves),
        ],
        axis=1,
    )
    values = curve(np.log(DOSES)[None].repeat(curves, 0), truth)
    drawn = rng.standard_t(4, values.shape) / np.sqrt(2) if kind == "t4" else rng.normal(0, 1, values.shape)
    part = (values - truth[:, :1]) / (truth[:, 1:2] - truth[:, :1])
    drawn *= {"proportion": values / 100, "share": 0.05 + 1.9 * np.sqrt(part * (1 - part))}.get(kind, 1.0)
    number = np.repeat(np.arange(curves), len(DOSES))
    table = pd.DataFrame(
        {
            "treatment": number,
            "dose": np.tile(DOSES, curves),
            "value": (values + noise * drawn).ravel(),
            "dose_unit": "µM",
        }
    )
    found = fit_dose_response(table, dose="dose", response="value", **settings).curves
    return found.assign(true=np.exp(truth[:, 3]))


def coverage(found):
    """Curves with an IC50 inside the doses, how many intervals hold, miss below and above, and censored ones."""
    inside = found[found["relation"] == "="]
    below, above = inside["true"] < inside["ic50_low"], inside["true"] > inside["ic50_high"]
    return {
        "n": len(inside),
        "holds": int((~below & ~above).sum()),
        "below": int(below.sum()),
        "above": int(above.sum()),
        "open": int((np.isinf(inside["ic50_high"]) | (inside["ic50_low"] == 0)).sum()),
        "censored": int(found["relation"].isin([">", "<"]).sum()),
        "flat": int((found["quality"] == "flat").sum()),
        "no fit": int((found["quality"] == "no fit").sum()),
    }


def main(arguments):
    curves = int(arguments[0]) if arguments else 2000
    for name, (lowest, highest, noise, kind) in DESIGNS.items():
        for interval in ("profile", "delta"):
            counts = coverage(study(curves, lowest, highest, noise, kind, interval=interval))
            held = binomtest(counts["holds"], counts["n"])
            ends = held.proportion_ci(0.95)
            print(
                f"{name:26} {interval:8} {100 * held.statistic:.1f} % hold ({100 * ends.low:.1f}-{100 * ends.high:.1f}); {counts}"
            )
    for name, (lowest, highest, noise, kind) in UNEVEN.items():
        for scatter in ("equal", "auto", "unequal"):
            counts = coverage(study(curves, lowest, highest, noise, kind, scatter=scatter))
            print(f"{name:26} {scatter:8} {100 * counts['holds'] / counts['n']:.1f} % hold; {counts}")
    few = max(curves // 10, 1)
    counts = coverage(study(few, 0.1, 10, 6.0, interval="bootstrap", resamples=499))
    print(
        f"{'IC50 0.1-10, noise 6':26} bootstrap {100 * counts['holds'] / counts['n']:.1f} % of {counts['n']}; {counts}"
    )
