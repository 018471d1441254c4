"""How far to rely on the wells of a plate."""

import pandas as pd
import pytest

from vitascope.batch.plate.badges import well_badges
from vitascope.core.card import SIMULATED
from vitascope.core.well import Well


def rows(model, *flags):
    return pd.DataFrame(
        [
            {"image": f"A{k:02}", "well": f"A{k:02}", "status": "OK", "flags": said, "model": model}
            for k, said in enumerate(flags, 1)
        ]
    )


@pytest.mark.parametrize(
    ("model", "levels", "said"),
    [
        ("atp-organoid", ["unknown", "unsure", "outside"], (SIMULATED,)),
        ("viability-ldc", ["fits", "unsure", "outside"], ()),
        ("gone-since", ["fits", "unsure", "outside"], ()),
    ],
)
def test_no_well_fits_a_model_that_saw_no_real_image(model, levels, said):
    found = well_badges(rows(model, "", "unsure", "outside_model"), {})
    assert [found[Well.parse(well)].level for well in ("A01", "A02", "A03")] == levels
    assert found[Well.parse("A01")].reasons == said


def test_of_several_images_in_a_well_the_worst_counts():
    frame = rows("viability-ldc", "", "unsure", "")
    frame["well"] = "B02"
    assert found_level(frame) == "unsure"
    frame = pd.concat([rows("viability-ldc", ""), rows("atp-organoid", "")]).assign(well="B02", image=["a", "b"])
    assert found_level(frame) == "unknown"


def found_level(frame):
    return well_badges(frame, {})[Well.parse("B02")].level
