import pytest

from vitascope.core.axes import check_axes, check_shape, default_axes
from vitascope.core.errors import InputError


def test_small_letters_are_read():
    assert check_axes("czyx", (2, 3, 4, 5)) == "CZYX"


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("XQ", (4, 4)), ("YYX", (1, 4, 4)), ("ZX", (4, 4)), ("", ()), ("YX", (1, 4, 4)), ("ZYX", (4, 4))],
)
@pytest.mark.fault("A09")
def test_axes_that_do_not_name_every_dimension_once_are_refused(axes, shape):
    with pytest.raises(InputError) as caught:
        check_axes(axes, shape)
    assert caught.value.flag == "wrong_dimensions"
    assert caught.value.hint


@pytest.mark.parametrize(("length", "axes"), [(2, "YX"), (3, "ZYX"), (4, "CZYX"), (5, "TCZYX")])
def test_arrays_that_say_nothing_are_read_from_the_right(length, axes):
    assert default_axes((8,) * length) == axes


@pytest.mark.parametrize("length", [0, 1, 6])
@pytest.mark.fault("A09")
def test_other_numbers_of_dimensions_are_refused_naming_what_can_be_read(length):
    with pytest.raises(InputError, match=f"{length} dimensions; 2 to 5"):
        default_axes((8,) * length)


@pytest.mark.fault("A06")
def test_a_side_of_length_zero_is_refused():
    with pytest.raises(InputError, match="no pixels"):
        check_shape((3, 0, 5))
