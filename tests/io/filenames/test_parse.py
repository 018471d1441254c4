from __future__ import annotations

import pytest

from vitascope.core.errors import ParameterError
from vitascope.io.filenames.parse import natural, parse_name, split_suffix

GUID = "9AA4D9EA-18E4-4354-8C7D-0202029A8048"
PARTS = ("plate", "well", "field", "time", "channel", "z")


def told(name: str) -> dict[str, str]:
    parts = parse_name(name)
    return {part: getattr(parts, part) for part in PARTS if getattr(parts, part)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "ZProj[Stitched[Bright Field]]_C3_1_001.tif",
            {"well": "C03", "field": "1", "time": "001", "channel": "ZProj[Stitched[Bright Field]]"},
        ),
        ("B2_02_1_1_Bright Field_001.tif", {"well": "B02", "field": "1", "time": "001", "channel": "Bright Field"}),
        ("A1_02Z3_2_4_GFP_001.tif", {"well": "A01", "field": "4", "time": "001", "channel": "GFP", "z": "3"}),
        (
            "C6_-3_1_1_ZProj[Stitched[Texas Red 586,647]]_002.tif",
            {"well": "C06", "field": "1", "time": "002", "channel": "ZProj[Stitched[Texas Red 586,647]]"},
        ),
        ("Week1_B02_s1_w2.tif", {"plate": "Week1", "well": "B02", "field": "1", "channel": "w2"}),
        (f"plate 7_b02_s12_w1{GUID}.TIF", {"plate": "plate 7", "well": "B02", "field": "12", "channel": "w1"}),
        (f"101210OranePlt1_C16_w2_[{GUID}].tif", {"plate": "101210OranePlt1", "well": "C16", "channel": "w2"}),
        (f"MLS11 spheroids_B03{GUID}.tif", {"plate": "MLS11 spheroids", "well": "B03"}),
        ("Week1_AA05_s1.tif", {"plate": "Week1", "well": "AA05", "field": "1"}),
        (
            "r02c03f01p04-ch1sk1fk1fl1.tiff",
            {"well": "B03", "field": "01", "z": "04", "channel": "ch1", "time": "1"},
        ),
        (
            "D6_auto_Plate_M_p00_z05_0_A01f00d0.TIF",
            {"plate": "D6_auto_Plate_M", "well": "A01", "field": "00", "z": "05", "channel": "d0"},
        ),
        (
            "AS_09125_050116030001_D03f00d2.tif",
            {"plate": "AS_09125_050116030001", "well": "D03", "field": "00", "channel": "d2"},
        ),
        (
            "VID12_B2_1_2024y01m01d_00h00m.tif",
            {"plate": "VID12", "well": "B02", "field": "1", "time": "2024y01m01d_00h00m"},
        ),
        (
            "VID12_Phase_B2_1_00d02h00m.tif",
            {"plate": "VID12", "channel": "Phase", "well": "B02", "field": "1", "time": "00d02h00m"},
        ),
        ("B - 02(fld 1 wv UV - DAPI).tif", {"well": "B02", "field": "1", "channel": "UV - DAPI"}),
        (
            "A - 1(fld 2 wv Green - dsRed z 3).tif",
            {"well": "A01", "field": "2", "channel": "Green - dsRed", "z": "3"},
        ),
        (
            "AssayPlate_#781091_B02_T0001F002L01A03Z04C05.tif",
            {"plate": "AssayPlate_#781091", "well": "B02", "time": "0001", "field": "002", "z": "04", "channel": "C05"},
        ),
        ("ch01_A01_t1.tif", {"channel": "ch01", "well": "A01", "time": "1"}),
        ("B02_day3.tif", {"well": "B02", "time": "3"}),
        ("Day_10_B02.tif", {"well": "B02", "time": "10"}),
        ("Day3_B02_t1.tif", {"well": "B02", "time": "1"}),
        ("ch01_A_1_t1.tif", {"channel": "ch01", "well": "A01", "time": "1"}),
        ("Channel1-01-A-01.tif", {"channel": "Channel1", "well": "A01"}),
        ("Channel 2-96-H-12.BMP", {"channel": "Channel 2", "well": "H12"}),
        ("SIMCEPImages_A01_C1_F1_s01_w1.TIF", {"well": "A01", "field": "01", "channel": "w1"}),
        ("phase_z00.png", {"z": "00"}),
        ("well_A1_z03.tif", {"well": "A01", "z": "03"}),
        ("A01_z05.tif", {"well": "A01", "z": "05"}),
        ("b06.tif", {"well": "B06"}),
        ("img_t001_z002_c1.tif", {"time": "001", "z": "002", "channel": "c1"}),
        ("T001Z03C1.tif", {"time": "001", "z": "03", "channel": "C1"}),
        (
            "img_channel000_position003_time000000001_z002.tif",
            {"channel": "channel000", "field": "003", "time": "000000001", "z": "002"},
        ),
        ("C1-spheroid.tif", {"channel": "C1"}),
        ("Plate12_A01.tif", {"plate": "Plate12", "well": "A01"}),
        (
            "lab-X,condition-Y,well-A4,tile_computation-STITCHED,z_depth-10,channel-PHASE_CONTRAST,is_mask-false.png",
            {"well": "A04", "z": "10", "channel": "PHASE_CONTRAST"},
        ),
    ],
)
def test_layouts_by_name(name, expected):
    assert told(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "b_1838.png",
        "cell_155.png",
        "16_cell_stage_raw.tif",
        "EGFP_d0_flt32_108.tif",
        "8b_5c_rat_hippocampal_neuron.tif",
        "donor_w2.tif",
        "xyc_16bit__nuclei_golgi.tif",
        "Q99.tif",
    ],
)
def test_plain_names_tell_nothing(name):
    parts = parse_name(name)
    assert told(name) == {}
    assert parts.layout == ""
    assert parts.rest == split_suffix(name)[0]


