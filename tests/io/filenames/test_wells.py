"""Wells decided over all names: members of the class are made of templates with words that look like wells."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitascope.core.errors import ParameterError
from vitascope.io.filenames.parse import parse_name
from vitascope.io.filenames.user_patterns import compile_pattern
from vitascope.io.filenames.wells import home_levels, settle_wells

CONSTANTS = ("B16", "H9", "P12", "M01", "D03", "N2", "E14", "C12", "A549", "2024", "x", "C01")
TREATMENTS = ("DMSO", "drug", "drug_high", "ctrl")
CHANNELS = ("C{:02}", "C{}", "ch{}", "w{}")
FIELDS = ("P{:03}", "s{}", "f{}", "F{}", "pos{}")


def settle(names, ties="ask"):
    paths = [Path("study") / name for name in names]
    return settle_wells(paths, [parse_name(path) for path in paths], [path.parent for path in paths], ties)


def read(well):
    return f"{well[0]}{int(well[1:]):02}"


@st.composite
def plates(draw):
    """Names of a plate, with the well, field and channel that each stands for."""
    rows = draw(st.lists(st.sampled_from("ABCDEFGH"), min_size=2, max_size=4, unique=True))
    columns = draw(st.lists(st.integers(1, 12), min_size=2, max_size=4, unique=True))
    padded = draw(st.booleans())
    before = draw(st.lists(st.sampled_from(CONSTANTS), max_size=2, unique=True))
    after = draw(st.lists(st.sampled_from(CONSTANTS), max_size=1))
    treated = draw(st.booleans())
    channel = draw(st.sampled_from(("", *CHANNELS)))
    field = draw(st.sampled_from(("", *FIELDS)))
    separator = draw(st.sampled_from(("_", "--", " ")))
    made = []
    for i, (row, column) in enumerate((row, column) for row in rows for column in columns):
        well = f"{row}{column:02}" if padded else f"{row}{column}"
        for f in (1, 2, 3) if field else (0,):
            for c in (1, 2) if channel else (0,):
                words = [*before, *([TREATMENTS[i % len(TREATMENTS)]] if treated else []), well, *after]
                words += [field.format(f)] * bool(field) + [channel.format(c)] * bool(channel)
                made.append((separator.join(words) + ".tif", read(well), str(f or ""), str(c or "")))
    return made


@given(plates())
@settings(max_examples=150, deadline=None)
def test_words_that_look_like_wells_are_told_from_the_wells(made):
    parts = settle([name for name, *_ in made])
    assert [one.well for one in parts] == [well for _, well, _, _ in made]
    assert [one.field.lstrip("0") for one in parts] == [field for *_, field, _ in made]
    if made[0][3]:
        told = [re.sub(r"\D", "", one.channel).lstrip("0") for one in parts]
        assert told == [channel for *_, channel in made]


@pytest.mark.parametrize(
    "names",
    [
        ("B16_A3.tif", "H9_A4.tif"),
        ("A01_P1.tif", "A02_P2.tif", "A03_P3.tif"),
        ("A2_C01.tif", "A2_C02.tif"),
        ("from A01 to B03.tif", "from A02 to B04.tif"),
        ("B16_A3_s1.tif", "B16_A3_s2.tif"),
    ],
)
def test_ties_are_asked_and_every_reading_of_the_hint_can_be_used(names):
    with pytest.raises(ParameterError, match="wells") as caught:
        settle(names)
    readings = re.findall(r"'([^']*\{well\}[^']*)'", caught.value.hint)
    assert "--pattern" in caught.value.hint
    assert len(readings) == 2
    told = [{parse_name(name, compile_pattern(shlex.split(f"'{one}'")[0])).well for name in names} for one in readings]
    assert told[0] != told[1]
    assert all(one.well == "" for one in settle(names, "leave"))


def test_a_single_name_is_left_open_rather_than_guessed():
    assert settle(["B16_DMSO_A3.tif"])[0].well == ""
    assert settle(["DMSO_A3.tif"])[0].well == "A03"
    assert settle(["B16_well_A3.tif", "B16_well_A4.tif"])[0].well == "A03"


def test_the_same_word_in_all_names_tells_no_well():
    assert {one.well for one in settle(["P12_DMSO_1.tif", "P12_drug_1.tif"])} == {""}
    assert {one.well for one in settle(["A01_s1.tif", "A01_s2.tif"])} == {"A01"}
    assert {one.well for one in settle(["x_A01_DAPI.tif", "x_A01_GFP.tif"])} == {"A01"}


def test_a_word_that_goes_with_the_stain_tells_no_well():
    assert {one.well for one in settle(["dapi_C01.tif", "gfp_C02.tif"])} == {""}
    assert [one.well for one in settle(["B03_w1_C1.tif", "B03_w2_C2.tif", "B04_w1_C1.tif", "B04_w2_C2.tif"])] == [
        "B03", "B03", "B04", "B04",
    ]  # fmt: skip


def test_names_of_one_layout_are_looked_at_together_too():
    names = [f"exp_{well}_B16_s1_w{c}.tif" for well in ("A01", "A02", "C03") for c in (1, 2)]
    assert [one.well for one in settle(names)] == ["A01", "A01", "A02", "A02", "C03", "C03"]


def test_wells_of_folders_count_where_the_names_only_number_channels():
    names = [f"{well}/img_C0{c}.tif" for well in ("A2", "A8") for c in (1, 2)]
    parts = settle(names)
    assert [one.well for one in parts] == ["A02", "A02", "A08", "A08"]
    assert [one.channel for one in parts] == ["C01", "C02"] * 2
    assert home_levels([Path("study") / name.split("/")[0] for name in names], parts, Path("study")) == [1] * 4


def test_cell_lines_of_several_plates_are_no_wells():
    names = [f"day{i}/{line}_{well}.tif" for i, line in enumerate(("B16", "H9")) for well in ("A1", "A2")]
    assert [one.well for one in settle(names)] == ["A01", "A02"] * 2


@pytest.mark.parametrize("hours", [(0, 6, 12), (0, 24, 48, 72), (1, 100)])
def test_a_column_of_words_that_are_not_all_wells_tells_none(hours):
    names = [f"{well}_H{hour}.tif" for well in ("A1", "B2", "C3") for hour in hours]
    assert {one.well for one in settle(names)} == {"A01", "B02", "C03"}


def test_a_whole_row_of_wells_is_no_set_of_channels():
    assert [one.well for one in settle([f"B16_C{n:02}.tif" for n in range(1, 13)])] == [
        f"C{n:02}" for n in range(1, 13)
    ]
