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


def test_an_evened_ground_takes_exposure_and_shading_away():
    side = 96
    y, x = np.meshgrid(*(np.linspace(-1, 1, side),) * 2, indexing="ij")
    light = np.full((side, side), 1000.0)
    light[np.hypot(y - 0.2, x + 0.1) < 0.2] *= 0.5
    how = Normalisation(method="dataset", means=(1.0,), stds=(1.0,), clip=(-1.0, 1.0))
    even = SPEC.model_copy(update={"ground": "even", "normalisation": how})
    plain = crop_to_object([light], even).planes[0]
    other = crop_to_object([3 * light * np.exp(0.2 * x - 0.1 * y**2)], even).planes[0]
    assert plain.max() == pytest.approx(1, abs=1e-3)
    assert plain.min() == pytest.approx(0.5, abs=1e-3)
    assert np.allclose(other, plain, atol=0.01)
    assert even.is_light_missing
    assert SPEC.is_light_missing
    assert not SPEC.model_copy(update={"normalisation": Normalisation(method="standard")}).is_light_missing
    with pytest.raises(InputError, match="not above 0"):
        crop_to_object([light - 2000], even)
    with pytest.raises(ValueError, match="made even"):
        InputSpec.model_validate({**even.model_dump(), "crop_to": "none"})