def test_folders_of_time_points_and_z_steps_are_read():
    parts = parse_name("plate/TimePoint_2/ZStep_3/exp_B02_s1_w1.tif")
    assert (parts.time, parts.z, parts.well) == ("2", "3", "B02")


def test_what_the_name_says_goes_before_the_folder():
    assert parse_name("ZStep_3/A01_z7.tif").z == "7"


@pytest.mark.parametrize(
    ("name", "common"),
    [("phase_z00.png", "phase"), ("a_z1_b.tif", "a_b"), ("C1-MAX_img.tif", "MAX_img"), ("scan (1)_z3.tif", "scan (1)")],
)
def test_common_part_has_no_plane_and_no_doubled_separator(name, common):
    assert parse_name(name).common == common


def test_numbers_compare_as_numbers():
    assert sorted(["z10", "z2", "z1"], key=natural) == ["z1", "z2", "z10"]
    assert natural("ch01") == natural("CH1") != natural("ch10")


def test_every_well_of_every_layout_is_spelt_one_way():
    for spelling in ("B2", "B02", "b02"):
        assert parse_name(f"x_{spelling}_2_2024y01m01d_00h00m.tif").well == "B02"


def test_what_looks_like_a_well_but_is_none_stays_text():
    assert parse_name("A00_z1.tif").well == ""
    assert parse_name("P49_z1.tif").well == ""
    assert parse_name("AF48_z1.tif").well == "AF48"


def test_suffix_is_split_in_any_case():
    assert split_suffix("a.b.OME.TIFF") == ("a.b", ".ome.tiff")
    assert split_suffix(".tif") == (".tif", "")


def test_pattern_that_does_not_fit_names_the_file():
    from vitascope.io.filenames.user_patterns import compile_pattern

    with pytest.raises(ParameterError, match=r"odd\.tif"):
        parse_name("odd.tif", compile_pattern("{well}_z{z}"))
