import numpy as np
import pytest
from scipy import ndimage

from tests_support import blobs
from vitascope.core.denoising import DenoiseParams
from vitascope.core.errors import InputError
from vitascope.core.progress import run_to_end
from vitascope.training.noise2void import BOX_PX, BlindSpots, denoise_picture, hide


def clean(shape=(96, 112)):
    return 200 + 1500 * ndimage.gaussian_filter(blobs(shape), 1.5)


def noisy(sigma=60.0, shape=(96, 112), seed=0):
    return clean(shape) + np.random.default_rng(seed).normal(0, sigma, shape)


def test_one_pixel_of_every_box_is_hidden_by_a_neighbour_that_is_not_itself():
    crops = np.arange(3 * 64 * 64, dtype=np.float32).reshape(3, 64, 64)  # every value once
    hidden, places = hide(crops, np.random.default_rng(0))
    boxes = places.reshape(3, 8, BOX_PX, 8, BOX_PX).sum((2, 4))
    assert (boxes == 1).all()
    np.testing.assert_array_equal(hidden[~places], crops[~places])
    for b, y, x in np.argwhere(places):
        near = crops[b, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        assert hidden[b, y, x] in near
        assert hidden[b, y, x] != crops[b, y, x]


def test_only_hidden_pixels_count_in_the_loss():
    import torch

    job = BlindSpots(np.random.default_rng(0).standard_normal((80, 90)).astype(np.float32), 0)
    batch = job.batch(3, 2)
    again = job.batch(3, 2)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    value = job.loss(job.network, batch)
    spoiled = {**batch, "target": torch.where(batch["weight"] > 0, batch["target"], 99.0)}
    assert torch.equal(job.loss(job.network, spoiled), value)


def test_noise_goes_and_the_signal_stays():
    picture = noisy()
    found = run_to_end(denoise_picture(picture, DenoiseParams(steps=150), "cpu"))
    before, after = (np.sqrt(np.mean((p - clean()) ** 2)) for p in (picture, found.picture))
    assert after < 0.6 * before
    assert found.noise == pytest.approx(60, rel=0.25)
    assert np.corrcoef(found.picture.ravel(), clean().ravel())[0, 1] > 0.97


def test_the_same_seed_gives_the_same_picture():
    one, two = (run_to_end(denoise_picture(noisy(), DenoiseParams(steps=2), "cpu")).picture for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_noise_that_neighbours_share_is_refused_and_denoised_only_despite_it():
    shared = clean((256, 256)) + ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 200, (256, 256)), 0.8)
    with pytest.raises(InputError, match="share their noise") as refused:
        run_to_end(denoise_picture(shared, DenoiseParams(steps=1), "cpu"))
    assert "before smoothing" in refused.value.hint
    found = run_to_end(denoise_picture(shared, DenoiseParams(steps=1, despite_correlation=True), "cpu"))
    assert found.correlation > 0.1


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (np.zeros((40, 90)), "40 x 90 px"),
        (np.full((80, 80), 7.0), "one single value"),
        (np.full((80, 80), np.nan), "finite number"),
        (np.zeros((3, 80, 80)), "cannot be denoised"),
    ],
)
def test_what_cannot_be_denoised_is_a_sentence(picture, words):
    with pytest.raises(InputError, match=words):
        run_to_end(denoise_picture(picture, DenoiseParams(steps=1), "cpu"))


def test_pixels_that_are_no_numbers_stay_so_and_the_input_is_left_alone():
    picture = noisy()
    picture[10:12, 10:12] = np.nan
    before = picture.copy()
    found = run_to_end(denoise_picture(picture, DenoiseParams(steps=1), "cpu")).picture
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(picture))
