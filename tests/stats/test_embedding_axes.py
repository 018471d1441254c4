"""Principal axes against the eigenvectors of the correlation matrix, and what they follow."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from vitascope.core.errors import InputError
from vitascope.stats.embedding.axes import fit_axes, followed

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(60, 6)) @ RNG.normal(size=(6, 12)) + 5


def test_axes_are_the_principal_ones_of_the_images_they_were_fitted_to():
    axes = fit_axes(TABLE[:40])
    values, vectors = np.linalg.eigh(np.corrcoef(TABLE[:40], rowvar=False))
    there = (TABLE - TABLE[:40].mean(axis=0)) / TABLE[:40].std(axis=0) @ vectors[:, ::-1][:, :2]
    found = axes.place(TABLE)  # the other 20 are put on them
    for k in range(2):
        assert abs(np.corrcoef(found[:, k], there[:, k])[0, 1]) == pytest.approx(1)
    np.testing.assert_allclose(np.abs(found), np.abs(there), atol=1e-8)
    np.testing.assert_allclose(axes.shares, values[::-1][:2] / values.sum())


def test_a_feature_that_never_varies_moves_nothing():
    fitted = np.c_[TABLE, np.full(60, 3.0)]
    axes = fit_axes(fitted)
    other = fitted.copy()
    other[:, -1] = 99
    np.testing.assert_allclose(axes.place(other), axes.place(fitted))


def test_an_axis_says_what_it_follows():
    places = fit_axes(TABLE).place(TABLE)
    numbers = np.c_[places[:, 0] ** 3, RNG.normal(size=60), np.full(60, np.nan), np.ones(60)]
    numbers[:5, 1] = np.nan
    found = followed(places, numbers)
    assert found[0, 0] == pytest.approx(1)
    assert found[1, 1] == pytest.approx(spearmanr(places[5:, 1], numbers[5:, 1]).statistic)
    assert np.isnan(found[:, 2:]).all()


def test_what_spans_no_plane_is_refused():
    with pytest.raises(InputError, match="2 images"):
        fit_axes(TABLE[:2])
    with pytest.raises(InputError, match="constant"):
        fit_axes(np.ones((5, 4)))
    with pytest.raises(InputError, match="11 features"):
        fit_axes(TABLE).place(TABLE[:, :11])
