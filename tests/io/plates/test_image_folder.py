from __future__ import annotations

import gc
import pickle

import numpy as np
import pytest
import tifffile

from vitascope.core.errors import IncompleteError, InputError, ParameterError, ReaderError
from vitascope.core.well import Well
from vitascope.io.plates.image_folder import list_images
from vitascope.io.plates.read import find_plates, open_plate

GUID = "0A1B2C3D-4E5F-6789-ABCD-EF0123456789"
WELLS = ("B02", "C11")


def short(well):
    return f"{well[0]}{int(well[1:])}"


# What each instrument writes for well, field and channel (from 1), by the name of its layout.
VENDORS = {
    "operetta": lambda w, f, c: f"Images/r{ord(w[0]) - 64:02}c{w[1:]}f{f:02}p01-ch{c}sk1fk1fl1.tiff",
    "yokogawa": lambda w, f, c: f"Plate_{w}_T0001F{f:03}L01A0{c}Z01C0{c}.tif",
    "evos": lambda w, f, c: f"Plate_p00_z05_0_{w}f{f:02}d{c}.TIF",
    "incell": lambda w, f, c: f"{w[0]} - {w[1:]}(fld {f} wv {('UV - DAPI', 'Blue - FITC')[c - 1]}).tif",
    "cytation-stitched": lambda w, f, c: f"ZProj[Stitched[{('Bright Field', 'GFP')[c - 1]}]]_{short(w)}_{f}_001.tif",
    "cytation": lambda w, f, c: f"{short(w)}_02_{c}_{f}_{('Bright Field', 'GFP')[c - 1]}_001.tif",
    "incucyte": lambda w, f, c: f"Vessel_{('Phase', 'Green')[c - 1]}_{short(w)}_{f}_2024y01m02d_03h04m.tif",
    "imagexpress": lambda w, f, c: f"TimePoint_1/Week_{w}_s{f}_w{c}{GUID}.TIF",
}
ONE_FIELD = {
    "channel-well-time": lambda w, _, c: f"ch0{c}_{w[0]}_{int(w[1:])}_t1.tif",
    "channel-number-well": lambda w, _, c: f"Channel{c}-14-{w[0]}-{w[1:]}.tif",
}


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize(("layout", "fields"), [*((v, (1, 2)) for v in VENDORS), *((v, (1,)) for v in ONE_FIELD)])
def test_every_instrument_gives_its_wells_fields_and_channels(tmp_path, layout, fields):
    name = (VENDORS | ONE_FIELD)[layout]
    names = [name(well, field, channel) for well in WELLS for field in fields for channel in (1, 2)]
    plate = open_plate(make(tmp_path / "study", *names))
    assert plate.layout == layout
    assert [str(well) for well in plate.wells] == list(WELLS)
    assert len(plate) == len(WELLS) * len(fields)
    assert {len(site.paths) for site in plate} == {2}
    assert {len(site.group.channels) for site in plate} == {2}
    assert [site.problem for site in plate] == [None] * len(plate)
    assert plate.warnings == ()
    assert sorted(path.relative_to(tmp_path / "study").as_posix() for site in plate for path in site.paths) == sorted(
        names
    )


def test_both_spellings_of_a_renamed_plate_are_the_same_plate(tmp_path):
    one = open_plate(make(tmp_path / "one" / "p", "ch01_A_1_t1.tif", "ch01_A_12_t1.tif"))
    two = open_plate(make(tmp_path / "two" / "p", "ch01_A01_t1.tif", "ch01_A12_t1.tif"))
    assert [site.id for site in one] == [site.id for site in two] == ["p_A01_t1", "p_A12_t1"]


def test_a_sparse_plate_without_a01_in_small_letters(tmp_path):
    plate = open_plate(make(tmp_path / "p", "b03.tif", "h12.tif", "c3.tif"))
    assert [str(well) for well in plate.wells] == ["B03", "C03", "H12"]
    assert (plate.rows, plate.columns) == (8, 12)
    assert plate.in_well("A01") == ()
    assert plate.in_well("c03")[0].paths[0].name == "c3.tif"


@pytest.mark.parametrize(("last", "shape"), [("B3", (2, 3)), ("H12", (8, 12)), ("P24", (16, 24)), ("AF48", (32, 48))])
def test_plates_from_6_to_1536_wells(tmp_path, last, shape):
    plate = open_plate(make(tmp_path / "p", "A1_s1_w1.tif", f"{last}_s1_w1.tif"))
    assert (plate.rows, plate.columns) == shape
    assert plate.wells == (Well(0, 0), Well(shape[0] - 1, shape[1] - 1))


