"""Fits against published values."""

import numpy as np
import pytest

from response_support import DNASE1, PHARMACOGX_141, PUROMYCIN, RAT42, RYEGRASS
from vitascope.stats.response.analysis import fit_dose_response


def fit(table, dose, response, **settings):
    found = fit_dose_response(table, dose=dose, response=response, **settings)
    return found.curves.iloc[0], found.fits[0]


def test_ryegrass_as_in_drc():
    row, fitted = fit(RYEGRASS, "conc", "rootl")
    assert row["hill"] == pytest.approx(2.982, abs=5e-4)
    assert row["bottom"] == pytest.approx(0.481, abs=5e-4)
    assert row["top"] == pytest.approx(7.793, abs=5e-4)
    assert row["ic50"] == pytest.approx(3.058, abs=5e-4)
    # summary(): residual standard error 0.5196 on 20 degrees of freedom; modelFit(): p 0.8665
    assert np.sqrt(fitted.variance) == pytest.approx(0.5196, abs=5e-5)
    assert row["p_lack_of_fit"] == pytest.approx(0.8665, abs=1e-4)
    assert (row["quality"], row["n"], fitted.freedom) == ("good", 24, 20)
    # ED(ryegrass.m1, c(10, 50, 90)) of drc's help: 1.46371, 3.05795, 6.38864
    ed = fit_dose_response(RYEGRASS, dose="conc", response="rootl").effective_doses.set_index("percent")["dose"]
    assert ed[[10, 50, 90]].tolist() == pytest.approx([1.46371, 3.05795, 6.38864], abs=5e-5)


def test_rat42_as_certified_by_nist():
    # the logistic of x is the log-logistic of exp(x)
    table = RAT42.assign(dose=np.exp(RAT42["x"].astype(float)))
    row, fitted = fit(table, "dose", "y", parameters=3)
    k = np.exp(fitted.parameters[2])
    assert not fitted.falls
    assert row["top"] == pytest.approx(72.462237576, rel=1e-8)
    assert k == pytest.approx(0.067359200066, rel=1e-7)
    assert k * fitted.parameters[3] == pytest.approx(2.6180768402, rel=1e-7)
    assert fitted.variance * fitted.freedom == pytest.approx(8.0565229338, rel=1e-10)
    assert np.sqrt(fitted.covariance[1, 1]) == pytest.approx(1.7340283401, rel=1e-6)
    assert k * np.sqrt(fitted.covariance[2, 2]) == pytest.approx(0.0034465663377, rel=1e-6)


def test_dnase_as_in_r():
    row, fitted = fit(DNASE1, "conc", "density")
    assert fitted.parameters[[0, 1, 3]] == pytest.approx([-0.007897, 2.377239, 1.507403], abs=1e-6)
    assert 1 / np.exp(fitted.parameters[2]) == pytest.approx(1.062579, abs=1e-6)
    assert row["hill"] == pytest.approx(-1 / 1.062579, abs=1e-6)
    _, fitted = fit(DNASE1, "conc", "density", parameters=3, scatter="equal")  # as R takes it
    assert fitted.parameters[[1, 3]] == pytest.approx([2.34518, 1.48309], abs=1e-5)
    assert np.sqrt(np.diag(fitted.covariance))[[1, 3]] == pytest.approx([0.07815, 0.08135], abs=1e-5)
    assert np.sqrt(fitted.variance) == pytest.approx(0.01919, abs=1e-5)


def test_puromycin_as_in_bates_and_watts():
    row, fitted = fit(PUROMYCIN, "conc", "rate", parameters=3, hill=1)
    assert row["model"] == "LL.3 (hill = 1)"
    assert row["top"] == pytest.approx(212.7, abs=0.05)
    assert row["ic50"] == pytest.approx(0.06412, abs=5e-6)
    assert np.sqrt(fitted.covariance[1, 1]) == pytest.approx(6.947, abs=1e-3)
    assert row["ic50"] * np.sqrt(fitted.covariance[3, 3]) == pytest.approx(0.008281, abs=1e-6)
    assert np.sqrt(fitted.variance) == pytest.approx(10.93, abs=5e-3)


def test_an_ic50_is_no_tested_dose():
    row, _ = fit(PHARMACOGX_141, "conc", "viability", parameters=2, control=1)
    # their optimiser stops within 1 % of the least squares
    assert row["ic50"] == pytest.approx(0.9646616, rel=0.01)
    assert row["hill"] == pytest.approx(0.953125, rel=0.01)
    assert row["ic50"] not in PHARMACOGX_141["conc"].tolist()
    assert row["ic50_absolute"] == pytest.approx(row["ic50"])
    assert row["auc"] + row["aac"] == pytest.approx(1)
