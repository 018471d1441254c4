import math

import numpy as np
import pandas as pd
import pytest

from vitascope.core.errors import InputError
from vitascope.ops.objects.measure import column_names, empty_table, measure_objects, summarise_objects


def two_objects():
    labels = np.zeros((20, 30), np.uint32)
    labels[2:7, 3:13] = 4
    labels[10, 20] = 9
    return labels


def test_a_rectangle_and_a_point_by_hand():
    labels = two_objects()
    picture = np.arange(600, dtype=np.uint16).reshape(20, 30)
    table = measure_objects(labels, {"DAPI (max)": picture}, pixel_size_um=0.5)
    assert table["label"].tolist() == [4, 9]
    box = table.iloc[0]
    assert (box["centroid_y_px"], box["centroid_x_px"]) == (4.0, 7.5)
    assert (box["centroid_y_um"], box["centroid_x_um"]) == (2.0, 3.75)
    assert (box["area_px"], box["area_um2"]) == (50, 12.5)
    assert box["equivalent_diameter_px"] == pytest.approx(2 * math.sqrt(50 / math.pi))
    assert box["equivalent_diameter_um"] == pytest.approx(math.sqrt(50 / math.pi))
    assert (box["perimeter_px"], box["perimeter_um"]) == (26.0, 13.0)
    assert box["circularity"] == pytest.approx(4 * math.pi * 50 / 26**2)
    assert box["major_axis_px"] == pytest.approx(4 * math.sqrt((10**2 - 1) / 12))
    assert box["minor_axis_px"] == pytest.approx(4 * math.sqrt((5**2 - 1) / 12))
    assert box["eccentricity"] == pytest.approx(math.sqrt(1 - 24 / 99))
    assert box["solidity"] == 1
    values = [int(picture[y, x]) for y in range(2, 7) for x in range(3, 13)]
    assert box["total_dapi_max"] == sum(values)
    assert box["mean_dapi_max"] == sum(values) / 50
    point = table.iloc[1]
    assert point[["area_px", "perimeter_px", "major_axis_px", "eccentricity", "solidity"]].tolist() == [1, 0, 0, 0, 1]
    assert math.isnan(point["circularity"])


def test_an_l_is_not_convex():
    labels = np.zeros((12, 12), np.uint8)
    labels[1:11, 1] = labels[10, 1:11] = 1
    assert measure_objects(labels)["solidity"][0] == pytest.approx(19 / 55)


def test_unknown_pixel_size_leaves_um_empty():
    table = measure_objects(two_objects())
    um = [c for c in table.columns if c.endswith(("_um", "_um2"))]
    assert len(um) == 7
    assert table[um].isna().all().all()
    assert table[[c for c in table.columns if c.endswith("_px")]].notna().all().all()


@pytest.mark.fault("A02")
def test_intensities_leave_out_what_is_not_finite():
    picture = np.full((20, 30), 2.0)
    picture[2, 3] = np.nan
    picture[2, 4] = np.inf
    picture[10, 20] = np.nan
    table = measure_objects(two_objects(), {"a": picture})
    assert table["total_a"].tolist() == [96.0, 0.0]
    assert table["mean_a"][0] == 2.0
    assert math.isnan(table["mean_a"][1])


def test_origin_moves_centroids_only():
    here, there = measure_objects(two_objects()), measure_objects(two_objects(), origin_yx_px=(100, 2000))
    assert (there["centroid_y_px"] - here["centroid_y_px"]).tolist() == [100, 100]
    assert (there["centroid_x_px"] - here["centroid_x_px"]).tolist() == [2000, 2000]
    same = [c for c in here.columns if not c.startswith("centroid")]
    pd.testing.assert_frame_equal(here[same], there[same])


@pytest.mark.fault("E09")
def test_no_object_has_the_same_columns_and_types():
    found = measure_objects(np.zeros((5, 5), np.uint32), {"DAPI": np.zeros((5, 5)), "dapi": np.zeros((5, 5))})
    full = measure_objects(two_objects(), {"DAPI": np.zeros((20, 30)), "dapi": np.zeros((20, 30))})
    assert len(found) == 0
    assert found.dtypes.to_dict() == full.dtypes.to_dict() == empty_table(["DAPI", "dapi"]).dtypes.to_dict()
    assert list(found.columns) == list(empty_table(["DAPI", "dapi"]).columns)


@pytest.mark.fault("A11")
@pytest.mark.fault("A13")
def test_byte_order_and_strides_do_not_matter():
    labels, picture = two_objects(), np.random.default_rng(0).random((20, 30)).astype(np.float32)
    picture.flags.writeable = False
    odd = np.asfortranarray(labels).astype(">u4")[::-1][::-1]
    expected = measure_objects(labels, {"a": picture})
    pd.testing.assert_frame_equal(measure_objects(odd, {"a": picture.astype(">f4")}), expected)


@pytest.mark.parametrize(
    ("labels", "picture"),
    [
        (np.zeros((3, 3)), np.zeros((3, 3))),
        (np.zeros((3, 3, 3), int), np.zeros((3, 3))),
        (np.zeros((3, 3), int), np.zeros((3, 4))),
    ],
)
def test_what_does_not_fit_is_refused(labels, picture):
    with pytest.raises(InputError) as caught:
        measure_objects(labels, {"a": picture})
    assert caught.value.flag == "wrong_dimensions"


def test_names_clash_and_empty():
    assert column_names(["", "a b", "A-B", "a_b_2", "Größe µm"]) == ["channel_1", "a_b", "a_b_2", "a_b_2_2", "groe_um"]


def test_summary_by_hand():
    labels = two_objects()
    picture = np.where(labels == 9, 8.0, 3.0)
    row = summarise_objects(measure_objects(labels, {"a": picture}, pixel_size_um=0.5), (20, 30), pixel_size_um=0.5)
    assert row == pytest.approx(
        {
            "count": 2,
            "total_area_px": 51,
            "total_area_um2": 12.75,
            "mean_area_px": 25.5,
            "mean_area_um2": 6.375,
            "median_area_px": 25.5,
            "median_area_um2": 6.375,
            "foreground_fraction": 51 / 600,
            "density_per_mm2": 2 / (600 * 0.25 / 1e6),
            "mean_a": (50 * 3 + 8) / 51,
            "total_a": 158,
        }
    )


@pytest.mark.fault("E09")
def test_summary_of_nothing():
    row = summarise_objects(empty_table(["a"]), (20, 30), pixel_size_um=0.5)
    assert (row["count"], row["total_area_px"], row["foreground_fraction"], row["total_a"]) == (0, 0, 0, 0)
    assert all(math.isnan(row[k]) for k in ("mean_area_px", "median_area_um2", "mean_a"))
    assert math.isnan(summarise_objects(empty_table(), (20, 30))["density_per_mm2"])