def test_aa01_follows_z_on_a_large_plate(tmp_path):
    plate = open_plate(make(tmp_path / "p", "AA01.tif", "P01.tif", "B01.tif"))
    assert [str(well) for well in plate.wells] == ["B01", "P01", "AA01"]


def test_rows_q_to_z_are_wells_among_others_and_planes_elsewhere(tmp_path):
    plate = open_plate(make(tmp_path / "p", "P_A01_s1_w1.tif", "P_Z01_s1_w1.tif", "P_T12_s1_w1.tif"))
    assert [str(well) for well in plate.wells] == ["A01", "T12", "Z01"]
    plain = open_plate(make(tmp_path / "q", "A01.tif", "Q48.tif", "S2.tif"))
    assert [str(well) for well in plain.wells] == ["A01", "Q48", "S02"]
    stack = open_plate(make(tmp_path / "r", "A01_z01.tif", "A01_z02.tif"))
    assert [len(site.paths) for site in stack] == [2]


def test_the_size_can_be_told(tmp_path):
    make(tmp_path / "p", "A1.tif", "B3.tif")
    assert open_plate(tmp_path / "p", size=384).columns == 24
    with pytest.raises(ParameterError, match="B04 lies outside"):
        open_plate(make(tmp_path / "q", "A1.tif", "B4.tif"), size=6)
    with pytest.raises(ParameterError, match="no plate of 100"):
        open_plate(tmp_path / "p", size=100)


@pytest.mark.fault("B31")
def test_a_well_that_stands_twice_is_refused_and_stops_no_other(tmp_path):
    plate = open_plate(make(tmp_path / "p", "A1.tif", "A01.tif", "A2.tif", ".A3.tif", "A4_thumb.tif"))
    assert [site.id for site in plate] == ["p_A01", "p_A02"]
    twice, good = plate
    assert isinstance(twice.problem, InputError)
    assert twice.problem.flag == "duplicate"
    assert "A1.tif" in str(twice.problem)
    assert good.problem is None
    with pytest.raises(InputError, match="same image"):
        twice.open()


def test_one_image_as_png_and_tiff_is_refused(tmp_path):
    plate = open_plate(make(tmp_path / "p", "A1.tif", "A1.png", "A2.tif"))
    assert [site.problem is None for site in plate] == [False, True]


def test_a_well_without_one_of_the_channels_is_incomplete(tmp_path):
    names = [f"P_{well}_s1_w{c}.tif" for well in ("A01", "A02", "A03") for c in (1, 2)]
    plate = open_plate(make(tmp_path / "p", *names[:-1]))
    assert [site.problem is None for site in plate] == [True, True, False]
    with pytest.raises(IncompleteError, match="no file for channel w2"):
        plate["P_A03_1"].open()


def test_a_gap_in_a_stack_is_incomplete_and_fewer_planes_are_said(tmp_path):
    names = [f"P_{well}_s1_w{c}_z{z}.tif" for well in ("A01", "A02", "A03") for c in (1, 2) for z in (1, 2)]
    names.remove("P_A01_s1_w2_z2.tif")
    for c in (1, 2):
        names.remove(f"P_A02_s1_w{c}_z2.tif")
    plate = open_plate(make(tmp_path / "p", *names))
    assert isinstance(plate["P_A01_1"].problem, IncompleteError)
    assert plate["P_A02_1"].problem is None
    assert any("number of planes" in sentence for sentence in plate.warnings)


@pytest.mark.fault("B33")
def test_two_plates_in_one_folder_are_both_offered(tmp_path):
    make(tmp_path / "p", "Mon_A01_s1_w1.tif", "Tue_A01_s1_w1.tif", "Tue_A02_s1_w1.tif")
    assert [(plate.name, len(plate)) for plate in find_plates(tmp_path / "p")] == [("Mon", 1), ("Tue", 2)]
    assert len(open_plate(tmp_path / "p", plate="Tue")) == 2
    with pytest.raises(ReaderError, match=r"holds 2 plates; there are 'Mon', 'Tue'.*--plate"):
        open_plate(tmp_path / "p")
    with pytest.raises(ReaderError, match="no plate 'Wed'"):
        open_plate(tmp_path / "p", plate="Wed")


