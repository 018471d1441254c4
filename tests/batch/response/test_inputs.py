"""Wells for curves from the folders and files that people have."""

import numpy as np
import pandas as pd
import pytest

import vitascope
from vitascope.batch.response.inputs import read_response_table
from vitascope.core.errors import InputError
from vitascope.io.tables.plate_map import PlateMap, read_plate_map

DOSES = {f"{row}{column:02d}": 10.0 ** (column - 4) for row in "AB" for column in range(1, 8)}


def results(folder, model="nuclei-phase", task="spheroid"):
    """A run of two fields a well, one field rejected and one well failed."""
    rows = []
    for well, dose in DOSES.items():
        for field in (1, 2):
            value = 100 / (1 + dose) + (1 if field == 1 else -1)
            status = "FAILED" if well == "B07" else "REJECTED" if (well, field) == ("A01", 2) else "OK"
            rows.append({
                "image": f"P_{well}_{field}", "plate": "P", "well": well, "field": field, "time": "", "status": status,
                "flags": "outside_model" if (well, field) == ("A02", 1) else "", "treatment": "X", "dose": dose,
                "dose_unit": "µM", "role": "treated", "viability_percent": value if status == "OK" else None,
                "unit": "%", "interval_level": 0.9, "model": model, "message": "",
            })  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    (folder / "provenance.json").write_text(f'{{"task": "{task}"}}')


def test_fields_of_a_well_are_one_point_and_the_main_number_is_known(tmp_path):
    results(tmp_path)
    wells = read_response_table(tmp_path)
    assert (wells.headline, wells.unit, wells.choose(None)) == ("viability_percent", "%", "viability_percent")
    assert len(wells.table) == len(DOSES)
    assert wells.table["viability_percent"][1] == pytest.approx(100 / 1.01)
    assert wells.table["viability_percent"][0] == pytest.approx(100 / 1.001 + 1)  # the field that was judged
    found = vitascope.fit_dose_response(tmp_path, response="viability_percent")
    row = found.curves.iloc[0]
    assert (row["n"], row["unit"], row["outside_wells"]) == (13, "%", 1)
    assert row["ic50"] == pytest.approx(1.0, rel=0.05)
    assert {"rests_on_outside_model", "points_left_out"} <= set(row["flags"].split(";"))
    assert found.points["reason"].tolist()[-1] == "there is no value"
    left = vitascope.fit_dose_response(tmp_path, response="viability_percent", outside_wells="leave_out").curves.iloc[0]
    assert (left["n"], left["outside_wells"]) == (12, 0)


def test_intervals_of_models_that_saw_no_real_image_are_said_to_be_simulated(tmp_path):
    results(tmp_path, model="viability-spheroid-sim")
    assert (
        "interval_simulated" in vitascope.fit_dose_response(tmp_path, response="viability_percent").curves["flags"][0]
    )


def test_a_map_joins_and_counts(tmp_path):
    results(tmp_path)
    mapped = PlateMap.from_rows([{"well": well, "treatment": "Y", "dose": 2 * dose, "dose_unit": "nM", "role": ""}
                                 for well, dose in DOSES.items() if well != "B01"])  # fmt: skip
    wells = read_response_table(tmp_path, mapped)
    assert wells.table["dose"][0] == pytest.approx(0.002)
    assert "says nothing of B01" in wells.notes[0]
    other = PlateMap.from_rows([{"well": "H12", "treatment": "Y", "dose": 1.0}])
    with pytest.raises(InputError, match="says nothing of any well"):
        read_response_table(tmp_path, other)


def test_a_readers_grid_with_a_map(tmp_path):
    numbers = [[round(1e5 / (1 + 10.0 ** (c - 4))) for c in range(1, 8)] for _ in "AB"]
    lines = ["," + ",".join(map(str, range(1, 8)))] + [
        f"{r},{','.join(map(str, n))}" for r, n in zip("AB", numbers, strict=True)
    ]
    (tmp_path / "reader.csv").write_text("\n".join(lines) + "\n")
    rows = ["well,treatment,dose (µM)"] + [f"{well},X,{dose}" for well, dose in DOSES.items()]
    (tmp_path / "map.csv").write_text("\n".join(rows) + "\n")
    found = vitascope.fit_dose_response(tmp_path / "reader.csv", response="signal", plate_map=tmp_path / "map.csv")
    assert found.curves["ic50"][0] == pytest.approx(1.0, rel=0.01)
    assert found.curves["ic50_unit"][0] == "µM"
    with pytest.raises(InputError, match="Nothing tells the doses"):
        read_response_table(tmp_path / "reader.csv")


