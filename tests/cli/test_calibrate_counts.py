"""Counts are calibrated by pointing, kept, and used by a run."""

import json

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from vitascope.cli.main import app
from vitascope.core.errors import ParameterError, ReaderError
from vitascope.core.paths import SAMPLES
from vitascope.io.images.read import read_image
from vitascope.io.results.settings_file import find_settings, free_settings_name, read_settings, settings_path
from vitascope.ops.objects.segment import SegmentParams, segment


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """A piece of the bundled phase field, and the centres of its stained nuclei in a part of it."""
    folder = tmp_path_factory.mktemp("field")
    phase = np.asarray(read_image(str(SAMPLES / "isl_phase.ome.tif")).plane(z=0))[:320, :320]
    stain = np.asarray(read_image(str(SAMPLES / "isl_stains.ome.tif")).plane(c=0))[:320, :320].astype(float)
    low, high = np.percentile(stain, (1, 99.8))
    nuclei = segment((stain - low) / (high - low), SegmentParams()).table
    tifffile.imwrite(folder / "phase.tif", phase, photometric="minisblack")
    points = nuclei[["centroid_y_px", "centroid_x_px"]].to_numpy()[:24]
    lines = [f"{i},{y},{x}" for i, (y, x) in enumerate(points)]
    (folder / "points.csv").write_text("\n".join(["index,axis-0,axis-1", *lines]))
    return folder


def test_settings_are_chosen_written_and_used(field, tmp_path):
    out = tmp_path / "mine.json"
    image, points = str(field / "phase.tif"), str(field / "points.csv")
    done = CliRunner().invoke(app, ["calibrate-counts", image, "--points", points, "-o", str(out), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    kept = json.loads(out.read_text())
    assert (kept["task"], kept["name"]) == ("stain", "mine")
    assert set(kept["settings"]) == {"threshold", "min_contrast", "min_area"}
    assert kept["measured"]["found"] <= kept["measured"]["points"]
    assert f"{kept['measured']['found']} of" in done.output
    command = ["run", "stain", image, "-o", str(tmp_path / "out"), "--settings", str(out), "--set", "min_area=0.33"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0, ran.output
    params = json.loads((tmp_path / "out" / "provenance.json").read_text())
    text = json.dumps(params)
    assert f'"min_contrast": {kept["settings"]["min_contrast"]}' in text
    assert '"min_area": 0.33' in text


def test_few_points_leave_nothing_behind(field, tmp_path):
    (tmp_path / "few.csv").write_text("y,x\n5,5\n")
    out = tmp_path / "mine.json"
    command = ["calibrate-counts", str(field / "phase.tif"), "--points", str(tmp_path / "few.csv"), "-o", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "too few to choose by" in done.output
    assert not out.exists()


def test_files_that_hold_no_settings_are_refused(tmp_path):
    path = tmp_path / "s.json"
    with pytest.raises(ReaderError, match="cannot be read"):
        read_settings(path, "stain")
    path.write_text("{")
    with pytest.raises(ReaderError, match="no JSON"):
        read_settings(path, "stain")
    path.write_text("[1]")
    with pytest.raises(ReaderError, match="holds no settings"):
        read_settings(path, "stain")
    path.write_text('{"task": "atp", "settings": {}}')
    with pytest.raises(ParameterError, match="settings of the task 'atp'"):
        read_settings(path, "stain")
    path.write_text('{"min_area": 0.2}')
    assert read_settings(path, "stain") == {"min_area": 0.2}


def test_settings_are_found_by_the_name_they_are_kept_under(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path))
    with pytest.raises(ParameterError, match="no settings 'mine'"):
        find_settings("mine", "stain")
    path = settings_path(free_settings_name("mine", "stain"), "stain")
    path.parent.mkdir(parents=True)
    path.write_text('{"min_area": 0.2}')
    assert find_settings("mine", "stain") == path
    assert free_settings_name("mine", "stain") == "mine-2"
    assert free_settings_name("../A 5 (µ)", "stain") == "A-5"
    with pytest.raises(ParameterError, match="no settings 'mien'") as caught:
        find_settings("mien", "stain")
    assert caught.value.hint == "Kept are mine."
    assert find_settings(str(tmp_path / "gone.json"), "stain") == tmp_path / "gone.json"


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "ends.", "x" * 80])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ParameterError, match="cannot be a name"):
        settings_path(name, "stain")
