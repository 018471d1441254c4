import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from vitascope.training.losses.images import LOSSES, sobel, weighted_sum

RNG = np.random.default_rng(0)
P = torch.from_numpy(RNG.random((3, 2, 9, 8), np.float32))
T = torch.from_numpy(RNG.random((3, 2, 9, 8), np.float32))
ALL = torch.ones(3, 1, 9, 8)


def loss(name, p=P, t=T, w=ALL):
    return LOSSES[name](p, t, w).item()


def test_pcc_is_equation_7_with_scipys_correlation():
    """Equation 6 as misprinted would put both factors of each product under one sum."""
    each = [(1 - stats.pearsonr(P[i, k].flatten(), T[i, k].flatten())[0]) / 2 for i in range(3) for k in range(2)]
    assert loss("pcc_image") == pytest.approx(np.mean(each), abs=1e-5)
    pooled = [(1 - stats.pearsonr(P[:, k].flatten(), T[:, k].flatten())[0]) / 2 for k in range(2)]
    assert loss("pcc") == pytest.approx(np.mean(pooled), abs=1e-5)


def test_mean_squared_error_and_entropy_in_loops():
    squares, entropy = [], []
    for p, t in zip(P.flatten().tolist(), T.flatten().tolist(), strict=True):
        squares.append((t - p) ** 2)
        entropy.append(-(t * math.log(p) + (1 - t) * math.log(1 - p)))
    assert loss("mse") == pytest.approx(np.mean(squares), rel=1e-5)
    assert loss("bce") == pytest.approx(np.mean(entropy), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("asymmetric_under", lambda r, t: np.where(r > 0, r**2, 2 * r**2)),
        ("asymmetric_over", lambda r, t: np.where(r < 0, r**2, 2 * r**2)),
        ("asymmetric_strong", lambda r, t: np.where(r > 0, r**3, 20 * r**2)),
        ("mse_bright", lambda r, t: r**2 * t),
        ("mse_predicted", lambda r, t: r**2 * (r + t)),
        ("mse_dark", lambda r, t: r**2 * (1 - t)),
    ],
)
def test_asymmetric_losses_are_the_listings_of_section_3_4_3_1(name, formula):
    residual = (P - T).numpy()
    assert loss(name) == pytest.approx(formula(residual, T.numpy()).mean(), rel=1e-5)


def test_brightness_ratios():
    assert loss("brightness_ratio") == pytest.approx(float(P.sum() / T.sum()), rel=1e-5)
    assert loss("brightness_ratio_reversed") == pytest.approx(float(T.sum() / P.sum()), rel=1e-5)


@pytest.mark.parametrize(("name", "dim"), [("brightness_ratio", "truth"), ("brightness_ratio_reversed", "prediction")])
def test_brightness_is_never_divided_by_less_than_a_hundredth_of_full_scale(name, dim):
    black, grey = torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 0.3)
    p, t = (grey, black) if dim == "truth" else (black, grey)
    assert LOSSES[name](p, t, torch.ones(2, 1, 8, 8)).item() == pytest.approx(0.3 / 0.01, rel=1e-5)
    half = torch.ones(2, 1, 8, 8)
    half[..., :4] = 0  # of the pixels that count
    assert LOSSES[name](p, t, half).item() == pytest.approx(30, rel=1e-5)


def test_approach_five_is_a_weighted_sum():
    """MSE times the truth, and the reversed ratio of brightness."""
    expected = loss("mse_bright") + loss("brightness_ratio_reversed")
    found = weighted_sum({"mse_bright": 1.0, "brightness_ratio_reversed": 1.0}, P, T, ALL).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_sobel_magnitude_is_scipys():
    picture = P[0, 0].numpy().astype(float)
    expected = np.hypot(ndimage.sobel(picture, 0, mode="mirror"), ndimage.sobel(picture, 1, mode="mirror"))
    np.testing.assert_allclose(sobel(P)[0, 0].numpy(), expected, atol=2e-4)
    assert loss("gradient", P, P) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_ignored_pixels_do_not_count(name):
    weight = torch.ones(3, 1, 9, 8)
    weight[:, :, :3] = 0
    spoiled = T.clone()
    spoiled[:, :, :2] = 0.123
    if name == "gradient":  # its filter sees one pixel further
        assert loss(name, P, spoiled, weight) == pytest.approx(loss(name, P, T, weight), abs=1e-6)
    else:
        spoiled[:, :, 2] = 0.9
        assert loss(name, P, spoiled, weight) == pytest.approx(loss(name, P, T, weight), rel=1e-5)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_flat_pictures_give_numbers_and_gradients(name):
    p = torch.full((2, 1, 8, 8), 0.5, requires_grad=True)
    value = LOSSES[name](p, torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8))
    value.backward()
    assert math.isfinite(value.item())
    assert torch.isfinite(p.grad).all()


def test_weighted_sums():
    expected = 0.3 * loss("pcc") + 2 * loss("mse")
    assert weighted_sum({"pcc": 0.3, "mse": 2.0}, P, T, ALL).item() == pytest.approx(expected, rel=1e-5)
