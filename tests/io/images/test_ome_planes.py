"""OME-XML made by hand and by chance: orders of planes, files they are spread over, names, UUIDs."""

from __future__ import annotations

import itertools

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitascope.core.errors import IncompleteError, ReaderError
from vitascope.io.images.read import find_groups, read_image, read_images
from vitascope.io.images.tiff import open_tiff

HEIGHT, WIDTH = 5, 6


def ome_xml(blocks, sizes, order="XYCZT", uuid="", images=1, body="", samples=1):
    """One image after the other with the same sizes; blocks are the texts of its TiffData."""
    size = " ".join(f'Size{axis}="{sizes[axis]}"' for axis in "ZCT")
    channels = "".join(
        f'<Channel ID="Channel:0:{c}" Name="c{c}" SamplesPerPixel="{samples}"/>' for c in range(sizes["C"] // samples)
    )
    made = "".join(
        f'<Image ID="Image:{i}" Name="i{i}"><Pixels ID="Pixels:{i}" DimensionOrder="{order}" Type="uint16" '
        f'SizeX="{WIDTH}" SizeY="{HEIGHT}" {size} PhysicalSizeX="0.65">{channels}{blocks[i]}</Pixels></Image>'
        for i in range(images)
    )
    root = f' UUID="{uuid}"' if uuid else ""
    return f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{root}>{body or made}</OME>'


def write_pages(path, pages, xml, **options):
    options.setdefault("photometric", "minisblack")
    pages = np.asarray(pages)
    with tifffile.TiffWriter(path) as tif:
        for number, page in enumerate(pages):
            tif.write(page, description=xml.encode() if number == 0 else None, metadata=None, **options)
    return path


def description(path):
    with tifffile.TiffFile(path) as tif:
        return tif.pages.first.description


def value(t, c, z):
    """A plane that tells its place."""
    return np.full((HEIGHT, WIDTH), 1 + t * 100 + c * 10 + z, "uint16")


def whole(sizes):
    """The image as it should be read, without axes of length one."""
    array = np.array(
        [[[value(t, c, z) for z in range(sizes["Z"])] for c in range(sizes["C"])] for t in range(sizes["T"])]
    )
    keep = tuple(slice(None) if sizes[axis] > 1 else 0 for axis in "TCZ")
    return array[keep], "".join(axis for axis in "TCZ" if sizes[axis] > 1) + "YX"


@st.composite
def series(draw):
    """Sizes, an order, and the pages in the order they are stored in, cut into files."""
    sizes = {axis: draw(st.integers(1, 3)) for axis in "TCZ"}
    order = draw(st.permutations("CZT"))
    places = [
        dict(zip((order[2], order[1], order[0]), at, strict=True))
        for at in itertools.product(*(range(sizes[axis]) for axis in reversed(order)))
    ]
    places = [(at["T"], at["C"], at["Z"]) for at in places]
    if draw(st.booleans()):
        places = draw(st.permutations(places))
        listed = True
    else:
        listed = draw(st.booleans())
    files = draw(st.integers(1, min(3, len(places))))
    cuts = (
        sorted(draw(st.sets(st.integers(1, len(places) - 1), min_size=files - 1, max_size=files - 1)))
        if files > 1
        else []
    )
    parts = [places[a:b] for a, b in zip([0, *cuts], [*cuts, len(places)], strict=True)]
    return sizes, "XY" + "".join(order), parts, listed, draw(st.booleans()), draw(st.booleans())


def block(place, page, name, number, with_uuid, named):
    t, c, z = place
    uuid = f'<UUID FileName="{name}">{f"urn:uuid:{number}" if with_uuid else ""}</UUID>' if named else ""
    return f'<TiffData FirstT="{t}" FirstC="{c}" FirstZ="{z}" IFD="{page}" PlaneCount="1">{uuid}</TiffData>'


def write_series(folder, made, renamed=False):
    sizes, order, parts, listed, with_uuid, named = made
    named = named or len(parts) > 1
    names = [f"part_{chr(97 + number)}.ome.tif" for number in range(len(parts))]
    text = "".join(
        block(place, page, names[number], number, with_uuid, named)
        for number, part in enumerate(parts)
        for page, place in enumerate(part)
    )
    if not named and not listed:
        text = "<TiffData/>"
    paths = []
    for number, part in enumerate(parts):
        xml = ome_xml([text], sizes, order, f"urn:uuid:{number}" if with_uuid else "")
        name = f"other {number}.tif" if renamed else names[number]
        paths.append(write_pages(folder / name, [value(*place) for place in part], xml))
    return paths


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(series(), st.booleans())
def test_planes_lie_where_the_xml_says(tmp_path_factory, made, eager):
    """Any order, any cut into files: together they are the image; each alone is incomplete and names the others."""
    folder = tmp_path_factory.mktemp("ome")
    paths = write_series(folder, made)
    expected, axes = whole(made[0])
    image = read_image(folder)
    assert (image.axes, image.pixel_size_um) == (axes, 0.65)
    np.testing.assert_array_equal(image.array, expected)
    if len(paths) == 1:
        lazy = open_tiff(paths[0], eager_bytes=EAGER if eager else 0)
        np.testing.assert_array_equal(np.asarray(lazy.array), expected)
        return
    for path in paths:
        with pytest.raises(IncompleteError) as caught:
            read_image(path)
        assert all(other.name in str(caught.value) for other in paths if other != path)
    np.testing.assert_array_equal(read_image(paths[::-1]).array, expected)


EAGER = 2**20


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(series())
def test_a_renamed_file_is_read_by_what_it_says(tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("ome")
    sizes, order, parts, _, with_uuid, named = made
    one = [place for part in parts for place in part]
    paths = write_series(folder, (sizes, order, [one], True, with_uuid, named), renamed=True)
    expected, axes = whole(sizes)
    image = read_image(paths)
    assert image.axes == axes
    np.testing.assert_array_equal(image.array, expected)


def test_renamed_parts_with_uuids_are_one_image(tmp_path):
    made = ({"T": 4, "C": 1, "Z": 1}, "XYCZT", [[(0, 0, 0), (1, 0, 0)], [(2, 0, 0), (3, 0, 0)]], True, True, True)
    paths = write_series(tmp_path, made, renamed=True)
    image = read_image(paths)
    assert image.axes == "TYX"
    np.testing.assert_array_equal(image.array[:, 0, 0], [1, 101, 201, 301])


def test_a_renamed_part_without_uuid_is_refused_by_name(tmp_path):
    made = ({"T": 4, "C": 1, "Z": 1}, "XYCZT", [[(0, 0, 0), (1, 0, 0)], [(2, 0, 0), (3, 0, 0)]], True, False, True)
    paths = write_series(tmp_path, made, renamed=True)
    for path in paths:
        with pytest.raises(IncompleteError, match=r"part_a\.ome\.tif, part_b\.ome\.tif"):
            read_image(path)


def test_xml_copied_with_its_uuid_goes_by_file_names(tmp_path):
    made = ({"T": 4, "C": 1, "Z": 1}, "XYCZT", [[(0, 0, 0), (1, 0, 0)], [(2, 0, 0), (3, 0, 0)]], True, True, True)
    paths = write_series(tmp_path, made)
    xml = description(paths[0])
    write_pages(paths[1], [value(2, 0, 0), value(3, 0, 0)], xml)
    np.testing.assert_array_equal(read_image(tmp_path).array[:, 0, 0], [1, 101, 201, 301])


def test_images_that_are_whole_stay_images_of_their_own(tmp_path):
    """One image in each file, and every file tells of all: none waits for the others."""
    sizes = {"T": 3, "C": 1, "Z": 1}
    names = [f"well_{w}.ome.tif" for w in ("A01", "A02")]
    blocks = [
        "".join(block((t, 0, 0), t, name, number, True, True) for t in range(3)) for number, name in enumerate(names)
    ]
    for number, name in enumerate(names):
        xml = ome_xml(blocks, sizes, uuid=f"urn:uuid:{number}", images=2)
        write_pages(tmp_path / name, [value(t, number, 0) for t in range(3)], xml)
    images = read_images(tmp_path)
    assert [image.axes for image in images] == ["TYX", "TYX"]
    for number, image in enumerate(images):
        np.testing.assert_array_equal(image.array[:, 0, 0], [1 + 100 * t + 10 * number for t in range(3)])
    (tmp_path / names[1]).unlink()
    assert read_image(tmp_path / names[0]).axes == "TYX"
    renamed = (tmp_path / names[0]).rename(tmp_path / "renamed.ome.tif")
    assert read_image(renamed).axes == "TYX"


def test_names_that_tell_planes_do_not_hide_what_the_files_say(tmp_path):
    """Planes of one image, a file each, named as times: the names alone would make images of them."""
    sizes = {"T": 1, "C": 1, "Z": 3}
    names = [f"cells_t{z}.ome.tif" for z in range(3)]
    text = "".join(block((0, 0, z), 0, names[z], z, True, True) for z in range(3))
    for z, name in enumerate(names):
        write_pages(tmp_path / name, [value(0, 0, z)], ome_xml([text], sizes, uuid=f"urn:uuid:{z}"))
    assert len(find_groups([tmp_path])) == 1
    assert read_image(tmp_path).axes == "ZYX"


def test_the_xml_may_lie_in_another_file(tmp_path):
    """Micro-Manager's second file says only where the first one is; a companion file holds XML alone."""
    made = ({"T": 4, "C": 1, "Z": 1}, "XYCZT", [[(0, 0, 0), (1, 0, 0)], [(2, 0, 0), (3, 0, 0)]], True, True, True)
    paths = write_series(tmp_path, made)
    xml = description(paths[0])
    binary = '<BinaryOnly MetadataFile="part_a.ome.tif" UUID="urn:uuid:0"/>'
    write_pages(
        paths[1],
        [value(2, 0, 0), value(3, 0, 0)],
        ome_xml([], {"T": 1, "C": 1, "Z": 1}, uuid="urn:uuid:1", images=0, body=binary),
    )
    np.testing.assert_array_equal(read_image(tmp_path).array[:, 0, 0], [1, 101, 201, 301])
    with pytest.raises(IncompleteError, match=r"part_a\.ome\.tif"):
        read_image(paths[1])
    (tmp_path / "set.companion.ome").write_text(xml)
    for number, path in enumerate(paths):
        body = '<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:x"/>'
        pages = [value(2 * number + t, 0, 0) for t in range(2)]
        write_pages(path, pages, ome_xml([], {"T": 1, "C": 1, "Z": 1}, uuid=f"urn:uuid:{number}", images=0, body=body))
    np.testing.assert_array_equal(read_image(paths).array[:, 0, 0], [1, 101, 201, 301])
    (tmp_path / "set.companion.ome").unlink()
    with pytest.raises(IncompleteError, match=r"set\.companion\.ome"):
        read_image(paths[0])


@pytest.mark.parametrize("blocks", ["", "<TiffData/>", '<TiffData IFD="0"/>', '<TiffData IFD="0" PlaneCount="6"/>'])
def test_planes_that_are_not_listed_lie_in_their_order(tmp_path, blocks):
    sizes = {"T": 2, "C": 3, "Z": 1}
    places = [(t, c, 0) for c in range(3) for t in range(2)]
    xml = ome_xml([blocks], sizes, "XYTCZ")
    image = read_image(write_pages(tmp_path / "a.ome.tif", [value(*place) for place in places], xml))
    expected, axes = whole(sizes)
    assert (image.axes, image.channel_names) == (axes, ("c0", "c1", "c2"))
    np.testing.assert_array_equal(image.array, expected)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_interleaved_channels_are_channels(tmp_path, planar):
    sizes = {"T": 2, "C": 4, "Z": 1}
    planes = np.array([[value(t, c, 0) for c in range(4)] for t in range(2)])
    pages = planes if planar == "separate" else planes.transpose(0, 2, 3, 1)
    xml = ome_xml(['<TiffData IFD="0" PlaneCount="2"/>'], sizes, samples=4)
    image = read_image(write_pages(tmp_path / "a.ome.tif", pages, xml, planarconfig=planar))
    assert image.axes == "TCYX"
    np.testing.assert_array_equal(image.array, planes)


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.btf", ".tf8"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pyramids_are_read_at_full_size_in_their_order(tmp_path, suffix, compression):
    rng = np.random.default_rng(4)
    array = rng.integers(0, 4000, (3, 64, 64), "uint16")
    with tifffile.TiffWriter(tmp_path / f"a{suffix}", ome=True, bigtiff=True) as tif:
        options = {"photometric": "minisblack", "tile": (16, 16), "compression": compression}
        tif.write(array, subifds=2, metadata={"axes": "TYX", "PhysicalSizeX": 0.5}, **options)
        for step in (2, 4):
            tif.write(array[:, ::step, ::step], subfiletype=1, **options)
    for eager in (EAGER, 0):
        image = open_tiff(tmp_path / f"a{suffix}", eager_bytes=eager)
        assert (image.axes, image.pixel_size_um) == ("TYX", 0.5)
        np.testing.assert_array_equal(np.asarray(image.array), array)


def test_large_parts_stay_in_their_files(tmp_path, monkeypatch):
    from vitascope.io.images.ome_sets import open_set

    made = ({"T": 2, "C": 1, "Z": 2}, "XYZCT", [[(0, 0, 0), (0, 0, 1)], [(1, 0, 0), (1, 0, 1)]], True, True, True)
    paths = write_series(tmp_path, made)
    image = open_set(paths, eager_bytes=0)
    assert isinstance(image.array, da.Array)
    np.testing.assert_array_equal(image.array[1, :, 2:4, 3].compute(), whole(made[0])[0][1, :, 2:4, 3])
    write_pages(paths[1], [value(1, 0, 0)], description(paths[1]))
    with pytest.raises(IncompleteError, match="1 planes"):
        image.array.compute()


def test_xml_that_promises_more_than_can_be_is_refused(tmp_path):
    xml = ome_xml([""], {"T": 10**9, "C": 1, "Z": 1})
    with pytest.raises(ReaderError) as caught:
        read_image(write_pages(tmp_path / "a.ome.tif", [value(0, 0, 0)], xml))
    assert caught.value.flag == "too_large"


@pytest.mark.parametrize("suffix", [".tif", ".ome.btf"])
def test_a_companion_tells_of_files_that_say_nothing(tmp_path, suffix):
    """Plain TIFFs beside a companion file are its planes: given as a folder, one by one, or by the companion."""
    names = [f"plane_{t}{suffix}" for t in range(4)]
    blocks = "".join(
        f'<TiffData FirstT="{3 - t}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{t}</UUID></TiffData>'
        for t, name in enumerate(names)
    )
    for t, name in enumerate(names):
        with tifffile.TiffWriter(tmp_path / name, ome=False) as tif:
            tif.write(value(t, 0, 0), metadata=None, photometric="minisblack")
    companion = tmp_path / "set.companion.ome"
    companion.write_text(ome_xml([blocks], {"T": 4, "C": 1, "Z": 1}))
    for paths in (tmp_path, companion, [tmp_path / name for name in names]):
        image = read_image(paths)
        assert (image.axes, image.pixel_size_um) == ("TYX", 0.65)
        np.testing.assert_array_equal(image.array[:, 0, 0], [301, 201, 101, 1])
    for name in names:
        (tmp_path / name).unlink()
    with pytest.raises(ReaderError, match="none that it names"):
        read_image(companion)


def test_an_order_of_planes_that_nothing_tells_is_refused(tmp_path):
    """Without DimensionOrder two axes may lie either way; one alone, or planes that are listed, may not."""
    pages = np.arange(6 * HEIGHT * WIDTH, dtype="uint16").reshape(6, HEIGHT, WIDTH)
    xml = ome_xml(["<TiffData/>"], {"T": 3, "C": 2, "Z": 1}).replace('DimensionOrder="XYCZT" ', "")
    path = tmp_path / "a.ome.tif"
    write_pages(path, pages, xml)
    with pytest.raises(ReaderError, match="order of the planes"):
        read_image(path)
    write_pages(path, pages, xml.replace('SizeT="3"', 'SizeT="6"').replace('SizeC="2"', 'SizeC="1"'))
    assert read_image(path).axes == "TYX"
    listed = "".join(f'<TiffData IFD="{i}" FirstT="{i % 3}" FirstC="{i // 3}"/>' for i in range(6))
    write_pages(path, pages, xml.replace("<TiffData/>", listed))
    np.testing.assert_array_equal(read_image(path).array, pages.reshape(2, 3, HEIGHT, WIDTH).swapaxes(0, 1))
