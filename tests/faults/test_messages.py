"""No reader speaks in keys: whatever a file holds and whatever a library raises, the message is a sentence.

``str(KeyError(6))`` is ``6``, ``str(StopIteration())`` is empty: such texts are no reason that a user can act on.
"""

from __future__ import annotations

import builtins
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import tifffile
import yaml
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests_support import make_model, make_recipe, save_model
from vitascope.core.errors import VitascopeError, describe
from vitascope.exchange.api import import_foreign
from vitascope.exchange.onnx_graph import read_onnx
from vitascope.exchange.state_dict_import import read_state_dict
from vitascope.io.filenames.expand import unreadable
from vitascope.io.images.read import read_images
from vitascope.io.models.archive import import_model
from vitascope.io.models.cards import read_card
from vitascope.io.models.weights import read_weights
from vitascope.io.plates.read import open_plate
from vitascope.io.results.read import read_results
from vitascope.io.tables.measured_values import read_amounts
from vitascope.io.tables.plate_map import read_plate_map
from vitascope.io.tables.plate_reader import read_reader_export, read_screen
from vitascope.recipes.recipe import read_recipe


class EmptyError(Exception):
    """An error that says nothing."""


INJECTED = (
    KeyError(6), KeyError("C"), IndexError(), IndexError("list index out of range"), StopIteration(), EmptyError(),
    ValueError(""), RuntimeError("KeyError: 6"), EOFError(), TypeError("None"), OSError(), AttributeError("axes"),
    AssertionError(), NotImplementedError(), LookupError("'x'"), UnicodeError(""), OSError(5, ""),
)  # fmt: skip
NAMES = {name for name in dir(builtins) if name.endswith(("Error", "Exception", "Iteration", "Exit"))} | {"EmptyError"}


def says_nothing(message: str) -> str:
    """Return the part of a message that is a key alone, the name of a class of errors, or empty; empty if none is."""
    if not message.strip():
        return "<empty>"
    for part in re.split(r": (?=\S)|:$", message.removesuffix(".")):
        words = re.findall(r"[^\W\d_]{2,}", part)
        if part.strip(" .'\"()") in NAMES or (words and all(word in NAMES for word in words)):
            return part
    reason = re.search(
        r"(?:cannot be read|cannot be used|is broken|are broken|is no [\w. ]+|no sound [\w ]+): (.*)$", message
    )
    if reason and len(re.findall(r"[^\W\d_]{2,}", reason[1])) < 2:
        return reason[1] or "<empty>"
    if re.search(r"\bNone\.|: \.|: $|''", message):
        return message
    return ""


def check(read, path):
    """Read a file; if it is refused, each sentence of the refusal says something."""
    with np.errstate(all="ignore"):
        try:
            found = read(path)
        except VitascopeError as error:
            return error
        return (
            next((one.problem for one in found if getattr(one, "problem", None)), None) if read is open_plate else None
        )


@pytest.mark.parametrize("error", INJECTED, ids=repr)
def test_what_a_library_raises_is_put_into_words(error):
    for said in (describe(error), unreadable(Path("x.czi"), error).message):
        assert says_nothing(said) == ""
        assert len(said.split()) > 3


def test_a_text_that_says_something_is_kept():
    assert describe(ValueError("bad magic number\nmore")) == "bad magic number"
    assert describe(KeyError("no codec of the name blosc3")) == "no codec of the name blosc3"
    assert describe(OSError(5, "Input/output error")) == "Input/output error"


@pytest.mark.parametrize(
    "bad", ["'x.czi' cannot be read: 6.", "'x' cannot be read: KeyError.", "It failed: .", "", "KeyError"]
)
def test_the_test_itself_knows_what_says_nothing(bad):
    assert says_nothing(bad)


# -- files of every kind, small ---------------------------------------------------------------------------------------


def write_images(folder):
    pixels = np.random.default_rng(0).integers(0, 200, (32, 40), dtype=np.uint8)
    tifffile.imwrite(folder / "plain.tif", pixels)
    tifffile.imwrite(folder / "packed.tif", np.stack([pixels] * 3), compression="zlib", photometric="minisblack")
    tifffile.imwrite(folder / "named.ome.tif", np.stack([pixels] * 2), metadata={"axes": "CYX", "PhysicalSizeX": 0.5})
    for name in ("a.png", "a.jpg", "a.bmp"):
        Image.fromarray(pixels).save(folder / name)
    group = zarr.open_group(str(folder / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("0", shape=(32, 40), chunks=(16, 16), dtype="uint8")[:] = pixels
    scales = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}]
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": scales}]


def write_tables(folder):
    lines = [",1,2,3", "A,1.5,2.5,3.5", "B,4.5,OVER,6.5"]
    (folder / "grid.csv").write_text("\n".join(["Results", *lines]))
    (folder / "map.csv").write_text("well,compound,dose (nM)\nA1,x,10\nA2,DMSO,0\n")
    (folder / "soft.txt").write_text(
        "##BLOCKS= 1\nPlate:\tP\t1.3\tPlateFormat\tEndpoint\tAbs\n\tTemperature\t1\t2\n\t35\t.1\t.2\n~End\n"
    )
    (folder / "Platelist.txt").write_text("Filename\tPlate\tReplicate\ngrid.csv\t1\t1\n")
    (folder / "Plateconf.txt").write_text("Wells: 96\nPlates: 1\nPlate\tWell\tContent\n*\t*\tsample\n1\tA0[1-2]\tneg\n")
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line.split(","))
    book.save(folder / "grid.xlsx")


