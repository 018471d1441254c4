from __future__ import annotations

import numpy as np
import pytest

from vitascope.core.errors import OutputError
from vitascope.core.progress import run_to_end
from vitascope.core.well import Well
from vitascope.io.plates.read import open_plate
from vitascope.io.tables.plate_map import read_plate_map
from vitascope.ops.intensity.quality import focus
from vitascope.simulate.plates import COMPOUNDS, DOSES_UM, FLAWS, make_dose_plate, write_dose_plate


def test_the_truth_follows_the_formula_and_the_draw_follows_the_truth():
    truth = make_dose_plate(seed=3, cells=400.0).truth.set_index("well")
    for row, compound in (("B", COMPOUNDS[0]), ("H", COMPOUNDS[1])):
        for column, dose in enumerate(DOSES_UM, start=2):
            well = truth.loc[f"{row}{column:02}"]
            viable = compound.floor + (1 - compound.floor) / (1 + (dose / compound.ec50_um) ** compound.slope)
            assert well["viable_fraction"] == pytest.approx(viable)
            if not well["flaw"]:
                share = well["live_cells"] / (well["live_cells"] + well["dead_cells"])
                assert share == pytest.approx(viable, abs=0.12)
    np.testing.assert_allclose(np.diff(np.log10(DOSES_UM)), 0.5, atol=0.01)
    assert (truth["role"] == "negative").sum() == (truth["role"] == "positive").sum() == 8


def test_a_well_is_the_same_whatever_was_drawn_before():
    one, other = make_dose_plate(seed=1, side_px=48), make_dose_plate(seed=1, side_px=48)
    other.image("H12")
    np.testing.assert_array_equal(one.image("B07"), other.image(Well.parse("b7")))
    assert (one.image("B07") != make_dose_plate(seed=2, side_px=48).image("B07")).any()
    assert (one.image("B07") != one.image("B08")).any()


def test_the_flawed_wells_can_be_seen_to_be_flawed():
    plate = make_dose_plate(side_px=96)
    images = {well: plate.image(well).astype(float) for well in (*FLAWS, "C04", "F08", "G04")}
    assert images["F09"].mean() > 5 * images["F08"].mean()
    assert images["G03"].std() < 0.5 * images["G04"].std()
    smooth = {
        well: np.diff(np.cumsum(images[well], 0)[::4], axis=0) for well in ("C05", "C04")
    }  # noise is averaged out
    assert focus(smooth["C05"]) < 0.8 * focus(smooth["C04"])


def test_a_written_plate_opens_with_its_map_and_its_pixels(tmp_path):
    drawn = make_dose_plate(side_px=32)
    folder = run_to_end(write_dose_plate(tmp_path / "dose", drawn))
    plate = open_plate(folder)
    assert (len(plate), plate.rows, plate.columns, plate.warnings) == (96, 8, 12, ())
    image = plate["Dose_C07_1"].open()
    np.testing.assert_array_equal(image.array, drawn.image("C07"))
    assert image.pixel_size_um == 1.3
    known = read_plate_map(folder / "plate_map.csv")
    assert known.check(plate) == ()
    assert known.problems == ()
    assert known.row("Dose", "A12")["role"] == "positive"
    assert known.row("Dose", "A12")["dose_unit"] == "µM"


def test_a_plate_is_written_whole_or_not_at_all(tmp_path):
    steps = write_dose_plate(tmp_path / "dose", make_dose_plate(side_px=32))
    next(steps)
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        run_to_end(write_dose_plate(tmp_path / "file", make_dose_plate(side_px=32)))
