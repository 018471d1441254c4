"""Stacks, their projections and calibration images, at all places where instruments put them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitascope.core.errors import IncompleteError, ParameterError
from vitascope.io.filenames.grouping import group_paths
from vitascope.io.plates.read import find_plates, open_plate

STACKS = {
    "folders": "ZStep_{z}/P_{w}_s1_w{c}.tif",
    "names": "P_{w}_s1_w{c}_z{z}.tif",
    "tokens": "{w}_ch{c}_z{z}.tif",
    "images": "Images/{w}_ch{c}_z{z}.tif",
}
PROJECTIONS = {
    "folders": ("P_{w}_s1_w{c}.tif", "MIP/P_{w}_s1_w{c}.tif", "MAX_P_{w}_s1_w{c}.tif"),
    "names": ("P_{w}_s1_w{c}.tif", "Projections/P_{w}_s1_w{c}.tif", "AVG_P_{w}_s1_w{c}.tif"),
    "tokens": ("{w}_ch{c}.tif", "{w}_ch{c}_MIP.tif", "{w}_max_projection_ch{c}.tif", "MAX_{w}_ch{c}.tif"),
    "images": ("MaxProj/{w}_ch{c}.tif", "Images/{w}_ch{c}_MIP.tif"),
}
OTHERS = {
    "shading": ("flatfield_ch1.tif", "SC_BP445-45_20x v2_M01_CH01.tif", "Shading/A01_ch1.tif", "illum_corr_C01.tif"),
    "dark": ("DC_DCAM#1_CAM1.tif", "dark_frame.tif", "Dark/A05.tif"),
    "thumbnail": ("A01_thumb.tif", "thumb_A01.png", "Thumbnails/A01.tif"),
}
WELLS = ("A01", "B03", "C12")


def make(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@st.composite
def folders(draw):
    where = draw(st.sampled_from(sorted(STACKS)))
    projection = draw(st.sampled_from(PROJECTIONS[where]))
    stack = [STACKS[where].format(w=w, c=c, z=z) for w, c, z in itertools.product(WELLS, (1, 2), (1, 2, 3))]
    flat = [projection.format(w=w, c=c) for w, c in itertools.product(WELLS, (1, 2))]
    lost = draw(st.sampled_from((None, *(name for name in stack if "B03" in name))))
    others = {kind: draw(st.lists(st.sampled_from(names), unique=True, max_size=2)) for kind, names in OTHERS.items()}
    return [name for name in stack if name != lost], flat, lost, others


@given(folders())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_place_gets_its_stack_or_its_projection_and_the_rest_is_named(tmp_path_factory, made):
    stack, flat, lost, others = made
    folder = make(tmp_path_factory.mktemp("p") / "study", [*stack, *flat, *itertools.chain(*others.values())])
    (plate,) = find_plates(folder)
    told = " ".join(plate.warnings)
    assert [str(well) for well in plate.wells] == list(WELLS)
    assert [site.problem for site in plate] == [None] * 3
    assert [len(site.paths) for site in plate] == [6, 2 if lost else 6, 6]
    assert "projection" in told
    assert {kind: kind in told for kind in OTHERS} == {kind: bool(names) for kind, names in others.items()}
    (flattened,) = find_plates(folder, planes="projection")
    assert [(len(site.paths), site.problem) for site in flattened] == [(2, None)] * 3
    (stacks,) = find_plates(folder, planes="stack")
    assert [(len(site.paths), site.problem is None) for site in stacks] == [
        (6, True),
        (5 if lost else 6, not lost),
        (6, True),
    ]


def test_what_is_asked_for_and_not_there_is_said(tmp_path):
    make(tmp_path / "p", [f"{w}_z{z}.tif" for w in WELLS for z in (1, 2)])
    with pytest.raises(ParameterError, match="no projections"):
        open_plate(tmp_path / "p", planes="projection")
    make(tmp_path / "p", ["A01_MIP.tif"])
    plate = open_plate(tmp_path / "p", planes="projection")
    assert [isinstance(site.problem, IncompleteError) for site in plate] == [False, True, True]
    only = make(tmp_path / "q", [f"{w}_MIP.tif" for w in WELLS])
    assert len(open_plate(only)) == 3
    with pytest.raises(ParameterError, match="projections only"):
        open_plate(only, planes="stack")
    with pytest.raises(ParameterError, match="no choice"):
        open_plate(only, planes="both")


def test_projections_of_a_cytation_are_told_from_its_planes(tmp_path):
    planes = [f"{w}_02Z{z}_1_1_GFP_001.tif" for w in ("A1", "B2") for z in (0, 1)]
    flat = [f"{w}_-3_1_1_ZProj[GFP]_001.tif" for w in ("A1", "B2")]
    plate = open_plate(make(tmp_path / "p", [*planes, *flat]))
    assert [(len(site.paths), site.group.channels) for site in plate] == [(2, ("GFP",))] * 2
    assert "projections" in plate.warnings[0]
    assert open_plate(make(tmp_path / "q", flat)).channels == ("ZProj[GFP]",)


def test_treatments_called_dark_or_flat_are_data(tmp_path):
    plate = open_plate(make(tmp_path / "p", ["A01_dark.tif", "A02_light.tif", "B01_darkfield.tif", "B02_flat.tif"]))
    assert len(plate) == 4
    assert plate.warnings == ()


def test_files_named_one_by_one_are_all_taken(tmp_path):
    folder = make(tmp_path / "p", ["A01_z1.tif", "A01_z2.tif", "A01_MIP.tif", "dark.tif"])
    groups, warnings = group_paths(sorted(folder.iterdir()))
    assert sum(len(group.paths) for group in groups) == 4
    assert warnings == ()
    groups, warnings = group_paths([folder])
    assert [len(group.paths) for group in groups] == [2]
    assert len(warnings) == 2


def test_a_few_files_named_otherwise_make_no_plate_of_their_own(tmp_path):
    names = [f"Screen_{w}_T0001F001L01A01Z01C01.tif" for w in WELLS]
    odd = ["overview_M01.tif", "M02_test.tif", "Export/B02.tif", "Other_A01_s1_w1.tif"]
    (plate,) = find_plates(make(tmp_path / "p", [*names, *odd]))
    assert (plate.name, len(plate)) == ("Screen", 3)
    assert all(any(one.rpartition("/")[2] in said for said in plate.warnings) for one in odd)


@pytest.mark.parametrize(
    "projection", ["Max_{}_s1", "MAX_{}_s1", "{}_s1-max", "{}_s1_zmax", "{}_s1_maxZ", "MAX/{}_s1", "Projections/{}_s1"]
)
def test_projections_called_max_are_told_from_planes_beside_them(tmp_path, projection):
    wells = ("A1", "B1")
    names = [f"{well}_s1_z{z}.tif" for well in wells for z in (1, 2)]
    make(tmp_path / "p", [*names, *(f"{projection.format(well)}.tif" for well in wells)])
    (plate,) = find_plates(tmp_path / "p")
    assert [(str(site.well), site.group.planes) for site in plate] == [("A01", ("1", "2")), ("B01", ("1", "2"))]
    assert any("projections" in one for one in plate.warnings)
    assert [len(site.group.paths) for site in open_plate(tmp_path / "p", planes="projection")] == [1, 1]


@pytest.mark.parametrize(("stack", "projection"), [("_stack", "_Projection"), ("_zstack", "_MIP"), ("", "_maxproj")])
def test_files_that_hold_whole_stacks_are_read_not_their_projections(tmp_path, stack, projection):
    make(tmp_path / "p", [f"{well}{end}.tif" for well in ("A1", "B1") for end in (stack, projection)])
    (plate,) = find_plates(tmp_path / "p")
    assert [site.paths[0].stem for site in plate] == [f"A1{stack}", f"B1{stack}"]
    assert "projections" in " ".join(plate.warnings)


def test_max_is_a_treatment_where_there_are_no_planes(tmp_path):
    make(tmp_path / "p", [f"{well}_{dose}.tif" for well in ("A1", "B1") for dose in ("max", "min")])
    assert len(open_plate(tmp_path / "p")) == 4
