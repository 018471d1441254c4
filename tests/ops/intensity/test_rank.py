import numpy as np
import pytest

from vitascope.ops.intensity.rank import median, percentile


@pytest.mark.parametrize("count", [1, 2, 7, 64, 999])
@pytest.mark.parametrize("percent", [0, 0.5, 25, 50, 70, 95, 100])
def test_percentiles_are_numpys(count, percent):
    values = np.random.default_rng(count).normal(1000, 300, (3, count))
    assert np.array_equal(percentile(values, percent), np.percentile(values, percent, axis=1))


def test_whole_numbers_are_interpolated_and_do_not_overflow():
    values = np.array([[0, 255], [254, 255]], np.uint8)
    assert percentile(values, 50).tolist() == [127.5, 254.5]
    assert median(values) == 254.5
