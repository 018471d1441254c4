import numpy as np
import pytest
import torch

from vitascope.core.errors import TrainingError
from vitascope.core.training_params import AugmentParams, CropFilter
from vitascope.ops.intensity.corruption import defocus_kernel
from vitascope.training.samplers.crops import Area, CropSampler, Pair, augment, draw_zoom

STILL = AugmentParams(flip_vertical=0, flip_horizontal=0, rotation_degrees=0, zoom="none", contrast=0, defocus=0)
KEEP = CropFilter()


def coordinates_pair(h=200, w=240, areas=()):
    """Image and target hold the pixel's own row and column, so that a crop tells where it was taken."""
    y, x = np.indices((h, w)).astype(np.float32)
    return Pair(np.stack([y, x]), np.stack([y, x]), np.ones((1, h, w), np.float32), areas)


def draw(pair, augment=STILL, crop=64, seed=0, keep=KEEP):
    return CropSampler([pair], crop, augment, keep, seed).draw(np.random.default_rng(seed))


def test_without_augmentation_a_crop_is_a_cut():
    image, target, *_ = draw(coordinates_pair())
    y = image[0].numpy()
    np.testing.assert_allclose(np.diff(y, axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(np.diff(image[1].numpy(), axis=1), 1, atol=1e-4)
    assert torch.equal(image, target)


def test_image_and_target_are_bent_alike():
    augment = AugmentParams(zoom="range", elastic_px=3, contrast=0, defocus=0)
    for seed in range(5):
        image, target, *_ = draw(coordinates_pair(), augment, seed=seed)
        assert torch.equal(image, target)


@pytest.mark.parametrize("degrees", [45, 180])
def test_rotated_corners_are_real_pixels(degrees):
    """Section 3.1.4.1: coordinates stay an affine map up to the corners; padding would break it."""
    augment = AugmentParams(rotation_degrees=degrees, zoom="none", contrast=0, defocus=0)
    for seed in range(10):
        image, *_ = draw(coordinates_pair(), augment, seed=seed)
        y, x = image.numpy()
        steps = [np.diff(a, axis=k) for a in (y, x) for k in (0, 1)]
        assert all(np.ptp(s) < 1e-3 for s in steps)
        assert np.hypot(steps[0].mean(), steps[2].mean()) == pytest.approx(1, abs=1e-3)


def test_crops_never_leave_their_area():
    area = Area(50, 150, 20, 140)
    augment = AugmentParams(zoom="range", contrast=0, defocus=0, elastic_px=4)
    for seed in range(20):
        image, *_ = draw(coordinates_pair(areas=(area,)), augment, seed=seed)
        y, x = image.numpy()
        assert y.min() >= 50 - 1e-3
        assert y.max() <= 149 + 1e-3
        assert x.min() >= 20 - 1e-3
        assert x.max() <= 139 + 1e-3


def test_the_thesis_zooms_have_their_chances():
    rng = np.random.default_rng(0)
    drawn = [round(256 / draw_zoom(AugmentParams(), 256, rng)) for _ in range(4000)]
    shares = {side: drawn.count(side) / 4000 for side in set(drawn)}
    assert shares == pytest.approx({56: 0.2, 156: 0.2, 216: 0.6}, abs=0.03)


def test_flips_have_their_chances():
    augment = AugmentParams(rotation_degrees=0, zoom="none", contrast=0, defocus=0)
    sampler = CropSampler([coordinates_pair()], 32, augment, KEEP, 0)
    images = sampler.batch(0, 400)["image"].numpy()
    assert np.mean(images[:, 0, 0, 0] > images[:, 0, -1, 0]) == pytest.approx(0.3, abs=0.07)
    assert np.mean(images[:, 1, 0, 0] > images[:, 1, 0, -1]) == pytest.approx(0.3, abs=0.07)


def test_contrast_is_halved_or_tripled_in_a_fifth():
    params = STILL.model_copy(update={"contrast": 0.2})
    rng = np.random.default_rng(0)
    factors = [augment(torch.ones(1, 8, 8), params, rng)[0, 0, 0].item() for _ in range(3000)]
    shares = {f: factors.count(f) / 3000 for f in set(factors)}
    assert shares == pytest.approx({1.0: 0.8, 0.5: 0.1, 3.0: 0.1}, abs=0.03)


def test_defocus_convolves_with_the_disk_of_table_9():
    params = STILL.model_copy(update={"defocus": 1.0})
    image = torch.zeros(1, 32, 32)
    image[0, 16, 16] = 1
    blurred = augment(image, params, np.random.default_rng(0))[0].numpy()
    kernel = defocus_kernel(2.0)
    r = kernel.shape[0] // 2
    np.testing.assert_allclose(blurred[16 - r : 17 + r, 16 - r : 17 + r], kernel, atol=1e-6)


def test_the_same_step_gives_the_same_batch_and_another_step_another():
    sampler = CropSampler([coordinates_pair()], 32, AugmentParams(noise=0.1), KEEP, seed=7)
    one, again, other = sampler.batch(3, 4), sampler.batch(3, 4), sampler.batch(4, 4)
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert not torch.equal(one["image"], other["image"])


def test_mixup_adds_crops_and_their_truth_in_the_same_shares():
    flat = [np.full((1, 64, 64), v, np.float32) for v in (0.0, 1.0)]
    ones = np.ones((1, 64, 64), np.float32)
    pairs = [Pair(f, 2 * f, ones, (), f[0, 0, :1]) for f in flat]
    pairs[1].weight[:, :, :32] = 0
    sampler = CropSampler(pairs, 64, STILL.model_copy(update={"mixup": 1.0}), KEEP, seed=0)
    drawn = [sampler.batch(step, 16) for step in range(20)]
    numbers = torch.cat([d["numbers"][:, 0] for d in drawn]).numpy()
    for values, factor in (("image", 1), ("target", 2)):
        found = torch.cat([d[values][:, 0, 5, 5] for d in drawn]).numpy()
        np.testing.assert_allclose(found, factor * numbers, atol=1e-6)
    between = numbers[(numbers > 0) & (numbers < 1)]
    assert len(between) > 100  # about half of the pairs are of two kinds
    assert abs(between.mean() - 0.5) < 0.06  # Beta(1, 1) is uniform
    assert abs(between.std() - 12**-0.5) < 0.03
    left = torch.cat([d["weight"][:, 0, 5, 5] for d in drawn]).numpy()
    assert (left[numbers > 0] == 0).all()  # what counts in one of them only does not count
    again = sampler.batch(3, 16)
    assert all(torch.equal(again[k], drawn[3][k]) for k in again)


def test_the_filter_drops_background_overexposure_and_underexposure():
    h, w = 64, 256
    target = np.zeros((1, h, w), np.float32)
    target[:, :, 64:128] = 0.1  # under-exposed
    target[:, :, 128:192] = 1.0  # over-exposed
    target[:, :, 192:] = 0.6
    pair = Pair(target.copy(), target, np.ones((1, h, w), np.float32))
    keep = CropFilter(min_foreground=0.2, max_saturated=0.3, min_peak=0.5)
    sampler = CropSampler([pair], 32, STILL, keep, 0)
    means = [sampler.draw(np.random.default_rng(i))[1] for i in range(30)]
    for crop in means:
        assert (crop > 0.15).float().mean() >= 0.2
        assert (crop >= 1).float().mean() <= 0.3


def test_ignored_pixels_stay_ignored():
    pair = coordinates_pair()
    pair.weight[:, :, :100] = 0
    _, target, weight, _ = draw(pair, AugmentParams(zoom="range", contrast=0, defocus=0))
    assert (target[1][weight[0] > 0] >= 99.5).all()


def test_images_smaller_than_a_crop_are_refused():
    with pytest.raises(TrainingError, match="64 px"):
        CropSampler([coordinates_pair(40, 40)], 64, STILL, KEEP, 0)


def test_crops_on_whole_pixels_are_pixels_of_the_image():
    image = np.arange(96 * 80, dtype=np.float32).reshape(1, 96, 80)  # every value once
    pair = Pair(image=image, target=image, weight=np.ones_like(image))
    how = STILL.model_copy(
        update={"flip_vertical": 0.5, "rotation_degrees": 180, "quarter_turns": True, "whole_pixels": True}
    )
    sampler = CropSampler([pair], 32, how, CropFilter(), 0)
    for seed in range(6):
        crop = sampler.draw(np.random.default_rng(seed))[0][0].numpy()
        rounded = np.round(crop)
        np.testing.assert_allclose(crop, rounded, atol=0.01)
        steps = {abs(int(s)) for s in np.diff(rounded, axis=0).ravel()} | {
            abs(int(s)) for s in np.diff(rounded).ravel()
        }
        assert steps == {1, 80}


def test_corruptions_of_table_9_are_drawn_from_the_levels_that_are_named():
    grey = torch.full((1, 32, 32), 0.4)
    some = AugmentParams(contrast=0, defocus=0, corruption=1.0)
    assert some.corruption_levels == (-4, 4)
    rng = np.random.default_rng(0)
    found = {round(float(augment(grey, some, rng)[0, 16, 16]), 3) for _ in range(200)}
    # defocus leaves an even crop; contrast 3.0 and 0.5; brightness -135 and 135 grey values of 255
    assert found == {0.4, 1.0, 0.2, 0.0, 0.929}
    blur_only = AugmentParams(contrast=0, defocus=0, corruption=1.0, corruption_levels=(0,))
    assert torch.equal(augment(grey, blur_only, rng), grey)
    with pytest.raises(ValueError, match="corruption_levels"):
        AugmentParams(corruption_levels=(6,))
