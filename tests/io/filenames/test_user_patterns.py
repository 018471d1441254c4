from __future__ import annotations

import pytest

from vitascope.core.errors import ParameterError
from vitascope.io.filenames.parse import parse_name
from vitascope.io.filenames.user_patterns import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("{plate}_{well}_s{field}_w{channel}", "my plate_b7_s3_wDAPI.tif", ("my plate", "B07", "3", "DAPI", "", "")),
        ("{well}_z{z}.tif", "B2_z07.tif", ("", "B02", "", "", "07", "")),
        ("*-{row}-{column}-day{time}", "x-2-11-day5.png", ("", "B11", "", "", "", "5")),
        (r"(?P<well>[A-P]\d+).*?plane(?P<z>\d+)", "run_C5_xplane12_end.tif", ("", "C05", "", "", "12", "")),
        ("[{channel}]_{z}", "[GFP]_3.tif", ("", "", "", "GFP", "3", "")),
    ],
)
def test_pattern_reads_its_parts(pattern, name, expected):
    parts = parse_name(name, compile_pattern(pattern))
    assert (parts.plate, parts.well, parts.field, parts.channel, parts.z, parts.time) == expected


def test_pattern_replaces_the_known_layouts():
    parts = parse_name("x_B02_s1_w2.tif", compile_pattern("x_B02_s1_w{time}"))
    assert (parts.well, parts.channel, parts.time) == ("", "", "2")


@pytest.mark.parametrize(
    "pattern",
    ["", "plain", "(?P<well>[A-P", "{well}_{dose}", "(?P<dose>x)", "{well}_{well}", "{row}_x", "(?P<z>\\d+)("],
)
def test_bad_pattern_is_refused_with_an_example(pattern):
    with pytest.raises(ParameterError) as caught:
        compile_pattern(pattern)
    assert "{well}" in caught.value.hint


def test_row_and_column_outside_every_plate_do_not_fit():
    with pytest.raises(ParameterError, match="does not fit"):
        parse_name("40-99.tif", compile_pattern("{row}-{column}"))
