import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from vitascope.core.errors import ParameterError
from vitascope.core.progress import run_to_end
from vitascope.ops.intensity.histogram import histogram
from vitascope.ops.intensity.mixture import Mixture, ThresholdMap, crossing, fit_mixture, mixture_map, mixture_threshold
from vitascope.ops.intensity.threshold import iterative_threshold


def mixture(p1, m1, s1, m2, s2):
    return Mixture(np.array([p1, 1 - p1]), np.array([m1, m2]), np.array([s1, s2]))


def draw(p1, m1, s1, m2, s2, n=40_000, seed=0):
    rng = np.random.default_rng(seed)
    first = int(p1 * n)
    return np.concatenate([rng.normal(m1, s1, first), rng.normal(m2, s2, n - first)])


CASES = [(0.5, 0, 1, 5, 1), (0.9, 0.1, 0.03, 0.6, 0.15), (0.2, 10, 4, 30, 1.5), (0.7, -3, 1, 2, 1.0000001)]


@pytest.mark.parametrize("case", CASES)
def test_crossing_is_where_the_densities_are_equal(case):
    p1, m1, s1, m2, s2 = case

    def difference(t):
        return p1 * norm.pdf(t, m1, s1) - (1 - p1) * norm.pdf(t, m2, s2)

    assert float(crossing(mixture(*case))) == pytest.approx(brentq(difference, m1, m2, xtol=1e-13), rel=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_equal_variance_is_equation_41(case):
    p1, m1, s1, m2, s2 = case
    variance = p1 * s1**2 + (1 - p1) * s2**2
    expected = (m1 + m2) / 2 + variance / (m1 - m2) * math.log((1 - p1) / p1)
    assert float(crossing(mixture(*case), equal_variance=True)) == pytest.approx(expected, rel=1e-12)


def test_crossing_minimises_the_error():
    p1, m1, s1, m2, s2 = CASES[1]
    grid = np.linspace(m1, m2, 20001)
    error = p1 * norm.sf(grid, m1, s1) + (1 - p1) * norm.cdf(grid, m2, s2)
    assert float(crossing(mixture(*CASES[1]))) == pytest.approx(grid[error.argmin()], abs=grid[1] - grid[0])


def test_no_crossing_between_the_means_is_nan():
    assert np.isnan(crossing(mixture(0.999, 0, 3, 1, 3.1)))
    assert np.isnan(crossing(mixture(0.999, 0, 3, 1, 3.1), equal_variance=True))


@pytest.mark.parametrize("case", CASES[:3])
def test_fit_finds_what_was_drawn(case):
    counts, centres = histogram(draw(*case)).coarse(1024)
    found = fit_mixture(counts, centres)
    p1, m1, s1, m2, s2 = case
    assert found.shares == pytest.approx([p1, 1 - p1], abs=0.01)
    assert found.means == pytest.approx([m1, m2], abs=0.05 * (m2 - m1))
    assert found.deviations == pytest.approx([s1, s2], rel=0.05)


def expectation_maximisation(values, weights, steps):
    """The textbook's loop from the same start: Algorithm 3's groups."""
    threshold = float(np.average(values, weights=weights))
    for _ in range(50):
        up = values > threshold
        high, low = np.average(values[up], weights=weights[up]), np.average(values[~up], weights=weights[~up])
        threshold = (high + low) / 2
    belief = [[float(v <= threshold), float(v > threshold)] for v in values]
    for step in range(steps + 1):
        parameters = []
        for k in (0, 1):
            mass = [b[k] * w for b, w in zip(belief, weights, strict=True)]
            share = sum(mass)
            mean = sum(m * v for m, v in zip(mass, values, strict=True)) / share
            spread = sum(m * (v - mean) ** 2 for m, v in zip(mass, values, strict=True)) / share
            parameters.append((share, mean, math.sqrt(spread)))
        if step == steps:
            return parameters
        for i, v in enumerate(values):
            dense = [p / s * math.exp(-((v - m) ** 2) / (2 * s * s)) for p, m, s in parameters]
            belief[i] = [d / sum(dense) for d in dense]
    return None


def test_fit_follows_the_textbook():
    counts, centres = histogram(draw(0.6, 0, 1, 4, 2, n=2000)).coarse(64)
    expected = expectation_maximisation(centres, counts / counts.sum(), 25)
    found = fit_mixture(counts, centres, max_iterations=25, tolerance=1e-300)
    for k, (share, mean, deviation) in enumerate(expected):
        assert found.shares[k] == pytest.approx(share, rel=1e-9)
        assert found.means[k] == pytest.approx(mean, rel=1e-9)
        assert found.deviations[k] == pytest.approx(deviation, rel=1e-9)


def test_many_histograms_are_fitted_as_one_by_one():
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 50, (3, 2, 40))
    centres = np.linspace(0, 1, 40)
    together = fit_mixture(counts, centres, max_iterations=10, tolerance=1e-300)
    for i in range(3):
        for j in range(2):
            alone = fit_mixture(counts[i, j], centres, max_iterations=10, tolerance=1e-300)
            assert together.means[i, j] == pytest.approx(alone.means, rel=1e-9)


