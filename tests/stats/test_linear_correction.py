import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vitascope.core.errors import InputError
from vitascope.stats.agreement import concordance
from vitascope.stats.linear_correction import correction_json, fit_corrections, fit_line, parse_corrections


def cells(count=60, slope=0.5, seed=0):
    rng = np.random.default_rng(seed)
    real = rng.uniform(0.2, 1, count)
    predicted = slope * real + 0.2 + rng.normal(0, 0.02, count)
    return pd.DataFrame(
        {
            "centroid_y_px": rng.uniform(0, 800, count),
            "centroid_x_px": rng.uniform(0, 800, count),
            "real_mean_er": real,
            "predicted_mean_er": predicted,
        }
    )


def test_the_line_is_that_of_least_squares():
    table = cells()
    expected = stats.linregress(table["predicted_mean_er"], table["real_mean_er"])
    found = fit_line(table["real_mean_er"].to_numpy(), table["predicted_mean_er"].to_numpy())
    assert found == pytest.approx((expected.slope, expected.intercept))


def test_it_is_fitted_on_every_other_crop_and_tried_on_the_rest():
    table = cells()
    row = fit_corrections(table, {"er": "er"}, 100).iloc[0]
    black = [(y // 100 + x // 100) % 2 == 0 for y, x in table[["centroid_y_px", "centroid_x_px"]].to_numpy()]
    fitted, rest = table[black], table[~np.array(black)]
    line = stats.linregress(fitted["predicted_mean_er"], fitted["real_mean_er"])
    assert (row["slope"], row["intercept"]) == pytest.approx((line.slope, line.intercept))
    assert (row["fitted_on"], row["tried_on"]) == (len(fitted), len(rest))
    after = line.slope * rest["predicted_mean_er"] + line.intercept
    assert row["concordance_before"] == pytest.approx(concordance(rest["real_mean_er"], rest["predicted_mean_er"]))
    assert row["concordance_after"] == pytest.approx(concordance(rest["real_mean_er"], after))
    assert row["concordance_after"] > row["concordance_before"] + 0.1


def test_too_few_cells_have_no_line_and_stay_out_of_the_file():
    table = fit_corrections(cells(3), {"er": "er"}, 100)
    assert math.isnan(table.loc[0, "slope"])
    assert correction_json(table) == {}


def test_a_file_comes_back_and_another_is_refused():
    table = fit_corrections(cells(), {"er": "er"}, 100)
    back = parse_corrections(json.dumps(correction_json(table)), "a.json")
    assert back["er"].slope == pytest.approx(table.loc[0, "slope"])
    for text in ("[]", "nothing", '{"er": {"slope": "x", "intercept": 0}}', '{"er": {"slope": 1}}', '{"er": 5}'):
        with pytest.raises(InputError, match=r"b\.json holds no corrections"):
            parse_corrections(text, "b.json")