def test_plates_in_folders_are_told_apart_by_these(tmp_path):
    make(tmp_path / "study", "day1/A01.tif", "day2/A01.tif", "day2/A02.tif", "day3/Images/A01.tif")
    assert [(plate.name, len(plate)) for plate in find_plates(tmp_path / "study")] == [
        ("day1", 1),
        ("day2", 2),
        ("day3", 1),
    ]
    make(tmp_path / "twice", "d1/P_A01_s1_w1.tif", "d2/P_A01_s1_w1.tif")
    assert [plate.name for plate in find_plates(tmp_path / "twice")] == ["d1_P", "d2_P"]


def test_days_of_one_plate_are_its_times(tmp_path):
    names = [f"TimePoint_{t}/P_{well}_s1_w1.tif" for t in (1, 2, 10) for well in ("A01", "A02")]
    plate = open_plate(make(tmp_path / "p", *names))
    assert plate.times == ("1", "2", "10")
    assert [site.id for site in plate.in_well("A01")] == ["P_A01_1_t1", "P_A01_1_t2", "P_A01_1_t10"]


def test_fields_are_ordered_as_numbers_and_fewer_are_said(tmp_path):
    names = (
        [f"P_A01_s{f}_w1.tif" for f in (1, 2, 10)] + [f"P_A02_s{f}_w1.tif" for f in (1, 2, 10)] + ["P_B01_s1_w1.tif"]
    )
    plate = open_plate(make(tmp_path / "p", *names))
    assert plate.fields == ("1", "2", "10")
    assert plate.warnings == ("1 of 3 wells have fewer images than the usual 3: B01.",)


def test_mixed_naming_and_files_without_a_well_are_said(tmp_path):
    plate = open_plate(make(tmp_path / "p", "P_A01_s1_w1.tif", "P_A02_s1_w1.tif", "overview.tif"))
    assert len(plate) == 2
    assert plate.warnings == ("1 file left out, the name tells no well: overview.tif.",)
    mixed = open_plate(make(tmp_path / "m", "ch01_A01_t1.tif", "Channel1-02-A-02.tif"))
    assert len(mixed) == 2
    assert "named in 2 ways" in mixed.warnings[0]


def test_other_text_tells_images_of_one_place_apart(tmp_path):
    plate = open_plate(make(tmp_path / "p", "A01_left.tif", "A01_right.tif", "A02_left.tif"))
    assert [site.id for site in plate] == ["p_A01_left", "p_A01_right", "p_A02"]
    assert all(site.problem is None for site in plate)


def test_ids_are_unique_and_the_same_whatever_the_order_of_the_disk(tmp_path, monkeypatch):
    names = [f"P_{Well(r, c)}_s{f}_w1.tif" for r in range(3) for c in range(4) for f in (1, 2)]
    make(tmp_path / "p", *names)
    first = open_plate(tmp_path / "p")
    import os

    real = os.scandir

    class Backwards:
        def __init__(self, folder):
            self.entries = list(real(folder))[::-1]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
    assert [site.id for site in open_plate(tmp_path / "p")] == [site.id for site in first]
    assert len({site.id.casefold() for site in first}) == 24


def test_a_pattern_reads_other_names_and_folders(tmp_path):
    make(tmp_path / "p", "B02/pos1/img_GFP.tif", "B02/pos1/img_RFP.tif", "C03/pos1/img_GFP.tif", "C03/pos1/img_RFP.tif")
    plate = open_plate(tmp_path / "p", pattern="{well}/pos{field}/img_{channel}")
    assert [(str(site.well), site.place.field, site.group.channels) for site in plate] == [
        ("B02", "1", ("GFP", "RFP")),
        ("C03", "1", ("GFP", "RFP")),
    ]


def test_files_that_a_pattern_does_not_fit_are_left_out_and_said(tmp_path):
    make(tmp_path / "p", "x_B02.tif", "x_B03.tif", "y.tif")
    plate = open_plate(tmp_path / "p", pattern="x_{well}")
    assert len(plate) == 2
    assert "y.tif" in plate.warnings[0]
    with pytest.raises(ReaderError, match="tells its well"):
        open_plate(tmp_path / "p", pattern="z_{well}")


def test_a_folder_that_is_no_plate_is_refused_in_words(tmp_path):
    with pytest.raises(ReaderError, match="does not exist"):
        open_plate(tmp_path / "none")
    with pytest.raises(ReaderError, match="tells its well"):
        open_plate(make(tmp_path / "p", "left.tif", "right.tif"))
    with pytest.raises(ReaderError, match="is no plate"):
        open_plate(make(tmp_path, "A01.tif") / "A01.tif")


