"""``vitascope compare-stain``: files in, a table and a figure out."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from tests_support import blobs
from vitascope.cli.main import app


def call(*words):
    return CliRunner().invoke(app, ["compare-stain", *map(str, words)])


@pytest.fixture
def files(tmp_path):
    """An image, its predicted nuclei and ER in one file, and the real ones in a file each."""
    nuclei = blobs((120, 140)).astype(np.float32)
    er = np.sqrt(nuclei)
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 120, 140))
    tifffile.imwrite(tmp_path / "bf.tif", (1000 + 100 * noise[0]).astype(np.uint16))
    tifffile.imwrite(
        tmp_path / "predicted.ome.tif",
        (np.stack([nuclei, er]) + noise).astype(np.float32),
        ome=True,
        metadata={"axes": "CYX", "Channel": {"Name": ["nuclei", "er"]}},
    )
    tifffile.imwrite(tmp_path / "DNA.tif", (300 + 5000 * nuclei).astype(np.uint16))
    tifffile.imwrite(tmp_path / "second.tif", (300 + 5000 * er).astype(np.uint16))
    return tmp_path


def test_writes_the_table_of_three_tiers_and_a_figure(files):
    before = {p.name: p.read_bytes() for p in files.iterdir()}
    found = call(
        files / "bf.tif",
        "--predicted",
        files / "predicted.ome.tif",
        "--real",
        files / "DNA.tif",
        "--real",
        f"er={files / 'second.tif'}",
        "-o",
        files / "out",
    )
    assert found.exit_code == 0, found.output
    table = pd.read_csv(files / "out" / "agreement.csv")
    apart = pd.read_csv(files / "out" / "no_stain.csv")
    counted = table[table["quantity"].str.endswith("_without_real_stain")]["value"].sum()
    assert len(apart) == counted
    assert list(table.columns) == ["tier", "quantity", "target", "value", "low", "high"]
    assert set(table["target"]) == {"nuclei", "er"}
    assert set(table["tier"]) == {"pixels", "masks", "single-cell"}
    pcc = table[(table["quantity"] == "pcc") & (table["target"] == "er")].iloc[0]
    assert 0.9 < pcc["value"] <= 1
    assert (files / "out" / "agreement.png").read_bytes()[:4] == b"\x89PNG"
    provenance = json.loads((files / "out" / "provenance.json").read_text())
    assert [one["role"] for one in provenance["inputs"]] == ["image", "predicted", "real", "real"]
    assert "er: pcc" in found.output
    assert {p.name: p.read_bytes() for p in files.iterdir() if p.is_file()} == before


def test_a_stain_that_nothing_real_shows_is_left_out_with_a_word(files):
    found = call(
        files / "bf.tif", "--predicted", files / "predicted.ome.tif", "--real", files / "DNA.tif", "-o", files / "out"
    )
    assert found.exit_code == 0
    assert "no real stain shows 'er'" in found.output
    assert set(pd.read_csv(files / "out" / "agreement.csv")["target"]) == {"nuclei"}


@pytest.mark.parametrize(
    ("real", "extra", "words"),
    [
        ("second.tif", (), "None of the real stains"),
        ("small.tif", (), "30 x 30 px, the image 120 x 140"),
        ("absent.tif", (), "absent.tif"),
        ("DNA.tif", ("--object-diameter-px", "1"), "1.0 px cannot be found"),
        ("DNA.tif", ("--pixel-size-um", "-1"), "pixel size"),
    ],
)
def test_wrong_input_is_a_sentence_and_a_hint_and_leaves_nothing(files, real, extra, words):
    tifffile.imwrite(files / "small.tif", np.zeros((30, 30), np.uint16))
    given = files / real if real != "small.tif" else f"nuclei={files / real}"
    found = call(
        files / "bf.tif", "--predicted", files / "predicted.ome.tif", "--real", given, "-o", files / "out", *extra
    )
    assert found.exit_code == 2
    assert words in found.output
    assert "Hint:" in found.output
    assert not (files / "out").exists()


def test_two_real_stains_of_one_kind_are_refused(files):
    found = call(
        files / "bf.tif",
        "--predicted",
        files / "predicted.ome.tif",
        "--real",
        files / "DNA.tif",
        "--real",
        f"dapi={files / 'second.tif'}",
        "-o",
        files / "out",
    )
    assert found.exit_code == 2
    assert "Two real stains show 'nuclei'" in found.output


def test_a_folder_that_holds_a_run_is_left_alone(files):
    (files / "out").mkdir()
    (files / "out" / "results.csv").write_text("image\n")
    (files / "out" / "provenance.json").write_text("{}")
    found = call(
        files / "bf.tif", "--predicted", files / "predicted.ome.tif", "--real", files / "DNA.tif", "-o", files / "out"
    )
    assert found.exit_code == 2
    assert (files / "out" / "provenance.json").read_text() == "{}"