def test_columns_by_the_names_people_use(tmp_path):
    rows = ["Compound;Concentration [nM];RLU"] + [f"X;{d};{1e4 / (1 + d / 10):.1f}" for d in (1, 3, 10, 30, 100, 300)]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    wells = read_response_table(tmp_path / "t.csv")
    assert wells.choose(None) == "RLU"
    assert wells.table["dose_unit"][0] == "nM"
    other = read_response_table(tmp_path / "t.csv", columns={"treatment": "RLU"})
    assert other.table["treatment"][0] == "9090.9"
    with pytest.raises(InputError, match="no column 'SBS'"):
        read_response_table(tmp_path / "t.csv", columns={"dose": "SBS"})


@pytest.mark.parametrize(
    ("name", "unit"), [("Dosis (µM)", "µM"), ("log10 Dosis (nM)", "log10 nM"), ("log[M]", "log10 M"), ("Stufe", "")]
)
def test_a_column_that_is_told_to_hold_doses_keeps_the_unit_of_its_name(tmp_path, name, unit):
    pd.DataFrame({"Stoff": "A", name: [1, 2], "Wert": [3, 4]}).to_csv(tmp_path / "t.csv", index=False)
    table = read_response_table(tmp_path / "t.csv", columns={"treatment": "Stoff", "dose": name}).table
    assert list(table.get("dose_unit", [""])[:1]) == [unit]


def test_logarithms_with_their_sign_turned_round_are_no_doses(tmp_path):
    pd.DataFrame({"treatment": "A", "-log10 dose (M)": [6, 7], "value": [3, 4]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="sign turned round"):
        read_response_table(tmp_path / "t.csv", columns={"dose": "-log10 dose (M)"})
    pd.DataFrame({"treatment": "A", "-log10 dose": [6, 7], "value": [3, 4]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="sign turned round"):
        read_response_table(tmp_path / "t.csv")


def test_a_column_that_is_guessed_to_hold_doses_keeps_its_logarithm(tmp_path):
    pd.DataFrame({"treatment": "A", "SBS log10 dose": [1, 2], "value": [3, 4]}).to_csv(tmp_path / "t.csv", index=False)
    assert list(read_response_table(tmp_path / "t.csv").table["dose_unit"]) == ["log10", "log10"]


def test_several_columns_of_numbers_must_be_chosen_from(tmp_path):
    pd.DataFrame({"treatment": "A", "dose": [1, 2], "x": [1, 2], "y": [3, np.nan]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    with pytest.raises(InputError, match="several") as caught:
        read_response_table(tmp_path / "t.csv").choose(None)
    assert "x, y" in caught.value.hint


def test_a_saved_map_round_trips_into_the_fit(tmp_path):
    results(tmp_path)
    PlateMap.from_rows([{"well": well, "treatment": "Z", "dose": dose, "dose_unit": "µM"}
                        for well, dose in DOSES.items()]).save(tmp_path / "map.csv")  # fmt: skip
    wells = read_response_table(tmp_path, read_plate_map(tmp_path / "map.csv"))
    assert set(wells.table["treatment"]) == {"Z"}


def test_a_drift_alarm_of_any_field_comes_along(tmp_path):
    results(tmp_path)
    table = pd.read_csv(tmp_path / "results.csv")
    table["drift_alarm"], table["drift_statistic"] = 0, 1.5
    table.loc[3, "drift_alarm"] = 1
    table.to_csv(tmp_path / "results.csv", index=False)
    wells = read_response_table(tmp_path)
    assert "drift_statistic" not in wells.value_columns()
    assert "drift_alarm" in vitascope.fit_dose_response(tmp_path, response="viability_percent").curves["flags"][0]


def test_values_that_are_none_are_still_the_values(tmp_path):
    path = tmp_path / "t.csv"
    table = pd.DataFrame({"treatment": "A", "dose": [1, 2, 3], "value": ["x", "", "n/a"]})
    table.to_csv(path, index=False)
    assert read_response_table(path).choose(None) == "value"
    table.rename(columns={"value": "signal"}).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"No column of .* holds numbers"):
        read_response_table(path).choose(None)


def test_rows_that_stand_twice_are_told(tmp_path):
    path = tmp_path / "t.csv"
    table = pd.DataFrame({"treatment": "A", "dose": [1.0, 1.0, 2.0], "value": [99.1, 98.2, 50.3]})
    table.to_csv(path, index=False)
    assert read_response_table(path).notes == ()
    pd.concat([table, table]).to_csv(path, index=False)
    assert read_response_table(path).notes == ("3 of 6 rows are copies of others; each counts as a replicate.",)
    wells = table.assign(well=["A01", "A02", "A03"])
    wells.to_csv(path, index=False)
    assert read_response_table(path).notes == ()
    pd.concat([wells, wells.iloc[1:]]).to_csv(path, index=False)
    assert read_response_table(path).notes == (
        "Wells in more than one row, each of which counts as a replicate: A02, A03.",
    )


def curve_csv(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]), encoding="utf-8")
    return path


EIGHT = 10.0 ** np.linspace(-1.5, 2, 8)


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("log10 dose (M)", "M"),
        ("log_conc_uM", "µM"),
        ("Log[M]", "M"),
        ("log10(Concentration [M])", "M"),
        ("Dose (log M)", "M"),
        ("dose_log10_nM", "nM"),
        ("Concentration - log10 nM", "nM"),
    ],
)
def test_doses_that_are_logarithms_by_their_name_are_brought_back(tmp_path, header, unit):
    scale = 1e-6 if unit == "M" else 1.0
    rows = [("A", f"{np.log10(dose * scale):.6f}", 100 / (1 + dose / 2)) for dose in EIGHT for _ in range(2)]
    path = curve_csv(tmp_path / "wells.csv", f"treatment,{header},value", rows)
    row = vitascope.fit_dose_response(path, response="value").curves.iloc[0]
    assert row["ic50"] == pytest.approx(2 * scale, rel=1e-4)
    assert (row["ic50_unit"], row["n"]) == (unit, 16)
    assert "dose_units_converted" in row["flags"]


