"""Inputs made after public reports and real exports: each was once misread, and stands for a class of faults.

Each test is called as its folder in ``cases``, where ``case.md`` tells what was done, seen and expected.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from tests_support import blobs, make_model, save_model
from vendor_support import write_czi, write_lif
from vitascope.cli.main import app
from vitascope.core.errors import IncompleteError, InputError, ReaderError
from vitascope.io.images.read import find_groups, group_paths, open_group, read_image, read_images
from vitascope.io.plates.read import find_plates, is_plate, open_plate
from vitascope.io.tables.measured_values import read_amounts
from vitascope.io.tables.plate_map import read_plate_map
from vitascope.io.tables.plate_reader import read_reader_export

CASES = Path(__file__).parent / "cases"
FAST = ["--model", "test-model"]
for _name, _value in {"precision": "f32", "tile_px": 512, "threads": 1, "min_contrast": 0}.items():
    FAST += ["--set", f"{_name}={_value}"]


def case(number: str) -> Path:
    return next(CASES.glob(f"{number}-*"))


def command(*words):
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A small model called test-model, in a folder of its own."""
    folder = tmp_path / "models"
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    save_model(make_model(width=0.25, object_diameter_px=18), folder)


def test_02_ome_series_split_over_files(tmp_path, model):
    folder = case("02") / "split"
    both = [folder / "split.ome.tif", folder / "split_1.ome.tif"]
    expected = np.concatenate([tifffile.imread(path, is_ome=False) for path in both])
    for given in (both, both[::-1], folder):
        image = read_image(given)
        assert (image.axes, image.name, image.pixel_size_um) == ("TYX", "split", 0.65)
        np.testing.assert_array_equal(image.array, expected)
    for path, other in zip(both, both[::-1], strict=True):
        with pytest.raises(IncompleteError, match=other.name):
            read_image(path)
        out = tmp_path / path.stem
        done = command("run", "stain", path, "-o", out, *FAST)
        assert (done.exit_code, out.exists()) == (2, False)
        assert other.name in done.stderr


def test_03_ome_renamed_file():
    for path in case("03").glob("*.tif"):
        image = read_image(path)
        assert (image.axes, image.sizes["T"]) == ("TYX", 3)
        np.testing.assert_array_equal(image.array, tifffile.imread(path, is_ome=False))


@pytest.mark.parametrize("compression", [5, 6])
def test_16_czi_zstd(tmp_path, compression):
    pytest.importorskip("czifile")
    array = np.random.default_rng(16).integers(0, 65535, (6, 8)).astype("uint16")
    dims = [("X", 0, 8), ("Y", 0, 6), ("S", 0, 1)]
    path = write_czi(tmp_path / "a.czi", [(dims, array)], ["B2"], channels=(), compression=compression)
    np.testing.assert_array_equal(np.asarray(read_image(path).array), array)
    np.testing.assert_array_equal(np.asarray(next(iter(open_plate(path))).open().array), array)


def test_17_czi_lif_circular_advice(tmp_path, model):
    pytest.importorskip("czifile")
    pytest.importorskip("liffile")
    from vitascope.gui.reader import get_reader

    array = (200 + 1000 * blobs()).astype("uint16")
    height, width = array.shape
    files = [
        write_czi(tmp_path / "x.czi", [([("X", 0, width), ("Y", 0, height)], array)], [], channels=()),
        write_lif(tmp_path / "x.lif", [("Series001", array)]),
    ]
    for path in files:
        refused = command("plate", path, "--task", "stain", "-o", tmp_path / "plate")
        assert refused.exit_code == 2
        hint = refused.stderr.partition("Hint: ")[2]
        assert f"vitascope run TASK '{path.name}'" in hint
        done = command("run", "stain", path, "-o", tmp_path / path.suffix[1:], *FAST)
        assert done.exit_code == 0, done.output
        layers = get_reader(str(path))(str(path))
        np.testing.assert_array_equal(np.asarray(layers[0][0]), array)


def test_18_zeiss_position_as_well(tmp_path):
    pytest.importorskip("czifile")
    blocks = [([("X", 0, 8), ("Y", 0, 6), ("S", s, 1)], np.full((6, 8), s + 1, "uint16")) for s in range(3)]
    path = write_czi(tmp_path / "a.czi", blocks, [""] * 3, channels=(), own_names=["TR1", "P1", "TR2"])
    with pytest.raises(ReaderError, match="called after a well"):
        open_plate(path)
    assert [image.name for image in read_images(path)] == ["a_P1", "a_TR1", "a_TR2"]


