"""Margins of safety, ROC areas, and the simulated study of 108 drugs."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu

from vitascope.core.errors import InputError, ParameterError
from vitascope.stats.response.analysis import fit_dose_response
from vitascope.stats.response.liver import (
    DILI_COLUMNS,
    compare_with_assay,
    injury_roc,
    margins_of_safety,
    read_cmax,
)
from vitascope.stats.response.roc import compare_areas, roc_area, roc_curve
from vitascope.stats.response.study import simulate_liver_study

RNG = np.random.default_rng(0)
LABEL = np.repeat([1, 0], [30, 40])
A = RNG.normal(size=70) + 1.0 * LABEL
B = 0.7 * A + RNG.normal(size=70)


def brute_area(label, score):
    pairs = [(p > n) + 0.5 * (p == n) for p in score[label > 0] for n in score[label == 0]]
    return np.mean(pairs)


def test_area_is_that_of_all_pairs():
    for score in (A, np.round(A)):
        assert roc_area(LABEL, score).auc == pytest.approx(brute_area(LABEL, score))
    u = mannwhitneyu(A[LABEL > 0], A[LABEL == 0]).statistic
    found = roc_area(LABEL, A)
    assert found.auc == pytest.approx(u / (30 * 40))
    assert 0 <= found.low < found.auc < found.high <= 1
    curve = roc_curve(LABEL, np.round(A))
    area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
    assert area == pytest.approx(brute_area(LABEL, np.round(A)))


def test_delong_by_its_definition():
    """Placement values by loops: DeLong 1988, equations 5 and 6."""

    def placements(score):
        p, n = score[LABEL > 0], score[LABEL == 0]
        kernel = np.array([[(x > y) + 0.5 * (x == y) for y in n] for x in p])
        return kernel.mean(axis=1), kernel.mean(axis=0)

    (a10, a01), (b10, b01) = placements(A), placements(B)
    variance = np.var(a10 - b10, ddof=1) / 30 + np.var(a01 - b01, ddof=1) / 40
    found = compare_areas(LABEL, A, B, margin=0.1)
    assert found.difference == pytest.approx(a10.mean() - b10.mean())
    assert found.high - found.difference == pytest.approx(1.959963984540054 * math.sqrt(variance))
    assert found.not_worse == (found.low > -0.1)
    same = compare_areas(LABEL, A, A, margin=0.05)
    assert (same.difference, same.p_equal, same.not_worse) == (0.0, 1.0, True)


def test_delong_holds_its_level():
    rng = np.random.default_rng(3)
    rejected, covered = [], []
    for _ in range(300):
        shared = rng.normal(size=60) + 0.9 * (np.arange(60) < 30)
        a, b = shared + rng.normal(size=60), shared + rng.normal(size=60)
        rejected.append(compare_areas(np.arange(60) < 30, a, b, margin=0).p_equal < 0.05)
        area = roc_area(np.arange(60) < 30, a)
        # difference of means 0.9, standard deviation of the difference 2
        covered.append(area.low <= 0.5 * (1 + math.erf(0.9 / 2 / math.sqrt(2))) <= area.high)
    assert np.mean(rejected) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    assert np.mean(covered) > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 300)


def test_one_class_and_perfect_order():
    assert "no negative" in roc_area([1, 1], [1, 2]).reason
    perfect = roc_area([1, 1, 1, 0, 0, 0], [4, 5, 6, 1, 2, 3])
    assert perfect.auc == 1
    assert perfect.low < 0.7


def test_cmax_in_dilirank_layout():
    table = pd.DataFrame(
        {
            "Compound Name": ["Aspirin", "Bosentan", "bosentan ", "X", "Y"],
            "Cmax": ["5,5", "7", "8", "-1", "12 nM"],
            "vDILIConcern": [
                "vNo-DILI-Concern",
                "vMost-DILI-Concern",
                "",
                "Ambiguous DILI-concern",
                "vLess-DILI-Concern",
            ],
        }
    )
    found = read_cmax(table).set_index("key")
    assert found["cmax"]["aspirin"] == 5.5
    assert found["label"][["aspirin", "y"]].tolist() == [0.0, 1.0]
    assert np.isnan(found["label"]["x"])
    assert "twice" in found["reason"]["bosentan"]
    assert "above zero" in found["reason"]["x"]
    assert found["cmax_unit"]["y"] == "nM"
    with pytest.raises(InputError, match="cmax"):
        read_cmax(table.drop(columns="Cmax"))


def margins(study, response, day=None):
    wells = study.wells if day is None else study.wells[study.wells["day"] == day]
    result = fit_dose_response(wells, dose="dose", response=response, interval="delta")
    return margins_of_safety(result, study.cmax)


def test_margins_of_a_small_study():
    study = simulate_liver_study(12, days=(3,), seed=2)
    found = margins(study, "assay").set_index("compound")
    assert list(found.reset_index()) == list(DILI_COLUMNS)
    true = study.truth.set_index("treatment")["ic50"]
    cmax = study.cmax.set_index("compound")["cmax"]
    known = found[found["relation"] == "="]
    expected = np.log10(true[known.index] / cmax[known.index])
    assert np.abs(np.log10(known["mos"].astype(float)) - expected).median() < 0.1
    ranked = found.dropna(subset="rank")
    assert (ranked["rank_low"] <= ranked["rank"]).all()
    assert (ranked["rank"] <= ranked["rank_high"]).all()
    again = simulate_liver_study(12, days=(3,), seed=2)
    shuffled = again.wells.sample(frac=1, random_state=0)
    twin = margins_of_safety(
        fit_dose_response(shuffled, dose="dose", response="assay", interval="delta"),
        again.cmax.sample(frac=1, random_state=1),
    ).set_index("compound")
    assert twin["rank"][found.index].to_numpy() == pytest.approx(found["rank"].to_numpy(), nan_ok=True)


def test_units_and_missing_compounds_say_so():
    study = simulate_liver_study(4, days=(3,), seed=0)
    result = fit_dose_response(study.wells, dose="dose", response="assay", interval="delta")
    base = margins_of_safety(result, study.cmax).set_index("compound")
    nano = study.cmax.assign(cmax=study.cmax["cmax"] * 1000, cmax_unit="nM")
    assert margins_of_safety(result, nano).set_index("compound")["mos"].to_numpy() == pytest.approx(
        base["mos"].to_numpy(), nan_ok=True
    )
    mass = margins_of_safety(result, study.cmax.assign(cmax_unit="mg/L"))
    assert mass["reason"].str.contains("there is no ratio").all()
    bare = study.cmax.drop(columns="cmax_unit", errors="ignore")
    untold = margins_of_safety(result, bare)
    assert untold.dropna(subset="mos")["reason"].eq("No unit of Cmax is told: taken for µM.").all()
    for name in ("Cmax [nM]", "cmax_nM", "C max total (nM)"):
        named = bare.assign(cmax=bare["cmax"] * 1000).rename(columns={"cmax": name})
        found = margins_of_safety(result, named).set_index("compound")
        assert found["mos"].to_numpy() == pytest.approx(base["mos"].to_numpy(), nan_ok=True)
        assert found.dropna(subset="mos")["reason"].eq("").all()
    with pytest.raises(InputError, match="several columns of Cmax"):
        margins_of_safety(result, bare.rename(columns={"cmax": "Cmax free (nM)"}).assign(**{"Cmax total (nM)": 1.0}))
    few = margins_of_safety(result, study.cmax.iloc[1:])
    assert (few["reason"] == "The table of Cmax does not have this compound.").sum() == 1
    assert len(few) == 4


@pytest.mark.slow
def test_the_study_of_108_drugs_end_to_end():
    study = simulate_liver_study(seed=1)
    assert study.wells["treatment"].nunique() == 110
    assert study.wells.groupby("plate").size().max() <= 384
    by_day = {day: margins(study, "image", day) for day in (3, 7, 14)}
    areas = injury_roc(by_day)
    assert areas["day"].tolist() == [3, 7, 14]
    assert (areas["auc"] > 0.8).all()
    assert (areas["positives"] + areas["negatives"] >= 105).all()
    # a drug without a curve keeps its row and says why
    assert all(len(table) == 108 and (table["reason"][table["mos"].isna()] != "").all() for table in by_day.values())
    # the truth by its own margins; the image may lose little against it
    true = study.truth[study.truth["day"] == 14].merge(study.cmax, left_on="treatment", right_on="compound")
    ideal = roc_area(true["label"], -np.log10(true["ic50"] / true["cmax"])).auc
    assert areas["auc"].iloc[-1] == pytest.approx(ideal, abs=0.05)
    compared = compare_with_assay(by_day[14], margins(study, "assay", 14), margin=0.05)
    assert compared.cases >= 105
    assert compared.not_worse


def test_a_study_needs_drugs():
    with pytest.raises(ParameterError):
        simulate_liver_study(1)
