"""CZI and LIF files are written here byte by byte from their formats; ND2 is read through a stand-in of its package."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from vendor_support import write_czi, write_lif
from vitascope.core.errors import IncompleteError, InputError, ReaderError
from vitascope.io.images.read import find_groups, open_group, read_image
from vitascope.io.images.vendor import list_scenes, open_scene
from vitascope.io.plates.read import open_plate
from vitascope.io.plates.vendor_plate import scene_well, scene_wells

RNG = np.random.default_rng(8)


def test_a_czi_opens_as_a_plate_of_its_scenes(tmp_path):
    pytest.importorskip("czifile")
    images = {(scene, c): RNG.integers(1, 4000, (6, 8)).astype("uint16") for scene in range(3) for c in range(2)}
    blocks = []
    for (scene, c), image in images.items():  # the stage stood somewhere else for each scene
        dims = [("X", 100 * scene, 8), ("Y", -50 * scene, 6), ("C", c, 1), ("S", scene, 1)]
        blocks.append((dims, image))
    plate = open_plate(write_czi(tmp_path / "study.czi", blocks, ["B2", "B2", "C11"]))
    assert (plate.name, plate.layout, plate.rows, plate.columns) == ("study", "czi", 8, 12)
    assert [site.id for site in plate] == ["study_B02_1", "study_B02_2", "study_C11_1"]
    for scene, site in enumerate(plate):
        image = site.open()
        assert (image.axes, image.channel_names, image.pixel_size_um) == ("CYX", ("BF", "DNA"), pytest.approx(0.325))
        assert image.place.well == str(site.well)
        expected = np.stack([images[scene, c] for c in range(2)])
        np.testing.assert_array_equal(np.asarray(image.array), expected)
        np.testing.assert_array_equal(np.asarray(image.array[1, 2:5, 3:7]), expected[1, 2:5, 3:7])


def test_tiles_of_a_czi_lie_where_the_stage_was(tmp_path):
    pytest.importorskip("czifile")
    whole = RNG.integers(1, 4000, (10, 14)).astype("uint16")
    blocks = []
    for m, (y, x) in enumerate([(0, 0), (0, 6), (4, 0), (4, 6)]):
        dims = [("X", 1000 + x, 8), ("Y", 500 + y, 6), ("M", m, 1)]
        blocks.append((dims, np.ascontiguousarray(whole[y : y + 6, x : x + 8])))
    path = write_czi(tmp_path / "mosaic.czi", blocks, [], channels=())
    (scene,) = list_scenes(path)
    assert (scene.axes, scene.shape) == ("YX", (10, 14))
    np.testing.assert_array_equal(np.asarray(open_scene(path, 0).array), whole)
    with pytest.raises(ReaderError, match="no image 4"):
        open_scene(path, 4)
    with pytest.raises(ReaderError, match="called after a well"):
        open_plate(path)


def test_a_lif_opens_as_a_plate_of_its_images(tmp_path):
    pytest.importorskip("liffile")
    images = [(name, RNG.integers(1, 4000, (6, 8)).astype("uint16")) for name in ("B02_1", "B02_2", "overview")]
    plate = open_plate(write_lif(tmp_path / "study.lif", images))
    assert [site.id for site in plate] == ["study_B02_1", "study_B02_2"]
    assert "called after no well" in plate.warnings[0]
    for site, (_, expected) in zip(plate, images, strict=False):
        image = site.open()
        np.testing.assert_array_equal(np.asarray(image.array), expected)
        assert image.pixel_size_um == pytest.approx(0.5)


class FakeNd2:
    """What we use of nd2.ND2File."""

    pixels = RNG.integers(1, 4000, (3, 2, 4, 6, 8)).astype("uint16")
    names = ("A01_0000", "A01_0001", "H12_0000")
    colour = False

    def __init__(self, path):
        if not path.read_bytes():
            raise OSError("no ND2 file")
        self.sizes = {"P": 3, "C": 2, "Z": 4, "Y": 6, "X": 8, **({"S": 3} if self.colour else {})}
        self.dtype = self.pixels.dtype
        self.metadata = SimpleNamespace(
            channels=[SimpleNamespace(channel=SimpleNamespace(name=n)) for n in ("BF", "DNA")]
        )
        points = [
            SimpleNamespace(name=name, stagePositionUm=SimpleNamespace(x=-1000.0 * n, y=50.5, z=3.0))
            for n, name in enumerate(self.names)
        ]
        self.experiment = [SimpleNamespace(type="XYPosLoop", parameters=SimpleNamespace(points=points))]

    def voxel_size(self):
        return SimpleNamespace(x=0.65, y=0.65, z=2.0)

    def to_dask(self):
        import dask.array as da

        return da.from_array(self.pixels)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.fixture
def fake_nd2(monkeypatch):
    module = ModuleType("nd2")
    module.ND2File = FakeNd2
    monkeypatch.setitem(sys.modules, "nd2", module)


def test_an_nd2_opens_as_a_plate_of_its_positions(tmp_path, fake_nd2, monkeypatch):
    path = tmp_path / "study.nd2"
    path.write_bytes(b"x")
    plate = open_plate(path)
    assert [site.id for site in plate] == ["study_A01_1", "study_A01_2", "study_H12_1"]
    for number, site in enumerate(plate):
        image = site.open()
        assert (image.axes, image.channel_names) == ("CZYX", ("BF", "DNA"))
        assert (image.pixel_size_um, image.z_step_um) == (0.65, 2.0)
        assert image.stage_um == (50.5, -1000.0 * number)
        np.testing.assert_array_equal(np.asarray(image.array), FakeNd2.pixels[number])
        np.testing.assert_array_equal(np.asarray(image.array[1, 3]), FakeNd2.pixels[number, 1, 3])
    monkeypatch.setattr(FakeNd2, "colour", True)
    for site in open_plate(path):
        with pytest.raises(InputError, match="in colour"):
            site.open()


@pytest.mark.parametrize(("suffix", "package"), [("czi", "czifile"), ("nd2", "nd2"), ("lif", "liffile")])
def test_a_missing_package_is_said_with_what_to_do(tmp_path, monkeypatch, suffix, package):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"a.{suffix}").write_bytes(b"x")
    with pytest.raises(ReaderError, match=rf"{package} is not installed.*vitascope\[{suffix}\]"):
        open_plate(tmp_path / f"a.{suffix}")


@pytest.mark.fault("B29")
@pytest.mark.parametrize(
    "content", [b"", b"text", b"ZISRAWFILE" + b"\xff" * 600, b"p\0\0\0" + b"\xff" * 90, bytes(4096)]
)
@pytest.mark.parametrize(("suffix", "package"), [("czi", "czifile"), ("nd2", "nd2"), ("lif", "liffile")])
def test_garbage_is_a_reader_error(tmp_path, content, suffix, package):
    pytest.importorskip(package)
    (tmp_path / f"a.{suffix}").write_bytes(content)
    with pytest.raises(ReaderError):
        open_plate(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(
    ("name", "well"),
    [
        ("B2", "B02"),
        ("B02-3", "B02"),
        ("Point A01_0003", "A01"),
        ("Plate/AA/12/R1", "AA12"),
        ("Series003", ""),
        ("", ""),
    ],
)
def test_wells_in_the_names_of_scenes(name, well):
    assert scene_well(name) == well


@pytest.mark.parametrize(
    ("names", "wells"),
    [
        (["TR1", "P1", "TR2"], ["", "", ""]),
        (["P1", "P2", "P3"], ["", "", ""]),
        (["O3", "P3"], ["O03", "P03"]),
        (["P1", "B2"], ["P01", "B02"]),
    ],
)
def test_positions_of_zen_are_no_wells(names, wells):
    assert scene_wells(names) == wells


def test_a_scene_beside_those_in_wells_is_none(tmp_path):
    pytest.importorskip("czifile")
    blocks = [([("X", 0, 8), ("Y", 0, 6), ("S", s, 1)], np.full((6, 8), s + 1, "uint16")) for s in range(2)]
    plate = open_plate(write_czi(tmp_path / "a.czi", blocks, ["B2", ""], channels=(), own_names=["P1", "P2"]))
    assert [site.id for site in plate] == ["a_B02_1"]
    assert "P2" in plate.warnings[0]


@pytest.mark.parametrize("compression", [0, 5, 6])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_czi_is_unpacked(tmp_path, compression, dtype):
    pytest.importorskip("czifile")
    array = RNG.integers(0, 250, (2, 6, 8)).astype(dtype)
    dims = [("X", 0, 8), ("Y", 0, 6), ("Z", 0, 2)]
    image = read_image(write_czi(tmp_path / "a.czi", [(dims, array)], [], channels=(), compression=compression))
    assert (image.axes, image.array.dtype, image.name) == ("ZYX", dtype, "a")
    assert image.pixel_size_um == pytest.approx(0.325)
    np.testing.assert_array_equal(np.asarray(image.array), array)


def test_a_czi_packed_in_an_unknown_way_says_so(tmp_path):
    pytest.importorskip("czifile")
    array = np.ones((6, 8), "uint16")
    path = write_czi(tmp_path / "a.czi", [([("X", 0, 8), ("Y", 0, 6)], array)], [], channels=(), compression=117)
    with pytest.raises(ReaderError, match="packed in a way"):
        np.asarray(read_image(path).array)


def test_every_scene_of_a_czi_is_an_image_and_an_odd_one_keeps_its_own_status(tmp_path):
    pytest.importorskip("czifile")
    grey = RNG.integers(1, 99, (2, 6, 8)).astype("uint16")
    blocks = [([("X", 0, 8), ("Y", 0, 6), ("S", s, 1)], grey[s]) for s in range(2)]
    blocks.append(([("X", 0, 8), ("Y", 0, 6), ("S", 2, 1)], np.zeros((6, 8, 3), "uint16")))
    path = write_czi(tmp_path / "a.czi", blocks, ["", "", ""], channels=(), own_names=["TR1", "P1", "colour"])
    groups = find_groups([path])
    assert [group.name for group in groups] == ["a_colour", "a_P1", "a_TR1"]
    with pytest.raises(InputError, match="in colour"):
        open_group(groups[0])
    for group, expected in zip(groups[1:], (grey[1], grey[0]), strict=True):
        np.testing.assert_array_equal(np.asarray(open_group(group).array), expected)


def test_channels_and_sizes_of_a_lif_are_read(tmp_path):
    pytest.importorskip("liffile")
    array = RNG.integers(1, 4000, (3, 2, 6, 8)).astype("uint16")
    image = read_image(write_lif(tmp_path / "a.lif", [("Series001", array, "ZCYX")]))
    assert (image.axes, image.channel_names) == ("CZYX", ("Green", "Red"))
    assert (image.pixel_size_um, image.z_step_um) == (pytest.approx(0.5), pytest.approx(2))
    np.testing.assert_array_equal(np.asarray(image.array), array.transpose(1, 0, 2, 3))


@pytest.mark.parametrize("lead", ["T", "C", "Z"])
def test_a_czi_that_lacks_planes_is_incomplete_and_its_other_scenes_open(tmp_path, lead):
    pytest.importorskip("czifile")
    blocks = [
        ([("X", 0, 8), ("Y", 0, 6), (lead, n, 1), ("S", s, 1)], RNG.integers(1, 999, (6, 8)).astype("uint16"))
        for s in range(2)
        for n in ((0, 1, 3) if s else range(4))
    ]
    plate = open_plate(write_czi(tmp_path / "a.czi", blocks, ["A1", "B1"], channels=()))
    whole, cut = plate
    assert whole.open().sizes[lead] == 4
    assert (str(cut.well), isinstance(cut.problem, IncompleteError)) == ("B01", True)
    assert "1 of 4 planes" in str(cut.problem)


@pytest.mark.parametrize(
    ("names", "wells"),
    [
        (["Scene 1", "B16 melanoma"], ["", ""]),
        (["A1", "B2-1", "Overview"], ["A01", "B02", ""]),
        (["Point B02_0003", "Point 4"], ["B02", ""]),
        (["TileScan 1/B/2/R1", "Overview"], ["B02", ""]),
        (["A1 DMSO", "B2 drug"], ["A01", "B02"]),
    ],
)
def test_a_word_among_others_is_a_well_only_where_all_scenes_tell_one(names, wells):
    assert scene_wells(names) == wells


def test_a_lif_without_images_says_so_whichever_way_it_is_opened(tmp_path):
    pytest.importorskip("liffile")
    path = write_lif(tmp_path / "a.lif", [])
    for read in (open_plate, read_image):
        with pytest.raises(ReaderError, match="holds no image"):
            read(path)
