from __future__ import annotations

import numpy as np
import pytest
import tifffile

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.io.plates.read import open_plate

SPACE = "http://www.perkinelmer.com/PEHH/HarmonyV5"


def entry(row, column, field=1, plane=1, channel=1, time=0, url=None, channel_parts=True):
    url = url or f"r{row:02}c{column:02}f{field:02}p{plane:02}-ch{channel}sk{time + 1}fk1fl1.tiff"
    name = ("Brightfield", "Alexa 488")[channel - 1]
    about = (
        f"<ChannelName>{name}</ChannelName><ImageResolutionX Unit='m'>2.99E-07</ImageResolutionX>"
        if channel_parts
        else ""
    )
    return (
        f"<Image Version='1'><id>{row:02}{column:02}K{time + 1}F{field}P{plane}R{channel}</id><State>Ok</State>"
        f"<URL>{url}</URL><Row>{row}</Row><Col>{column}</Col><FieldID>{field}</FieldID><PlaneID>{plane}</PlaneID>"
        f"<TimepointID>{time}</TimepointID><ChannelID>{channel}</ChannelID>{about}"
        f"<PositionZ Unit='m'>{(plane - 1) * 2e-6}</PositionZ></Image>"
    )


def write_index(folder, images, maps="", files=True):
    home = folder / "Images"
    home.mkdir(parents=True)
    wells = "".join(f"<Well><id>0{n}01</id><Row>{n}</Row><Col>1</Col><Image id='x'/></Well>" for n in (1, 2))
    (home / "Index.idx.xml").write_text(
        f"<?xml version='1.0'?><EvaluationInputData xmlns='{SPACE}' Version='1'><Plates><Plate><PlateID>4711</PlateID>"
        "<Name>Tox 7</Name><PlateTypeName>x</PlateTypeName><PlateRows>16</PlateRows><PlateColumns>24</PlateColumns>"
        f"<Well id='0101'/></Plate></Plates><Wells>{wells}</Wells><Maps>{maps}</Maps><Images>{''.join(images)}</Images>"
        "</EvaluationInputData>"
    )
    if files:
        for image in images:
            name = image.split("<URL>")[1].split("<")[0]
            if "/" not in name:
                tifffile.imwrite(home / name, np.full((20, 30), len(name), "uint16"))
    return folder


def test_the_index_tells_wells_channels_planes_and_scale(tmp_path):
    images = [entry(r, c, f, p, ch) for r, c in ((1, 1), (16, 24)) for f in (1, 2) for p in (1, 2, 3) for ch in (1, 2)]
    folder = write_index(tmp_path / "measurement", images)
    for path in (folder, folder / "Images", folder / "Images" / "Index.idx.xml"):
        plate = open_plate(path)
        assert (plate.name, plate.layout, plate.rows, plate.columns) == ("Tox 7", "operetta-index", 16, 24)
        assert [site.id for site in plate] == [f"Tox 7_{w}_{f}" for w in ("A01", "P24") for f in (1, 2)]
    image = plate["Tox 7_A01_1"].open()
    assert (image.axes, image.array.shape) == ("CZYX", (2, 3, 20, 30))
    assert image.channel_names == ("Brightfield", "Alexa 488")  # in the order of their numbers
    assert image.pixel_size_um == pytest.approx(0.299)
    assert image.z_step_um == pytest.approx(2.0)


def test_channels_told_once_in_a_map_are_read(tmp_path):
    maps = "".join(
        f"<Map><Entry ChannelID='{n}'><ChannelName>{name}</ChannelName>"
        "<ImageResolutionX Unit='m'>6.5E-07</ImageResolutionX></Entry></Map>"
        for n, name in ((1, "BF"), (2, "DNA"))
    )
    images = [entry(1, 1, channel=ch, channel_parts=False) for ch in (1, 2)]
    plate = open_plate(write_index(tmp_path / "m", images, maps))
    assert plate.channels == ("BF", "DNA")
    assert plate["Tox 7_A01_1"].open().pixel_size_um == pytest.approx(0.65)


def test_time_points_are_times(tmp_path):
    plate = open_plate(write_index(tmp_path / "m", [entry(1, 1, time=t) for t in (0, 1, 2)], files=False))
    assert plate.times == ("0", "1", "2")


@pytest.mark.fault("B32")
def test_an_image_that_is_listed_and_missing_is_incomplete(tmp_path):
    folder = write_index(tmp_path / "m", [entry(1, c, channel=ch) for c in (1, 2) for ch in (1, 2)])
    (folder / "Images" / "r01c02f01p01-ch2sk1fk1fl1.tiff").unlink()
    plate = open_plate(folder)
    assert [site.problem is None for site in plate] == [True, False]
    with pytest.raises(IncompleteError, match="1 of 2 files of Tox 7_A02_1 are missing, such as 'r01c02f01p01-ch2"):
        plate["Tox 7_A02_1"].open()


@pytest.mark.parametrize("url", ["../../secret.tiff", "/etc/secret.tiff", "C:\\secret.tiff"])
def test_an_image_outside_the_folder_is_left_out_and_said(tmp_path, url):
    plate = open_plate(write_index(tmp_path / "m", [entry(1, 1), entry(1, 2, url=url)], files=False))
    assert [str(well) for well in plate.wells] == ["A01"]
    assert "left out" in plate.warnings[0]


def test_a_broken_or_empty_index_is_said_and_the_names_still_serve(tmp_path):
    folder = write_index(tmp_path / "m", [entry(1, 1)])
    index = folder / "Images" / "Index.idx.xml"
    index.write_text(index.read_text()[:-40])
    with pytest.raises(ReaderError, match=r"index .* is broken.*rename"):
        open_plate(folder)
    index.rename(index.with_name("old.xml.bak"))
    assert open_plate(folder).layout == "operetta"
    with pytest.raises(ReaderError, match="lists no images"):
        open_plate(write_index(tmp_path / "n", []))


@pytest.mark.fault("B12")
@pytest.mark.fault("B11")
@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a><Image><URL>&x;</URL><Row>1</Row><Col>1</Col></Image></a>',
        "<!DOCTYPE a [<!ENTITY b0 'ha'>"
        + "".join(f"<!ENTITY b{n} '{f'&b{n - 1};' * 10}'>" for n in range(1, 12))
        + "]><a><Image><URL>&b11;</URL><Row>1</Row><Col>1</Col></Image></a>",
    ],
)
def test_entities_are_not_followed(tmp_path, text):
    (tmp_path / "Index.idx.xml").write_text(text)
    with pytest.raises(ReaderError, match=r"broken|can be used"):
        open_plate(tmp_path)


def test_images_that_the_index_does_not_list_are_incomplete_or_named(tmp_path):
    images = [entry(1, c, plane=p) for c in (1, 2) for p in (1, 2)]
    folder = write_index(tmp_path / "m", images)
    for name in ("r01c02f01p03-ch1sk1fk1fl1.tiff", "r01c03f01p01-ch1sk1fk1fl1.tiff", "overview_M01.tiff"):
        (folder / "Images" / name).touch()
    plate = open_plate(folder)
    told = {str(site.well): str(site.problem or "") for site in plate}
    assert told["A01"] == ""
    assert "not in the plate's index" in told["A02"]
    assert "not in the plate's index" in told["A03"]
    assert any("overview_M01" in one for one in plate.warnings)
