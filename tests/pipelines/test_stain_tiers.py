"""Three tiers of agreement, against counts made by hand."""

import math

import numpy as np
import pytest
from scipy import ndimage, stats

from vitascope.core.progress import run_to_end
from vitascope.pipelines.stain_tiers import compare_tiers
from vitascope.stats.stain_tiers import APART, COLUMNS, NO_STAIN

SHAPE = (260, 320)
CENTRES = [(50, 60), (50, 160), (60, 260), (150, 70), (150, 170), (150, 265), (220, 120)]


def disks(radius, keep=CENTRES, shift=(0, 0), levels=None):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    picture = np.zeros(SHAPE)
    for number, (a, b) in enumerate(keep):
        level = 1.0 if levels is None else levels[number]
        picture[np.hypot(y - a - shift[0], x - b - shift[1]) < radius] = level
    return picture


@pytest.fixture(scope="module")
def stains():
    rng = np.random.default_rng(0)
    levels = rng.uniform(0.4, 1.0, len(CENTRES))

    def look(picture, blur=1.5):
        return (ndimage.gaussian_filter(picture, blur) + rng.normal(0, 0.005, SHAPE)).astype(np.float32)

    real = {"nuclei": 500 + 4000 * look(disks(11)), "agp": 200 + 900 * look(disks(28, levels=levels))}
    predicted = {
        # the last is missed, and one more is seen where nothing is
        "nuclei": look(disks(11, [*CENTRES[:-1], (225, 250)], (1, 1))),
        "agp": look(disks(28, shift=(2, 0), levels=levels**2)),
    }
    return real, predicted


@pytest.fixture(scope="module")
def tiers(stains):
    return run_to_end(compare_tiers(*stains))


def value(tiers, quantity, target):
    table = tiers.table()
    (row,) = table[(table["quantity"] == quantity) & (table["target"] == target)].to_dict("records")
    return row


def test_the_table_has_three_tiers_and_its_columns(tiers):
    table = tiers.table()
    assert tuple(table.columns) == COLUMNS
    assert list(dict.fromkeys(table["tier"])) == ["pixels", "masks", "single-cell"]
    assert set(table["target"]) == {"nuclei", "agp"}
    assert not table.duplicated(["tier", "quantity", "target"]).any()


def test_pixels_are_those_of_the_scaled_stain(tiers, stains):
    real, predicted = stains
    low, high = np.percentile(real["agp"], (1, 99.9))
    scaled = np.clip((real["agp"] - low) / (high - low), 0, 1)
    row = value(tiers, "pcc", "agp")
    assert row["value"] == pytest.approx(stats.pearsonr(scaled.ravel(), predicted["agp"].ravel())[0], abs=1e-4)
    assert row["low"] < row["value"] < row["high"]
    error = np.sqrt(np.mean((scaled - predicted["agp"]) ** 2))
    assert value(tiers, "nrmse", "agp")["value"] == pytest.approx(error / np.ptp(scaled), rel=1e-3)
    assert value(tiers, "pcc_inside_cells", "agp")["value"] < row["value"]


def test_the_nucleus_is_measured_where_nobody_gave_it(tiers):
    assert tiers.nucleus_px == pytest.approx(22, rel=0.2)  # a local threshold takes in some of the blur


def test_missed_and_invented_nuclei_are_counted_and_the_one_without_stain_is_told_apart(tiers):
    assert value(tiers, "nuclei_real", "nuclei")["value"] == 7
    assert value(tiers, "nuclei_predicted", "nuclei")["value"] == 7
    row = value(tiers, "nuclei_f1_iou50", "nuclei")
    assert row["value"] == pytest.approx(2 * 6 / 14)
    assert row["low"] <= row["value"] <= row["high"]
    assert value(tiers, "nuclei_without_real_stain", "nuclei")["value"] == 1
    assert value(tiers, "nuclei_f1_iou50_with_stain", "nuclei")["value"] == pytest.approx(2 * 6 / 13)
    nuclei = tiers.apart[tiers.apart["objects"] == "nuclei"]
    assert list(tiers.apart.columns) == list(APART)
    assert nuclei["why"].tolist() == [NO_STAIN]
    place = nuclei.iloc[0][["centroid_y_px", "centroid_x_px"]].astype(float).tolist()
    assert place == pytest.approx([226, 251], abs=1)


def test_masks_of_moved_disks_overlap_as_disks_do(tiers):
    row = value(tiers, "iou", "agp")
    disk, moved = disks(28) > 0, disks(28, shift=(2, 0)) > 0
    assert row["value"] == pytest.approx((disk & moved).sum() / (disk | moved).sum(), abs=0.05)
    assert value(tiers, "dice", "agp")["value"] == pytest.approx(2 * row["value"] / (1 + row["value"]))
    assert value(tiers, "area_bias", "agp")["value"] == pytest.approx(0, abs=0.1)


def test_single_cells_rank_alike_but_do_not_concord(tiers):
    assert value(tiers, "mean_spearman", "agp")["value"] == pytest.approx(1, abs=0.05)
    assert value(tiers, "mean_concordance", "agp")["value"] < value(tiers, "mean_pearson", "agp")["value"]
    cells = tiers.cells
    assert len(cells) == 7
    expected = stats.pearsonr(cells["real_mean_agp"], cells["predicted_mean_agp"])[0]
    assert value(tiers, "mean_pearson", "agp")["value"] == pytest.approx(expected)


def test_a_stain_of_no_nuclei_has_pixels_and_masks(stains):
    real, predicted = ({"rna": side["agp"]} for side in stains)
    tiers = run_to_end(compare_tiers(real, predicted))
    assert set(tiers.table()["tier"]) == {"pixels", "masks"}
    assert len(tiers.cells) == 0


def test_a_constant_prediction_has_no_correlation_and_ends_nothing(stains):
    real, predicted = stains
    flat = {**predicted, "agp": np.zeros(SHAPE, np.float32)}
    tiers = run_to_end(compare_tiers(real, flat))
    assert math.isnan(value(tiers, "pcc", "agp")["value"])
    assert value(tiers, "iou", "agp")["value"] == 0
    assert value(tiers, "cells_f1_iou50", "agp")["value"] < 1


def test_a_prediction_in_grey_values_is_brought_to_the_scale_of_the_real_one_and_told(stains, tiers):
    real, predicted = stains
    grey = {"nuclei": predicted["nuclei"], "agp": 300 + 5000 * predicted["agp"]}
    found = run_to_end(compare_tiers(real, grey))
    assert found.rescaled == ("agp",)
    assert tiers.rescaled == ()
    low, high = np.percentile(grey["agp"], [1, 99.9])
    shares = np.clip((grey["agp"] - low) / (high - low), 0, 1).astype(np.float32)
    expected = run_to_end(compare_tiers(real, {**grey, "agp": shares}))
    for quantity in ("ssim", "nrmse", "pcc", "iou"):
        assert value(found, quantity, "agp")["value"] == pytest.approx(
            value(expected, quantity, "agp")["value"], abs=0.005
        )
    assert value(found, "pcc", "nuclei")["value"] == value(tiers, "pcc", "nuclei")["value"]
