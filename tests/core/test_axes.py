import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitascope.core.axes import check_axes, check_shape, complete_axes, default_axes
from vitascope.core.errors import AxesUnknownError, InputError


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


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 1, 8, 8), (1, 1, 1, 8, 8)])
def test_single_planes_never_ask(shape):
    axes = default_axes(shape)
    assert axes.endswith("YX")
    assert check_axes(axes, shape) == axes


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_what_nothing_tells_is_asked_with_every_reading(leading):
    shape = (*leading, 8, 9)
    if max(leading) == 1:
        assert default_axes(shape).endswith("YX")
        return
    with pytest.raises(AxesUnknownError) as caught:
        default_axes(shape, "a.tif")
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301, as from a worker
    assert error.flag == "axes_unknown"
    long = [i for i, side in enumerate(leading) if side > 1]
    assert {tuple(one[i] for i in long) for one in error.readings} == set(itertools.permutations("TCZ", len(long)))
    assert all(check_axes(one, shape) == one for one in error.readings)
    assert error.readings[0] in error.hint


def test_letters_that_are_told_are_kept():
    assert complete_axes("T?CYX", (2, 3, 4, 8, 8)) == "TZCYX"  # nothing else is left
    with pytest.raises(AxesUnknownError) as caught:
        complete_axes("?CYX", (2, 3, 8, 8))
    assert set(caught.value.readings) == {"ZCYX", "TCYX"}


@pytest.mark.parametrize("samples", [3, 4])
def test_a_bare_colour_picture_is_asked_about(samples):
    with pytest.raises(AxesUnknownError, match="colour") as caught:
        default_axes((20, 30, samples))
    assert caught.value.readings == ("YXC", "YXS", "ZYX", "TYX", "CYX")


@pytest.mark.parametrize("length", [0, 1, 6])
@pytest.mark.fault("A09")
def test_other_numbers_of_dimensions_are_refused_naming_what_can_be_read(length):
    with pytest.raises(InputError, match=f"{length} dimensions; 2 to 5"):
        default_axes((8,) * length)


@pytest.mark.fault("A06")
def test_a_side_of_length_zero_is_refused():
    with pytest.raises(InputError, match="no pixels"):
        check_shape((3, 0, 5))