def test_links_to_folders_are_not_followed(tmp_path):
    make(tmp_path / "p", "A01.tif", "sub/A02.tif")
    (tmp_path / "p" / "sub" / "loop").symlink_to(tmp_path / "p", target_is_directory=True)
    assert [path.name for path in list_images(tmp_path / "p")] == ["A01.tif", "A02.tif"]


@pytest.mark.fault("G16")
def test_a_1536_well_plate_loses_nothing(tmp_path):
    names = [f"P_{Well(r, c)}_s{f}_w1.tif" for r in range(32) for c in range(48) for f in (1, 9)[: 1 + (c == 47)]]
    plate = open_plate(make(tmp_path / "p", *names))
    assert len(plate) == len(names)
    assert len(plate.wells) == 1536
    assert {path.name for site in plate for path in site.paths} == set(names)


def test_a_bad_file_is_its_own_wells_trouble(tmp_path):
    image = np.arange(600, dtype="uint16").reshape(20, 30)
    (tmp_path / "p").mkdir()
    for well in ("A01", "A02", "A03", "A04"):
        tifffile.imwrite(tmp_path / "p" / f"{well}.tif", image + ord(well[-1]))
    whole = (tmp_path / "p" / "A02.tif").read_bytes()
    (tmp_path / "p" / "A02.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "p" / "A03.tif").write_bytes(b"")
    plate = open_plate(tmp_path / "p")
    assert len(plate) == 4
    for name in ("p_A02", "p_A03"):
        with pytest.raises(ReaderError, match=name[2:]):
            plate[name].open()
    for name in ("p_A01", "p_A04"):
        opened = pickle.loads(pickle.dumps(plate[name])).open()  # noqa: S301, as a worker in another process gets it
        np.testing.assert_array_equal(opened.array, image + ord(name[-1]))
        assert opened.name == name
        assert opened.place.well == name[2:]


def test_a_folder_that_vanishes_after_indexing_is_said(tmp_path):
    plate = open_plate(make(tmp_path / "p", "A01.tif"))
    (tmp_path / "p" / "A01.tif").unlink()
    (tmp_path / "p").rmdir()
    with pytest.raises(ReaderError, match="has gone"):
        plate["p_A01"].open()
    with pytest.raises(ParameterError, match="no image 'x'"):
        plate["x"]


@pytest.mark.parametrize("was_on", [True, False])
def test_collection_of_garbage_is_afterwards_as_it_was(tmp_path, was_on):
    make(tmp_path, "p_A01_s1_w1.tif")
    (tmp_path / "none").mkdir()
    try:
        gc.enable() if was_on else gc.disable()
        find_plates(tmp_path)
        assert gc.isenabled() is was_on
        with pytest.raises(ReaderError):
            find_plates(tmp_path / "none")
        assert gc.isenabled() is was_on
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "names",
    [
        ["P12_HeLa_B03_ch1.tif", "P12_HeLa_B03_ch2.tif"],
        ["P12_HeLa_B03_ch2.tif"],
        ["A1/pos1.tif", "A1/pos2.tif", "B1/pos1.tif"],
        ["A1/image.tif", "B1/image.tif", "C1/image.tif"],
        ["Well A01/GFP - n000000.tif", "Well A02/GFP - n000000.tif"],
        ["A1-Site_0/img_000000000_GFP_000.tif", "B1-Site_0/img_000000000_GFP_000.tif"],
    ],
)
def test_where_no_name_tells_its_well_each_pattern_of_the_hint_works(tmp_path, names):
    make(tmp_path / "p", *names)
    with pytest.raises(ReaderError) as refused:
        open_plate(tmp_path / "p")
    patterns = [word for word in refused.value.hint.split("'") if "{well}" in word]
    wells = [{str(well) for well in open_plate(tmp_path / "p", pattern=one).wells} for one in patterns]
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert {"B03"} in wells or len(wells[0]) == len(folders)


@pytest.mark.parametrize("words", [("D1", "D2", "D3"), ("GFP", "DAPI"), ("pre", "post")])
def test_words_that_alone_tell_images_of_one_place_apart_are_said(tmp_path, words):
    make(tmp_path / "p", *(f"Well_{well}_Pos1_{word}.tif" for well in ("B2", "C3") for word in words))
    plate = open_plate(tmp_path / "p")
    assert len(plate) == 2 * len(words)
    said = next(one for one in plate.warnings if "differ only in" in one)
    assert all(f"'{word}'" in said for word in words)
    assert said.startswith("At 2 of 2 places")
