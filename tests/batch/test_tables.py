import numpy as np
import pandas as pd
import pytest

from vitascope.batch.run_images import BatchOutcome, Report, add_percentages
from vitascope.batch.tables import check_map, curves, with_map, write_run_tables
from vitascope.core.errors import InputError
from vitascope.core.well import WellPosition
from vitascope.io.tables.plate_map import PlateMap
from vitascope.tasks.registry import find_task


def row(well, value, *, plate="P", time="", field="1", low=None, high=None):
    return {
        "image": f"{plate}_{well}{time}", "plate": plate, "well": well, "field": field, "time": time, "status": "OK",
        "flags": "", "atp": value, "atp_low": low, "atp_high": high, "unit": "RLU", "interval_level": 0.9,
        "model": "m", "model_sha256": "0", "message": "",
    }  # fmt: skip


def plate_map(*rows):
    return PlateMap.from_rows([dict(zip(("plate", "well", "role"), one, strict=True)) for one in rows])


def test_numbers_stand_against_the_median_control_of_their_own_plate_and_time():
    wells = plate_map(("", "A01", "negative"), ("", "A02", "negative"), ("", "A03", "negative"), ("", "B01", "treated"))
    rows = [
        row("A01", 80.0), row("A02", 100.0), row("A03", 300.0), row("B01", 40.0, low=30.0, high=60.0),
        row("A01", 10.0, plate="Q"), row("B01", 40.0, plate="Q"),
        row("A01", 20.0, time="d2"), row("B01", 40.0, time="d2"),
    ]  # fmt: skip
    found = with_map(rows, wells, "atp")
    assert [r["atp_percent_of_control"] for r in found] == pytest.approx([80, 100, 300, 40, 100, 400, 100, 200])
    assert found[3]["atp_percent_of_control_low"] == pytest.approx(30.0)
    assert found[3]["atp_percent_of_control_high"] == pytest.approx(60.0)
    assert [r["role"] for r in found[:4]] == ["negative", "negative", "negative", "treated"]
    assert found[3]["atp"] == 40.0  # the raw number stays


def test_live_volumes_of_spheroids_stand_against_the_maps_controls_too(tmp_path):
    """What the control's live volume is comes from the plate map; nobody types it."""
    wells = plate_map(("", "A01", "negative"), ("", "A02", "negative"), ("", "B01", "treated"))
    rows = [
        {**row(well, share), "viability_percent": share, "live_um3": volume, "live_um3_low": volume / 2}
        for well, share, volume in (("A01", 90.0, 4e6), ("A02", 80.0, 6e6), ("B01", 40.0, 1e6))
    ]
    spec = find_task("spheroid")
    found = write_run_tables(tmp_path, rows, wells, spec.headline, spec.against_control)
    assert [r["live_um3_percent_of_control"] for r in found] == pytest.approx([80, 120, 20])
    assert found[2]["live_um3_percent_of_control_low"] == pytest.approx(10)
    assert found[2]["viability_percent_percent_of_control"] == pytest.approx(100 * 40 / 85)


def test_a_control_without_a_number_does_not_count_and_a_plate_without_control_stays_empty():
    wells = plate_map(("P", "A01", "negative"), ("P", "A02", "negative"), ("Q", "A01", "treated"))
    rows = [row("A01", None), row("A02", 50.0), row("A01", 40.0, plate="Q")]
    found = with_map(rows, wells, "atp")
    assert [r["atp_percent_of_control"] for r in found] == [None, 100.0, None]


def test_images_without_a_plate_are_of_the_only_plate_of_the_map():
    assert with_map([row("A01", 2.0, plate="")], plate_map(("P", "A01", "negative")), "atp")[0][
        "atp_percent_of_control"
    ] == pytest.approx(100.0)


def test_a_map_of_other_wells_is_refused_and_one_without_controls_is_told():
    places = [WellPosition("P", "B02"), WellPosition("P", "B03"), WellPosition()]
    with pytest.raises(InputError, match="says nothing of any of the images; their names tell these wells: B02, B03"):
        check_map(places, plate_map(("P", "H12", "negative")))
    said = check_map(places, plate_map(("P", "B02", "treated")))
    assert said[0] == "The plate map says nothing of B03, an image without a well."
    assert "none of the images as a control" in said[1]
    assert check_map(places[:1], plate_map(("P", "B02", "negative"))) == ()


def test_wells_that_were_seen_on_several_days_become_curves():
    rows = [row("B02", 3.0, time="d10"), row("B02", 1.0, time="d2"), row("B02", None, time="d4")]
    rows += [row("B03", 5.0, time="d2"), row("B03", 7.0, time="d2"), row("B03", 8.0, time="d4")]
    found = curves([*rows, row("C01", 9.0, time="d2")], "atp")  # seen once: no curve
    assert [list(one) for one in found] == [["plate", "well", "field", "image", "atp_d2", "atp_d4", "atp_d10"]] * 2
    assert [one["well"] for one in found] == ["B02", "B03"]
    assert [found[0][f"atp_d{d}"] for d in (2, 4, 10)] == [1.0, None, 3.0]
    assert [found[1][f"atp_d{d}"] for d in (2, 4, 10)] == [6.0, 8.0, None]


def test_tables_are_written_and_those_of_an_earlier_run_go(tmp_path):
    rows = [row("A01", 50.0, time=0), row("A01", 25.0, time=1)]
    write_run_tables(tmp_path, rows, plate_map(("", "A01", "negative")), "atp")
    table = pd.read_csv(tmp_path / "results.csv")
    assert list(table.columns[:7]) == ["image", "plate", "well", "field", "time", "status", "flags"]
    assert list(table.columns[-5:]) == ["unit", "interval_level", "model", "model_sha256", "message"]
    np.testing.assert_allclose(table["atp_percent_of_control"], [100, 100])
    assert (tmp_path / "curves.csv").exists()
    write_run_tables(tmp_path, rows[:1], None, "atp")
    assert not (tmp_path / "curves.csv").exists()


def test_the_report_tells_each_image_its_own_percent(tmp_path):
    wells = plate_map(("", "A01", "negative"), ("", "A02", "treated"), ("", "A03", "treated"))
    tables = [[row("A01", 50.0)], [row("A02", 25.0, time=0), row("A02", 20.0, time=1)], [row("A03", 100.0)]]
    report = Report(tmp_path, [BatchOutcome("", "OK", "", tuple({"atp": r["atp"]} for r in t)) for t in tables])
    add_percentages(report, write_run_tables(tmp_path, [r for t in tables for r in t], wells, "atp"), "atp")
    told = [[one.get("atp_percent_of_control") for one in outcome.rows] for outcome in report.outcomes]
    assert told == [[100.0], [None, None], [200.0]]  # the times 0 and 1 have no control
