import pytest

from vitascope.core.errors import ParameterError
from vitascope.tasks.stain import SPEC


@pytest.mark.parametrize(
    "values",
    [
        {"channel": "phase", "planes": [0, 2, 4], "masks": False},
        {"planes": (3,), "object_diameter_px": 26.5, "threshold": "mixture"},
        {"blend": "border", "border_px": 48, "flips": True, "min_contrast": 0.0},
    ],
)
def test_parameters_come_back_from_json_as_they_were(values):
    params = SPEC.make_params(**values)
    assert SPEC.make_params(**params.model_dump(mode="json")) == params
    assert type(params).model_validate_json(params.model_dump_json()) == params


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("border_px", 40),
        ("border_px", 128),
        ("object_diameter_px", 0),
        ("object_diameter_px", float("inf")),
        ("object_diameter_px", "large"),
        ("invert", "maybe"),
        ("least_expected", 1.5),
        ("min_contrast", 1),
        ("min_solidity", 1.5),
        ("threshold", "otsu"),
        ("planes", "all"),
        ("planes", [0.5]),
        ("blend", "mean"),
    ],
)
def test_values_out_of_bounds_are_refused_by_name(name, value):
    with pytest.raises(ParameterError, match=name):
        SPEC.make_params(**{name: value})


def test_no_diameter_is_looked_for_as_auto_is():
    assert (
        SPEC.make_params(object_diameter_px=None) == SPEC.make_params(object_diameter_px="auto") == SPEC.make_params()
    )
