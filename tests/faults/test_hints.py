"""Every hint of the image readers that names a command, a path or a setting is followed here: it must lead on."""

from __future__ import annotations

import importlib.metadata
import re
import shlex

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from tests_support import blobs, make_model, save_model
from vendor_support import write_lif
from vitascope.cli.main import app
from vitascope.core.errors import AxesUnknownError, IncompleteError, ReaderError
from vitascope.io.images.read import read_image, read_images

FAST = ["--model", "test-model"]
for _name, _value in {"precision": "f32", "tile_px": 512, "threads": 1, "min_contrast": 0}.items():
    FAST += ["--set", f"{_name}={_value}"]
FIELD = (200 + 1000 * blobs()).astype("uint16")
STACK = np.stack([FIELD, FIELD // 2, FIELD // 3])


@pytest.fixture(autouse=True)
def _model(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    save_model(make_model(width=0.25, object_diameter_px=18), tmp_path / "models")
    monkeypatch.chdir(tmp_path)


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def hint_of(done):
    assert done.exit_code == 2, done.output
    return done.stderr.partition("Hint: ")[2]


def write_unknown(folder, kind):
    """A stack whose third axis nothing tells, stored in several ways."""
    folder.mkdir(exist_ok=True)
    if kind == "zarr":
        made = zarr.create_array(str(folder / "a.zarr"), shape=STACK.shape, chunks=(1, 256, 256), dtype="uint16")
        made[...] = STACK
        return folder / "a.zarr"
    if kind == "big":
        tifffile.imwrite(folder / "a.btf", STACK, photometric="minisblack", bigtiff=True)
        return folder / "a.btf"
    tifffile.imwrite(folder / "A01_s1.tif", STACK, photometric="minisblack", metadata=None)
    return folder / "A01_s1.tif"


@pytest.mark.parametrize("kind", ["tif", "big", "zarr"])
def test_axes_that_are_asked_for_may_be_named(tmp_path, kind):
    path = write_unknown(tmp_path / "in", kind)
    refused = command("run", "stain", path, "-o", "refused", *FAST)
    hint = hint_of(refused)
    assert not (tmp_path / "refused").exists()
    named = re.findall(r"\b([TCZ]YX)\b", hint)
    assert named == ["ZYX", "TYX", "CYX"]
    assert "--axes" in hint
    for axes in named:
        more = ["--set", "channel=0"] if axes == "CYX" else []
        done = command("run", "stain", path, "-o", axes, "--axes", axes, *FAST, *more)
        assert done.exit_code == 0, done.output
        assert read_image(path, axes=axes).axes == axes


def test_axes_may_be_named_for_a_plate_too(tmp_path):
    folder = write_unknown(tmp_path / "plate", "tif").parent
    tifffile.imwrite(folder / "A02_s1.tif", STACK, photometric="minisblack", metadata=None)
    first = command("plate", folder, "--task", "stain", "-o", "refused", *FAST)
    assert "--axes" in (tmp_path / "refused" / "results.csv").read_text(), first.output
    done = command("plate", folder, "--task", "stain", "-o", "out", "--axes", "TYX", *FAST)
    assert done.exit_code == 0, done.output
    assert "axes_unknown" not in (tmp_path / "out" / "results.csv").read_text()


def test_a_colour_picture_without_a_word_may_be_named():
    array = np.stack([FIELD, FIELD // 2, FIELD // 3], -1)
    from vitascope.tasks.run import as_micrograph

    with pytest.raises(AxesUnknownError, match="colour") as caught:
        as_micrograph(array)
    assert caught.value.readings[:2] == ("YXC", "YXS")
    assert as_micrograph(array, axes="YXC").axes == "CYX"
    assert as_micrograph(np.stack([FIELD] * 3, -1), axes="YXS").axes == "YX"


def test_parts_of_an_image_may_be_given_together(tmp_path):
    options = {"photometric": "minisblack", "metadata": None}
    text = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="a_{t}.ome.tif">urn:uuid:{t}</UUID></TiffData>'
        for t in range(2)
    )
    for t in range(2):
        xml = (
            f'<OME UUID="urn:uuid:{t}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="{FIELD.shape[1]}" SizeY="{FIELD.shape[0]}" SizeZ="1" SizeC="1" SizeT="2">{text}'
            "</Pixels></Image></OME>"
        )
        tifffile.imwrite(tmp_path / f"a_{t}.ome.tif", STACK[t], description=xml, **options)
    hint = hint_of(command("run", "stain", "a_0.ome.tif", "-o", "refused", *FAST))
    files = re.findall(r"a_\d\.ome\.tif", hint)
    done = command("run", "stain", *files, "-o", "out", *FAST)
    assert done.exit_code == 0, done.output
    with pytest.raises(IncompleteError):
        read_image("a_1.ome.tif")


def test_the_field_of_a_plate_that_is_named_is_there(tmp_path):
    from vitascope.core.progress import run_to_end
    from vitascope.io.plates.ome_zarr_write import export_plate
    from vitascope.io.plates.read import open_plate

    (tmp_path / "in").mkdir()
    for well in ("B02", "B03"):
        tifffile.imwrite(tmp_path / "in" / f"{well}_s1.tif", FIELD)
    run_to_end(export_plate(open_plate(tmp_path / "in"), tmp_path / "p.zarr"))
    for given in ("p.zarr", "p.zarr/B/2"):
        hint = hint_of(command("run", "stain", given, "-o", "refused", *FAST))
        field = re.search(r"such as '([^']+)'", hint)[1]
        np.testing.assert_array_equal(np.asarray(read_image(field).array), FIELD)
    assert "vitascope plate" in hint_of(command("run", "stain", "p.zarr", "-o", "refused", *FAST))
    done = command("plate", "p.zarr", "--task", "stain", "-o", "out", *FAST)
    assert done.exit_code == 0, done.output


def test_pixel_sizes_that_differ_may_be_given(tmp_path):
    for z, density in enumerate((20000, 30000)):
        tifffile.imwrite(tmp_path / f"a_z{z}.tif", FIELD, resolution=(density, density), resolutionunit=3)
    assert "--pixel-size-um" in hint_of(command("run", "stain", "a_z*.tif", "-o", "refused", *FAST))
    assert read_image("a_z*.tif", pixel_size_um=0.5).pixel_size_um == 0.5


@pytest.mark.parametrize("suffix", ["czi", "lif", "nd2"])
def test_the_extra_that_is_named_exists(tmp_path, monkeypatch, suffix):
    package = {"czi": "czifile", "lif": "liffile", "nd2": "nd2"}[suffix]
    monkeypatch.setitem(__import__("sys").modules, package, None)
    (tmp_path / f"a.{suffix}").write_bytes(b"x")
    hint = hint_of(command("run", "stain", f"a.{suffix}", "-o", "refused", *FAST))
    words = shlex.split(hint.partition("Run: ")[2].partition(", or")[0])
    assert words[:2] == ["pip", "install"]
    assert words[2] == f"vitascope[{suffix}]"
    assert suffix in importlib.metadata.metadata("vitascope").get_all("Provides-Extra")


def test_a_folder_of_files_of_microscopes_gives_each_image(tmp_path):
    pytest.importorskip("liffile")
    (tmp_path / "in").mkdir()
    write_lif(tmp_path / "in" / "a.lif", [("Series001", FIELD), ("Series002", FIELD // 2)])
    write_lif(tmp_path / "in" / "b.lif", [("Series001", FIELD // 3)])
    images = read_images(tmp_path / "in")
    assert [image.name for image in images] == ["a_Series001", "a_Series002", "b"]
    with pytest.raises(ReaderError, match="3 images"):
        read_image(tmp_path / "in")
