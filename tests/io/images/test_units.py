from __future__ import annotations

import math

import pytest

from vitascope.io.images.units import scale_from, to_um


@pytest.mark.parametrize(
    ("value", "unit", "um"),
    [
        (325, "nm", 0.325), (325, "nanometers", 0.325), (0.65, "µm", 0.65), (0.65, "μm", 0.65), (2, "micron", 2),
        (2, "\\u00B5m", 2), (1e-3, "mm", 1), (1e-4, "cm", 1), (1e-6, "m", 1), (10, "Å", 1e-3), (1, "inch", 25400),
        (3, "Micrometre", 3),
    ],
)  # fmt: skip
def test_lengths_in_micrometres(value, unit, um):
    assert to_um(value, unit) == pytest.approx(um, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "unit"),
    [(1, "banana"), (1, "pixel"), (0, "µm"), (-1, "µm"), (math.nan, "µm"), (math.inf, "µm"), (None, "µm")],
)
def test_what_is_no_length(value, unit):
    assert to_um(value, unit) is None


@pytest.mark.fault("A24")
@pytest.mark.parametrize("units", [("banana", "banana"), ("µm", "px")])
def test_a_unit_that_is_no_length_is_flagged(units):
    scale = scale_from((0.5, 0.5, None), (*units, ""))
    assert (scale.pixel_size_um, scale.flags) == (None, ("unit_unknown",))


def test_pixels_that_are_not_square_have_no_size():
    assert scale_from((0.5, 0.504, None), ("µm", "µm", "")).pixel_size_um == 0.5
    assert scale_from((500, 0.5, None), ("nm", "µm", "")).pixel_size_um == 0.5
    scale = scale_from((0.5, 0.6, 2), ("µm", "µm", "µm"))
    assert (scale.pixel_size_um, scale.z_step_um, scale.flags) == (None, 2, ("pixels_not_square",))
