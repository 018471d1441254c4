"""Tables of wells for the tests of dose-response."""

import numpy as np
import pandas as pd
import pytest

from response_support import DOSES, logistic


@pytest.fixture
def wells():
    """A function that makes a table of one treatment."""

    def make(values=None, doses=DOSES, noise=3.0, seed=0, **columns):
        clean = logistic(doses) if values is None else np.asarray(values, float)
        noisy = clean + np.random.default_rng(seed).normal(0, noise, len(clean))
        return pd.DataFrame({"treatment": "A", "dose": doses, "dose_unit": "µM", "viability": noisy, **columns})

    return make
