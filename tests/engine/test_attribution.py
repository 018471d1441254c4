"""Maps of what a number rests on, against closed forms."""

import numpy as np
import torch
from torch import nn

from vitascope.core.progress import run_to_end
from vitascope.engine.attribution import integrated_gradients, occlusion
from vitascope.networks.resnet import NvirOutput


class _Weighted(nn.Module):
    """A number that is the weighted sum of the squares of the pixels."""

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(weights))

    def forward(self, x):
        return NvirOutput((self.weights * x**2).sum((1, 2, 3), keepdim=True)[:, :, 0, 0], x)


def make(side=12):
    rng = np.random.default_rng(0)
    return rng.normal(size=(1, side, side)).astype(np.float32), rng.normal(size=(side, side)).astype(np.float32)


def test_hiding_a_place_takes_away_what_it_brings():
    image, weights = make()
    found = run_to_end(
        occlusion(
            lambda xs: [float((weights * x[0] ** 2).sum()) for x in xs],
            image,
            float((weights * image[0] ** 2).sum()),
            slice(0, 1),
            3,
        )
    )
    np.testing.assert_allclose(found, (weights * image[0] ** 2).reshape(3, 4, 3, 4).sum((1, 3)), rtol=1e-4, atol=1e-4)


def test_only_the_wanted_channels_are_hidden():
    image = np.ones((2, 4, 4), np.float32)

    def values(xs):
        return [float(x[0].sum() + 10 * x[1].sum()) for x in xs]

    found = run_to_end(occlusion(values, image, 176.0, slice(0, 1), 2))
    np.testing.assert_allclose(found, 4)


def test_integrated_gradients_of_squares_are_the_squares_and_sum_to_the_number():
    image, weights = make()
    network = _Weighted(weights)
    found = run_to_end(integrated_gradients(network, image))
    np.testing.assert_allclose(found, weights * image[0] ** 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.sum(), network(torch.from_numpy(image)[None]).value.item(), rtol=1e-4)
    assert network.weights.grad is None