def test_threshold_of_a_clear_mixture():
    case = (0.8, 0.2, 0.03, 0.6, 0.06)
    found = mixture_threshold(histogram(draw(*case)))
    assert found.method == "mixture"
    assert found.value == pytest.approx(float(crossing(mixture(*case))), abs=0.005)


@pytest.mark.parametrize("values", [np.random.default_rng(0).normal(size=4000), np.random.default_rng(0).random(4000)])
def test_one_peak_falls_back(values):
    counted = histogram(values)
    found = mixture_threshold(counted)
    assert found.method == "iterative"
    assert "two clear peaks" in found.reason
    assert found.value == iterative_threshold(counted).value


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.full(9, 2.0), marks=pytest.mark.fault("A04")),
        pytest.param(np.full(9, np.nan), marks=pytest.mark.fault("A01")),
        pytest.param(np.zeros(0), marks=pytest.mark.fault("A06")),
    ],
)
def test_nothing_to_tell_apart(values):
    assert mixture_threshold(histogram(values)).value == math.inf


def test_clear_means_a_valley_of_half_the_lower_peak():
    for case, expected in [((0.5, 0, 1, 3.4, 1), True), ((0.5, 0, 1, 3.2, 1), False), ((0.995, 0, 1, 9, 1), False)]:
        p1, m1, s1, m2, s2 = case
        assert bool(mixture(*case).clear()) == expected
        densities = p1 * norm.pdf([m1, m2, (m1 + m2) / 2], m1, s1) + (1 - p1) * norm.pdf(
            [m1, m2, (m1 + m2) / 2], m2, s2
        )
        assert mixture(*case).density(np.array([m1, m2, (m1 + m2) / 2])) == pytest.approx(densities)
        if p1 == 0.5:
            assert (densities[2] <= densities[:2].min() / 2) == expected


def field(gradient, seed=0, shape=(160, 200)):
    """Squares of 0.4 above a background that rises along x."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    picture = gradient * x / shape[1] + rng.normal(0, 0.02, shape)
    picture[(y % 20 < 9) & (x % 20 < 9)] += 0.4
    return picture.astype(np.float32), 0.2 + gradient * x / shape[1]


def test_map_follows_the_light():
    picture, truth = field(1.0)
    found = run_to_end(mixture_map(picture, histogram(picture), 40))
    assert found.clear.all()
    at = found.window(slice(20, 140), slice(20, 180))
    assert np.abs(at - truth[20:140, 20:180]).max() < 0.08


def test_map_does_not_depend_on_storage_or_window():
    import dask.array as da

    picture, _ = field(0.5)
    counted = histogram(picture)
    whole = run_to_end(mixture_map(picture, counted, 40))
    lazy = run_to_end(mixture_map(da.from_array(picture, chunks=(33, 47)), counted, 40))
    assert np.array_equal(whole.values, lazy.values)
    at = whole.window(slice(0, 160), slice(0, 200))
    assert np.array_equal(whole.window(slice(50, 71), slice(90, 200)), at[50:71, 90:200])


def test_map_fills_from_the_neighbours():
    picture, _ = field(0.0)
    picture[:, 80:120] = np.random.default_rng(1).normal(0, 0.02, (160, 40))
    picture[:20, :20] = np.nan
    found = run_to_end(mixture_map(picture, histogram(picture), 40))
    assert not found.clear.all()
    assert np.abs(found.values - 0.2).max() < 0.06


def test_map_between_grid_points_is_linear():
    values = np.array([[0.0, 1.0], [2.0, 3.0]])
    grid = ThresholdMap(np.array([10.0, 20.0]), np.array([0.0, 4.0]), values, values >= 0)
    at = grid.window(slice(0, 40), slice(0, 9))
    assert at[0].tolist() == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert at[15, 2] == pytest.approx(1.5)
    assert at[39, 8] == 3


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (1, 90), (300, 2)])
def test_map_of_small_pictures(shape):
    picture = np.random.default_rng(0).random(shape)
    found = run_to_end(mixture_map(picture, histogram(picture), 40))
    assert found.window(slice(0, shape[0]), slice(0, shape[1])).shape == shape
    with pytest.raises(ParameterError):
        run_to_end(mixture_map(picture, histogram(picture), 1))


@pytest.mark.fault("A04")
def test_map_of_a_constant_is_infinite():
    picture = np.full((50, 50), 0.4)
    found = run_to_end(mixture_map(picture, histogram(picture), 20))
    assert np.isinf(found.window(slice(0, 50), slice(0, 50))).all()
