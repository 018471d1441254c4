from __future__ import annotations

import pytest

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.io.plates.read import find_plates, open_plate


def describe(folder, name="Week 1", wells=("A01", "B02"), sites=((True, False), (True, True)), waves=("BF", "DAPI")):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        '"HTSInfoFile", Version 1.0',
        '"Description", "a plate, with comma"',
        '"TimePoints", 1',
        '"XWells", 12',
        '"YWells", 8',
    ]
    for row in range(8):
        chosen = ", ".join(str(f"{'ABCDEFGH'[row]}{c + 1:02}" in wells).upper() for c in range(12))
        lines.append(f'"WellsSelection{row + 1}", {chosen}')
    lines += [f'"Sites", {"TRUE" if sites else "FALSE"}']
    if sites:
        lines += [f'"XSites", {len(sites[0])}', f'"YSites", {len(sites)}']
        lines += [
            f'"SiteSelection{n}", ' + ", ".join(str(one).upper() for one in row) for n, row in enumerate(sites, 1)
        ]
    lines += ['"Waves", TRUE', f'"NWavelengths", {len(waves)}']
    lines += [f'"WaveName{n}", "{wave}"' for n, wave in enumerate(waves, 1)]
    path = folder / f"{name}.HTD"
    path.write_text("\r\n".join([*lines, '"EndFile"']))
    return path


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_the_description_tells_the_plate_its_channels_and_what_is_missing(tmp_path):
    path = describe(tmp_path / "p")
    # Site 2 of the four was not selected; site 4 of B02 was never written.
    make(tmp_path / "p", *(f"TimePoint_1/Week 1_A01_s{s}_w{w}.TIF" for s in (1, 3, 4) for w in (1, 2)))
    make(tmp_path / "p", *(f"TimePoint_1/Week 1_B02_s{s}_w{w}.TIF" for s in (1, 3) for w in (1, 2)))
    for where in (path, tmp_path / "p"):
        plate = open_plate(where)
        assert (plate.name, plate.layout, plate.rows, plate.columns) == ("Week 1", "metaxpress", 8, 12)
        assert plate.channels == ("BF", "DAPI")
        assert [site.id for site in plate if site.problem is None] == [
            *(f"Week 1_A01_{s}_t1" for s in (1, 3, 4)),
            *(f"Week 1_B02_{s}_t1" for s in (1, 3)),
        ]
        (lost,) = [site for site in plate if site.problem is not None]
        with pytest.raises(IncompleteError, match="field 4 of B02"):
            lost.open()


def test_a_well_that_was_selected_and_never_imaged_keeps_its_place(tmp_path):
    describe(tmp_path / "p", wells=("A01", "A02", "H12"), sites=())
    make(tmp_path / "p", "Week 1_A01_w1.TIF", "Week 1_A01_w2.TIF", "Week 1_A02_w1.TIF", "Week 1_A02_w2.TIF")
    plate = open_plate(tmp_path / "p")
    assert [(site.id, site.problem is None) for site in plate] == [
        ("Week 1_A01", True),
        ("Week 1_A02", True),
        ("Week 1_H12", False),
    ]


def test_two_descriptions_are_two_plates_even_where_one_name_begins_the_other(tmp_path):
    for name in ("P1", "P10"):
        describe(tmp_path / "p", name, wells=("A01",), sites=(), waves=("BF",))
        make(tmp_path / "p", f"{name}_A01_w1.TIF")
    assert [(plate.name, len(plate)) for plate in find_plates(tmp_path / "p")] == [("P1", 1), ("P10", 1)]


def test_a_plate_called_like_a_well_is_not_taken_for_one(tmp_path):
    describe(tmp_path / "p", "A01_s1", wells=("C03",), sites=(), waves=("BF",))
    make(tmp_path / "p", "A01_s1_C03_w1.TIF")
    assert [str(well) for well in open_plate(tmp_path / "p").wells] == ["C03"]


@pytest.mark.parametrize("text", ["", "no description", '"HTSInfoFile", 1\n"XWells", 5\n"YWells", 1'])
def test_a_broken_description_is_said(tmp_path, text):
    (tmp_path / "p.HTD").write_text(text)
    make(tmp_path, "p_A01_s1.TIF")
    with pytest.raises(ReaderError, match="describes no plate"):
        open_plate(tmp_path)
    describe(tmp_path / "q")
    with pytest.raises(ReaderError, match="holds no images"):
        open_plate(tmp_path / "q")


def test_channels_planes_and_times_that_the_description_lists_and_nobody_wrote_are_said(tmp_path):
    path = describe(tmp_path / "p", wells=("A01", "A02"), sites=(), waves=("BF", "DAPI"))
    path.write_text(path.read_text().replace('"TimePoints", 1', '"TimePoints", 3\n"ZSeries", TRUE\n"ZSteps", 2'))
    steps = [f"TimePoint_{t}/ZStep_{z}" for t in (1, 2) for z in (1, 2)]
    make(tmp_path / "p", *(f"{step}/Week 1_A01_w{w}.TIF" for step in steps for w in (1, 2)))
    make(tmp_path / "p", *(f"{step}/Week 1_A02_w{w}.TIF" for step in steps[::2] for w in (1, 2)))
    plate = open_plate(tmp_path / "p")
    told = {site.id: str(site.problem or "") for site in plate}
    assert told["Week 1_A01_t1"] == told["Week 1_A01_t2"] == ""
    assert "2 planes, and there are 1" in told["Week 1_A02_t1"]
    assert any("3 points of time, and there are 2" in one for one in plate.warnings)
    for lost in (tmp_path / "p").rglob("*_w2.TIF"):
        lost.unlink()
    assert all("channels DAPI" in str(site.problem) for site in open_plate(tmp_path / "p") if site.well.row == 0)


def test_projections_beside_the_planes_of_a_described_plate_are_told_apart(tmp_path):
    describe(tmp_path / "p", wells=("A01", "A02"), sites=(), waves=("BF",))
    make(tmp_path / "p", *(f"ZStep_{z}/Week 1_{w}_w1.TIF" for w in ("A01", "A02") for z in (1, 2)))
    make(tmp_path / "p", "Week 1_A01_w1.TIF", "Week 1_A02_w1.TIF", "Week 1_A01_w1_thumb.TIF")
    plate = open_plate(tmp_path / "p")
    assert [(len(site.group.planes), site.problem) for site in plate] == [(2, None)] * 2
    assert [word for word in ("projections", "thumbnails") if word in " ".join(plate.warnings)] == [
        "projections", "thumbnails",
    ]  # fmt: skip
    assert [len(site.paths) for site in open_plate(tmp_path / "p", planes="projection")] == [1, 1]
