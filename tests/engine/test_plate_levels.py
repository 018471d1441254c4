"""Grey levels of a plate: found, written, read, applied."""

import numpy as np
import pytest

from vitascope.core.card import Normalisation
from vitascope.core.errors import ParameterError
from vitascope.engine.plate_levels import Level, read_levels
from vitascope.ops.intensity.histogram import histogram


@pytest.mark.parametrize("level", [Level(412.25, 1 / 3), Level(-3.0, 1e-7, -4.0, 1e9)])
def test_levels_are_read_as_they_were_written(level):
    assert read_levels(f"{level}, {level}", ["a", "b"]) == (level, level)


@pytest.mark.parametrize("text", ["", "3", "3:0", "3:-1", "nan:2", "3:inf", "3:2:9:9", "3:2:1", "a:b", "3:2,"])
def test_what_is_no_level_is_refused(text):
    with pytest.raises(ParameterError, match="no grey levels"):
        read_levels(text, ["a"])


def test_each_channel_has_one():
    with pytest.raises(ParameterError, match="dapi, phase"):
        read_levels("3:2", ["dapi", "phase"])


def test_pixels_beyond_are_cut_and_those_that_are_none_become_the_images_own_median():
    image = np.array([[0, 10, 20, 30, np.nan]], np.float32)
    mapped = Level(10, 5, 5, 20).mapped(histogram(image), Normalisation(method="zscore"))
    np.testing.assert_allclose(mapped(image), [[-1, 0, 2, 2, 1]])
