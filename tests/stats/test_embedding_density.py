"""Lines around the densest parts: each holds the share of points it stands for."""

import numpy as np

from vitascope.stats.embedding.density import SHARES, density_lines


def test_each_line_holds_its_share_of_the_points():
    places = np.random.default_rng(0).normal(size=(400, 2)) @ np.array([[2.0, 0.5], [0.0, 1.0]])
    x, y, density, levels = density_lines(places, places)
    assert len(levels) == len(SHARES)
    assert list(levels) == sorted(levels)
    at = density[np.abs(y[:, None] - places[:, 1]).argmin(0), np.abs(x[:, None] - places[:, 0]).argmin(0)]
    for level, share in zip(levels, SHARES, strict=True):
        assert abs((at >= level).mean() - share) < 0.05


def test_few_points_or_points_on_a_line_have_no_density():
    line = np.c_[np.arange(20.0), 2 * np.arange(20.0)]
    assert density_lines(line, line) is None
    assert density_lines(line[:4], line) is None
    assert density_lines(np.ones((9, 2)), line) is None
