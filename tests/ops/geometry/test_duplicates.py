import numpy as np

from vitascope.ops.geometry.duplicates import near_duplicates, thumbnail


def test_what_correlates_is_one_group_through_others_too():
    rng = np.random.default_rng(0)
    first, other = rng.normal(size=(2, 20, 20))
    step = 0.12 * rng.normal(size=(20, 20))
    pictures = np.stack([first, other, first + step, other * 3 + 5, first + 2 * step])
    r = np.corrcoef(pictures[[0, 4]].reshape(2, -1))[0, 1]
    assert r < 0.98
    assert near_duplicates(pictures, 0.98).tolist() == [0, 1, 0, 1, 0]


def test_a_constant_picture_is_like_none():
    pictures = np.stack([np.zeros((8, 8)), np.ones((8, 8)), np.eye(8)])
    assert near_duplicates(pictures).tolist() == [0, 1, 2]


def test_shading_makes_no_duplicates():
    rng = np.random.default_rng(1)
    shading = np.linspace(0, 50, 96)[:, None] + np.linspace(0, 80, 96)
    a, b = (shading + rng.normal(size=(96, 96)) for _ in range(2))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98
    assert near_duplicates(np.stack([thumbnail(a), thumbnail(b)])).tolist() == [0, 1]