def write_models(folder):
    save_model(make_model(width=0.25), folder)
    card, weights = folder / "test-model.json", folder / "test-model.safetensors"
    with zipfile.ZipFile(folder / "test-model.zip", "w") as package:
        package.write(card, card.name)
        package.write(weights, weights.name)
    (folder / "net.onnx").write_bytes(b"\x08\x07\x12\x04test:\x00")
    (folder / "net.pt").write_bytes(b"PK\x03\x04" + bytes(40))
    with zipfile.ZipFile(folder / "package.zip", "w") as package:
        package.writestr("rdf.yaml", "type: model\nweights: {pytorch_state_dict: {source: w.pt}}\nattachments: []\n")
        package.writestr("w.pt", b"no weights")


def write_plates(folder):
    (folder / "plate").mkdir()
    for name in ("p_A01_s1_w1.tif", "p_A02_s1_w1.tif"):
        tifffile.imwrite(folder / "plate" / name, np.full((16, 16), 7, np.uint16))
    (folder / "plate" / "p.HTD").write_text(
        '"HTSInfoFile", Version 1.0\n"XWells", 12\n"YWells", 8\n"WellsSelection1", TRUE\n'
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for write in (write_images, write_tables, write_models, write_plates):
        write(folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(make_recipe(folder)))
    return folder


IMAGES = ("plain.tif", "packed.tif", "named.ome.tif", "a.png", "a.jpg", "a.bmp", "a.zarr")
TABLES = ("grid.csv", "map.csv", "soft.txt", "grid.xlsx", "Plateconf.txt", "Platelist.txt")


def foreign(path):
    return import_foreign(path, like="nuclei-phase")


def weights_of(path):
    return read_weights(path, None)


def state_dict_of(path):
    return read_state_dict(path.read_bytes(), path.name)


READERS = [
    *((read_images, name) for name in IMAGES),
    *((read, name) for name in TABLES for read in (read_plate_map, read_reader_export, read_amounts)),
    (read_screen, "Platelist.txt"),
    (read_card, "test-model.json"),
    (weights_of, "test-model.safetensors"),
    (import_model, "test-model.zip"),
    (read_onnx, "net.onnx"),
    (state_dict_of, "net.pt"),
    (foreign, "package.zip"),
    (foreign, "net.onnx"),
    (foreign, "net.pt"),
    (read_recipe, "recipe.yaml"),
    (open_plate, "plate"),
]
IDS = [f"{read.__name__}-{name}" for read, name in READERS]


def damage(path: Path, cut: float, flips: list[tuple[float, int]], data: bytes | None = None) -> None:
    """Cut a file off, or change bytes of it; in a folder, of its first files."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            content = bytearray(file.read_bytes() if data is None else data)
            for place, value in flips:
                if content:
                    content[int(place * (len(content) - 1))] = value
            file.write_bytes(bytes(content[: int(cut * len(content))]))


@pytest.mark.parametrize(("read", "name"), READERS, ids=IDS)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    cut=st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999, 1.0]),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    data=st.sampled_from(
        [None, None, None, b"\x00" * 64, b"[]", b"{}", b"null", b"a,b\n\n", b"\xff\xfe", b'{"a": {"b": 6}}']
    ),
)
def test_a_damaged_file_is_refused_in_words(read, name, files, tmp_path_factory, monkeypatch, cut, flips, data):
    folder = tmp_path_factory.mktemp("damaged")
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder / "models"))
    path = folder / name
    copy = shutil.copytree if (files / name).is_dir() else shutil.copy
    copy(files / name, path)
    damage(path, cut, flips, data)
    error = check(read, path)
    assert error is None or says_nothing(error.message) == "", error.message
    shutil.rmtree(folder)


LIBRARIES = [
    (read_images, "plain.tif", "tifffile.TiffFile.__init__"),
    (read_images, "packed.tif", "tifffile.TiffPage.asarray"),
    (read_images, "named.ome.tif", "tifffile.TiffPage.__init__"),
    (read_images, "a.png", "PIL.Image.open"),
    (read_images, "a.zarr", "zarr.open"),
    (read_plate_map, "grid.xlsx", "openpyxl.load_workbook"),
    (read_reader_export, "grid.xlsx", "openpyxl.load_workbook"),
    (read_amounts, "grid.xlsx", "openpyxl.load_workbook"),
    (read_plate_map, "grid.csv", "pathlib.Path.stat"),
    (read_onnx, "net.onnx", "onnx.load_model_from_string"),
]


@pytest.mark.parametrize("error", INJECTED, ids=repr)
@pytest.mark.parametrize(("read", "name", "where"), LIBRARIES, ids=[f"{r.__name__}-{w}" for r, _, w in LIBRARIES])
def test_what_a_library_raises_inside_a_reader_reaches_the_user_in_words(read, name, where, error, files, monkeypatch):
    if where == "pathlib.Path.stat" and not isinstance(error, OSError):
        pytest.skip("the system raises no other errors than these")

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(where, fail)
    found = check(read, files / name)
    assert found is None or says_nothing(found.message) == "", found.message


def test_cards_and_recipes_of_other_shapes_are_refused_in_words(tmp_path):
    for text in ("[]", "6", '"x"', "{}", "null", '{"id": 6}', '{"weights": {"file": null}}', "nan"):
        (tmp_path / "c.json").write_text(text)
        (tmp_path / "r.yaml").write_text(text)
        for read, name in ((read_card, "c.json"), (read_recipe, "r.yaml")):
            error = check(read, tmp_path / name)
            assert error is not None
            assert says_nothing(error.message) == "", error.message


def test_results_without_their_parts_are_refused_in_words(tmp_path):
    (tmp_path / "results.csv").write_text("image,status\n")
    for provenance in ("", "[]", "6", "{", json.dumps({"images": 6})):
        (tmp_path / "provenance.json").write_text(provenance)
        error = check(read_results, tmp_path)
        assert error is None or says_nothing(error.message) == "", error.message
