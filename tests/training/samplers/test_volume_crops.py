import numpy as np
import pytest
import torch

from vitascope.core.errors import TrainingError
from vitascope.core.training_params import PLAIN, AugmentParams
from vitascope.training.samplers.volume_crops import LabelledVolume, VolumeSampler

RNG = np.random.default_rng(0)
CROP = (4, 8, 8)


def volume(shape=(10, 30, 30)):
    classes = np.ones(shape, np.uint8)
    classes[:2] = 0
    classes[4:6, 10:20, 10:20] = 2
    image = np.stack([classes * 10.0 + k for k in range(2)]).astype(np.float32)
    return LabelledVolume(image, classes, RNG.random(shape).astype(np.float32), "a", "labelled")


def test_the_same_step_gives_the_same_batch():
    one, two = (VolumeSampler([volume()], CROP, AugmentParams(gain=0.2, noise=0.1), 3).batch(5, 3) for _ in range(2))
    assert all(torch.equal(one[n], two[n]) or n.startswith("density") for n in one)
    assert not torch.equal(one["image"], VolumeSampler([volume()], CROP, PLAIN, 3).batch(6, 3)["image"])


def test_picture_and_truth_stay_together_whatever_is_turned():
    turned = AugmentParams(flip_vertical=1, flip_horizontal=1, rotation_degrees=90, gain=0, noise=0)
    batch = VolumeSampler([volume()], CROP, turned, 0).batch(0, 8)
    np.testing.assert_array_equal(batch["image"][:, 0].numpy(), 10.0 * batch["truth"].numpy())
    assert batch["image"].shape == (8, 2, *CROP)


def test_most_crops_hold_cells():
    batch = VolumeSampler([volume()], CROP, PLAIN, 0).batch(0, 40)
    assert ((batch["truth"] == 2).flatten(1).any(1)).float().mean() > 0.7


def test_the_density_counts_where_it_is_known_and_labelled():
    unknown = volume()
    unknown = LabelledVolume(unknown.image, unknown.classes, None, "b", "labelled")
    assert not VolumeSampler([unknown], CROP, PLAIN, 0).batch(0, 4)["density_weight"].any()
    batch = VolumeSampler([volume()], CROP, PLAIN, 0).batch(0, 8)
    torch.testing.assert_close(batch["density_weight"][:, 0], (batch["truth"] > 0).float())


def test_a_small_volume_is_continued_without_labels():
    batch = VolumeSampler([volume((6, 22, 22))], (8, 24, 24), PLAIN, 0).batch(0, 1)
    assert batch["image"].shape == (1, 2, 8, 24, 24)
    assert not batch["truth"][0, 6:].any()


def test_nothing_labelled_is_refused():
    empty = LabelledVolume(np.zeros((2, 5, 5, 5), np.float32), np.zeros((5, 5, 5), np.uint8), None, "a", "labelled")
    with pytest.raises(TrainingError, match="labelled"):
        VolumeSampler([empty], CROP, PLAIN, 0)
