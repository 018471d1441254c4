from __future__ import annotations

from pathlib import Path

import pytest

from vitascope.io.filenames.preview import preview_pattern

PATHS = [
    Path(f"day{day}/{well}/img_{channel}.tif")
    for day in (1, 2)
    for well in ("B2", "B11", "C2", "C11")
    for channel in ("GFP", "RFP")
]


def test_a_pattern_shows_what_it_reads_of_each_name():
    found = preview_pattern(PATHS, "{plate}/{well}/img_{channel}")
    assert found.matches[0].told == {"plate": "day1", "well": "B02", "channel": "GFP"}
    assert found.summary == "16 of 16 names tell a well: 2 plates, 4 wells, 2 channels."
    assert found.error == ""


def test_without_a_pattern_the_known_layouts_are_shown():
    found = preview_pattern([Path("Week_B02_s1_w1.tif"), Path("overview.tif")])
    assert [match.told for match in found.matches] == [
        {"plate": "Week", "well": "B02", "field": "1", "channel": "w1"},
        {},
    ]
    assert found.fitting == 1


@pytest.mark.parametrize(
    "pattern", ["{", "{w", "{well", "(?P<well>", "{well}{well}", "{who}", "[", "(?P<well>[A-P]\\d", "*", "\\"]
)
def test_whatever_is_half_typed_gives_a_sentence_and_no_exception(pattern):
    found = preview_pattern(PATHS, pattern)
    assert len(found.matches) == len(PATHS)
    assert found.fitting == 0
    assert found.summary


def test_a_pattern_that_fits_some_says_which():
    found = preview_pattern(PATHS, "day1/{well}/*")
    assert found.fitting == 8
    assert found.summary == "8 of 16 names tell a well: 4 wells."


def test_without_a_pattern_the_wells_are_those_of_all_names_together():
    found = preview_pattern([Path(f"B16_x_{well}.tif") for well in ("A3", "A4", "B3")])
    assert [match.told["well"] for match in found.matches] == ["A03", "A04", "B03"]
