"""The index of a CellVoyager: what it tells, and where it and the files disagree."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.core.well import Well
from vitascope.io.plates.read import find_plates, is_plate, open_plate

SPACE = 'xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"'
SHADING = ("SC_BP445-45_20x v2_M01_CH01.tif", "SC_BP525-50_20x v2_M01_CH02.tif")


def name_of(well, time=1, field=1, z=1, channel=1):
    return f"Screen_{well}_T{time:04}F{field:03}L01A{channel:02}Z{z:02}C{channel:02}.tif"


def record(well, time=1, field=1, z=1, channel=1, name=None, kind="IMG"):
    where = Well.parse(well)
    return (
        f'<bts:MeasurementRecord bts:Column="{where.column + 1}" bts:Row="{where.row + 1}"'
        f' bts:FieldIndex="{field}" bts:TimePoint="{time}" bts:TimelineIndex="1" bts:ActionIndex="{channel}" bts:X="0"'
        f' bts:Y="0" bts:Z="{z * 3 - 5}" bts:ZIndex="{z}" bts:Ch="{channel}" bts:Type="{kind}">'
        f"{name or name_of(well, time, field, z, channel)}</bts:MeasurementRecord>"
    )


def write_index(folder, records, planes=1, images=True, detail=True):
    folder.mkdir(parents=True)
    text = f'<?xml version="1.0" encoding="utf-8"?><bts:MeasurementData bts:Version="1.0" {SPACE}>'
    (folder / "MeasurementData.mlf").write_text(f"{text}{''.join(records)}</bts:MeasurementData>")
    channels = "".join(
        f'<bts:MeasurementChannel bts:Ch="{n}" bts:HorizontalPixelDimension="0.325" bts:VerticalPixelDimension="0.325"'
        f' bts:ShadingCorrectionSource="{source}" />'
        for n, source in enumerate(SHADING, 1)
    )
    if detail:
        (folder / "MeasurementDetail.mrf").write_text(
            f'<?xml version="1.0"?><bts:MeasurementDetail bts:Title="T" bts:MeasurementSettingFileName="s.mes"'
            f' bts:ColumnCount="12" bts:RowCount="8" bts:ZCount="{planes}" {SPACE}><bts:MeasurementSamplePlate'
            f' bts:Name="Screen 4" />{channels}</bts:MeasurementDetail>'
        )
    (folder / "s.mes").write_text(
        f'<bts:MeasurementSetting {SPACE}><bts:ChannelList><bts:Channel bts:Ch="1" bts:Target="DNA" />'
        '<bts:Channel bts:Ch="2" bts:Target="488" bts:Acquisition="BP525/50" /></bts:ChannelList>'
        "</bts:MeasurementSetting>"
    )
    for one in records if images else ():
        tifffile.imwrite(folder / one.rpartition("</")[0].rpartition(">")[2], np.ones((6, 8), np.uint16))
    return folder


def test_the_index_tells_images_channels_scale_and_corrections(tmp_path):
    records = [record(w, z=z, channel=c) for w in ("D08", "E03") for z in (1, 2, 3) for c in (1, 2)]
    folder = write_index(tmp_path / "m" / "cv", records, planes=3)
    for name in (*SHADING, "DC_DCAM#1_CAM1.tif", "overview_M01.tif"):
        tifffile.imwrite(folder / name, np.ones((6, 8), np.uint16))
    for path in (folder, folder.parent, folder / "MeasurementData.mlf", folder / "MeasurementDetail.mrf"):
        assert is_plate(path)
        (plate,) = find_plates(path)
        assert (plate.name, plate.layout, plate.rows, plate.columns) == ("Screen 4", "cellvoyager-index", 8, 12)
        assert [(site.id, site.problem) for site in plate] == [("Screen 4_D08_1", None), ("Screen 4_E03_1", None)]
    assert [kind for kind in ("shading", "dark", "overview_M01") if kind in " ".join(plate.warnings)] == [
        "shading", "dark", "overview_M01",
    ]  # fmt: skip
    image = plate["Screen 4_D08_1"].open()
    assert (image.axes, image.channel_names) == ("CZYX", ("DNA", "BP525/50"))
    assert image.pixel_size_um == pytest.approx(0.325)
    assert image.z_step_um == pytest.approx(3)


def test_the_detail_alone_gives_scale_to_names(tmp_path):
    folder = write_index(tmp_path / "cv", [record(w) for w in ("A01", "B02")])
    (folder / "MeasurementData.mlf").unlink()
    plate = open_plate(folder)
    assert [(str(site.well), site.pixel_size_um, site.problem) for site in plate] == [
        ("A01", 0.325, None), ("B02", 0.325, None),
    ]  # fmt: skip


@st.composite
def measurements(draw):
    """A measurement and one thing wrong with it: the place that must say so, and the word that must be in it."""
    wells = draw(st.lists(st.sampled_from(("A01", "B02", "D08", "H12")), min_size=2, max_size=4, unique=True))
    times, fields, planes, channels = (range(1, draw(st.integers(1, 2)) + 1) for _ in range(4))
    places = [(w, t, f, z, c) for w in wells for t in times for f in fields for z in planes for c in channels]
    return (
        places,
        len(planes),
        draw(st.sampled_from(places)),
        draw(st.sampled_from(("none", "absent", "unlisted", "moved"))),
    )


@given(measurements())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_where_index_and_files_disagree_the_image_says_in_what(tmp_path_factory, made):
    places, planes, odd, what = made
    records = {place: record(*place) for place in places}
    if what == "moved":
        records[odd] = record("C07", *odd[1:], name=name_of(*odd))
    if what == "unlisted":
        del records[odd]
    folder = write_index(tmp_path_factory.mktemp("m") / "cv", list(records.values()), planes, images=False)
    for place in places:
        if (what, place) != ("absent", odd):
            (folder / name_of(*place)).touch()
    if not records:
        return
    (plate,) = find_plates(folder)
    found = {site.id: str(site.problem) for site in plate if site.problem is not None}
    time = f"_t{odd[1]}" if len({place[1] for place in records}) > 1 else ""
    if what == "none":
        assert found == {}
        return
    assert all(isinstance(site.problem, IncompleteError) for site in plate if site.problem is not None)
    word = {"absent": "missing", "unlisted": "", "moved": "C07"}[what]
    if what == "moved":
        assert word in found[f"Screen 4_C07_{odd[2]}{time}"]
    elif what == "absent":
        assert list(found) == [f"Screen 4_{odd[0]}_{odd[2]}{time}"]
        assert word in next(iter(found.values()))
    else:
        assert any(str(site.well) == odd[0] and site.problem is not None for site in plate)


def test_fewer_planes_than_the_index_counts_and_faults_of_the_instrument_are_said(tmp_path):
    records = [record("A01", z=1), record("A01", z=2), record("B02", z=1), record("C03", z=1), record("C03", z=2)]
    folder = write_index(tmp_path / "cv", records, planes=2)
    index = folder / "MeasurementData.mlf"
    text = index.read_text().replace("</bts:MeasurementData>", "")
    index.write_text(text + record("C03", z=3, name="autofocus failed", kind="ERR") + "</bts:MeasurementData>")
    told = {str(site.well): str(site.problem or "") for site in open_plate(folder)}
    assert told["A01"] == ""
    assert "1 of the 2 planes" in told["B02"]
    assert "autofocus failed" in told["C03"]


def test_a_broken_index_is_said_and_names_still_serve(tmp_path):
    folder = write_index(tmp_path / "cv", [record("A01")])
    index = folder / "MeasurementData.mlf"
    index.write_text(index.read_text()[:-30])
    with pytest.raises(ReaderError, match=r"broken.*rename"):
        open_plate(folder)
    index.rename(index.with_suffix(".bak"))
    assert len(open_plate(folder)) == 1


@pytest.mark.parametrize("name", ["../../secret.tif", "/etc/secret.tif"])
def test_files_outside_the_folder_are_left_out(tmp_path, name):
    plate = open_plate(write_index(tmp_path / "cv", [record("A01"), record("B02", name=name)], images=False))
    assert [str(well) for well in plate.wells] == ["A01"]
    assert any("left out" in one for one in plate.warnings)
