"""Agreement of ranks within groups, and limits of agreement."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vitascope.stats.response.ranking import bland_altman, ordered_alike, rank_agreement


def table(groups=30, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(groups, 5))
    b = a + rng.normal(0, noise, a.shape)
    return pd.DataFrame({"group": np.repeat(np.arange(groups), 5), "atp": a.ravel(), "image": b.ravel()})


def test_pairs_in_the_same_order():
    a, b = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    assert ordered_alike(a, b) == pytest.approx(5 / 6)
    # without ties it is (1 + Kendall's tau) / 2
    x, y = np.random.default_rng(2).normal(size=(2, 20))
    assert ordered_alike(x, y) == pytest.approx((1 + stats.kendalltau(x, y).statistic) / 2)
    assert ordered_alike([1, 1, 2], [5, 9, 9]) == pytest.approx(0.75)
    assert np.isnan(ordered_alike([1, 1], [1, 2]))


def test_within_groups():
    data = table()
    each, overall = rank_agreement(data, reference="atp", image="image", group="group")
    first = data[data["group"] == 0]
    assert each["pearson"][0] == pytest.approx(stats.pearsonr(first["atp"], first["image"]).statistic)
    assert each["spearman"][0] == pytest.approx(stats.spearmanr(first["atp"], first["image"]).statistic)
    row = overall.set_index("measure").loc["pearson"]
    assert row["median"] == pytest.approx(each["pearson"].median())
    assert row["low"] < row["median"] < row["high"]
    # groups that differ in level only agree within, not across
    shifted = data.assign(image=data["image"] + 100 * (data["group"] % 2))
    again = rank_agreement(shifted, reference="atp", image="image", group="group")[1]["median"][0]
    assert again == pytest.approx(row["median"])


def test_small_and_constant_groups_say_so():
    data = pd.DataFrame({"g": [1, 1, 2, 2, 2], "a": [1, 2, 3, 4, 5], "b": [1, 2, 7, 7, 7]})
    each, overall = rank_agreement(data, reference="a", image="b", group="g")
    assert each["reason"].tolist() == ["Only 2 pairs of numbers: at least 3 are needed.", "One side is constant."]
    assert overall["reason"][0]


def test_limits_of_agreement():
    """Bland and Altman 1986: bias and bias -/+ 1.96 s of the differences; Lin 1989 by its formula."""
    data = table().assign(plate="P1")
    rows = bland_altman(data, reference="atp", image="image")
    assert rows["plate"].tolist() == ["P1", "all"]
    row, apart = rows.iloc[0], data["image"] - data["atp"]
    assert row["bias"] == pytest.approx(apart.mean())
    assert row["limit_high"] - row["limit_low"] == pytest.approx(2 * 1.96 * apart.std())
    cov = np.cov(data["atp"], data["image"], ddof=0)
    lin = 2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + apart.mean() ** 2)
    assert row["concordance"] == pytest.approx(lin)
    mean = (data["image"] + data["atp"]) / 2
    assert row["p_slope"] == pytest.approx(stats.pearsonr(mean, apart).pvalue)
