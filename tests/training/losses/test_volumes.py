import math

import pytest
import torch

from vitascope.training.losses.volumes import density_loss, focal, log_dice, segmentation_loss, slab_counts

LOGITS = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
TRUTH = torch.randint(0, 4, (2, 4, 4, 4), generator=torch.Generator().manual_seed(1))


def voxels():
    """Every labelled voxel: its probabilities and its class, 0 for background."""
    p = torch.softmax(LOGITS, 1).permute(0, 2, 3, 4, 1).reshape(-1, 3).tolist()
    return [(one, t - 1) for one, t in zip(p, TRUTH.flatten().tolist(), strict=True) if t > 0]


def test_log_dice_against_a_loop():
    expected = 0.0
    for k in (1, 2):
        both = sum(p[k] for p, t in voxels() if t == k)
        sizes = sum(p[k] for p, _ in voxels()) + sum(t == k for _, t in voxels())
        expected -= math.log((2 * both + 1) / (sizes + 1)) / 2
    assert log_dice(torch.softmax(LOGITS, 1), TRUTH).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_against_a_loop(gamma):
    values = [-((1 - p[t]) ** gamma) * math.log(p[t]) for p, t in voxels()]
    assert focal(LOGITS, TRUTH, gamma).item() == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_without_gamma_the_focal_loss_is_cross_entropy():
    expected = torch.nn.functional.cross_entropy(LOGITS, TRUTH - 1, ignore_index=-1)
    assert focal(LOGITS, TRUTH, 0.0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_voxels_without_a_label_change_nothing():
    other = LOGITS + 9 * (TRUTH == 0)[:, None] * torch.tensor([0.0, 1.0, -1.0])[None, :, None, None, None]
    for a, b in ((LOGITS, other),):
        assert segmentation_loss([a], TRUTH, [1.0]).item() == pytest.approx(
            segmentation_loss([b], TRUTH, [1.0]).item(), rel=1e-6
        )


def test_stages_add_up_by_their_weights():
    coarse = LOGITS[:, :, ::2, ::2, ::2]
    truth = TRUTH[:, 1::2, 1::2, 1::2]
    fine, rough = segmentation_loss([LOGITS], TRUTH, [1.0]), segmentation_loss([coarse], truth, [1.0])
    both = segmentation_loss([LOGITS, coarse], TRUTH, [1.0, 0.5])
    assert both.item() == pytest.approx((fine.item() + 0.5 * rough.item()) / 1.5, rel=1e-5)


def test_a_right_answer_costs_next_to_nothing_and_an_empty_crop_is_finite():
    right = 40.0 * torch.nn.functional.one_hot((TRUTH - 1).clamp_min(0), 3).permute(0, 4, 1, 2, 3)
    assert segmentation_loss([right], TRUTH, [1.0]).item() < 1e-3
    assert torch.isfinite(segmentation_loss([LOGITS], torch.ones_like(TRUTH), [1.0]))
    assert torch.isfinite(segmentation_loss([LOGITS], torch.zeros_like(TRUTH), [1.0]))


def test_density_counts_only_where_it_is_known():
    a, b, w = torch.rand(1, 1, 2, 3, 4), torch.rand(1, 1, 2, 3, 4), torch.zeros(1, 1, 2, 3, 4)
    assert density_loss(a, b, w).item() == 0
    w[..., :2] = 1
    assert density_loss(a, b, w).item() == pytest.approx(((a - b)[..., :2] ** 2).mean().item(), rel=1e-5)


def test_slabs_count_every_labelled_voxel_once():
    live, labelled = torch.rand(2, 7, 3, 3), (torch.rand(2, 7, 3, 3) > 0.3).float()
    counts = slab_counts(live, labelled, 3)
    torch.testing.assert_close(counts.sum(1), (live * labelled).sum((1, 2, 3)))
    torch.testing.assert_close(counts[:, 0], (live * labelled)[:, :3].sum((1, 2, 3)))  # planes 0, 1, 2 of 7
