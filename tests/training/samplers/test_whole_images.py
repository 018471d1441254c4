from dataclasses import replace

import numpy as np
import pytest
import torch

from vitascope.core.training_params import AugmentParams
from vitascope.training.samplers.crops import Pair
from vitascope.training.samplers.whole_images import BagSampler, coarser, rotate

PLAIN = AugmentParams(flip_vertical=0, flip_horizontal=0, rotation_degrees=0, zoom="none", contrast=0, defocus=0)


def pair(value, side=8):
    rng = np.random.default_rng(int(value))
    image = rng.normal(size=(1, side, side)).astype(np.float32)
    return Pair(
        image,
        np.zeros((0, side, side), np.float32),
        np.ones((1, side, side), np.float32),
        (),
        np.array([value], np.float32),
    )


def test_bins_are_drawn_equally_often_however_full():
    pairs = [pair(v) for v in [*range(1000, 1090), 25_000, 47_000]]
    sampler = BagSampler(pairs, 20_000, PLAIN, 0, 10)
    drawn = torch.cat([sampler.batch(step, 15)["numbers"][:, 0] for step in range(40)]).numpy()
    counts = np.unique(drawn // 20_000, return_counts=True)[1]
    assert counts.tolist() == [200, 200, 200]
    evenly = BagSampler(pairs, 0, PLAIN, 0, 10)
    drawn = torch.cat([evenly.batch(step, 15)["numbers"][:, 0] for step in range(40)]).numpy()
    assert (drawn < 20_000).mean() > 0.9


def test_a_step_gives_the_same_batch_whenever_it_is_asked_for():
    pairs = [pair(v) for v in range(10)]
    varied = AugmentParams(zoom="none", gain=0.1)
    one, two = (BagSampler(pairs, 3, varied, 5, 4) for _ in range(2))
    two.batch(0, 6)
    a, b = one.batch(7, 6), two.batch(7, 6)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert a["epoch"].tolist() == [1.0] * 6


def test_images_stay_with_their_numbers():
    pairs = [pair(v) for v in range(10)]
    batch = BagSampler(pairs, 3, PLAIN, 5, 4).batch(3, 8)
    for image, number in zip(batch["image"], batch["numbers"][:, 0], strict=True):
        assert np.allclose(image.numpy(), pairs[int(number)].image, atol=1e-6)


def test_flips_and_quarter_turns_are_exact():
    image = np.random.default_rng(0).normal(size=(1, 6, 6)).astype(np.float32)
    assert np.allclose(rotate(image, np.diag([-1.0, 1.0])).numpy(), image[:, ::-1], atol=1e-5)
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    found = rotate(image, quarter).numpy()[0]
    assert any(np.allclose(found, np.rot90(image[0], k), atol=1e-5) for k in (1, 3))


def test_quarter_turns_move_pixels_and_lose_none():
    """Any other angle takes off corners, and the amount in them."""
    one = pair(3, side=9)
    sampler = BagSampler([one], 0, AugmentParams(quarter_turns=True, zoom="none", contrast=0, defocus=0), 0, 10)
    images = torch.cat([sampler.batch(step, 8)["image"] for step in range(8)])[:, 0].numpy()
    ways = [np.rot90(flip, k) for flip in (one.image[0], one.image[0].T) for k in range(4)]
    found = [[np.abs(image - way).max() < 1e-4 for way in ways].index(True) for image in images]
    assert set(found) == set(range(8))


def test_light_through_two_wells_is_multiplied_and_amounts_add_up():
    pairs = [pair(1000), pair(5000)]
    sampler = BagSampler(pairs, 0, PLAIN.model_copy(update={"overlay": 1.0}), 0, 10)
    batch = sampler.batch(0, 30)
    singles = {float(p.numbers[0]): torch.from_numpy(p.image) for p in pairs}
    sums = {a + b: (1 + singles[a]) * (1 + singles[b]) - 1 for a in singles for b in singles}
    assert set(batch["numbers"][:, 0].tolist()) == set(sums)
    for image, number in zip(batch["image"], batch["numbers"][:, 0].tolist(), strict=True):
        torch.testing.assert_close(image, sums[number])


def test_a_chance_of_laying_over_changes_nothing_for_recipes_without_it():
    pairs = [pair(v) for v in range(10)]
    without, with_chance = (BagSampler(pairs, 3, PLAIN.model_copy(update={"overlay": p}), 5, 4) for p in (0.0, 0.3))
    a, b = without.batch(2, 40)["numbers"][:, 0], with_chance.batch(2, 40)["numbers"][:, 0]
    assert 3 <= int((a != b).sum()) <= 21


def test_a_share_of_the_images_has_nothing_in_it():
    pairs = [pair(v) for v in [0, 0, 1000, 25_000, 47_000]]
    sampler = BagSampler(pairs, 20_000, PLAIN, 0, 10, nothing=0.4)
    drawn = torch.cat([sampler.batch(step, 15)["numbers"][:, 0] for step in range(60)]).numpy()
    assert (drawn == 0).mean() == pytest.approx(0.4, abs=0.05)
    assert np.unique(drawn[drawn > 0] // 20_000, return_counts=True)[1].min() > 150
    alone = BagSampler([pair(0), pair(0)], 20_000, PLAIN, 0, 10, nothing=0.4)
    assert alone.batch(0, 4)["numbers"].tolist() == [[0.0]] * 4


def test_a_coarse_image_keeps_its_mean_and_loses_its_detail():
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 32, 32)).astype(np.float32))
    settings = PLAIN.model_copy(update={"coarse": 1.0, "coarse_least": 0.25})
    found = [coarser(image, settings, np.random.default_rng(n)) for n in range(20)]
    assert all(f.shape == image.shape for f in found)
    assert np.mean([float(f.std()) for f in found]) < 0.8 * float(image.std())
    assert np.allclose([float(f.mean()) for f in found], float(image.mean()), atol=0.05)
    assert torch.equal(coarser(image, PLAIN, np.random.default_rng(0)), image)


def test_images_are_drawn_by_their_chance():
    pairs = [replace(pair(v), chance=c) for v, c in ((1, 0.5), (2, 1.5), (3, 1.0))]
    sampler = BagSampler(pairs, 0, PLAIN, 0, 10)
    drawn = torch.cat([sampler.batch(step, 15)["numbers"][:, 0] for step in range(80)]).numpy()
    shares = np.bincount(drawn.astype(int))[1:] / len(drawn)
    assert np.allclose(shares, [1 / 6, 1 / 2, 1 / 3], atol=0.05)
