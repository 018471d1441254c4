"""Images and stains in folders become pairs, by name or as channels; what has no partner is named."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from vitascope.core.errors import InputError
from vitascope.recipes.folder_pairs import channel_names, pair_channels, pair_folders


def write(path, value=1, shape=(32, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full(shape, value, np.uint16), photometric="minisblack")


def names(found):
    return [(pair.name, *(Path(files[0]).name for files in pair.stains.values())) for pair in found.pairs]


def test_equal_names_are_pairs_and_the_rest_is_named(tmp_path):
    for name in ("a", "b", "only_image"):
        write(tmp_path / "DIC" / f"{name}.tif")
    for name in ("b", "a", "only_stain"):
        write(tmp_path / "DAPI" / f"{name}.ome.tif", value=7)
    (tmp_path / "DIC" / "notes.txt").write_text("no image")
    found = pair_folders(tmp_path / "DIC", {"nuclei": tmp_path / "DAPI"})
    assert names(found) == [("a", "a.ome.tif"), ("b", "b.ome.tif")]
    assert found.images == ("only_image.tif",)
    assert found.stains == ("DAPI/only_stain.ome.tif",)
    pair = found.pairs[0].pair()
    assert pair.targets["nuclei"].shape == (32, 32)
    assert pair.targets["nuclei"].max() == 7
    assert pair.image.shape_yx == (32, 32)


def test_names_that_differ_in_a_word_pair_by_their_number(tmp_path):
    for k in (1, 2, 10):
        write(tmp_path / "in" / f"dic_{k:02d}.tif")
        write(tmp_path / "out" / f"dapi_{k}.tif")
    found = pair_folders(tmp_path / "in", {"nuclei": tmp_path / "out"})
    assert names(found) == [("dic_01", "dapi_1.tif"), ("dic_02", "dapi_2.tif"), ("dic_10", "dapi_10.tif")]


def test_an_image_without_one_of_two_stains_is_left_out(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "bf" / f"{name}.tif")
        write(tmp_path / "dna" / f"{name}.tif")
    write(tmp_path / "er" / "b.tif")
    write(tmp_path / "er" / "c.tif")
    found = pair_folders(tmp_path / "bf", {"nuclei": tmp_path / "dna", "er": tmp_path / "er"})
    assert names(found) == [("b", "b.tif", "b.tif")]
    assert found.images == ("a.tif",)
    assert found.stains == ("er/c.tif",)


def test_what_cannot_be_paired_is_said(tmp_path):
    write(tmp_path / "a" / "alpha.tif")
    write(tmp_path / "a" / "beta.tif")
    write(tmp_path / "b" / "gamma.tif")
    write(tmp_path / "b" / "delta.tif")
    (tmp_path / "empty").mkdir()
    for images, stains, told in (
        ("a", "b", "share nothing"),
        ("a", "a", "same folder"),
        ("a", "empty", "no image in empty"),
        ("a", "gone", "no image in gone"),
    ):
        with pytest.raises(InputError, match=told):
            pair_folders(tmp_path / images, {"nuclei": tmp_path / stains})


def test_channels_of_a_plate_are_pairs_in_groups_of_wells(tmp_path):
    for well in ("A01", "A02"):
        for site in (1, 2):
            for channel in (1, 2):
                write(tmp_path / "plate" / f"{well}_s{site}_w{channel}.tif", value=channel)
    assert len(channel_names(tmp_path / "plate")) == 2
    first, second = channel_names(tmp_path / "plate")
    found = pair_channels(tmp_path / "plate", first, {"nuclei": second})
    assert len(found.pairs) == 4
    assert {pair.group.split()[-1] for pair in found.pairs} == {"A01", "A02"}
    pair = found.pairs[0].pair()
    assert pair.channel == first
    assert pair.targets["nuclei"].max() == 2
    with pytest.raises(InputError, match="taken twice"):
        pair_channels(tmp_path / "plate", first, {"nuclei": first})
    with pytest.raises(InputError, match="No image of plate"):
        pair_channels(tmp_path / "plate", first, {"nuclei": "w9"})


def test_a_stain_of_several_planes_is_refused_when_it_is_read(tmp_path):
    write(tmp_path / "a" / "x.tif")
    path = tmp_path / "b" / "x.ome.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, np.zeros((3, 32, 32), np.uint16), metadata={"axes": "ZYX"}, photometric="minisblack")
    found = pair_folders(tmp_path / "a", {"nuclei": tmp_path / "b"})
    with pytest.raises(InputError, match="more than one picture: 3 along Z"):
        found.pairs[0].pair()
