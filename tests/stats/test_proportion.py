import numpy as np
import pytest
from scipy.stats import binomtest

from vitascope.core.errors import ParameterError
from vitascope.stats.proportion import wilson_interval


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("right", "trials"), [(0, 1), (3, 3), (11, 11), (1, 40), (462, 1027), (20, 40)])
def test_the_interval_is_that_of_scipy(right, trials, level):
    known = binomtest(right, trials).proportion_ci(level, method="wilson")
    found = wilson_interval(right / trials, trials, level)
    np.testing.assert_allclose(found, (known.low, known.high), atol=1e-12)
    assert found[0] < found[1]


@pytest.mark.parametrize(("share", "trials", "level"), [(1.1, 3, 0.95), (-0.1, 3, 0.95), (0.5, 0, 0.95), (0.5, 3, 1.0)])
def test_numbers_out_of_range_are_refused(share, trials, level):
    with pytest.raises(ParameterError, match="has no interval"):
        wilson_interval(share, trials, level)
