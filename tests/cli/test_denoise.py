"""``vitascope denoise``: noisy images in, clean ones out."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage
from typer.testing import CliRunner

from tests_support import blobs
from vitascope.cli.main import app

FEW = ("--steps", "2", "--device", "cpu")


def call(*words):
    return CliRunner().invoke(app, ["denoise", *map(str, words)])


@pytest.fixture
def noisy(tmp_path):
    picture = 200 + 800 * ndimage.gaussian_filter(blobs((128, 160)), 1.5)
    picture = np.clip(picture + np.random.default_rng(0).normal(0, 40, picture.shape), 0, None).astype(np.uint16)
    tifffile.imwrite(tmp_path / "noisy.tif", picture)
    return tmp_path / "noisy.tif"


def test_writes_the_picture_on_its_grid_with_what_was_measured(noisy, tmp_path):
    before = noisy.read_bytes()
    found = call(noisy, "-o", tmp_path / "out", *FEW)
    assert found.exit_code == 0, found.output
    picture = tifffile.imread(tmp_path / "out" / "denoised" / "noisy.ome.tif")
    assert picture.dtype == np.float32
    assert picture.shape == (128, 160)
    row = pd.read_csv(tmp_path / "out" / "results.csv").iloc[0]
    assert row["status"] == "OK"
    assert row["model"] == "noise2void"
    assert row["noise_sigma"] == pytest.approx(40, rel=0.3)
    assert abs(row["noise_correlation"]) < 0.1
    assert (tmp_path / "out" / "provenance.json").is_file()
    assert noisy.read_bytes() == before


def test_every_plane_of_a_stack_is_denoised_by_itself(noisy, tmp_path):
    plane = tifffile.imread(noisy)
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([plane, plane[::-1]]))
    found = call(tmp_path / "stack.tif", "--axes", "ZYX", "-o", tmp_path / "out", *FEW)
    assert found.exit_code == 0, found.output
    call(noisy, "-o", tmp_path / "one", *FEW)
    stack = tifffile.imread(tmp_path / "out" / "denoised" / "stack.ome.tif")
    np.testing.assert_array_equal(stack[0], tifffile.imread(tmp_path / "one" / "denoised" / "noisy.ome.tif"))
    assert not np.array_equal(stack[1], stack[0][::-1])


def test_shared_noise_is_refused_and_told_where_it_is_denoised_despite_it(noisy, tmp_path):
    shared = ndimage.gaussian_filter(np.random.default_rng(0).normal(500, 200, (200, 200)), 0.8)
    tifffile.imwrite(tmp_path / "shared.tif", shared.astype(np.uint16))
    found = call(tmp_path / "shared.tif", noisy, "-o", tmp_path / "out", *FEW)
    assert found.exit_code == 0, found.output
    rows = pd.read_csv(tmp_path / "out" / "results.csv").set_index("image")
    assert rows.loc["shared", "status"] == "REJECTED"
    assert "share their noise" in rows.loc["shared", "message"]
    assert rows.loc["noisy", "status"] == "OK"
    assert not (tmp_path / "out" / "denoised" / "shared.ome.tif").exists()
    found = call(tmp_path / "shared.tif", "-o", tmp_path / "forced", "--despite-correlation", *FEW)
    assert found.exit_code == 0
    row = pd.read_csv(tmp_path / "forced" / "results.csv").iloc[0]
    assert (row["status"], row["flags"]) == ("WARN", "pixel_size_unknown;noise_shared")


def test_one_broken_file_never_stops_the_others(noisy, tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0garbage")
    found = call(tmp_path / "broken.tif", noisy, "-o", tmp_path / "out", *FEW)
    assert found.exit_code == 3
    rows = pd.read_csv(tmp_path / "out" / "results.csv").set_index("image")
    assert rows.loc["broken", "status"] in ("FAILED", "INCOMPLETE")
    assert rows.loc["noisy", "status"] == "OK"


@pytest.mark.parametrize(("extra", "words"), [(("--steps", "0"), "steps"), (("--pixel-size-um", "0"), "pixel size")])
def test_wrong_settings_are_a_sentence_and_leave_nothing(noisy, tmp_path, extra, words):
    found = call(noisy, "-o", tmp_path / "out", *extra)
    assert found.exit_code == 2
    assert words in found.output
    assert not (tmp_path / "out").exists()


def test_a_broken_file_alone_leaves_nothing(tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"")
    found = call(tmp_path / "broken.tif", "-o", tmp_path / "out")
    assert found.exit_code == 2
    assert not (tmp_path / "out").exists()
