import math

import numpy as np
import pytest
import torch
from torch import nn

from vitascope.training.loop.head_fit import fit_head


def make_data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5, 0.0]) + 3 + rng.normal(0, 0.1, 30)).astype(np.float32)
    return x, y


def make_head():
    torch.manual_seed(0)
    return nn.Linear(4, 1)


def squares(head, x, y):
    return ((head(torch.from_numpy(x))[:, 0] - torch.from_numpy(y)) ** 2).mean()


@pytest.mark.parametrize("pull", [0.0, 0.3])
def test_a_linear_head_is_fitted_as_least_squares_pulled_towards_its_start(pull):
    """Independently: the normal equations of ridge regression about the starting weights, the offset free."""
    (x, y), head = make_data(), make_head()
    start = head.weight.detach().numpy()[0].astype(float)
    centred, rest = x - x.mean(0), y - y.mean() - (x - x.mean(0)) @ start
    moved = np.linalg.solve(centred.T @ centred / len(y) + pull * np.eye(4), centred.T @ rest / len(y))
    fell = fit_head(list(head.parameters()), lambda: squares(head, x, y), pull)
    found = head.weight.detach().numpy()[0]
    np.testing.assert_allclose(found, start + moved, atol=2e-3)
    assert head.bias.item() == pytest.approx(float((y - x @ found).mean()), abs=2e-3)
    assert fell > 1


def test_what_is_frozen_stays_frozen_afterwards_and_has_no_gradient():
    (x, y), head = make_data(), make_head()
    head.weight.requires_grad_(False)
    fit_head(list(head.parameters()), lambda: squares(head, x, y), 0.0)
    assert [p.requires_grad for p in head.parameters()] == [False, True]
    assert all(p.grad is None for p in head.parameters())


def test_a_loss_that_is_no_number_leaves_the_head_as_it_was():
    (x, y), head = make_data(), make_head()
    before = head.weight.detach().clone()
    assert fit_head(list(head.parameters()), lambda: squares(head, x, y) * math.nan, 0.0) == 0
    assert torch.equal(head.weight, before)
