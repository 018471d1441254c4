import math
from itertools import pairwise

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from skimage.metrics import normalized_root_mse, structural_similarity

from vitascope.core.errors import InputError
from vitascope.stats import agreement
from vitascope.stats.agreement import (
    agreement_table,
    concordance,
    crop_rows,
    nrmse,
    pcc,
    pearson,
    picture_agreement,
    spearman,
    ssim,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=30)
Y = 0.7 * X + RNG.normal(size=30)


def pictures(shape=(60, 53), seed=1):
    rng = np.random.default_rng(seed)
    truth = rng.random(shape).astype(np.float32)
    return truth, np.clip(truth + rng.normal(0, 0.2, shape), 0, 1).astype(np.float32)


def test_correlations_are_those_of_scipy():
    assert pearson(X, Y) == pytest.approx(stats.pearsonr(X, Y).statistic)
    assert spearman(X, Y) == pytest.approx(stats.spearmanr(X, Y).statistic)
    tied = np.round(X)
    assert spearman(tied, Y) == pytest.approx(stats.spearmanr(tied, Y).statistic)
    assert pearson(X * 1e200, Y * 1e-200) == pytest.approx(pearson(X, Y))


def test_concordance_by_its_formula():
    mx, my = sum(X) / 30, sum(Y) / 30
    shared = sum((x - mx) * (y - my) for x, y in zip(X, Y, strict=True)) / 30
    spread = sum((x - mx) ** 2 for x in X) / 30 + sum((y - my) ** 2 for y in Y) / 30
    assert concordance(X, Y) == pytest.approx(2 * shared / (spread + (mx - my) ** 2))
    assert concordance(X, X) == pytest.approx(1)
    assert concordance(X, X + 3) < pearson(X, X + 3) == pytest.approx(1)


@pytest.mark.parametrize("measure", [pearson, spearman, concordance])
def test_what_is_not_defined_is_nan(measure):
    assert math.isnan(measure([], []))
    assert math.isnan(measure([1, 2], [3, 4]))
    assert math.isnan(measure([0.1] * 5, [0.1] * 5))
    assert math.isnan(measure([1, 2, math.nan], [3, 4, 5]))
    with pytest.raises(InputError):
        measure([1, 2, 3], [1, 2])


@pytest.mark.parametrize(
    ("truth", "predicted", "reason"),
    [
        ([1, 2], [3, 4], "3 are needed"),
        ([1, 1, 1], [3, 4, 5], "true numbers are all equal"),
        ([3, 4, 5], [1, 1, 1], "predicted numbers are all equal"),
        (X, Y, ""),
    ],
)
def test_reasons(truth, predicted, reason):
    table = agreement_table(pd.DataFrame({"a": truth}), pd.DataFrame({"a": predicted}), "crops", ["a"])
    assert reason in table["reason"][0]
    assert bool(reason) == bool(table["reason"][0])


@pytest.fixture(params=[1 << 22, 300])
def strips(request, monkeypatch):
    monkeypatch.setattr(agreement, "STRIP_PIXELS", request.param)


@pytest.mark.usefixtures("strips")
def test_pictures_agree_with_references():
    truth, predicted = pictures()
    x, y = truth.astype(float), predicted.astype(float)
    dx, dy = x - x.mean(), y - y.mean()
    equation_6 = (dx * dy).sum() / math.sqrt((dx**2).sum() * (dy**2).sum())
    assert pcc(truth, predicted) == pytest.approx(equation_6, rel=1e-12)
    assert nrmse(truth, predicted) == pytest.approx(normalized_root_mse(x, y, normalization="min-max"), rel=1e-12)
    assert ssim(truth, predicted) == pytest.approx(structural_similarity(x, y, data_range=1.0), rel=1e-9)
    lazy = picture_agreement(da.from_array(truth, chunks=20), da.from_array(predicted, chunks=17))
    assert lazy == pytest.approx(
        {"pcc": equation_6, "ssim": ssim(truth, predicted), "nrmse": nrmse(x, y), "reason": ""}
    )


def test_ssim_by_its_formula():
    truth, predicted = (p.astype(float) for p in pictures((9, 8)))
    values = []
    for top in range(3):
        for left in range(2):
            a, b = truth[top : top + 7, left : left + 7], predicted[top : top + 7, left : left + 7]
            shared = ((a - a.mean()) * (b - b.mean())).sum() / 48
            light = (2 * a.mean() * b.mean() + 0.01**2) / (a.mean() ** 2 + b.mean() ** 2 + 0.01**2)
            values.append(light * (2 * shared + 0.03**2) / (a.var(ddof=1) + b.var(ddof=1) + 0.03**2))
    assert ssim(truth, predicted) == pytest.approx(np.mean(values), rel=1e-9)


