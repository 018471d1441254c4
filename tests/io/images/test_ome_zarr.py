from __future__ import annotations

import json
import pickle
import shutil

import dask.array as da
import numpy as np
import pytest
import zarr

from vitascope.core.errors import AxesUnknownError, IncompleteError, InputError, ReaderError
from vitascope.io.images.ome_zarr import open_zarr

RNG = np.random.default_rng(6)
IMAGE = RNG.integers(1, 4000, (2, 3, 40, 50), "uint16")


def write_array(path, array, chunks=(1, 1, 16, 16), zarr_format=3, **options):
    options.setdefault("config", {"write_empty_chunks": True})
    made = zarr.create_array(
        str(path),
        shape=array.shape,
        chunks=chunks[-array.ndim :],
        dtype=array.dtype,
        zarr_format=zarr_format,
        **options,
    )
    made[...] = array
    return path


def write_ngff(path, version="0.5", unit="micrometer", scale=(1, 2, 0.5, 0.5), names=("phase", "DAPI"), array=IMAGE):
    """Write an OME-Zarr image by hand, from the specification."""
    axes = [{"name": n, "type": "channel" if n == "c" else "space"} for n in "czyx"]
    for axis in axes[1:]:
        if unit:
            axis["unit"] = unit
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": list(scale)}]}
    multiscale = {"axes": axes, "datasets": [dataset]}
    omero = {"channels": [{"label": name} for name in names]}
    if version == "0.4":
        multiscale["version"] = version
        attributes = {"multiscales": [multiscale], "omero": omero}
    else:
        attributes = {"ome": {"version": version, "multiscales": [multiscale], "omero": omero}}
    zarr_format = 2 if version == "0.4" else 3
    zarr.open_group(str(path), mode="w", zarr_format=zarr_format, attributes=attributes)
    options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if zarr_format == 2 else {}
    write_array(path / "0", array, zarr_format=zarr_format, **options)
    return path


def metadata_file(path):
    return path / "zarr.json" if (path / "zarr.json").is_file() else path / ".zattrs"


def edit(path, change):
    file = metadata_file(path)
    found = json.loads(file.read_text())
    change(found["attributes"]["ome"] if file.name == "zarr.json" else found)
    file.write_text(json.dumps(found))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_arrays_are_read_lazily(tmp_path, zarr_format):
    image = open_zarr(write_array(tmp_path / "a.zarr", IMAGE, zarr_format=zarr_format), "CZYX")
    assert isinstance(image.array, da.Array)
    assert (image.axes, image.name) == ("CZYX", "a")
    np.testing.assert_array_equal(image.array.compute(), IMAGE)
    np.testing.assert_array_equal(image.array[1, ::2, 5:38:3, -1].compute(), IMAGE[1, ::2, 5:38:3, -1])
    again = pickle.loads(pickle.dumps(image.array))  # noqa: S301, what a worker in another process gets
    np.testing.assert_array_equal(again[0, 1].compute(), IMAGE[0, 1])


def test_names_of_dimensions_are_used(tmp_path):
    path = write_array(tmp_path / "a.zarr", IMAGE, dimension_names=["z", "c", "y", "x"])
    image = open_zarr(path)
    assert image.axes == "CZYX"
    np.testing.assert_array_equal(image.array.compute(), IMAGE.transpose(1, 0, 2, 3))


def test_sharded_array(tmp_path):
    path = write_array(tmp_path / "a.zarr", IMAGE, chunks=(1, 1, 8, 8), shards=(1, 1, 16, 16))
    np.testing.assert_array_equal(open_zarr(path, "CZYX").array.compute(), IMAGE)


@pytest.mark.fault("B21")
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_both_versions_of_ome_zarr_give_the_same(tmp_path, version):
    image = open_zarr(write_ngff(tmp_path / "a.ome.zarr", version))
    assert (image.axes, image.pixel_size_um, image.z_step_um) == ("CZYX", 0.5, 2)
    assert (image.channel_names, image.name, image.flags) == (("phase", "DAPI"), "a", ())
    np.testing.assert_array_equal(image.array.compute(), IMAGE)


@pytest.mark.fault("B21")
@pytest.mark.parametrize("version", ["0.1", "0.9"])
def test_other_versions_are_named(tmp_path, version):
    path = write_ngff(tmp_path / "a.ome.zarr")
    edit(path, lambda ome: ome.update(version=version))
    with pytest.raises(ReaderError, match=version):
        open_zarr(path)