def test_19_lif_one_odd_scene(tmp_path):
    pytest.importorskip("liffile")
    rng = np.random.default_rng(19)
    images = [(f"A/{column}", rng.integers(1, 999, (6, 8)).astype("uint16")) for column in range(1, 5)]
    images.insert(2, ("A/9", rng.integers(1, 999, (5, 6, 8)).astype("uint16"), "λYX"))
    path = write_lif(tmp_path / "a.lif", images)
    plate = open_plate(path)
    assert len(plate) == 5
    for site in plate:
        if str(site.well) == "A09":
            with pytest.raises(InputError, match="wavelengths"):
                site.open()
        else:
            expected = dict((name, array) for name, array, *_ in images)[f"A/{site.well.column + 1}"]
            np.testing.assert_array_equal(np.asarray(site.open().array), expected)
    groups = {group.name: group for group in find_groups([path])}
    assert len(groups) == 5
    with pytest.raises(InputError, match="wavelengths"):
        open_group(groups.pop("a_A_9"))
    assert all(open_group(group).axes == "YX" for group in groups.values())


def test_20_min_is_white():
    plain, inverted = (read_image(case("20") / name) for name in ("plain.tif", "miniswhite.tif"))
    np.testing.assert_array_equal(plain.array, inverted.array)


def test_21_bigtiff_suffixes(tmp_path):
    source = case("21") / "big.ome.btf"
    for suffix in (".ome.btf", ".ome.tf8", ".ome.tf2", ".btf", ".tf8", ".tf2", ".OME.BTF"):
        path = Path(shutil.copy(source, tmp_path / f"big{suffix}"))
        image = read_image(path)
        assert (image.axes, image.pixel_size_um, image.name) == ("YX", 0.5, "big")
    assert len(read_images(tmp_path)) == 7


def test_22_zarr_empty_chunks(caplog):
    path = case("22") / "omezarrpy.zarr"
    image = read_image(path)
    assert (image.axes, "empty_chunks" in image.flags) == ("YX", True)
    assert "12 of 16 chunks" in caplog.text
    np.testing.assert_array_equal(np.asarray(image.array), zarr.open_array(str(path / "s0"), mode="r")[...])


def test_23_ngff_translation_and_window(tmp_path):
    from vitascope.gui.layers.add import image_layers

    path = tmp_path / "translation.zarr"
    shutil.copytree(case("23") / "translation.zarr", path)
    attributes = json.loads((path / ".zattrs").read_text())
    window = {"start": 0, "end": 100, "min": 0, "max": 255}
    attributes["omero"] = {"channels": [{"label": "phase", "color": "FF0000", "window": window}]}
    (path / ".zattrs").write_text(json.dumps(attributes))
    ((_, shown, _),) = image_layers(read_image(path))
    assert tuple(shown["translate"]) == pytest.approx((100, 200))
    assert tuple(shown["scale"]) == pytest.approx((0.65, 0.65))
    assert shown["contrast_limits"] == (0, 100)
    np.testing.assert_allclose(shown["colormap"].map(np.array([1.0]))[0, :3], [1, 0, 0], atol=1e-6)


def test_05_imagexpress_projection_beside_zsteps(tmp_path):
    folder = CASES / "05-imagexpress-projection-beside-zsteps" / "mx_raw"
    plate = open_plate(folder)
    assert [str(well) for well in plate.wells] == ["E07", "E08"]
    assert [site.problem for site in plate] == [None, None]
    assert [site.group.channels for site in plate] == [("w1", "w2")] * 2  # the stack lacks w2
    assert any("projection is read" in one and "lacks channel w2" in one for one in plate.warnings)
    assert any("thumbnail" in one for one in plate.warnings)
    stacks = open_plate(folder, planes="stack")
    assert [(site.group.channels, site.group.planes, site.problem) for site in stacks] == [
        (("w1",), ("1", "2", "3"), None)
    ] * 2
    assert any("projections" in one for one in stacks.warnings)
    groups, warnings = group_paths([folder])
    assert [(group.place.well, group.channels) for group in groups] == [("E07", ("w1", "w2")), ("E08", ("w1", "w2"))]
    assert "projection" in warnings[0]
    assert is_plate(folder)  # napari opens it as a plate, too
    whole = shutil.copytree(folder, tmp_path / "mx_raw")
    for path in whole.glob("*_w2*"):
        path.unlink()
    assert [len(site.group.planes) for site in open_plate(whole)] == [3, 3]
    assert [len(site.group.planes) for site in open_plate(whole, planes="projection")] == [0, 0]


def test_06_cellvoyager_correction_images():
    (plate,) = find_plates(CASES / "06-cellvoyager-correction-images" / "cv")
    assert (plate.name, [str(well) for well in plate.wells]) == ("MyPlate", ["D08", "E03"])
    assert [site.problem for site in plate] == [None, None]
    assert [kind for kind in ("shading", "dark") if any(kind in one for one in plate.warnings)] == ["shading", "dark"]
    assert sum("SC_" in one or "DC_" in one for one in plate.warnings) == 2


