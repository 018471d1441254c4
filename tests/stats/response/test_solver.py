"""The batched least squares against scipy and lmfit, one curve at a time."""

import numpy as np
import pytest
from scipy.optimize import curve_fit, minimize_scalar
from scipy.special import expit
from scipy.stats import f as f_distribution

from vitascope.stats.response.intervals import profile_interval, profile_squares
from vitascope.stats.response.logistic import curve, jacobian, log_dose, log_effective_dose, mean_response
from vitascope.stats.response.solver import covariance, make_problem, solve

FREE = np.full((1, 4), np.nan)


def simulated(curves=40, seed=3, noise=5.0):
    rng = np.random.default_rng(seed)
    x = np.log(np.repeat(10.0 ** np.linspace(-2, 2, 8), 3))[None].repeat(curves, 0)
    truth = np.stack(
        [
            rng.normal(100, 5, curves),
            rng.normal(10, 5, curves),
            np.log(rng.uniform(0.7, 3, curves)),
            rng.uniform(np.log(0.1), np.log(10), curves),
        ],
        axis=1,
    )
    return x, curve(x, truth) + rng.normal(0, noise, x.shape)


def model(x, low, high, log_k, m):
    return low + (high - low) * expit(np.exp(log_k) * (x - m))


def test_equal_to_scipy_curve_by_curve():
    x, y = simulated()
    problem = make_problem(x, y, np.ones_like(y), FREE.repeat(len(x), 0))
    parameters, squares = solve(problem)
    errors = covariance(problem, parameters, squares, np.full(len(x), 20.0))
    compared = 0
    for i in range(len(x)):
        best, cov = curve_fit(
            model, x[i], y[i], parameters[i] + 1e-3, method="trf", jac="3-point", xtol=1e-15, ftol=1e-15, gtol=1e-12
        )
        assert squares[i] <= ((y[i] - model(x[i], *best)) ** 2).sum() * (1 + 1e-9)
        # within one step of the doses the slope is not determined: the valley is flat
        if best[2] < np.log(15):
            compared += 1
            assert parameters[i] == pytest.approx(best, rel=1e-6, abs=1e-6)
            assert errors[i] == pytest.approx(cov, rel=1e-4, abs=1e-6)
    assert compared >= 35


def test_equal_to_lmfit():
    lmfit = pytest.importorskip("lmfit", reason="lmfit is a peer of benchmarks only")
    x, y = simulated(10)
    parameters, _ = solve(make_problem(x, y, np.ones_like(y), FREE.repeat(len(x), 0)))
    for i in range(len(x)):
        start = dict(zip(("low", "high", "log_k", "m"), (100.0, 10.0, 0.0, 0.0), strict=True))
        kws = {"xtol": 1e-14, "ftol": 1e-14}
        best = lmfit.Model(model).fit(y[i], x=x[i], **start, fit_kws=kws).best_values
        assert parameters[i] == pytest.approx([best[k] for k in start], rel=1e-6, abs=1e-6)


def test_weights_and_padding():
    x, y = simulated(1)
    heavy = np.ones_like(y)
    heavy[0, :6] = 3
    parameters, _ = solve(make_problem(x, y, heavy, FREE))
    tripled = [np.concatenate([v, v[:, :6], v[:, :6]], axis=1) for v in (x, y)]
    twin, _ = solve(make_problem(*tripled, np.ones_like(tripled[0]), FREE))
    assert parameters == pytest.approx(twin, rel=1e-7)
    padded = [np.concatenate([v, np.full((1, 5), 7.0)], axis=1) for v in (x, y)]
    weight = np.concatenate([heavy, np.zeros((1, 5))], axis=1)
    assert solve(make_problem(*padded, weight, FREE))[0] == pytest.approx(parameters, rel=1e-7)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_units_do_not_matter(scale):
    x, y = simulated(1)
    one, _ = solve(make_problem(x, y, np.ones_like(y), FREE))
    other, _ = solve(make_problem(x + 5, scale * y, np.ones_like(y), FREE))
    assert other == pytest.approx(one * [scale, scale, 1, 1] + [0, 0, 0, 5], rel=1e-6)


def test_a_step_does_not_fail():
    x = np.log([[1, 2, 4, 8, 16, 32.0]])
    y = np.array([[100, 100, 100, 0, 0, 0.0]])
    parameters, squares = solve(make_problem(x, y, np.ones_like(y), FREE))
    assert squares[0] == pytest.approx(0, abs=1e-3)
    assert 4 < np.exp(parameters[0, 3]) < 8


def test_derivatives():
    rng = np.random.default_rng(0)
    x = np.concatenate([[[-np.inf]], rng.normal(0, 2, (1, 6))], axis=1)
    p = np.array([[90.0, 5.0, 0.3, 0.2]])
    value, slopes = jacobian(x, p)
    assert value == pytest.approx(curve(x, p))
    for k in range(4):
        step = np.zeros((1, 4))
        step[0, k] = 1e-6
        assert slopes[..., k] == pytest.approx((curve(x, p + step) - curve(x, p - step)) / 2e-6, abs=1e-6)


def test_closed_forms():
    p = np.array([[80.0, 20.0, np.log(1.7), np.log(3.0)]])
    x = np.linspace(np.log(0.1), np.log(50), 20001)
    area = np.trapezoid(curve(x, p)[0], x) / (x[-1] - x[0])
    assert mean_response(p, x[:1], x[-1:])[0] == pytest.approx(area, rel=1e-8)
    for percent in (10, 50, 90):
        at = log_effective_dose(p, percent)
        assert curve(at[None], p)[0, 0] == pytest.approx(80 - 0.6 * percent)
    assert log_dose(np.array([0.0, 1.0])).tolist() == [-np.inf, 0.0]


def test_profile_against_brute_force():
    """The profile by one-dimensional search with linear least squares, and its crossing by bisection."""
    x, y = simulated(3, seed=8, noise=8.0)

    def least(i, m):
        def squares(log_k):
            s = 1 / (1 + np.exp(-np.exp(log_k) * (x[i] - m)))
            design = np.stack([1 - s, s], axis=1)
            return float(((y[i] - design @ np.linalg.lstsq(design, y[i], rcond=None)[0]) ** 2).sum())

        grid = np.linspace(-2.5, 3.0, 60)
        start = grid[np.argmin([squares(k) for k in grid])]
        return minimize_scalar(squares, bounds=(start - 0.2, start + 0.2), method="bounded").fun

    problem = make_problem(x, y, np.ones_like(y), FREE.repeat(3, 0))
    parameters, squares = solve(problem)
    ends = np.full(3, x.min()), np.full(3, x.max())
    low, high = profile_interval(problem, parameters, squares, np.full(3, 20.0), ends, 0.95)
    quantile = f_distribution.ppf(0.95, 1, 20)
    for i in range(3):
        assert profile_squares(problem, parameters[:, 3] + 0.3)[i] == pytest.approx(
            least(i, parameters[i, 3] + 0.3), rel=1e-6
        )
        for end in (low[i], high[i]):
            assert least(i, end) == pytest.approx(squares[i] * (1 + quantile / 20), rel=1e-4)
