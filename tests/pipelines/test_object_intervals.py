import numpy as np
import pandas as pd
import pytest

from vitascope.core.card import ObjectErrors
from vitascope.pipelines.object_intervals import NAMES, no_intervals, object_intervals

NONE = ObjectErrors(objects=(0.0, 0.0), mean_area=(0.0, 0.0), views=10)


def scattered(count, seed=0, side=1000, area=100.0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "centroid_y_px": rng.uniform(0, side, count),
            "centroid_x_px": rng.uniform(0, side, count),
            "area_px": rng.normal(area, 20, count),
        }
    )


def test_the_count_of_another_field_lies_inside_as_often_as_is_said():
    """Poisson scattered cells: of two fields of one culture, the mean lies in the interval in about 90 % of cases."""
    inside = []
    for seed in range(150):
        count = np.random.default_rng(1000 + seed).poisson(200)
        found = object_intervals(scattered(count, seed), (1000, 1000), 20.0, NONE, None)
        inside.append(found["objects_low"] <= 200 <= found["objects_high"])
    assert 0.83 <= np.mean(inside) <= 0.97


def test_errors_of_the_model_move_the_ends():
    table = scattered(200)
    plain = object_intervals(table, (1000, 1000), 20.0, NONE, 0.5)
    off = ObjectErrors(objects=(-0.3, 0.1), mean_area=(-0.2, 0.4), views=10)
    moved = object_intervals(table, (1000, 1000), 20.0, off, 0.5)
    assert moved["objects_low"] == pytest.approx(plain["objects_low"] * np.exp(-0.3))
    assert moved["objects_high"] == pytest.approx(plain["objects_high"] * np.exp(0.1))
    assert moved["mean_area_um2_high"] == pytest.approx(plain["mean_area_px_high"] * 0.25 * np.exp(0.4))


def test_clumps_widen_the_interval():
    even = object_intervals(scattered(200), (1000, 1000), 20.0, NONE, None)
    clumped = scattered(200)
    clumped[["centroid_y_px", "centroid_x_px"]] = np.repeat(np.random.default_rng(1).uniform(0, 1000, (10, 2)), 20, 0)
    wide = object_intervals(clumped, (1000, 1000), 20.0, NONE, None)
    assert wide["objects_high"] - wide["objects_low"] > 2 * (even["objects_high"] - even["objects_low"])


def test_no_object_and_a_picture_of_one_square_have_no_interval():
    for table, shape in ((scattered(0), (1000, 1000)), (scattered(5, side=60), (60, 60))):
        assert object_intervals(table, shape, 20.0, NONE, None) == no_intervals()
    assert set(no_intervals()) == {f"{name}_{end}" for name in NAMES for end in ("low", "high")}
