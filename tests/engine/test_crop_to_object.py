import numpy as np
import pytest

from vitascope.core.card import InputSpec, Normalisation
from vitascope.core.errors import InputError
from vitascope.engine.crop_to_object import crop_to_object

SPEC = InputSpec(
    modality="bright-field",
    channels=("bright-field",),
    crop_to="centre",
    side_px=32,
    normalisation=Normalisation(method="background"),
)


def test_a_picture_whose_ground_is_not_above_zero_is_refused():
    light = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    assert crop_to_object([light], SPEC).planes[0].shape == (32, 32)
    for dark in (light - 100 - 20, light - 1000):
        with pytest.raises(InputError, match="not above 0"):
            crop_to_object([dark], SPEC)
    plain = SPEC.model_copy(update={"normalisation": Normalisation(method="standard")})
    assert crop_to_object([light - 1000], plain).planes[0].shape == (32, 32)
