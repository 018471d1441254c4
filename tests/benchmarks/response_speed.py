"""Dose-response fits: 10,000 four-parameter curves with delta intervals, beside lmfit one by one.

``python -m tests.benchmarks response_speed [CURVES] [PEER_CURVES]``. The peer is lmfit 1.3 (BSD), the same model in the
same parameters from the same kind of start; it is a tool of this benchmark and no dependency.
"""

import sys
import time

import numpy as np
import pandas as pd
from tests.benchmarks.machine import describe

from vitascope.stats.response.analysis import fit_dose_response
from vitascope.stats.response.logistic import curve

DOSES = np.repeat(10.0 ** np.linspace(-2, 2, 8), 3)


def simulated(curves, seed=0):
    """Falling curves with IC50 inside the doses, 8 doses in triplicate, noise of 6 % of the control."""
    rng = np.random.default_rng(seed)
    truth = np.stack(
        [
            rng.normal(100, 5, curves),
            rng.normal(10, 5, curves),
            np.log(rng.uniform(0.7, 3, curves)),
            rng.uniform(np.log(0.1), np.log(10), curves),
        ],
        axis=1,
    )
    values = curve(np.log(DOSES)[None].repeat(curves, 0), truth)
    return truth, values + rng.normal(0, 6, values.shape)


def as_table(values):
    number = np.repeat(np.arange(len(values)), len(DOSES))
    return pd.DataFrame(
        {
            "treatment": number.astype(str),
            "dose": np.tile(DOSES, len(values)),
            "dose_unit": "µM",
            "viability": values.ravel(),
        }
    )


def peer(values):
    """Fit with lmfit: midpoints and their standard errors, in log dose."""
    import lmfit

    def model(x, low, high, log_k, m):
        return low + (high - low) / (1 + np.exp(-np.exp(log_k) * (x - m)))

    fitted = lmfit.Model(model)
    x = np.log(DOSES)
    found = []
    for y in values:
        start = {"low": y[:6].mean(), "high": y[-6:].mean(), "log_k": 0.0, "m": float(np.median(x))}
        result = fitted.fit(y, x=x, **start, fit_kws={"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14})
        m = result.params["m"]
        found.append((m.value, np.nan if m.stderr is None else m.stderr, result.chisqr))
    return np.array(found)


def main(arguments):
    curves = int(arguments[0]) if arguments else 10_000
    few = min(int(arguments[1]) if len(arguments) > 1 else 1_000, curves)
    print(describe())
    _, values = simulated(curves)
    table = as_table(values)
    start = time.perf_counter()
    result = fit_dose_response(table, dose="dose", response="viability", interval="delta")
    ours = time.perf_counter() - start
    start = time.perf_counter()
    theirs = peer(values[:few])
    each = (time.perf_counter() - start) / few
    print(f"{curves} curves with delta intervals: {ours:.1f} s, {1e3 * ours / curves:.2f} ms each")
    print(
        f"lmfit, {few} of them one by one: {1e3 * each:.2f} ms each; ours is {each * curves / ours:.1f} times as fast"
    )
    known = np.array([fit is not None for fit in result.fits[:few]])
    fits, theirs = [fit for fit in result.fits[:few] if fit is not None], theirs[known]
    midpoint = np.array([fit.parameters[3] for fit in fits])
    error = np.array([np.sqrt(fit.covariance[3, 3]) for fit in fits])
    squares = np.array([fit.variance * fit.freedom for fit in fits])
    same = np.abs(squares / theirs[:, 2] - 1) < 1e-9
    print(
        f"same minimum: {same.sum()} of {len(fits)}; ours lower: {(squares < theirs[:, 2] * (1 - 1e-9)).sum()}, ",
        end="",
    )
    print(f"lmfit's lower: {(squares > theirs[:, 2] * (1 + 1e-9)).sum()}")
    print(
        f"largest difference there: log IC50 {np.abs(midpoint - theirs[:, 0])[same].max():.1e}, standard error (relative) "
        f"{np.nanmax(np.abs(error / theirs[:, 1] - 1)[same]):.1e}"
    )
    print(f"quality: {result.curves['quality'].value_counts().to_dict()}")
    start = time.perf_counter()
    fit_dose_response(table, dose="dose", response="viability")
    print(
        f"the same with profile intervals: {time.perf_counter() - start:.1f} s; torch loaded: {'torch' in sys.modules}"
    )
