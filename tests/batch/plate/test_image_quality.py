from __future__ import annotations

import numpy as np
import pytest
import tifffile

from vitascope.batch.plate.image_quality import image_quality
from vitascope.core.progress import run_to_end
from vitascope.io.plates.read import open_plate
from vitascope.ops.intensity.quality import bin_pixels, look
from vitascope.simulate.plates import FLAWS, make_dose_plate, write_dose_plate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_to_end(write_dose_plate(tmp_path_factory.mktemp("plates") / "dose", make_dose_plate(side_px=128)))


def test_the_flawed_wells_are_flagged_and_no_others(folder):
    seen = []
    table = run_to_end(image_quality(open_plate(folder)), seen.append).set_index("well")
    assert [progress.done for progress in seen] == list(range(96))
    flagged = table[table["flags"] != ""]
    assert set(flagged.index) == set(FLAWS)
    assert "focus_outlier" in table.loc["C05", "flags"]
    assert "saturated" in table.loc["F09", "flags"]
    assert "contrast_outlier" in table.loc["G03", "flags"]
    assert set(flagged["status"]) == {"WARN"}
    assert table.loc["F09", "saturated_percent"] > 50
    assert table.loc["A01", "saturated_percent"] == 0


def test_an_image_that_cannot_be_read_keeps_its_row(tmp_path):
    for number, well in enumerate(("A01", "A02", "A03")):
        tifffile.imwrite(tmp_path / f"{well}.tif", np.random.default_rng(number).integers(0, 4000, (64, 64), "uint16"))
    (tmp_path / "A02.tif").write_bytes(b"")
    table = run_to_end(image_quality(open_plate(tmp_path))).set_index("well")
    assert table["status"].to_dict() == {"A01": "OK", "A02": "FAILED", "A03": "OK"}
    assert table.loc["A02", "flags"] == "unreadable"
    assert "A02.tif" in table.loc["A02", "message"]
    assert np.isnan(table.loc["A02", "focus"])


def test_the_numbers_of_a_picture_by_hand():
    picture = np.zeros((64, 64))
    picture[:, ::8] = 100  # columns of light, one in eight
    found = look(picture, 0, 100)
    assert found["brightness_percent"] == 0
    # squares of 4 px are 25 and 0 in turn: mean and standard deviation are the same
    assert found["contrast_percent"] == pytest.approx(100)
    # ... and their Laplacian is -50 or 50: 2500 over a variance of 156.25
    assert found["focus"] == pytest.approx(2500 / 156.25)
    picture[:, 3] = np.arange(64) + 10  # few pixels of other values: those at both ends now pile up against them
    found = look(picture, 0, 100)
    assert (found["saturated_percent"], found["black_percent"]) == (12.5, 100 * 55 / 64)
    assert np.isnan(list(look(np.full((16, 16), np.nan), 0, 1).values())).all()
    np.testing.assert_array_equal(bin_pixels(np.arange(16).reshape(4, 4), 2), [[2.5, 4.5], [10.5, 12.5]])
