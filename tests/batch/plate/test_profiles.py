"""Profiles for pycytominer, and that pycytominer reads them where it is installed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile

from plate_support import make_job, make_plate
from vitascope.batch.plate.profiles import export_profiles, image_profiles, object_profiles
from vitascope.batch.plate.run import run_plate
from vitascope.core.errors import ParameterError
from vitascope.core.progress import run_to_end
from vitascope.io.tables.plate_map import PlateMap

MAP = PlateMap.from_rows(
    [{"well": f"A{k}", "treatment": "DMSO" if k < 3 else "X", "dose": k, "dose_unit": "µM"} for k in range(1, 5)]
)


@pytest.fixture
def profiles(tmp_path):
    plate = make_plate(tmp_path / "plate", 4, fields=2)
    tifffile.imwrite(plate / "p_A04_s1_w1.tif", np.zeros((16, 16), np.uint16))  # is refused: black
    run_to_end(run_plate(make_job(plate, tmp_path / "out", plate_map=MAP)))
    return export_profiles(tmp_path / "out", tmp_path / "profiles.parquet", MAP)


def test_every_object_has_its_place_its_numbers_and_those_of_its_image(profiles, tmp_path):
    found = pd.read_parquet(profiles)
    objects = pd.read_parquet(tmp_path / "out" / "objects.parquet")
    assert len(found) == len(objects) == 2 * 7
    assert set(found["Metadata_Plate"]) == {"p"}
    assert found["Metadata_Well"].tolist() == [w for w in ("A01", "A02", "A03") for _ in range(4)] + ["A04"] * 2
    assert found["Metadata_Site"].tolist()[:4] == ["1", "1", "2", "2"]
    assert found["Metadata_ObjectNumber"].tolist() == objects["label"].tolist()
    np.testing.assert_array_equal(found["Cells_mean"], objects["mean"])
    by_image = pd.read_csv(tmp_path / "out" / "results.csv").set_index("image")["mean"]
    np.testing.assert_allclose(found["Image_mean"], [by_image[one] for one in found["Metadata_image"]])
    assert found.set_index("Metadata_Well").loc["A03", "Metadata_treatment"].unique().tolist() == ["X"]
    assert found["Metadata_dose"].dtype == float
    assert all(name.startswith(("Metadata_", "Cells_", "Image_")) for name in found)


def test_images_without_objects_keep_their_row_and_their_status():
    results = pd.DataFrame(
        {
            "image": ["a", "b"], "plate": "p", "well": ["A01", "A02"], "field": ["1", "1"], "time": ["", ""],
            "status": ["OK", "REJECTED"], "flags": [["dim", "small"], []], "atp_rlu": [3.5, np.nan], "unit": "RLU",
            "message": "",
        }
    )  # fmt: skip
    profiles = image_profiles(results)
    assert profiles["Metadata_status"].tolist() == ["OK", "REJECTED"]
    assert profiles["Metadata_flags"].tolist() == ["dim;small", ""]
    assert profiles["Image_atp_rlu"].tolist()[0] == 3.5
    assert np.isnan(profiles["Image_atp_rlu"].tolist()[1])


def test_objects_of_a_series_get_the_numbers_of_their_time():
    images = pd.DataFrame({"Metadata_image": ["a", "a"], "Metadata_Time": ["0", "1"], "Image_n": [10.0, 20.0]})
    objects = pd.DataFrame({"image": "a", "label": [1, 1, 2], "time": [1.0, 0.0, 1.0], "area_um2": [5, 6, 7]})
    (found,) = object_profiles(iter([objects]), images, "Nuclei")
    assert found["Image_n"].tolist() == [20, 10, 20]
    assert found["Nuclei_area_um2"].tolist() == [5, 6, 7]


def test_whole_cells_beside_nuclei_are_no_nuclei():
    images = pd.DataFrame({"Metadata_image": ["a"], "Metadata_Time": [""], "Image_n": [2.0]})
    objects = pd.DataFrame(
        {
            "image": "a",
            "label": [1, 2, 1, 2],
            "area_px": [9, 8, 90, 80],
            "objects": ["nuclei", "nuclei", "cells", "cells"],
        }
    )
    (found,) = object_profiles(iter([objects]), images, "Nuclei")
    assert found["Nuclei_area_px"].tolist() == [9, 8]
    assert "Metadata_Nuclei_objects" not in found


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"\.parquet"):
        export_profiles(tmp_path, tmp_path / "profiles.csv")


def test_pycytominer_reads_and_aggregates_them(profiles):
    pytest.importorskip("pycytominer", reason="pycytominer is not installed")
    from pycytominer import aggregate
    from pycytominer.cyto_utils import infer_cp_features, load_profiles

    found = load_profiles(profiles)
    assert infer_cp_features(found) == ["Cells_mean", "Cells_area_um2"]
    assert set(infer_cp_features(found, metadata=True)) == {name for name in found if name.startswith("Metadata_")}
    by_well = aggregate(found, features=["Cells_mean"], operation="mean")
    expected = found.groupby("Metadata_Well")["Cells_mean"].mean()
    np.testing.assert_allclose(by_well.set_index("Metadata_Well")["Cells_mean"], expected)
