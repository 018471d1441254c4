import numpy as np
import pytest

from vitascope.ops.objects.light_odds import (
    AS_IT_IS,
    around,
    best_shift,
    find_weights,
    light_above,
    margin,
    refined,
    sample,
    weights_of,
)

VOXEL = (4.0, 1.0, 1.0)


def test_probabilities_stay_as_they_are_where_light_says_nothing():
    rng = np.random.default_rng(0)
    p = rng.dirichlet((1, 1, 1), (4, 8, 8)).astype(np.float32)[..., :2].transpose(3, 0, 1, 2)
    light = [rng.normal(size=p.shape[1:]).astype(np.float32) for _ in p]
    found = refined(p, light, light, AS_IT_IS)
    kept = (p > 0.01).all(0) & (p.sum(0) < 0.99)
    np.testing.assert_allclose(found[:, kept], p[:, kept], atol=1e-5)


def test_light_raises_the_dye_that_it_is_of():
    p = np.full((2, 1, 1, 2), 0.3, np.float32)
    light = [np.float32([[[1.0, -1.0]]]), np.zeros((1, 1, 2), np.float32)]
    found = refined(p, light, [np.zeros_like(x) for x in light], (1.0, 2.0, 0.0, 0.0))
    assert found[0, 0, 0, 0] > 0.5 > 0.3 > found[0, 0, 0, 1]
    assert found[1, 0, 0, 0] < 0.3 < found[1, 0, 0, 1]
    assert (found.sum(0) <= 1).all()


def test_what_is_no_cell_to_the_network_stays_none_however_bright():
    p = np.zeros((1, 1, 1, 1), np.float32)
    bright = [np.full((1, 1, 1), 3.0, np.float32)]
    assert refined(p, bright, bright, (1.0, 5.0, 5.0, 5.0))[0, 0, 0, 0] == 0


def test_a_dye_without_a_threshold_has_no_light():
    values = np.float32([1, 2])
    assert (light_above(values, 0.0, np.inf) == light_above(values, 3.0, 2.0)).all()
    assert np.isfinite(light_above(values, 0.0, np.inf)).all()


def test_light_around_does_not_reach_beyond_its_margin():
    volume = np.zeros((9, 41, 41), np.float32)
    volume[4, 20, 20] = 1
    z, _, x = margin(VOXEL)
    found = around(volume, VOXEL)
    assert not found[4, 20, 20 + x + 1 :].any()
    assert not found[4 + z + 1 :].any()
    assert found[4, 20, 21] > 0


def test_weights_are_found_again_from_drawn_voxels():
    rng = np.random.default_rng(1)
    true = (0.6, 1.5, 0.8, 0.4)
    samples = []
    for _ in range(4):
        p = rng.uniform(0.02, 0.98, (10, 40, 40)).astype(np.float32)
        light, near = (rng.normal(size=p.shape).astype(np.float32) for _ in range(2))
        odds = true[0] * np.log(p / (1 - p)) + true[1] * light + true[2] * near + true[3]
        inside = rng.random(p.shape) < 1 / (1 + np.exp(-odds))
        samples.append(sample(p, 1 - p, light, near, inside, np.ones(p.shape, bool), rng))
    found = weights_of(find_weights(samples))
    assert found[:3] == pytest.approx(true[:3], abs=0.12)
    assert 0 < found[3] - true[3] < 1  # more is taken for a cell: Dice asks for it


def test_the_cut_is_where_the_mean_dice_is_best():
    rng = np.random.default_rng(2)
    odds = rng.normal(-1, 1.5, 20_000)
    inside = rng.random(odds.size) < 1 / (1 + np.exp(-odds))

    def dice(shift):
        found = odds + shift > 0
        return 2 * (found & inside).sum() / (found.sum() + inside.sum())

    shift = best_shift([odds], [inside])
    assert dice(shift) > dice(0.0)
    assert dice(shift) >= max(dice(shift - 0.1), dice(shift + 0.1))


def test_few_voxels_give_no_weights():
    few = (np.zeros(50, np.float32),) * 3
    assert find_weights([(*few, np.arange(50) < 25)]) == {}
    assert weights_of({}) is None
