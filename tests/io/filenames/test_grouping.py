from __future__ import annotations

import random

import pytest

from vitascope.core.errors import IncompleteError, ParameterError, ReaderError
from vitascope.io.filenames.grouping import find_groups


def make(folder, *names):
    paths = []
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        paths.append(path)
    return paths


def summary(groups):
    return {group.name: [[path.name for path in row] for row in group.grid] for group in groups}


def test_planes_are_one_image_in_the_order_of_their_numbers(tmp_path):
    paths = make(tmp_path, "phase_z10.png", "phase_z02.png", "phase_z00.png")
    assert summary(find_groups(paths)) == {"phase": [["phase_z00.png", "phase_z02.png", "phase_z10.png"]]}


def test_channels_and_planes_make_a_grid(tmp_path):
    paths = make(tmp_path, *(f"p_B02_s1_w{w}_z{z}.tif" for w in (2, 1) for z in (11, 2)))
    (group,) = find_groups(paths)
    assert group.name == "p_B02_1"
    assert group.channels == ("w1", "w2")
    assert group.planes == ("2", "11")
    assert [[p.name[-9:] for p in row] for row in group.grid] == [
        ["w1_z2.tif", "1_z11.tif"],
        ["w2_z2.tif", "2_z11.tif"],
    ]


def test_wells_fields_times_and_other_text_are_images_of_their_own(tmp_path):
    names = ["p_B02_s1_w1.tif", "p_B02_s2_w1.tif", "p_B03_s1_w1.tif", "p_B02_s1_w1_t2.tif", "q_B02_s1_w1.tif"]
    assert len(find_groups(make(tmp_path, *names))) == 5


def test_random_identifiers_do_not_part_channels(tmp_path):
    guids = ("9AA4D9EA-18E4-4354-8C7D-0202029A8048", "EFB0F53A-F40F-46D8-A61A-51C2BE61E460")
    paths = make(tmp_path, *(f"p_C16_w{i + 1}{guid}.tif" for i, guid in enumerate(guids)))
    (group,) = find_groups(paths)
    assert (group.name, group.channels) == ("p_C16", ("w1", "w2"))


@pytest.mark.fault("B31")
def test_both_spellings_of_a_well_are_one_well(tmp_path):
    paths = make(tmp_path, "ch01_A01_t1.tif", "ch02_A_1_t1.tif")
    (group,) = find_groups(paths)
    assert (group.name, group.place.well, group.channels) == ("A01", "A01", ("ch01", "ch02"))


@pytest.mark.fault("B31")
def test_two_files_for_one_plane_are_refused_by_name(tmp_path):
    paths = make(tmp_path, "ch01_A01_t1.tif", "ch01_A_1_t1.tif")
    with pytest.raises(ReaderError) as caught:
        find_groups(paths)
    assert "ch01_A01_t1.tif" in caught.value.message
    assert "ch01_A_1_t1.tif" in caught.value.message


@pytest.mark.fault("B31")
def test_a_gap_is_refused_by_name(tmp_path):
    paths = make(tmp_path, "p_B02_w1_z1.tif", "p_B02_w1_z2.tif", "p_B02_w2_z1.tif")
    with pytest.raises(IncompleteError) as caught:
        find_groups(paths)
    assert "1 of 4 planes" in caught.value.message
    assert "'w2' at z '2'" in caught.value.message


@pytest.mark.fault("B31")
def test_folder_leaves_out_hidden_files_thumbnails_and_what_is_no_image(tmp_path):
    make(tmp_path, "A1.TIF", ".A2.tif", "p_B02_s1_w1_thumb9.tif", "Thumbs.db", "notes.txt", "deeper/A3.tif")
    assert summary(find_groups([tmp_path])) == {"A01": [["A1.TIF"]]}


@pytest.mark.fault("B26")
def test_odd_characters_in_names_and_folders(tmp_path):
    names = ["a b.tif", "µ-板 #1.tif", "scan (1)_z1.tif", "scan (1)_z2.tif", "x[1].tif", "100%.png"]
    folder = tmp_path / "folder µ 板 #[2] (1)"
    groups = find_groups(make(folder, *names))
    assert {group.name for group in groups} == {"a b", "µ-板 #1", "scan (1)", "x[1]", "100%"}
    assert len(find_groups([folder])) == 5


@pytest.mark.fault("B26")
def test_brackets_are_literal_where_a_file_has_them(tmp_path):
    names = [f"ZProj[Stitched[Bright Field]]_C{c}_1_001.tif" for c in (3, 10)]
    paths = make(tmp_path, *names)
    assert [group.place.well for group in find_groups([str(paths[0])])] == ["C03"]
    found = find_groups([str(tmp_path / "ZProj[Stitched[Bright Field]]_C*_1_001.tif")])
    assert [group.name for group in found] == ["C03_1", "C10_1"]


