"""``vitascope response`` and ``dili``: any table in, curves out; bad input is a sentence or a flag, nothing is lost."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import vitascope
from response_support import logistic
from vitascope.cli.main import app
from vitascope.stats.response.result import CURVE_COLUMNS

DOSES = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]


def wells(name="A", ic50=1.0, noise=2.0, seed=0, replicates=2):
    rng = np.random.default_rng(seed)
    doses = np.repeat(DOSES, replicates)
    values = logistic(doses, ic50=ic50) + rng.normal(0, noise, len(doses))
    return pd.DataFrame({"treatment": name, "dose": doses, "dose_unit": "µM", "value": values})


def call(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def fit(tmp_path, table, *words, code=0, name="wells.csv", **how):
    path = tmp_path / name
    table.to_csv(path, index=False, **how)
    before = path.read_bytes()
    done = call("response", path, "--value", "value", "-o", tmp_path / "out", *words)
    assert done.exit_code == code, done.output
    assert path.read_bytes() == before
    if code:
        assert not (tmp_path / "out").exists()
        assert "Error: " in done.stderr
        return done
    curves, points = (pd.read_csv(tmp_path / "out" / f"{one}.csv") for one in ("curves", "points"))
    assert len(points) == len(table)
    assert points["reason"][points["excluded"]].notna().all()
    return curves, points


def test_a_long_table_gives_tables_and_figures(tmp_path):
    curves, points = fit(tmp_path, pd.concat([wells(), wells("B", 3.0, seed=1)]))
    assert list(curves) == ["plate", "treatment", *CURVE_COLUMNS]
    assert list(points)[-7:] == ["dose", "dose_unit", "value", "normalised", "weight", "excluded", "reason"]
    assert curves["ic50"].tolist() == pytest.approx([1.0, 3.0], rel=0.25)
    assert set(curves["relation"]) == {"="}
    names = {one.relative_to(tmp_path / "out").as_posix() for one in (tmp_path / "out").rglob("*") if one.is_file()}
    assert {"curves.csv", "points.csv", "provenance.json", "figures/curves_01.svg", "figures/curves_01.png"} <= names
    told = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert (told["task"], told["inputs"][0]["name"]) == ("response", "wells.csv")
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".vitascope")]
    table = vitascope.fit_dose_response(tmp_path / "wells.csv", response="value").curves
    np.testing.assert_allclose(table["ic50"], curves["ic50"])


def test_fewer_figures_leave_none_of_before(tmp_path):
    fit(tmp_path, pd.concat([wells(f"C{i}", seed=i) for i in range(25)]))
    assert (tmp_path / "out" / "figures" / "curves_02.svg").exists()
    fit(tmp_path, wells())
    assert not (tmp_path / "out" / "figures" / "curves_02.svg").exists()


def test_no_fit_is_no_error(tmp_path):
    curves, _ = fit(tmp_path, wells().iloc[:2])
    assert (curves["quality"][0], curves["ic50"].isna()[0]) == ("no fit", True)
    assert "only one dose" in curves["reason"][0]


# -- bad input: a sentence or a flag each -----------------------------------------------------------------------------


def test_mixed_units_are_brought_together_and_said(tmp_path):
    table = wells()
    table.loc[:3, "dose"] *= 1000
    table.loc[:3, "dose_unit"] = "nM"
    curves, points = fit(tmp_path, table)
    assert "dose_units_converted" in curves["flags"][0]
    assert curves["ic50"][0] == pytest.approx(1.0, rel=0.25)
    assert points["dose"].tolist() == pytest.approx(np.repeat(DOSES, 2).tolist())
    table.loc[4, "dose_unit"] = "mg/ml"
    curves, points = fit(tmp_path, table)
    assert "in mg/ml, those of the others in µM" in points["reason"][4]


def test_zero_negative_and_text_doses(tmp_path):
    extra = pd.DataFrame({"treatment": "A", "dose": [0, -1, "a lot"], "dose_unit": "µM", "value": [100, 50, 50]})
    curves, points = fit(tmp_path, pd.concat([wells(), extra]))
    assert {"zero_dose", "points_left_out"} <= set(curves["flags"][0].split(";"))
    assert not points["excluded"].iloc[-3]
    assert points["reason"].tolist()[-2:] == [
        "a dose of -1 cannot be: it lies below zero",
        "dose: 'a lot' is no number",
    ]


def test_decimal_commas_are_the_same_curve(tmp_path):
    one, _ = fit(tmp_path, wells())
    other, _ = fit(tmp_path, wells(), sep=";", decimal=",", name="commas.csv")
    np.testing.assert_allclose(one["ic50"], other["ic50"])


def test_no_controls_one_replicate_and_no_unit_are_flags(tmp_path):
    curves, _ = fit(tmp_path, wells(replicates=1).drop(columns="dose_unit"))
    assert {"no_controls", "one_replicate", "dose_unit_unknown"} <= set(curves["flags"][0].split(";"))
    assert pd.isna(curves["ic50_unit"][0])


def test_empty_and_censored_values_are_kept(tmp_path):
    table = wells().astype({"value": object})
    table.loc[0, "value"], table.loc[11, "value"], table.loc[5, "value"] = None, "<0.5", "OVER"
    curves, points = fit(tmp_path, table)
    assert {"censored_values", "points_left_out"} <= set(curves["flags"][0].split(";"))
    assert (points["reason"][0], points["reason"][5]) == ("there is no value", "value: 'OVER' is no number")


@pytest.mark.fault("C08")
def test_names_that_are_formulas_or_html_stay_names(tmp_path):
    names = ["=cmd|'/C calc'!A0", "<script>alert(1)</script>", "$\\frac{a}$", "../../up"]
    curves, _ = fit(tmp_path, pd.concat([wells(name, seed=i) for i, name in enumerate(names)]))
    assert curves["treatment"].tolist() == ["'" + names[0], *names[1:]]
    svg = (tmp_path / "out" / "figures" / "curves_01.svg").read_text()
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg
    assert {one.name for one in tmp_path.iterdir()} == {"out", "wells.csv"}


def test_what_cannot_be_used_is_refused_in_a_sentence(tmp_path):
    assert "no column 'value'" in fit(tmp_path, wells().rename(columns={"value": "v"}), code=2).stderr
    assert "Columns of numbers: v" in fit(tmp_path, wells().rename(columns={"value": "v"}), code=2).stderr
    assert "Nothing tells the doses" in fit(tmp_path, wells().drop(columns=["dose", "dose_unit"]), code=2).stderr
    assert "falls" in fit(tmp_path, wells(), "--direction", "down", code=2).stderr
    assert "level" in fit(tmp_path, wells(), "--set", "level=2", code=2).stderr
    assert call("response", tmp_path / "none.csv", "-o", tmp_path / "o").exit_code == 2
    (tmp_path / "run").mkdir()
    assert "holds no results.csv" in call("response", tmp_path / "run", "-o", tmp_path / "o").stderr


def test_the_folder_of_a_run_is_never_written_to(tmp_path):
    wells().to_csv(tmp_path / "results.csv", index=False)
    done = call("response", tmp_path, "--value", "value", "-o", tmp_path)
    assert done.exit_code == 2
    assert "holds the results of a run" in done.stderr
    assert {one.name for one in tmp_path.iterdir()} == {"results.csv"}


def test_settings_reach_the_fit_and_are_listed(tmp_path):
    curves, _ = fit(tmp_path, wells(), "--direction", "rises", "--set", "interval=delta")
    assert (curves["quality"][0], curves["interval_kind"][0]) == ("no fit", "delta")
    assert (
        "has an option of its own"
        in call("response", tmp_path / "wells.csv", "-o", tmp_path / "o", "--set", "direction=falls").stderr
    )
    assert "correct" in call("response", "--help-parameters").stdout


# -- liver ------------------------------------------------------------------------------------------------------------


def test_margins_of_safety_from_a_folder(tmp_path):
    parts = [wells("Low", 0.3, seed=1), wells("High", 10.0, seed=2), wells("Other", 1.0, seed=3), wells("Flat", 1e9)]
    fit(tmp_path, pd.concat(parts))
    cmax = pd.DataFrame({"Compound Name": ["low", "High", "Flat"], "Cmax": ["1000 nM", "0.1 µM", 1.0],
                         "vDILIConcern": ["vMost-DILI-Concern", "vNo-DILI-Concern", "vNo-DILI-Concern"]})  # fmt: skip
    cmax.to_csv(tmp_path / "cmax.csv", index=False)
    done = call("dili", tmp_path / "out", "--cmax", tmp_path / "cmax.csv")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "dili.csv").set_index("compound")
    assert list(table.index[:3]) == ["Low", "Flat", "High"]
    assert table.loc["Low", "mos"] == pytest.approx(0.3, rel=0.3)
    assert (table.loc["Flat", "mos"], table.loc["Flat", "relation"]) == (pytest.approx(30), ">")
    assert "does not have this compound" in table.loc["Other", "reason"]
    assert {"waterfall.svg", "roc.svg"} <= {one.name for one in (tmp_path / "out" / "figures").iterdir()}
    assert {"cmax", "mos", "mos_low", "mos_high", "rank_low", "rank_high", "label"} <= set(table)


def test_liver_needs_curves_and_a_table_of_cmax(tmp_path):
    (tmp_path / "cmax.csv").write_text("compound\nA\n")
    assert "Run 'vitascope response'" in call("dili", tmp_path, "--cmax", tmp_path / "cmax.csv").stderr
    fit(tmp_path, wells())
    done = call("dili", tmp_path / "out", "--cmax", tmp_path / "cmax.csv")
    assert (done.exit_code, "no column 'cmax'" in done.stderr) == (2, True)
    assert not (tmp_path / "out" / "dili.csv").exists()


@pytest.mark.parametrize("spelt", ["uM", "µM", "μM", "umol/L", "micromolar"])
def test_a_unit_is_shown_one_way_however_it_is_spelt(tmp_path, spelt):
    curves, points = fit(tmp_path, wells().assign(dose_unit=spelt))
    assert (curves["ic50_unit"][0], set(points["dose_unit"])) == ("µM", {"µM"})


@pytest.mark.parametrize("name", ["DMSO", "vehicle", "Negative control", "0.5 % DMSO", "0"])
def test_untreated_wells_are_no_curve_whatever_they_are_called(tmp_path, name):
    control = pd.DataFrame({"treatment": name, "dose": 0, "dose_unit": "", "value": [99, 101, 100]})
    curves, points = fit(tmp_path, pd.concat([wells(), control]))
    assert curves["treatment"].tolist() == ["A"]
    assert curves["unit"][0] == "% of control"
    assert len(points) == len(wells()) + 3


def test_a_compound_that_is_called_0_has_its_curve(tmp_path):
    assert fit(tmp_path, wells("0"))[0]["treatment"].tolist() == [0]


def test_wells_left_out_are_told_with_the_reason(tmp_path):
    table = wells().astype({"dose_unit": object})
    table.loc[:2, "dose_unit"] = "mg/ml"
    table.to_csv(tmp_path / "w.csv", index=False)
    done = call("response", tmp_path / "w.csv", "-o", tmp_path / "out")
    assert "3 of 12 left out: its dose is in mg/ml" in done.stdout
    table = pd.concat([wells(), wells("")])
    table.to_csv(tmp_path / "w.csv", index=False)
    assert "12 rows that name no treatment" in call("response", tmp_path / "w.csv", "-o", tmp_path / "out").stdout
    table = wells().astype({"value": object})
    table["value"] = "1,234"
    table.to_csv(tmp_path / "w.csv", index=False)
    done = call("response", tmp_path / "w.csv", "--value", "value", "-o", tmp_path / "out")
    assert "no fit" in done.stdout
    assert "'1,234' may be 1.234 or 1234" in done.stdout


def test_columns_whose_names_say_nothing_are_listed_with_what_to_do(tmp_path):
    dutch = {"treatment": "Stof", "dose": "Hoeveelheid", "dose_unit": "Eenheid", "value": "Meetwaarde"}
    path = tmp_path / "w.csv"
    wells().rename(columns=dutch).to_csv(path, index=False, sep=";", decimal=",")
    done = call("response", path, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "it has Stof, Hoeveelheid, Eenheid, Meetwaarde" in done.stderr
    told = [word for what in ("treatment", "dose", "dose_unit") for word in ("--map-column", f"{what}={dutch[what]}")]
    done = call("response", path, *told, "-o", tmp_path / "out")
    assert done.exit_code == 0
    assert "Meetwaarde  IC50" in done.stdout
    german = {"treatment": "Substanz", "dose": "Konzentration", "dose_unit": "Einheit"}
    wells().rename(columns=german).to_csv(path, index=False, sep=";", decimal=",")
    assert "value  IC50" in call("response", path, "-o", tmp_path / "out").stdout


def test_sheets_headings_of_groups_and_parquet(tmp_path):
    plain = vitascope.fit_dose_response(wells(), response="value").curves["ic50"]
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        pd.DataFrame({"note": ["made on Monday", "by hand"]}).to_excel(book, sheet_name="Info", index=False)
        wells().to_excel(book, sheet_name="Plate 1", index=False)
        wells("B").to_excel(book, sheet_name="Plate 2", index=False)
    done = call("response", tmp_path / "a.xlsx", "-o", tmp_path / "a")
    assert "Only the sheet 'Plate 1' was read, not 'Plate 2'" in done.stderr
    grouped = pd.DataFrame([["Compounds", "", "", "Readout"], list(wells()), *wells().to_numpy().tolist()])
    grouped.to_csv(tmp_path / "b.csv", header=False, index=False)
    wells().to_parquet(tmp_path / "c.parquet")
    for name in ("b.csv", "c.parquet"):
        assert call("response", tmp_path / name, "-o", tmp_path / name[0]).exit_code == 0
    for name in "abc":
        found = pd.read_csv(tmp_path / name / "curves.csv")["ic50"]
        np.testing.assert_allclose(found, plain)
    (tmp_path / "d.parquet").write_bytes(b"PAR1" + bytes(20))
    done = call("response", tmp_path / "d.parquet", "-o", tmp_path / "d")
    assert (done.exit_code, "is damaged" in done.stderr) == (2, True)


def test_compounds_of_the_table_of_cmax_without_a_curve_are_rows_that_say_so(tmp_path):
    fit(tmp_path, wells())
    pd.DataFrame({"compound": ["A", "Zolpidem"], "cmax": [1, 0.3], "cmax_unit": "uM"}).to_csv(
        tmp_path / "c.csv", index=False
    )
    assert call("dili", tmp_path / "out", "--cmax", tmp_path / "c.csv").exit_code == 0
    rows = pd.read_csv(tmp_path / "out" / "dili.csv").set_index("compound")
    assert list(rows.index) == ["A", "Zolpidem"]
    assert set(rows["cmax_unit"]) == {"µM"}
    assert rows["mos"].notna().tolist() == [True, False]
    assert rows.loc["Zolpidem", "reason"] == "No curve was fitted for this compound."