@pytest.mark.fault("B22")
@pytest.mark.parametrize(
    "change",
    [
        lambda ome: ome.pop("multiscales"),
        lambda ome: ome.update(multiscales=[]),
        lambda ome: ome["multiscales"][0].pop("axes"),
        lambda ome: ome["multiscales"][0].pop("datasets"),
        lambda ome: ome["multiscales"][0]["axes"].pop(),
        lambda ome: ome["multiscales"][0]["axes"][0].update(name="wavelength"),
        lambda ome: ome["multiscales"][0]["datasets"][0].update(path="7"),
    ],
)
def test_missing_metadata(tmp_path, change):
    path = write_ngff(tmp_path / "a.ome.zarr")
    edit(path, change)
    with pytest.raises(ReaderError):
        open_zarr(path)


@pytest.mark.fault("B23")
@pytest.mark.parametrize("target", ["../../etc", "/etc", "0/../../secret", "C:\\secret", ""])
def test_paths_that_lead_out_are_refused(tmp_path, target):
    path = write_ngff(tmp_path / "a.ome.zarr")
    write_array(tmp_path / "secret", IMAGE)
    edit(path, lambda ome: ome["multiscales"][0]["datasets"][0].update(path=target))
    with pytest.raises(ReaderError, match="outside"):
        open_zarr(path)


@pytest.mark.fault("A24")
@pytest.mark.parametrize(("unit", "size", "flags"), [
    ("nanometer", 0.0005, ()),
    ("banana", None, ("unit_unknown", "pixel_size_unknown")),
    ("", None, ("unit_unknown", "pixel_size_unknown")),
])  # fmt: skip
def test_units_of_ome_zarr(tmp_path, unit, size, flags):
    image = open_zarr(write_ngff(tmp_path / "a.ome.zarr", unit=unit))
    assert (image.pixel_size_um, image.flags) == (size, flags)


def test_scale_of_one_without_unit_is_unknown_and_scales_multiply(tmp_path):
    image = open_zarr(write_ngff(tmp_path / "a.ome.zarr", unit="", scale=(1, 1, 1, 1)))
    assert image.flags == ("pixel_size_unknown",)
    path = write_ngff(tmp_path / "b.ome.zarr", unit="micrometer", scale=(1, 1, 0.5, 0.5))
    outer = [{"type": "scale", "scale": [1, 1, 3, 3]}]
    edit(path, lambda ome: ome["multiscales"][0].update(coordinateTransformations=outer))
    assert open_zarr(path).pixel_size_um == 1.5


@pytest.mark.fault("B13")
@pytest.mark.parametrize("text", ["{", "[]", '{"shape": ', "\x00\x01", "{}"])
@pytest.mark.parametrize("file", ["zarr.json", "0/zarr.json"])
def test_broken_metadata(tmp_path, text, file):
    path = write_ngff(tmp_path / "a.ome.zarr")
    (path / file).write_text(text)
    with pytest.raises(ReaderError):
        open_zarr(path)


@pytest.mark.fault("B14")
@pytest.mark.parametrize("keep", [0, 5])
def test_damaged_chunk(tmp_path, keep):
    path = write_array(tmp_path / "a.zarr", IMAGE)
    chunk = path / "c/1/2/0/1"
    chunk.write_bytes(chunk.read_bytes()[:keep])
    image = open_zarr(path, "CZYX")
    with pytest.raises(ReaderError):
        image.array.compute()
    np.testing.assert_array_equal(image.array[0].compute(), IMAGE[0])


@pytest.mark.fault("B16")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_that_are_left_out_hold_the_fill_value_and_are_counted(tmp_path, zarr_format, caplog):
    path = write_array(tmp_path / "a.zarr", IMAGE, zarr_format=zarr_format, fill_value=7)
    for key in ("1.2.0.1", "0.0.2.3") if zarr_format == 2 else ("c/1/2/0/1", "c/0/0/2/3"):
        (path / key).unlink()
    (path / "c9").touch()
    expected = IMAGE.copy()
    expected[1, 2, :16, 16:32] = expected[0, 0, 32:, 48:] = 7
    image = open_zarr(path, "CZYX")
    assert "empty_chunks" in image.flags
    assert "2 of 72 chunks" in caplog.text
    np.testing.assert_array_equal(image.array.compute(), expected)


@pytest.mark.fault("B16")
@pytest.mark.parametrize("home", ["", ".."])
@pytest.mark.parametrize("name", ["manifest-sha256.txt", "a.md5", "SHA256SUMS"])
def test_chunks_that_a_list_of_files_names_are_missing(tmp_path, name, home):
    path = write_array(tmp_path / "bag" / "a.zarr", IMAGE)
    inside = "" if not home else "a.zarr/"
    (path / home / name).write_text(f"{'0' * 32}  {inside}c/1/2/0/1\n{'0' * 32}  {inside}zarr.json\n")
    assert open_zarr(path, "CZYX").flags == ("pixel_size_unknown",)
    (path / "c/1/2/0/1").unlink()
    (path / "c/0/0/2/3").unlink()
    with pytest.raises(IncompleteError, match="1 of 72 chunks"):
        open_zarr(path, "CZYX")