@pytest.mark.fault("A02")
@pytest.mark.usefixtures("strips")
def test_pixels_that_are_not_finite_are_left_out():
    truth, predicted = pictures()
    truth[5, 5], predicted[40, 40] = np.nan, np.inf
    both = np.isfinite(truth) & np.isfinite(predicted)
    assert pcc(truth, predicted) == pytest.approx(pearson(truth[both], predicted[both]))
    x, y = np.where(both, truth, 0).astype(float), np.where(both, predicted, 0).astype(float)
    every = structural_similarity(x, y, data_range=1.0, full=True)[1]
    kept = [every[i, j] for i in range(3, 57) for j in range(3, 50) if both[i - 3 : i + 4, j - 3 : j + 4].all()]
    assert ssim(truth, predicted) == pytest.approx(np.mean(kept))


@pytest.mark.parametrize(
    "truth",
    [
        pytest.param(np.full((20, 20), 0.1), marks=pytest.mark.fault("A04")),
        pytest.param(np.full((20, 20), np.nan), marks=pytest.mark.fault("A01")),
        pytest.param(np.ones((1, 1)), marks=pytest.mark.fault("A07")),
    ],
)
def test_pictures_without_an_answer(truth):
    row = picture_agreement(truth, truth)
    assert math.isnan(row["pcc"])
    assert math.isnan(row["nrmse"])
    assert "pcc" in row["reason"]


def test_pictures_of_two_shapes_are_refused():
    for measure in (pcc, nrmse, ssim):
        with pytest.raises(InputError) as caught:
            measure(np.zeros((9, 9)), np.zeros((9, 8)))
        assert caught.value.flag == "wrong_dimensions"


def objects():
    return pd.DataFrame(
        {
            "centroid_y_px": [1.0, 255.4, 255.6, 300.0, 600.0],
            "centroid_x_px": [1.0, 255.4, 10.0, 300.0, 5.0],
            "area_px": [10, 20, 30, 40, 50],
            "total_dna": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )


def test_crops_add_up_by_centroid():
    rows = crop_rows(objects(), (600, 512), "dna")
    assert rows["count"].tolist() == [2, 0, 1, 1]
    assert rows["total_area_px"].tolist() == [30, 0, 30, 40]
    assert rows["total_intensity"].tolist() == [3, 0, 3, 4]
    assert rows["mean_intensity"].tolist() == pytest.approx([0.1, math.nan, 0.1, 0.1], nan_ok=True)
    assert list(crop_rows(objects(), (600, 512))) == ["count", "total_area_px"]
    assert len(crop_rows(objects(), (255, 255))) == 0
    assert crop_rows(objects().iloc[:0], (512, 256), "dna")["count"].tolist() == [0, 0]


def test_table_over_images():
    truth = pd.DataFrame({"count": X, "mean_intensity": np.where(X > 1, np.nan, X), "total_area_px": 1.0})
    predicted = pd.DataFrame({"count": Y, "mean_intensity": Y, "total_area_px": Y})
    table = agreement_table(truth, predicted, "images").set_index("quantity")
    assert set(table["over"]) == {"images"}
    assert list(table.index) == ["count", "total_area_px", "mean_intensity"]
    assert table.loc["count", ["n", "pearson", "spearman", "concordance"]].tolist() == pytest.approx(
        [30, pearson(X, Y), spearman(X, Y), concordance(X, Y)]
    )
    kept = X <= 1
    assert table.loc["mean_intensity", "n"] == kept.sum()
    assert table.loc["mean_intensity", "pearson"] == pytest.approx(stats.pearsonr(X[kept], Y[kept]).statistic)
    flat = table.loc["total_area_px"]
    assert math.isnan(flat["pearson"])
    assert "all equal" in flat["reason"]
    assert flat["truth_mean"] == 1
    assert flat["predicted_mean"] == pytest.approx(Y.mean())


@pytest.mark.parametrize(("over", "least"), [("images", 5), ("crops", 3)])
def test_too_few_rows_say_so(over, least):
    few = [{"count": float(i)} for i in range(least - 1)]
    row = agreement_table(few, few, over).iloc[0]
    assert row["n"] == least - 1
    assert row[["pearson", "spearman", "concordance"]].isna().all()
    assert f"at least {least}" in row["reason"]
    enough = [{"count": float(i)} for i in range(least)]
    assert agreement_table(enough, enough, over).iloc[0]["pearson"] == pytest.approx(1)
    assert len(agreement_table([], [], over)) == 0
    with pytest.raises(InputError):
        agreement_table(few, enough, over)


def test_better_predictions_score_better():
    rng = np.random.default_rng(3)
    truth = rng.random((64, 64))
    noise = rng.normal(size=(64, 64))
    scores = [picture_agreement(truth, truth + s * noise) for s in (0.0, 0.1, 0.3, 1.0)]
    assert scores[0]["pcc"] == pytest.approx(1)
    assert scores[0]["ssim"] == pytest.approx(1)
    for better, worse in pairwise(scores):
        assert better["pcc"] > worse["pcc"]
        assert better["ssim"] > worse["ssim"]
        assert better["nrmse"] < worse["nrmse"]
