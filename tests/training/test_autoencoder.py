"""Autoencoders of crops: 3528 and 200 numbers, that draw crops again, of crops that hold something."""

import numpy as np
import pytest
import torch

from vitascope.core.errors import InputError
from vitascope.core.progress import run_to_end
from vitascope.networks.autoencoder import make_autoencoder
from vitascope.training.autoencoder import (
    CropChoice,
    CropsToThemselves,
    foreground,
    texture_threshold,
    train_autoencoder,
)


def picture(seed, filled=1.0, side=320):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    image = rng.normal(100, 1, (side, side))
    for top, left in rng.uniform(0, side * filled, (int(40 * filled), 2)):
        image += 60 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / 200)
    return image.astype(np.float32)


@pytest.mark.parametrize("code", [3528, 200])
def test_a_crop_becomes_so_many_numbers_and_comes_back(code):
    network = make_autoencoder(code, 0)
    found = network(torch.zeros(2, 1, 256, 256))
    assert found.code.shape == (2, code)
    assert found.image.shape == (2, 1, 256, 256)
    again = make_autoencoder(code, 0)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_crops_hold_something_and_are_normalised():
    pictures = [picture(0, 0.5, 640)]
    threshold = texture_threshold(pictures)
    assert foreground(pictures[0][:256, :256], threshold) > 0.25
    assert foreground(pictures[0][-256:, -256:], threshold) < 0.1
    job = CropsToThemselves(pictures, pictures, 200, CropChoice(foreground=True, normalised=True), 0)
    crops = job.batch(3, 8)["image"].numpy()
    assert np.abs(crops.mean(axis=(1, 2, 3))).max() < 0.2
    assert np.abs(crops).max() <= 4
    assert torch.equal(job.batch(3, 8)["image"], torch.from_numpy(crops))
    plain = CropsToThemselves(pictures, pictures, 200, CropChoice(), 0).batch(3, 8)["image"]
    assert plain.mean(dim=(1, 2, 3)).std() > 0.05


@pytest.mark.slow
def test_it_learns_to_draw_what_it_has_not_seen():
    trained = run_to_end(train_autoencoder([picture(0), picture(1)], [picture(2)], code=200, steps=50))
    assert trained.error < 0.95
    codes = trained.encode([picture(3)[:256, :256], picture(4)[:256, :256]])
    assert codes.shape == (2, 200)
    assert not np.allclose(codes[0], codes[1])


def test_pictures_that_cannot_be_used_are_refused():
    good = picture(0)
    for pictures, apart, choice, said in (
        ([], [good], CropChoice(), "nothing to learn"),
        ([good], [], CropChoice(), "nothing to learn"),
        ([good[:200]], [good], CropChoice(), r"shape \(200, 320\)"),
        ([good * np.nan], [good], CropChoice(), "256 px"),
        ([np.ones((300, 300))], [good], CropChoice(), "one single value"),
        ([picture(0, 0.2, 640)], [picture(0)[:256, :256] * 0 + 1.0], CropChoice(foreground=True), "hold too little"),
    ):
        with pytest.raises(InputError, match=said) as refused:
            run_to_end(train_autoencoder(pictures, apart, choice=choice, code=200, steps=50))
        assert refused.value.hint
