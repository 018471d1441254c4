import numpy as np
import torch

from vitascope.core.training import AugmentParams
from vitascope.engine.bags import BagSampler, turned
from vitascope.engine.crops import Pair

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
    assert np.allclose(turned(image, np.diag([-1.0, 1.0])).numpy(), image[:, ::-1], atol=1e-5)
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    found = turned(image, quarter).numpy()[0]
    assert any(np.allclose(found, np.rot90(image[0], k), atol=1e-5) for k in (1, 3))