def test_07_channel_taken_as_well():
    folder = CASES / "07-channel-taken-as-well" / "almf"
    (plate,) = find_plates(folder)
    assert [str(well) for well in plate.wells] == ["A02", "A08"]
    assert [(str(site.well), site.place.field, site.group.channels) for site in plate] == [
        (well, field, ("C01", "C02")) for well in ("A02", "A08") for field in ("001", "002")
    ]
    assert {group.place.well for group in find_groups(folder.rglob("*.tif"))} == {"A02", "A08"}


@pytest.mark.parametrize("channel", ["C01", "ch01"])
def test_07_channel_taken_as_well_shortest(tmp_path, channel):
    for well in ("A2", "B11"):
        for number in (1, 2):
            (tmp_path / f"{well}_{channel[:-1]}{number}.tif").touch()
    assert [str(well) for well in open_plate(tmp_path).wells] == ["A02", "B11"]


def test_08_cell_line_taken_as_well():
    folder = CASES / "08-cell-line-taken-as-well" / "lines"
    plate = open_plate(folder)
    assert [str(site.well) for site in plate] == ["A03", "A04", "B03"]
    assert sorted(group.place.well for group in find_groups([folder])) == ["A03", "A04", "B03"]


TABLE_READERS = (read_plate_map, read_reader_export, read_amounts)


def _values_by_well(path: Path, *columns: str) -> list[dict[str, float]]:
    """Return what each face reads of a table: plate map, reader's export, training."""
    table = read_plate_map(path).table.set_index("well")
    column = next(column for column in columns if column in table)
    exported = read_reader_export(path).set_index("well")["signal"]
    amounts = {amount.well: amount.value for amount in read_amounts(path).rows}
    return [table[column].astype(float).to_dict(), exported.to_dict(), amounts]


def _counted(rows: str, columns: range) -> dict[str, float]:
    return {f"{letter}{c:02}": 100.0 * r + k for r, letter in enumerate(rows) for k, c in enumerate(columns)}


def test_10_grid_with_a_row_left_out(tmp_path):
    path = CASES / "10-grid-with-a-row-left-out" / "gap_row.csv"
    expected = {well: v for well, v in _counted("ABCDEFGH", range(1, 13)).items() if well[0] != "C"}
    blank = tmp_path / "blank_row.csv"
    blank.write_text(path.read_text().replace("\nD,", "\nC,,,,,,,,,,,,\nD,"))
    for found in _values_by_well(path, "signal"):
        assert found == expected
    for found in _values_by_well(blank, "signal"):
        assert {well: value for well, value in found.items() if value == value} == expected


def test_11_inner_wells_only():
    folder = CASES / "11-inner-wells-only"
    for found in _values_by_well(folder / "inner60.csv", "signal", "treatment"):
        assert found == _counted("BCDEFG", range(2, 12))
    for found in _values_by_well(folder / "inner_rows.csv", "signal", "treatment"):
        assert found == _counted("BCDEFG", range(1, 13))


@pytest.mark.parametrize(("name", "plate"), [("envision_barcode", "BC00017"), ("envision_nobarcode", "")])
def test_12_envision_barcode(name, plate):
    path = CASES / "12-envision-barcode" / f"{name}.csv"
    expected = {f"{letter}{c:02}": 1000.0 * r + c - 1 for r, letter in enumerate("ABCDEFGH") for c in range(1, 13)}
    for found in _values_by_well(path, "signal"):
        assert found == expected
    plate_map = read_plate_map(path)
    assert set(plate_map.table["plate"]) == {plate}
    assert plate_map.row("BC00017", "H12")["signal"] == 7011


@pytest.mark.parametrize("read", TABLE_READERS)
def test_13_dose_with_thousands_mark(read, tmp_path):
    text = (CASES / "13-dose-with-thousands-mark" / "dose_thousands.csv").read_text()
    path = tmp_path / "dose.csv"
    path.write_text(text if read is read_plate_map else text.replace("dose (nM)", "value"))
    with pytest.raises(InputError, match=r"'1,000' in line 2 may be .*: 1 or 1000\."):
        read(path)


@pytest.mark.parametrize("read", TABLE_READERS)
@pytest.mark.parametrize(("name", "line"), [("thousands_grid.csv", 2), ("thousands_list.csv", 1)])
def test_14_signal_with_thousands_mark(read, name, line):
    with pytest.raises(InputError, match=rf"'1,204' in line {line} may be .*: 1.204 or 1204\."):
        read(CASES / "14-signal-with-thousands-mark" / name)


def test_15_merged_cells():
    pytest.importorskip("openpyxl")
    found = read_plate_map(CASES / "15-merged-cells" / "merged.xlsx")
    table = found.table.set_index("well")
    assert table["treatment"].to_dict() == {
        **dict.fromkeys(("A01", "A02", "A03"), "drug X"),
        **dict.fromkeys(("A04", "A05", "A06"), "DMSO"),
    }
    assert table["role"].to_dict() == {
        **dict.fromkeys(("A01", "A02", "A03"), "treated"),
        **dict.fromkeys(("A04", "A05", "A06"), "negative"),
    }