@pytest.mark.fault("B16")
def test_chunks_without_a_fill_value_are_missing(tmp_path):
    path = write_array(tmp_path / "a.zarr", IMAGE, zarr_format=2)
    found = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps({**found, "fill_value": None}))
    (path / "1.2.0.1").unlink()
    with pytest.raises(IncompleteError, match="1 of 72 chunks"):
        open_zarr(path, "CZYX")


def test_bare_arrays_are_asked_about(tmp_path):
    with pytest.raises(AxesUnknownError) as caught:
        open_zarr(write_array(tmp_path / "a.zarr", IMAGE))
    assert "--axes" in caught.value.hint
    path = write_array(tmp_path / "b.zarr", IMAGE, dimension_names=["time", "Channel", None, None])
    assert open_zarr(path).axes == "TCYX"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_place_limits_and_colours_are_read(tmp_path, version):
    path = write_ngff(tmp_path / "a.ome.zarr", version)

    def change(ome):
        steps = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        steps.append({"type": "translation", "translation": [0, 4, 100, 200]})
        ome["omero"]["channels"][0] |= {"color": "00FF00", "window": {"start": 10, "end": 90, "min": 0, "max": 65535}}
        ome["omero"]["channels"][1] |= {"color": "bad", "window": {"start": 0, "end": 65535, "min": 0, "max": 65535}}

    edit(path, change)
    display = open_zarr(path).display
    assert display.origin_px == (2, 200, 400)
    assert display.limits == ((10, 90), None)  # all that can be is no choice
    assert display.colours == ("00FF00", "")
    outer = [{"type": "scale", "scale": [1, 1, 3, 3]}, {"type": "translation", "translation": [0, 0, 15, 0]}]
    edit(path, lambda ome: ome["multiscales"][0].update(coordinateTransformations=outer))
    image = open_zarr(path)
    assert (image.pixel_size_um, image.display.origin_px) == (1.5, (2, 210, 400))


@pytest.mark.fault("B16")
def test_chunk_that_goes_missing_after_opening(tmp_path):
    path = write_array(tmp_path / "a.zarr", IMAGE)
    image = open_zarr(path, "CZYX")
    (path / "c/1/2/0/1").unlink()
    with pytest.raises(IncompleteError, match="has gone"):
        image.array.compute()


def test_label_images_may_leave_out_empty_chunks(tmp_path):
    labels = np.zeros_like(IMAGE)
    labels[0, 0, 3, 3] = 7
    path = tmp_path / "a.ome.zarr"
    write_ngff(path, array=labels)
    shutil.rmtree(path / "0/c/1")
    edit(path, lambda ome: ome.update({"image-label": {"version": "0.5"}}))
    np.testing.assert_array_equal(open_zarr(path).array.compute(), labels)


@pytest.mark.fault("B17")
def test_declared_size_is_refused(tmp_path):
    path = write_array(tmp_path / "a.zarr", IMAGE)
    found = json.loads((path / "zarr.json").read_text())
    found["shape"] = [1, 1, 10**9, 10**9]
    (path / "zarr.json").write_text(json.dumps(found))
    with pytest.raises(ReaderError) as caught:
        open_zarr(path)
    assert caught.value.flag == "too_large"


@pytest.mark.fault("A09")
def test_dimensions_that_cannot_be_read(tmp_path):
    for shape in ((20,), (1, 1, 1, 1, 4, 5)):
        path = write_array(tmp_path / f"{len(shape)}.zarr", np.ones(shape, "uint8"), chunks=shape)
        with pytest.raises(InputError) as caught:
            open_zarr(path)
        assert caught.value.flag == "wrong_dimensions"


def test_plates_and_folders_without_metadata_say_what_they_are(tmp_path):
    path = tmp_path / "p.zarr"
    zarr.open_group(str(path), mode="w", attributes={"ome": {"version": "0.5", "plate": {"wells": []}}})
    with pytest.raises(ReaderError, match="is a plate"):
        open_zarr(path)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ReaderError, match="no zarr metadata"):
        open_zarr(tmp_path / "empty.zarr")


def test_the_one_image_of_a_converted_file_is_opened(tmp_path):
    path = tmp_path / "converted.zarr"
    zarr.open_group(str(path), mode="w", attributes={"ome": {"version": "0.5", "bioformats2raw.layout": 3}})
    write_ngff(path / "0")
    assert open_zarr(path).pixel_size_um == 0.5
    write_ngff(path / "1")
    with pytest.raises(ReaderError, match="2 images"):
        open_zarr(path)
