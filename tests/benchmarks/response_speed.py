"""Dose-response fits: 10,000 four-parameter curves with delta intervals, beside lmfit one by one.

``python -m tests.benchmarks response_speed [CURVES] [PEER_CURVES]``. The peer is lmfit 1.3 (BSD), the same model in the
same parameters from the same kind of start; it is a tool of this benchmark and no dependency. Standard errors are compared
with all points taken for equally scattered, as lmfit takes them.
"""

import sys
import time

import numpy as np
import pandas as pd
from tests.benchmarks.machine import describe

from vitascope.stats.response.analysis import fit_dose_response
from vitascope.stats.response.logistic import curve, jacobian

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


def peer_with_derivatives(values, starts):
    """The same given our derivatives: its own, by differences, end up to 1e-5 away from the least squares."""
    import lmfit

    x = np.log(DOSES)[None]
    found = []
    for y, start in zip(values, starts, strict=True):
        parameters = lmfit.Parameters()
        for name, value in zip(("low", "high", "log_k", "m"), start + 0.01, strict=True):
            parameters.add(name, value)

        def at(p):
            return jacobian(x, np.array([list(p.valuesdict().values())]))

        result = lmfit.minimize(
            lambda p, y=y: at(p)[0][0] - y, parameters, Dfun=lambda p: at(p)[1][0], xtol=1e-15, ftol=1e-15, gtol=1e-15
        )
        found.append((*result.params.valuesdict().values(), result.params["m"].stderr, result.chisqr))
    return np.array(found, float)


def timed(function):
    """Result, seconds by the clock, and seconds of processor time, which other work on the machine does not lengthen."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main(arguments):
    curves = int(arguments[0]) if arguments else 10_000
    few = min(int(arguments[1]) if len(arguments) > 1 else 1_000, curves)
    _, values = simulated(curves)
    table = as_table(values)
    result, wall, cpu = timed(lambda: fit_dose_response(table, dose="dose", response="viability", interval="delta"))
    torch = "torch" in sys.modules
    _, peer_wall, peer_cpu = timed(lambda: peer(values[:few]))
    print(
        f"{curves} curves with delta intervals: {wall:.1f} s by the clock, {cpu:.1f} s of processor time; torch loaded: {torch}"
    )
    print(
        f"lmfit, {few} of them one by one: {1e3 * peer_wall / few:.2f} ms each by the clock, {1e3 * peer_cpu / few:.2f} ms of "
        f"processor time; ours is {peer_wall / few * curves / wall:.1f} and {peer_cpu / few * curves / cpu:.1f} times as fast"
    )
    alike = fit_dose_response(as_table(values[:few]), response="viability", interval="delta", scatter="equal")
    compare(alike.fits, values[:few])
    print(f"quality: {result.curves['quality'].value_counts().to_dict()}")
    _, wall, cpu = timed(lambda: fit_dose_response(table, dose="dose", response="viability"))
    print(f"the same with profile intervals: {wall:.1f} s by the clock, {cpu:.1f} s of processor time")
    print(describe())


def compare(fits, values):
    """Differences from the peer, where the slope is determined by the data."""
    known = np.array([fit is not None for fit in fits])
    fits = [fit for fit in fits if fit is not None]
    ours = np.array([fit.parameters for fit in fits])
    errors = np.array([np.sqrt(np.diag(fit.covariance)) for fit in fits])
    squares = np.array([fit.variance * fit.freedom for fit in fits])
    theirs = peer_with_derivatives(values[known], ours)
    apart = squares / theirs[:, 5] - 1
    print(
        f"sums of squares of {len(fits)} curves: ours lower by more than 1e-9 in {(apart < -1e-9).sum()}, higher in "
        f"{(apart > 1e-9).sum()}"
    )
    told = errors[:, 2] < 1
    relative = np.abs(ours - theirs[:, :4])[told] / np.maximum(np.abs(theirs[told, :4]), 1)
    print(
        f"largest difference over the {told.sum()} whose slope is determined: parameters {relative.max():.1e}, standard error "
        f"of log IC50 (relative) {np.nanmax(np.abs(errors[:, 3] / theirs[:, 4] - 1)[told]):.1e}"
    )