def test_quoted_glob_and_character_class(tmp_path):
    make(tmp_path, "phase_z00.png", "phase_z02.png", "dapi.png")
    assert summary(find_groups([str(tmp_path / "phase_z*.png")]))["phase"] == [["phase_z00.png", "phase_z02.png"]]
    assert summary(find_groups([str(tmp_path / "phase_z[0][2].png")])) == {"phase_z02": [["phase_z02.png"]]}


def test_a_path_given_twice_counts_once(tmp_path):
    (path,) = make(tmp_path, "a_z1.tif")
    assert len(find_groups([path, str(tmp_path / "*.tif"), tmp_path])[0].paths) == 1


@pytest.mark.parametrize("given", ["no_such.tif", "no*such.tif", "notes.txt", "movie.vsi", "", "empty_folder"])
def test_a_path_that_ends_in_no_image_is_named(tmp_path, given):
    make(tmp_path, "notes.txt", "movie.vsi")
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(ReaderError) as caught:
        find_groups([str(tmp_path / given) if given else ""])
    assert given.split("*")[0] in caught.value.message
    assert caught.value.hint


def test_nothing_given_is_an_error():
    with pytest.raises(ReaderError):
        find_groups([])


@pytest.mark.fault("B24")
def test_a_loop_of_links_is_refused(tmp_path):
    loop = tmp_path / "loop.tif"
    try:
        loop.symlink_to(loop)
    except OSError:
        pytest.skip("no links on this system")
    with pytest.raises(ReaderError):
        find_groups([loop])


def test_single_file_keeps_its_whole_stem(tmp_path):
    assert find_groups(make(tmp_path, "phase_z00.ome.tif"))[0].name == "phase_z00"


def test_planes_called_by_nothing_but_z_take_the_folders_name(tmp_path):
    assert find_groups(make(tmp_path / "organoid 7", "z1.tif", "z2.tif"))[0].name == "organoid 7"


def test_rest_of_the_name_is_kept_beside_the_well(tmp_path):
    names = [group.name for group in find_groups(make(tmp_path, "x_C16_GFP.tif", "x_C16_brightfield.tif"))]
    assert names == ["x_C16_brightfield", "x_C16_GFP"]


def test_the_folder_is_added_where_names_clash(tmp_path):
    paths = make(tmp_path, "day1/A01.tif", "day2/A01.tif", "day2/A02.tif", "p/x/a.tif", "q/x/a.tif")
    assert {g.name for g in find_groups(paths)} == {"day1_A01", "day2_A01", "A02", "p_x_a", "q_x_a"}


def test_times_and_channels_tell_names_apart(tmp_path):
    names = {g.name for g in find_groups(make(tmp_path, "ch01_A01_t1.tif", "ch01_A01_t2.tif", "ch01_A02_t1.tif"))}
    assert names == {"A01_t1", "A01_t2", "A02"}


def test_suffix_tells_names_apart_and_case_never_does(tmp_path):
    names = [g.name for g in find_groups(make(tmp_path, "a.tif", "a.png", "A.png"))]
    assert len({name.casefold() for name in names}) == 3


def test_every_file_ends_up_in_exactly_one_image_whatever_the_order(tmp_path):
    rng = random.Random(5)
    names = [f"pl_{r}{c:02d}_s{s}_w{w}.tif" for r in "AB" for c in (1, 2, 10) for s in (1, 2) for w in (1, 2, 3)]
    names += [f"stack_z{z}.tif" for z in range(12)] + [f"odd {i}.png" for i in range(5)]
    paths = make(tmp_path, *names)
    expected = None
    for _ in range(5):
        rng.shuffle(paths)
        groups = find_groups(paths)
        assert sorted(path for group in groups for path in group.paths) == sorted(paths)
        found = summary(groups)
        assert expected is None or found == expected
        assert list(found) == list(expected or found)
        expected = found
    assert len(expected) == 12 + 1 + 5


def test_pattern_overrides_and_names_what_it_does_not_fit(tmp_path):
    paths = make(tmp_path, "2024 B2 plane1.tif", "2024 B02 plane2.tif")
    (group,) = find_groups(paths, "* {well} plane{z}")
    assert (group.name, group.planes) == ("B02", ("1", "2"))
    with pytest.raises(ParameterError, match="2024"):
        find_groups(paths, "{well}_z{z}")


def test_time_points_and_z_steps_in_folders_of_one_plate(tmp_path):
    names = [f"pl/TimePoint_{t}/ZStep_{z}/e_B02_s1_w1.tif" for t in (1, 2) for z in (1, 2, 10)]
    groups = find_groups(make(tmp_path, *names))
    assert [g.name for g in groups] == ["e_B02_1_t1", "e_B02_1_t2"]
    assert [g.planes for g in groups] == [("1", "2", "10")] * 2


def test_zarr_folders_are_images(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "b.ome.zarr").mkdir()
    (tmp_path / "plain").mkdir()
    assert [g.name for g in find_groups([tmp_path])] == ["a", "b"]
