from __future__ import annotations

import dask.array as da
import imagecodecs
import numpy as np
import pytest
import tifffile

from vitascope.core.errors import AxesUnknownError, InputError, ParameterError, ReaderError
from vitascope.io.images.read import find_groups, open_group, read_image, read_images

RNG = np.random.default_rng(7)


def plane(seed, shape=(20, 30), dtype="uint16"):
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.png_encode(array))
    return path


def tif(path, array, **options):
    tifffile.imwrite(path, array, photometric="minisblack", **options)
    return path


def test_planes_become_a_stack(tmp_path):
    paths = [png(tmp_path / f"phase_z{z:02d}.png", plane(z)) for z in (10, 0, 2)]
    image = read_image(paths)
    assert (image.name, image.axes, image.sources) == (
        "phase",
        "ZYX",
        tuple(str(p) for p in (paths[1], paths[2], paths[0])),
    )
    np.testing.assert_array_equal(image.array, np.stack([plane(z) for z in (0, 2, 10)]))
    assert read_image(str(tmp_path / "phase_z*.png")).array.shape == (3, 20, 30)


def test_channels_and_planes_become_czyx(tmp_path):
    for w in (2, 1):
        for z in (1, 3):
            tif(tmp_path / f"pl_B02_s1_w{w}_z{z}.tif", plane(10 * w + z))
    (image,) = read_images([tmp_path], pixel_size_um=0.65)
    assert (image.axes, image.channel_names, image.name) == ("CZYX", ("w1", "w2"), "pl_B02_1")
    assert (image.pixel_size_um, image.flags, image.place.well) == (0.65, (), "B02")
    expected = np.stack([[plane(10 * w + z) for z in (1, 3)] for w in (1, 2)])
    np.testing.assert_array_equal(image.array, expected)


def test_channels_of_stacks(tmp_path):
    for d in (0, 1):
        tif(tmp_path / f"AS_D03f00d{d}.tif", plane(d, (4, 20, 30)))
    with pytest.raises(AxesUnknownError) as caught:
        read_image(tmp_path)
    assert caught.value.readings == ("ZYX", "TYX")  # channels are told by the names
    image = read_image(tmp_path, axes="ZYX")
    assert (image.axes, image.channel_names) == ("CZYX", ("d0", "d1"))
    np.testing.assert_array_equal(image.array[1, 2], plane(1, (4, 20, 30))[2])


def test_names_in_the_files_go_before_names_of_the_files(tmp_path):
    for d, name in enumerate(("DAPI", "GFP")):
        metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "Channel": {"Name": [name]}}
        tif(tmp_path / f"AS_D03f00d{d}.ome.tif", plane(d), ome=True, metadata=metadata)
    image = read_image(tmp_path)
    assert (image.channel_names, image.pixel_size_um) == (("DAPI", "GFP"), 0.5)


def test_large_stacks_of_planes_stay_in_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr("vitascope.io.images.read.EAGER_BYTES", 3 * 1100)
    for z in range(3):
        png(tmp_path / f"a_z{z}.png", plane(z))
        tif(tmp_path / f"b_z{z}.tif", plane(z + 5))
    for image, offset in zip(read_images([tmp_path]), (0, 5), strict=True):
        assert isinstance(image.array, da.Array)
        np.testing.assert_array_equal(image.array.compute(), np.stack([plane(z + offset) for z in range(3)]))


def test_plane_of_another_shape_or_type_is_named(tmp_path):
    png(tmp_path / "a_z0.png", plane(0))
    png(tmp_path / "a_z1.png", plane(1, (20, 31)))
    with pytest.raises(ReaderError, match=r"a_z1\.png.*20 x 31"):
        read_image(tmp_path)
    png(tmp_path / "a_z1.png", plane(1, dtype="uint8"))
    with pytest.raises(ReaderError, match=r"a_z1\.png.*uint8"):
        read_image(tmp_path)


def test_planes_of_different_pixel_size_need_one_given(tmp_path):
    for z, size in ((0, 0.5), (1, 0.6)):
        tif(tmp_path / f"a_z{z}.tif", plane(z), resolution=(1e4 / size, 1e4 / size), resolutionunit=3)
    with pytest.raises(ReaderError, match=r"0\.6"):
        read_image(tmp_path)
    assert read_image(tmp_path, pixel_size_um=0.5).pixel_size_um == 0.5


def test_stack_that_claims_to_be_a_plane_is_refused(tmp_path):
    for z in (0, 1):
        tif(tmp_path / f"a_z{z}.tif", plane(z, (3, 20, 30)))
    with pytest.raises(ReaderError, match="3 planes itself"):
        read_image(tmp_path, axes="ZYX")


def test_exactly_one_image_is_asked_for(tmp_path):
    png(tmp_path / "a.png", plane(0))
    png(tmp_path / "b.png", plane(1))
    with pytest.raises(ReaderError, match="2 images"):
        read_image(tmp_path)


@pytest.mark.fault("B01")
def test_one_bad_file_leaves_the_others(tmp_path):
    (tmp_path / "a.tif").touch()
    tif(tmp_path / "b.tif", plane(1))
    opened, failed = [], []
    for group in find_groups([tmp_path]):
        try:
            opened.append(open_group(group).name)
        except ReaderError as error:
            failed.append((group.name, error.flag))
    assert (opened, failed) == (["b"], [("a", "unreadable")])


@pytest.mark.fault("B26")
def test_paths_with_odd_characters_and_great_length(tmp_path):
    folder = tmp_path / "µ 板 #1 (1)"
    for _ in range(3):
        folder = folder / ("long name " * 9)
    folder.mkdir(parents=True)
    path = tif(folder / "ZProj[Stitched[Bright Field]]_C3_1_001.tif", plane(3))
    assert len(str(path)) > 260
    image = read_image(str(path))
    assert (image.name, image.place.well, image.channel_names) == ("C03_1", "C03", ("ZProj[Stitched[Bright Field]]",))
    np.testing.assert_array_equal(image.array, plane(3))


def test_axes_and_pixel_size_of_the_user(tmp_path):
    path = tif(tmp_path / "a.tif", plane(1, (3, 20, 30)), resolution=(20000, 30000), resolutionunit=3)
    image = read_image(path, axes="cyx", pixel_size_um=0.3)
    assert (image.axes, image.pixel_size_um, image.flags) == ("CYX", 0.3, ())
    with pytest.raises(InputError):
        read_image(path, axes="qyx")
    for size in (0, -1, float("nan")):
        with pytest.raises(ParameterError):
            read_image(path, pixel_size_um=size)


def test_pattern_is_passed_on(tmp_path):
    png(tmp_path / "1 of B2.png", plane(0))
    png(tmp_path / "2 of B2.png", plane(1))
    assert len(read_images([tmp_path])) == 2
    image = read_image(tmp_path, pattern="{z} of {well}")
    assert (image.name, image.axes) == ("B02", "ZYX")


def test_unreadable_file_says_so(tmp_path):
    import os

    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("the administrator may read everything")
    path = tif(tmp_path / "a.tif", plane(0))
    path.chmod(0)
    with pytest.raises(ReaderError, match="may not be read"):
        read_image(path)