def test_a_name_that_says_too_little_is_never_read_as_a_dose(tmp_path):
    rows = [("A", np.log10(dose), 100 / (1 + dose / 2)) for dose in EIGHT]
    path = curve_csv(tmp_path / "wells.csv", "treatment,LogConc,value", rows)
    with pytest.raises(InputError, match="Nothing tells the doses"):
        read_response_table(path)


def test_logarithms_are_told_by_the_unit_and_a_dose_itself_comes_first(tmp_path):
    rows = [("A", np.log10(dose), "log10 µM", 100 / (1 + dose / 2)) for dose in EIGHT for _ in range(2)]
    path = curve_csv(tmp_path / "unit.csv", "treatment,dose,dose_unit,value", rows)
    row = vitascope.fit_dose_response(path, response="value").curves.iloc[0]
    assert (row["ic50"], row["ic50_unit"]) == (pytest.approx(2), "µM")
    path = curve_csv(
        tmp_path / "apart.csv", "treatment,log10 dose,dose_unit,value", [(a, x, "nM", v) for a, x, _, v in rows]
    )
    table = read_response_table(path)
    assert set(table.table["dose_unit"]) == {"log10 nM"}
    rows = [("A", np.log10(dose), dose, 100 / (1 + dose / 2)) for dose in EIGHT for _ in range(2)]
    path = curve_csv(tmp_path / "both.csv", "treatment,log10 dose (M),Concentration [nM],value", rows)
    row = vitascope.fit_dose_response(path, response="value").curves.iloc[0]
    assert (row["ic50"], row["ic50_unit"]) == (pytest.approx(2), "nM")


def test_logarithms_that_nothing_tells_give_no_number(tmp_path):
    rows = [("A", np.log10(dose), "µM", 100 / (1 + dose / 2)) for dose in EIGHT for _ in range(2)]
    path = curve_csv(tmp_path / "wells.csv", "treatment,dose,dose_unit,value", rows)
    row = vitascope.fit_dose_response(path, response="value").curves.iloc[0]
    assert row["quality"] == "no fit"
    assert np.isnan(row["ic50"])
    assert "logarithms" in row["reason"]


def test_a_title_above_the_names_and_replicates_side_by_side_are_read(tmp_path):
    lines = ["Plate 1: viability (%)", "", "Compound;Conc. (nM);Rep 1;Rep 2"]
    lines += [
        f"Dox;{dose:.6g};{100 / (1 + dose / 2):.4f};{101 / (1 + dose / 2):.4f}".replace(".", ",") for dose in EIGHT
    ]
    (tmp_path / "wells.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    wells = read_response_table(tmp_path / "wells.csv")
    assert wells.notes == ("Taken for replicates of one value: Rep 1, Rep 2.",)
    row = vitascope.fit_dose_response(tmp_path / "wells.csv", response=wells.choose(None)).curves.iloc[0]
    assert (row["n"], row["ic50_unit"], row["ic50"]) == (16, "nM", pytest.approx(2, rel=1e-3))


def test_names_that_differ_in_capitals_and_wells_with_two_treatments_are_told(tmp_path):
    rows = [("A01", name, dose, 100 / (1 + dose)) for name in ("Aspirin", "aspirin ", "Ibuprofen") for dose in EIGHT]
    said = read_response_table(curve_csv(tmp_path / "wells.csv", "well,treatment,dose,value", rows)).notes
    assert any("differ in capitals or spaces alone" in one and "'Aspirin', 'aspirin'" in one for one in said)
    assert any("different treatments or doses" in one and "A01" in one for one in said)
