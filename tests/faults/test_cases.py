"""Inputs that instruments and people write, each under ``cases`` with the report of what went wrong with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vitascope.io.filenames.grouping import find_groups, group_paths
from vitascope.io.plates.read import find_plates, is_plate, open_plate

CASES = Path(__file__).with_name("cases")


def test_05_imagexpress_projection_beside_zsteps(tmp_path):
    folder = CASES / "05-imagexpress-projection-beside-zsteps" / "mx_raw"
    plate = open_plate(folder)
    assert [str(well) for well in plate.wells] == ["E07", "E08"]
    assert [site.problem for site in plate] == [None, None]
    assert [site.group.channels for site in plate] == [("w1", "w2")] * 2  # the stack lacks w2
    assert any("projection is read" in one and "lacks channel w2" in one for one in plate.warnings)
    assert any("thumbnail" in one for one in plate.warnings)
    stacks = open_plate(folder, planes="stack")
    assert [(site.group.channels, site.group.planes, site.problem) for site in stacks] == [
        (("w1",), ("1", "2", "3"), None)
    ] * 2
    assert any("projections" in one for one in stacks.warnings)
    groups, warnings = group_paths([folder])
    assert [(group.place.well, group.channels) for group in groups] == [("E07", ("w1", "w2")), ("E08", ("w1", "w2"))]
    assert "projection" in warnings[0]
    assert is_plate(folder)  # napari opens it as a plate, too
    whole = shutil.copytree(folder, tmp_path / "mx_raw")
    for path in whole.glob("*_w2*"):
        path.unlink()
    assert [len(site.group.planes) for site in open_plate(whole)] == [3, 3]
    assert [len(site.group.planes) for site in open_plate(whole, planes="projection")] == [0, 0]


def test_06_cellvoyager_correction_images():
    (plate,) = find_plates(CASES / "06-cellvoyager-correction-images" / "cv")
    assert (plate.name, [str(well) for well in plate.wells]) == ("MyPlate", ["D08", "E03"])
    assert [site.problem for site in plate] == [None, None]
    assert [kind for kind in ("shading", "dark") if any(kind in one for one in plate.warnings)] == ["shading", "dark"]
    assert sum("SC_" in one or "DC_" in one for one in plate.warnings) == 2


def test_07_channel_taken_as_well():
    folder = CASES / "07-channel-taken-as-well" / "almf"
    (plate,) = find_plates(folder)
    assert [str(well) for well in plate.wells] == ["A02", "A08"]
    assert [(str(site.well), site.place.field, site.group.channels) for site in plate] == [
        (well, field, ("C01", "C02")) for well in ("A02", "A08") for field in ("001", "002")
    ]
    assert {group.place.well for group in find_groups(folder.rglob("*.tif"))} == {"A02", "A08"}


@pytest.mark.parametrize("channel", ["C01", "ch01"])
def test_07_channel_taken_as_well_shortest(tmp_path, channel):
    for well in ("A2", "B11"):
        for number in (1, 2):
            (tmp_path / f"{well}_{channel[:-1]}{number}.tif").touch()
    assert [str(well) for well in open_plate(tmp_path).wells] == ["A02", "B11"]


def test_08_cell_line_taken_as_well():
    folder = CASES / "08-cell-line-taken-as-well" / "lines"
    plate = open_plate(folder)
    assert [str(site.well) for site in plate] == ["A03", "A04", "B03"]
    assert sorted(group.place.well for group in find_groups([folder])) == ["A03", "A04", "B03"]
