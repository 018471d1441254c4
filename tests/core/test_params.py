from typing import Annotated, Literal

import pytest
from pydantic import Field

from vitascope.core.errors import ParameterError
from vitascope.core.params import RunParams, describe_validation, field_extra


def test_parameters_cannot_be_changed_but_copied():
    params = RunParams.make(tile_px=512)
    with pytest.raises(ValueError, match="frozen"):
        params.tile_px = 256
    other = params.changed(threads=2)
    assert (other.tile_px, other.threads, params.threads) == (512, 2, None)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tile_px": 500}, "tile_px: input should be a multiple of 16"),
        ({"tile_px": 16}, "tile_px: input should be greater than or equal to 256"),
        ({"precision": "f8"}, "precision: input should be 'auto', 'f32', 'tf32', 'bf16', 'f16' or 'int8'"),
        ({"threads": float("nan")}, "threads: input should be a finite number"),
        ({"colour": "red"}, "colour: extra inputs are not permitted"),
        ({"tile_px": 500, "threads": 0}, "; threads:"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_and_what_is_known(values, words):
    with pytest.raises(ParameterError) as caught:
        RunParams.make(**values)
    assert words in caught.value.message
    assert "tile_px" in caught.value.hint


def test_a_copy_is_checked_as_well():
    with pytest.raises(ParameterError, match="tile_px"):
        RunParams.make().changed(tile_px=1)


def test_validation_of_a_whole_is_called_value():
    from pydantic import RootModel, ValidationError

    with pytest.raises(ValidationError) as caught:
        RootModel[int].model_validate("many")
    assert describe_validation(caught.value).startswith("value: input should be a valid integer")


def test_of_many_faults_the_first_few_are_told():
    with pytest.raises(ParameterError) as caught:
        RunParams.make(**{f"x{i}": i for i in range(40)})
    assert caught.value.message.count("extra inputs") == 5
    assert caught.value.message.endswith("; and 35 more.")


def test_extras_of_a_field_are_found():
    fields = RunParams.model_fields
    assert field_extra(fields["tile_px"], "unit") == "px"
    assert field_extra(fields["model"], "unit") is None


class Mixed(RunParams):
    level: Annotated[float, Field(ge=0, lt=1)] | Literal["set", "image"] = "set"
    sizes: tuple[int, ...] | None = None


def test_a_field_of_several_kinds_has_one_fault_without_pydantics_words():
    with pytest.raises(ParameterError) as refused:
        Mixed.make(level="plate", sizes="x")
    message = refused.value.message
    assert message.count("level:") == message.count("sizes:") == 1
    assert "'set' or 'image'" in message
    assert "constrained" not in message
    assert "literal" not in message
