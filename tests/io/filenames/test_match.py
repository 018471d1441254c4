"""Images and stains are paired by their names."""

import pytest

from vitascope.core.errors import InputError
from vitascope.io.filenames.match import match_globs


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def pairs(found):
    return [(image, stain) for _, image, stain in found.pairs]


def test_two_folders_are_paired_by_the_same_name_and_the_rest_is_named(tmp_path):
    files(tmp_path, "DIC/a.tif", "DIC/b.tif", "DIC/c.tif", "DAPI/b.tif", "DAPI/a.tif", "DAPI/z.tif", "DAPI/a.txt")
    found = match_globs(tmp_path, "DIC/*.tif", "DAPI/*.tif")
    assert pairs(found) == [("DIC/a.tif", "DAPI/a.tif"), ("DIC/b.tif", "DAPI/b.tif")]
    assert found.images == ("DIC/c.tif",)
    assert found.stains == ("DAPI/z.tif",)


def test_channels_of_a_plate_are_paired_by_what_the_wildcards_stand_for(tmp_path):
    files(tmp_path, *(f"p/{w}_f{f}_C{c}.tif" for w in ("A01", "B02") for f in (1, 2) for c in (1, 2)))
    found = match_globs(tmp_path, "p/*_C1.tif", "p/*_C2.tif")
    assert [(k, b) for k, _, b in found.pairs] == [
        (f"{w}_f{f}", f"p/{w}_f{f}_C2.tif") for w in ("A01", "B02") for f in (1, 2)
    ]


def test_names_that_call_their_kind_are_paired_by_what_tells_them_apart(tmp_path):
    files(tmp_path, "DIC/dic_well3_001.tif", "DIC/dic_well3_002.tif", "DAPI/well3-dapi-2.tif", "DAPI/well3-dapi-1.tif")
    assert pairs(match_globs(tmp_path, "DIC/*.tif", "DAPI/*.tif")) == [
        ("DIC/dic_well3_001.tif", "DAPI/well3-dapi-1.tif"),
        ("DIC/dic_well3_002.tif", "DAPI/well3-dapi-2.tif"),
    ]


def test_one_image_and_one_stain_are_a_pair_whatever_they_are_called(tmp_path):
    files(tmp_path, "one/first.tif", "two/other.tif")
    assert pairs(match_globs(tmp_path, "one/*", "two/*")) == [("one/first.tif", "two/other.tif")]


@pytest.mark.parametrize(
    ("names", "images", "words"),
    [
        (["DAPI/a.tif"], "DIC/*.tif", "no file 'DIC"),
        (["DIC/a.tif", "DIC/b.tif", "DAPI/x.tif", "DAPI/y.tif"], "DIC/*.tif", "share nothing"),
        (["DAPI/a.tif"], "../*.tif", "leads out"),
        (["DIC/1.tif", "DIC/01.tif", "DIC/2.tif", "DAPI/x_1.tif", "DAPI/x_2.tif"], "DIC/*.tif", "both called '1'"),
    ],
)
def test_what_cannot_be_paired_is_refused(tmp_path, names, images, words):
    with pytest.raises(InputError, match=words):
        match_globs(files(tmp_path, *names), images, "DAPI/*.tif")
