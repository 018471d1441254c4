"""CZI and LIF files are written here byte by byte from their formats; ND2 is read through a stand-in of its package."""

from __future__ import annotations

import struct
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from vitascope.core.errors import InputError, ReaderError
from vitascope.io.images.vendor import list_scenes, open_scene
from vitascope.io.plates.read import open_plate
from vitascope.io.plates.vendor_plate import scene_well

RNG = np.random.default_rng(8)


def segment(name, content):
    used = len(content)
    padded = content + b"\0" * (-used % 32)
    return struct.pack("<16sqq", name.encode(), len(padded), used) + padded


def entry(position, dims):
    """A directory entry of a block: (axis, start, size) in the order X, Y, then the others."""
    head = struct.pack("<2siqiiBB4si", b"DV", 1, position, 0, 0, 0, 0, b"", len(dims))
    return head + b"".join(struct.pack("<4siifi", axis.encode(), start, size, 0.0, size) for axis, start, size in dims)


def write_czi(path, blocks, names, channels=("BF", "DNA")):
    """Write blocks of (dims, uint16 array) with a header, their metadata and a directory."""
    scenes = "".join(f'<Scene Index="{i}" Name="P{i}"><Shape Name="{name}"/></Scene>' for i, name in enumerate(names))
    found = "".join(f'<Channel Id="Channel:{i}" Name="{name}"/>' for i, name in enumerate(channels))
    distances = "".join(f'<Distance Id="{axis}"><Value>3.25E-07</Value></Distance>' for axis in "XY")
    xml = (
        f"<ImageDocument><Metadata><Information><Image><Dimensions><Channels>{found}</Channels><S><Scenes>{scenes}"
        f"</Scenes></S></Dimensions></Image></Information><Scaling><Items>{distances}</Items></Scaling></Metadata>"
        "</ImageDocument>"
    ).encode()
    body, positions = b"", []
    start = 32 + 512
    for dims, array in blocks:
        positions.append(start + len(body))
        about = entry(positions[-1], dims)
        content = struct.pack("<iiq", 0, 0, array.nbytes) + about + b"\0" * max(240 - len(about), 0) + array.tobytes()
        body += segment("ZISRAWSUBBLOCK", content)
    metadata = start + len(body)
    body += segment("ZISRAWMETADATA", struct.pack("<ii248x", len(xml), 0) + xml)
    directory = start + len(body)
    entries = b"".join(entry(position, dims) for position, (dims, _) in zip(positions, blocks, strict=True))
    body += segment("ZISRAWDIRECTORY", struct.pack("<i124x", len(blocks)) + entries)
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"", b"", 0, directory, metadata, 0, 0)
    path.write_bytes(segment("ZISRAWFILE", header + b"\0" * (512 - len(header))) + body)
    return path


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


def write_lif(path, images):
    """Write (name, uint16 array of Y, X) as a Leica file, version 2."""
    elements, memory = "", b""
    for number, (name, array) in enumerate(images):
        height, width = array.shape
        sides = ((1, width, 2), (2, height, 2 * width))
        dims = "".join(
            f'<DimensionDescription DimID="{d}" NumberOfElements="{n}" Origin="0" Length="{(n - 1) * 5e-7}" Unit="m" '
            f'BitInc="0" BytesInc="{inc}"/>'
            for d, n, inc in sides
        )
        channel = (
            '<ChannelDescription DataType="0" ChannelTag="0" Resolution="16" NameOfMeasuredQuantity="" Min="0" '
            'Max="65535" Unit="" LUTName="Gray" IsLUTInverted="0" BytesInc="0" BitInc="0"/>'
        )
        elements += (
            f'<Element Name="{name}" Visibility="1" UniqueID="u{number}"><Data><Image TextDescription="">'
            "<ImageDescription>"
            f"<Channels>{channel}</Channels><Dimensions>{dims}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{number}"/><Children/></Element>'
        )
        block = f"MemBlock_{number}".encode("utf-16-le")
        inside = struct.pack("<BQBI", 0x2A, array.nbytes, 0x2A, len(block) // 2) + block
        memory += struct.pack("<II", 0x70, len(inside)) + inside + array.tobytes()
    xml = (
        f'<LMSDataContainerHeader Version="2"><Element Name="{path.name}" Visibility="1" UniqueID="r"><Data>'
        f'<Experiment Path=""/></Data><Memory Size="0" MemoryBlockID="MemBlock_r"/><Children>{elements}</Children>'
        "</Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    inside = struct.pack("<BI", 0x2A, len(xml) // 2) + xml
    path.write_bytes(struct.pack("<II", 0x70, len(inside)) + inside + memory)
    return path


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
        points = [SimpleNamespace(name=name) for name in self.names]
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
