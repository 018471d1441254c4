"""Paired tests, ratios and Holm against scipy and closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from response_support import logistic
from vitascope.core.errors import InputError
from vitascope.stats.response.analysis import fit_dose_response
from vitascope.stats.response.compare import block_ratio, holm, ic50_ratio, paired_difference, paired_tests
from vitascope.stats.response.days import first_day_of_difference, ic50_by_day


def test_holm():
    """Holm 1979: sorted p times n, n - 1, …, made monotone."""
    assert holm([0.01, 0.02, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert holm([0.6, np.nan, 0.9])[[0, 2]].tolist() == [1.0, 1.0]
    assert holm([]).size == 0


def test_pairs_over_blocks():
    rng = np.random.default_rng(0)
    block = rng.normal(0, 10, 8)
    rows = [
        {"plate": f"P{b}", "treatment": t, "v": block[b] + shift + rng.normal(0, 1)}
        for b in range(8)
        for t, shift in (("A", 0), ("B", 2), ("C", 0))
        for _ in range(3)
    ]
    table = pd.DataFrame(rows)
    found = paired_tests(table, value="v", group="treatment", pair=["plate"]).set_index(["group_a", "group_b"])
    means = table.pivot_table(index="plate", columns="treatment", values="v")
    row = found.loc[("A", "B")]
    assert row["p_t"] == pytest.approx(stats.ttest_rel(means["A"], means["B"]).pvalue)
    assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(means["A"], means["B"]).pvalue)
    interval = stats.ttest_rel(means["A"], means["B"]).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert found["p_t_holm"].tolist() == pytest.approx(holm(found["p_t"]).tolist())
    assert row["pairs"] == 8


def test_pairs_that_cannot_be_tested():
    assert "at least 2" in paired_difference([1.0])["reason"]
    assert "no spread" in paired_difference([1.0, 1.0, 1.0])["reason"]
    with pytest.raises(InputError, match="no column"):
        paired_tests(pd.DataFrame({"a": [1]}), value="v", group="a", pair=["a"])


def study(curves, ratio, seed=0, noise=4.0):
    rng = np.random.default_rng(seed)
    doses = np.repeat(10.0 ** np.linspace(-2, 2, 8), 3)
    parts = []
    for plate in range(curves):
        shift = rng.lognormal(0, 0.3)
        for name, ic50 in (("A", ratio), ("B", 1.0)):
            values = logistic(doses, ic50=ic50 * shift) + rng.normal(0, noise, len(doses))
            parts.append(
                pd.DataFrame({"plate": f"P{plate}", "treatment": name, "dose": doses, "dose_unit": "µM", "v": values})
            )
    return fit_dose_response(pd.concat(parts, ignore_index=True), dose="dose", response="v", by=["plate", "treatment"])


def test_ratio_of_two_curves_covers_the_truth():
    result = study(150, 3.0)
    found = [ic50_ratio(a, b) for a, b in zip(result.fits[::2], result.fits[1::2], strict=True)]
    holds = np.mean([row["low"] <= 3.0 <= row["high"] for row in found])
    assert holds == pytest.approx(0.95, abs=0.055)
    assert np.median([row["ratio"] for row in found]) == pytest.approx(3.0, rel=0.05)
    assert np.mean([row["p"] < 0.05 for row in found]) > 0.9
    assert "no ratio" in ic50_ratio(None, result.fits[0])["reason"]


def test_ratio_over_blocks_is_the_paired_t_of_logs():
    result = study(6, 2.0)
    row = block_ratio(result.curves, "A", "B", block=["plate"])
    logs = np.log10(result.curves["ic50"].to_numpy())
    test = stats.ttest_rel(logs[::2], logs[1::2])
    assert row["ratio"] == pytest.approx(10 ** np.mean(logs[::2] - logs[1::2]))
    assert row["p"] == pytest.approx(test.pvalue)
    assert row["low"] < 2.0 < row["high"]
    censored = result.curves.copy()
    censored.loc[0, "relation"] = ">"
    assert block_ratio(censored, "A", "B", block=["plate"])["left_out"] == 1


def test_series_over_days():
    rng = np.random.default_rng(0)
    doses = np.repeat(10.0 ** np.linspace(-2, 2, 8), 2)
    rows = []
    for day in (2, 10, 1):
        values = logistic(doses, ic50=10.0 / day) + rng.normal(0, 1, len(doses))
        rows.append(pd.DataFrame({"treatment": "A", "day": day, "dose": doses, "v": values}))
    result = fit_dose_response(pd.concat(rows, ignore_index=True), dose="dose", response="v")
    by_day = ic50_by_day(result)
    assert by_day["day"].tolist() == ["1", "2", "10"]
    assert by_day["ic50"].tolist() == pytest.approx([10, 5, 1], rel=0.15)


def test_first_day_of_difference():
    rng = np.random.default_rng(1)
    rows = []
    for day in range(1, 8):
        rows += [{"day": day, "role": "negative", "treatment": "DMSO", "v": v} for v in rng.normal(100, 3, 8)]
        rows += [
            {"day": day, "role": "treated", "treatment": "late", "v": v}
            for v in rng.normal(100 - 30 * (day >= 4), 3, 4)
        ]
        rows += [{"day": day, "role": "treated", "treatment": "none", "v": v} for v in rng.normal(100, 3, 4)]
        rows += [
            {"day": day, "role": "treated", "treatment": "once", "v": v}
            for v in rng.normal(100 - 30 * (day == 3), 3, 4)
        ]
    found = first_day_of_difference(pd.DataFrame(rows), response="v").set_index("treatment")
    assert found["first_day"]["late"] == 4
    assert found["first_day"][["none", "once"]].isna().all()
    assert "does not differ" in found["reason"]["none"]
