import math

import numpy as np
import pytest
import torch

from vitascope.core.errors import ParameterError
from vitascope.networks.ins_atp import AtpOutput, InsAtp
from vitascope.ops.wells.binary_code import atp_from_code, binary_code
from vitascope.training.losses.atp import AtpLoss, atp_loss, code_weights


def output(code, network):
    empty = torch.zeros(len(code), 1, 1, 1)
    return AtpOutput(network.value(code), empty, empty, empty, code)


def test_weights_are_equation_5():
    for epoch in (0, 30, 200):
        for w in (0.9, 0.5):
            expected = [(1 / (1 + math.exp(math.log(1 / w - 1) - epoch / 30))) ** i for i in range(1, 7)]
            assert np.allclose(code_weights(6, epoch, w).numpy(), expected, rtol=1e-5)
    assert np.allclose(code_weights(3, 0, 0.9).numpy(), [0.9, 0.81, 0.729])
    assert code_weights(6, 600, 0.5).min() > 0.999


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_the_loss_is_that_of_the_paper_in_loops(margin):
    rng = np.random.default_rng(0)
    network = InsAtp(width=4, stages=1, grid=2, bits=5, bin_width=2e4, top=4e5)
    truth = rng.uniform(0, 4e5, 6)
    logits = rng.normal(size=(6, 6))
    settings = AtpLoss(beta=0.3, decay=0.8, margin=margin)
    found = atp_loss(
        output(torch.tensor(logits, dtype=torch.float32), network),
        network,
        torch.tensor(truth, dtype=torch.float32),
        12,
        settings,
    )
    p, y = 1 / (1 + np.exp(-logits)), binary_code(truth.astype(np.float32), 2e4, 5)
    classification = 0.0
    for i in range(6):
        for j in range(6):
            weight = (1 / (1 + math.exp(math.log(1 / 0.8 - 1) - 12 / 30))) ** (j + 1)
            if j < 5:
                counts = abs(p[i, j] - y[i, j]) > margin if margin else True
                classification += (
                    weight * counts * -(y[i, j] * math.log(p[i, j]) + (1 - y[i, j]) * math.log(1 - p[i, j]))
                )
            else:
                classification += weight * (p[i, j] - y[i, j]) ** 2
    regression = np.mean(((atp_from_code(p, 2e4) - truth) / 4e5) ** 2)
    assert float(found) == pytest.approx(0.3 * classification / 36 + 0.7 * regression, rel=1e-4)


def test_without_a_code_there_is_equation_4_alone():
    network = InsAtp(width=4, stages=1, grid=2, fusion="additive", top=100.0)
    contribution = torch.tensor([[[[10.0, 20], [0, 5]]]])
    value = contribution.flatten(1).sum(1, keepdim=True)
    found = atp_loss(
        AtpOutput(value, contribution, contribution, contribution, value), network, torch.tensor([55.0]), 0, AtpLoss()
    )
    assert float(found) == pytest.approx(0.2**2)


def test_settings_of_a_recipe_are_checked():
    assert AtpLoss.from_recipe({"pcc": 1.0}) == AtpLoss()
    assert AtpLoss.from_recipe({"beta": 0.2, "margin": 0.3}).margin == 0.3
    for wrong in ({"gamma": 1.0}, {"decay": 1.0}, {"beta": 2.0}):
        with pytest.raises(ParameterError):
            AtpLoss.from_recipe(wrong)
