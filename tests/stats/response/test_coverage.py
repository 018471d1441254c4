"""How often the default 95 % intervals hold the true IC50; the larger study is ``python -m tests.benchmarks``."""

import numpy as np
import pandas as pd
import pytest

from response_support import logistic
from vitascope.stats.response.analysis import fit_dose_response


@pytest.mark.slow
def test_default_intervals_hold_the_true_ic50():
    curves, doses = 600, np.repeat(10.0 ** np.linspace(-2, 2, 8), 3)
    rng = np.random.default_rng(11)
    ic50 = np.repeat(10 ** rng.uniform(-1, 1, curves), len(doses))
    hill = np.repeat(rng.uniform(0.7, 3, curves), len(doses))
    at = np.tile(doses, curves)
    table = pd.DataFrame(
        {
            "treatment": np.repeat(np.arange(curves), len(doses)),
            "dose": at,
            "viability": logistic(at, 100, 10, ic50, hill) + rng.normal(0, 6, len(at)),
        }
    )
    found = fit_dose_response(table, dose="dose", response="viability").curves
    true = ic50[:: len(doses)]
    inside = (found["relation"] == "=").to_numpy()
    holds = (found["ic50_low"].to_numpy() <= true) & (true <= found["ic50_high"].to_numpy())
    assert inside.mean() > 0.98
    # 95 % within three standard errors of 600 draws
    assert holds[inside].mean() == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / curves))
