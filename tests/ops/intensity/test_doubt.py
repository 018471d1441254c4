import statistics

import numpy as np
import pytest

from vitascope.core.errors import InputError
from vitascope.ops.intensity.doubt import error_by_doubt, flip_disagreement


def test_disagreement_is_the_standard_deviation_over_the_ways():
    seen = np.random.default_rng(0).random((4, 2, 3, 5))
    found = flip_disagreement(seen)
    assert found.dtype == np.float32
    for place in np.ndindex(2, 3, 5):
        assert found[place] == pytest.approx(statistics.pstdev(seen[(slice(None), *place)]), abs=1e-6)
    with pytest.raises(InputError, match="One prediction"):
        flip_disagreement(seen[:1])


def test_error_by_doubt_sorts_pixels_into_bins_of_one_size():
    doubt = np.arange(100.0).reshape(10, 10)
    truth = np.zeros((10, 10))
    predicted = doubt / 10
    truth[0, 0] = np.nan
    table = error_by_doubt(truth, predicted, doubt, 3)
    assert table["pixels"].tolist() == [33, 33, 33]
    assert table["doubt"].tolist() == [np.mean(range(1, 34)), np.mean(range(34, 67)), np.mean(range(67, 100))]
    np.testing.assert_allclose(table["error"], table["doubt"] / 10)
    assert len(error_by_doubt(truth[:1, :1], truth[:1, :1], truth[:1, :1])) == 0
