import numpy as np
import pytest

from vitascope.core.errors import RangeError
from vitascope.ops.wells.binary_code import atp_from_code, binary_code, bits_needed, round_top


def test_the_papers_example():
    assert binary_code([239420.0], 20000, 4).round(3).tolist() == [[1, 0, 1, 1, 0.971]]


def test_bits_are_those_of_the_whole_number():
    values = np.random.default_rng(0).uniform(0, 640_000, 200)
    code = binary_code(values, 20000, 5)
    for value, row in zip(values, code, strict=True):
        assert "".join(str(int(b)) for b in row[:-1]) == f"{int(value // 20000):05b}"
        assert row[-1] == pytest.approx(value % 20000 / 20000, abs=1e-6)


@pytest.mark.parametrize(("low", "high", "width", "bits"), [(0, 400_000, 20_000, 5), (66, 1.2e9, 6e7, 5)])
def test_decoding_is_the_inverse(low, high, width, bits):
    values = np.random.default_rng(1).uniform(low, high, 500)
    assert np.allclose(atp_from_code(binary_code(values, width, bits), width), values, atol=width * 1e-6)


def test_what_needs_more_bits_is_refused_and_says_how_many():
    with pytest.raises(RangeError, match="Take 5 bits"):
        binary_code([400_000.0], 20_000, 4)
    with pytest.raises(RangeError):
        binary_code([-1.0], 20_000, 4)
    with pytest.raises(RangeError):
        binary_code([np.nan], 20_000, 4)


def test_needed_bits_are_just_enough():
    for top in (1, 19_999, 20_000, 319_999, 320_000, 1.2e9):
        bits = bits_needed(top, 20_000)
        binary_code([top], 20_000, bits)
        if bits > 1:
            with pytest.raises(RangeError):
                binary_code([top], 20_000, bits - 1)


def test_the_top_of_a_range_lies_just_above():
    for value in np.random.default_rng(2).lognormal(8, 4, 100):
        assert value <= round_top(value) * (1 + 1e-12) <= value * 1.1 * (1 + 1e-9)
    with pytest.raises(RangeError):
        round_top(0)
