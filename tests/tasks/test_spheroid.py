import pytest

from vitascope.core.errors import ParameterError
from vitascope.tasks.spheroid import SPEC


def test_channels_are_taken_by_name_or_number():
    assert SPEC.make_params(channels=[1, "PI"]).channels == ("1", "PI")
    assert SPEC.make_params(channels="calcein").channels == ("calcein",)


@pytest.mark.parametrize(
    ("name", "value"), [("z_step_um", 0), ("tile_px", 66), ("shell_um", -1), ("control_live_um3", 0)]
)
def test_values_out_of_bounds_are_refused_by_name(name, value):
    with pytest.raises(ParameterError, match=name):
        SPEC.make_params(**{name: value})
