"""Clusters chosen on one half and judged on the other."""

import numpy as np
import pytest

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.embedding.clusters import NOISE, find_clusters, followed_by_clusters, macro_f1, separation

pytest.importorskip("sklearn", reason="the extra 'embedding' is not installed")


def two_halves(apart, seed=0, count=60):
    rng = np.random.default_rng(seed)
    kinds = np.array(["clean", "blurred"] * (count // 2))
    at = rng.normal(size=(2, count, 3)) + apart * (kinds == "blurred")[None, :, None]
    return at[0], kinds.tolist(), at[1], kinds.tolist()


def test_kinds_that_lie_apart_are_told_and_mixed_ones_are_not():
    found = separation(*two_halves(8.0))
    assert found.f1 > 0.9
    assert found.probe == 1
    assert found.clusters >= 2
    mixed = separation(*two_halves(0.0))
    assert mixed.f1 < mixed.chance_high + 0.05
    assert 0.3 < mixed.chance < 0.55


def test_noise_counts_as_wrong():
    x, y, u, v = two_halves(8.0)
    u[:10] = 1000.0
    found = separation(x, y, u, v)
    assert found.noise >= 10 / 60
    assert found.f1 < 0.95
    assert macro_f1(["a", "b"], ["", ""]) == 0


def test_nothing_of_the_judged_half_is_used_to_choose():
    x, y, u, v = two_halves(3.0)
    one, other = separation(x, y, u, v), separation(x, y, u + 50, v)
    assert (one.eps, one.min_samples) == (other.eps, other.min_samples)
    assert other.f1 == 0


def test_clusters_are_found_without_kinds_and_say_what_they_follow():
    rng = np.random.default_rng(1)
    at = np.r_[rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 12]
    found = find_clusters(at)
    assert len(set(found.tolist()) - {NOISE}) == 2
    numbers = np.c_[np.arange(80.0), rng.normal(size=80), np.full(80, np.nan), np.ones(80)]
    told = followed_by_clusters(found, numbers)
    assert set(told) == {0, 1}
    assert told[0][0] < -0.7 < 0.7 < told[1][0]
    assert abs(told[0][1]) < 0.5
    assert np.isnan(told[0][2:]).all()
    assert (find_clusters(np.ones((10, 2))) == 0).all()


def test_what_cannot_be_judged_is_refused(monkeypatch):
    x, y, u, v = two_halves(1.0)
    for given, said in (
        ((x[:19], y[:19], u, v), "19 images of 2 kinds"),
        ((x, ["a"] * 60, u, v), "60 images of 1 kinds"),
        ((x, y, u, v[1:]), "59 kinds"),
        ((x, y, u, ["else"] * 30 + ["clean"] * 30), "different kinds"),
        ((x * np.nan, y, u, v), "do not go with"),
    ):
        with pytest.raises(InputError, match=said) as refused:
            separation(*given)
        assert refused.value.hint
    with pytest.raises(InputError, match="5 images make no clusters"):
        find_clusters(x[:5])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ParameterError, match="scikit-learn"):
        find_clusters(x)
