"""Poolings against their printed formulas in 60-digit arithmetic, their limits, gradients and masks."""

import mpmath
import numpy as np
import pytest
import torch

from vitascope.networks import pooling
from vitascope.networks.pooling import Pooling, log1mexp

mpmath.mp.dps = 60

A, R, B = 7.5, 2.5, 0.3


def sigma(x):
    return 1 / (1 + mpmath.exp(-x))


def formula(name, z, a=A, r=R, b=B):
    """Equations 3 and 4 as they are printed, over logits z."""
    a, r, b = (mpmath.mpf(v) for v in (a, r, b))
    p = [sigma(mpmath.mpf(float(v))) for v in z]
    n = len(p)
    mean = sum(p) / n
    if name == "noisy_or":
        return 1 - mpmath.fprod(1 - v for v in p)
    if name == "isr":
        total = sum(v / (1 - v) for v in p)
        return total / (1 + total)
    if name == "generalised_mean":
        return (sum(v**r for v in p) / n) ** (1 / r)
    if name == "lse":
        return mpmath.log(sum(mpmath.exp(r * v) for v in p) / n) / r
    if name == "noisy_and":
        return (sigma(a * (mean - b)) - sigma(-a * b)) / (sigma(a * (1 - b)) - sigma(-a * b))
    return max(p) if name == "max" else mean


def pooled(name, z, mask=None, sharpness=None, b=B, dtype=torch.float64):
    layer = Pooling(name, 1, sharpness or (A if name == "noisy_and" else R)).to(dtype)
    if name == "noisy_and":
        with torch.no_grad():
            layer.b.fill_(b)
    shaped = torch.as_tensor(np.asarray(z), dtype=dtype)[None, None, None]
    mask = None if mask is None else torch.as_tensor(np.asarray(mask), dtype=dtype)[None, None, None]
    found = layer(shaped, mask)
    return float(found.log_p[0, 0].detach()), float(found.log_not[0, 0].detach())


BAGS = {
    "mixed": [-2.0, 0.3, 1.7, -0.4, 4.0],
    "one instance": [0.8],
    "all off": [-25.0, -30.0, -28.0],
    "all on": [25.0, 30.0, 28.0],
    "one outlier": [30.0] + [-12.0] * 40,
}


@pytest.mark.parametrize("bag", BAGS)
@pytest.mark.parametrize("name", Pooling.NAMES)
def test_a_pooling_is_its_formula_far_beyond_the_digits_of_the_probabilities(name, bag):
    expected = formula(name, BAGS[bag])
    log_p, log_not = pooled(name, BAGS[bag])
    assert log_p == pytest.approx(float(mpmath.log(expected)), rel=1e-9, abs=1e-9)
    assert log_not == pytest.approx(float(mpmath.log(1 - expected)), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", Pooling.NAMES)
def test_float32_keeps_four_digits_of_both_logarithms(name):
    for bag in BAGS.values():
        expected = formula(name, bag)
        log_p, log_not = pooled(name, bag, dtype=torch.float32)
        assert log_p == pytest.approx(float(mpmath.log(expected)), rel=1e-4, abs=1e-6)
        assert log_not == pytest.approx(float(mpmath.log(1 - expected)), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", Pooling.NAMES)
def test_gradients_are_those_of_finite_differences(name):
    torch.manual_seed(0)
    layer = Pooling(name, 2, 3.0).double()
    z = torch.randn(2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[[[1, 1, 0], [1, 0, 1]]], [[[1, 1, 1], [1, 1, 1]]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z, *_: tuple(layer(z, mask)), (z, *layer.parameters()))


@pytest.mark.parametrize("name", Pooling.NAMES)
def test_gradients_stay_finite_at_extremes(name):
    z = torch.tensor([[[[-90.0, -80.0, 90.0]]], [[[-90.0, -90.0, -90.0]]], [[[90.0, 90.0, 90.0]]]], requires_grad=True)
    found = Pooling(name, 1, 10.0)(z)
    (found.log_p.clamp_min(-100).sum() + found.log_not.clamp_min(-100).sum()).backward()
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("name", Pooling.NAMES)
def test_masked_instances_do_not_count(name):
    z, mask = [0.5, -1.0, 40.0, 2.0], [1, 1, 0, 1]
    assert pooled(name, z, mask) == pytest.approx(pooled(name, [0.5, -1.0, 2.0]), rel=1e-9)


@pytest.mark.parametrize("name", Pooling.NAMES)
def test_a_bag_without_instances_is_negative(name):
    log_p, log_not = pooled(name, [3.0, 5.0], [0, 0], dtype=torch.float32)
    assert log_p < -50
    assert log_not == pytest.approx(0.0, abs=1e-6)


def test_sharp_poolings_become_the_maximum_and_blunt_ones_the_mean():
    z = BAGS["mixed"]
    mean, largest = np.log(float(formula("mean", z))), np.log(float(formula("max", z)))
    assert pooled("generalised_mean", z, sharpness=1.0)[0] == pytest.approx(mean, rel=1e-9)
    assert pooled("lse", z, sharpness=1e-6)[0] == pytest.approx(mean, rel=1e-5)
    assert pooled("noisy_and", z, sharpness=1e-4)[0] == pytest.approx(mean, rel=1e-3)
    for name in ("generalised_mean", "lse"):
        assert pooled(name, z, sharpness=5000.0)[0] == pytest.approx(largest, abs=5e-3)


def test_noisy_and_is_a_step_at_b_when_steep():
    on, off = [8.0] * 4 + [-8.0] * 6, [8.0] * 2 + [-8.0] * 8
    assert pooled("noisy_and", on, sharpness=500.0, b=0.3)[0] == pytest.approx(0.0, abs=1e-6)
    assert pooled("noisy_and", off, sharpness=500.0, b=0.3)[0] < -20


def test_noisy_and_goes_from_0_to_1_whatever_b():
    for b in (-0.2, 0.1, 0.9, 1.3):
        assert pooled("noisy_and", [-300.0] * 3, b=b, dtype=torch.float32)[0] < -60
        assert pooled("noisy_and", [300.0] * 3, b=b, dtype=torch.float32)[0] == pytest.approx(0.0, abs=1e-6)


def test_log1mexp_keeps_its_digits():
    for x in (-1e-12, -1e-3, -0.6, -0.8, -30.0):
        exact = mpmath.log(1 - mpmath.exp(mpmath.mpf(x)))
        assert float(log1mexp(torch.tensor(x, dtype=torch.float64))) == pytest.approx(float(exact), rel=1e-12)


def test_functions_take_any_leading_axes():
    z = torch.randn(4, 3, 7)
    for function in (pooling.noisy_or, pooling.isr, pooling.mean, pooling.maximum, pooling.lse):
        assert function(z).log_p.shape == (4, 3)
        assert torch.allclose(function(z).log_p[1, 2], function(z[1, 2]).log_p)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="no pooling 'median'"):
        Pooling("median", 2)
    with pytest.raises(ValueError, match="positive"):
        Pooling("lse", 2, 0.0)
