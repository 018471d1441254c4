import numpy as np
import pytest

from vitascope.core.errors import TrainingError
from vitascope.engine.expected import AT_HOME, STATISTICS, expect
from vitascope.training.expected_agreement import fit_errors, fit_expected, weighted_quantiles

NAMES = {"good": 1, "also": -1}


def rows(laboratories, count=150, seed=0, scatter=0.05):
    """Views whose agreement follows one statistic."""
    rng = np.random.default_rng(seed)
    found = []
    for laboratory in laboratories:
        for _ in range(count):
            good = rng.normal()
            true = float(np.tanh(0.5 + 0.4 * good) + rng.normal() * scatter)
            found.append(
                {"laboratory": laboratory, "true": true, "good": good, "also": 7 - 2 * good + 0.2 * rng.normal()}
            )
    return found


def test_what_is_left_out_is_told_and_the_interval_holds_its_level():
    how = fit_expected(rows("abcd"), NAMES)
    fresh = rows("e", 800, seed=5)
    told = [expect(how, row) for row in fresh]
    true = np.array([row["true"] for row in fresh])
    assert np.corrcoef([one.value for one in told], true)[0, 1] > 0.95
    inside = np.mean([one.low <= t <= one.high for one, t in zip(told, true, strict=True)])
    assert 0.75 <= inside <= 0.85
    assert how.weights[1] == -how.weights[0] < 0
    assert how.level == 0.8
    assert how.laboratories == ("a", "b", "c", "d")


def test_a_laboratory_that_is_otherwise_widens_the_interval():
    alike = fit_expected(rows("abcd"), NAMES)
    odd = [{**row, "true": row["true"] - 0.4 * (row["laboratory"] == "d")} for row in rows("abcd")]
    apart = fit_expected(odd, NAMES)
    assert apart.high_by - apart.low_by > 1.5 * (alike.high_by - alike.low_by)


def test_laboratories_weigh_alike_however_many_views_they_have():
    many = [*rows("ab", 60), *[{**row, "true": 0.1} for row in rows("c", 600)]]
    assert expect(fit_expected(many, NAMES), {"good": 0.0, "also": 7.0}).value > 0.25


def test_a_sign_is_never_turned_over():
    how = fit_expected(rows("abcd"), {"good": -1})
    assert how.weights[0] < 0


def test_what_is_expected_is_as_spread_as_the_truth():
    """A statistic that tells little would draw a regression's answers together."""
    steps = dict(zip("abcd", (-1.5, -0.5, 0.5, 1.5), strict=True))
    noisy = np.random.default_rng(3)
    views = [
        {"laboratory": r["laboratory"], "true": float(np.tanh(0.5 + 0.3 * steps[r["laboratory"]])),
         "good": steps[r["laboratory"]] + noisy.normal()}
        for r in rows("abcd")
    ]  # fmt: skip
    told = [expect(fit_expected(views, {"good": 1}), view).value for view in views]
    true = [view["true"] for view in views]
    assert np.std(np.arctanh(told)) == pytest.approx(np.std(np.arctanh(true)), rel=0.1)


def test_images_like_the_training_images_have_an_expectation_of_their_own():
    """Clean views of the laboratory at home lie close by; others follow one statistic, worse."""
    plain = dict.fromkeys(AT_HOME, 0.5) | {"corruption": "none", "severity": 0, "skewness": -0.5}
    home = [
        {**row, **plain, "laboratory": "home", "distance": -1 - 0.01 * i, "true": 0.7 + 0.001 * i}
        for i, row in enumerate(rows("a", 40))
    ]
    others = [{**row, **plain, "distance": 0.2} for row in rows("bcd")]
    how = fit_expected([*home, *others], NAMES, home="home")
    view = {**plain, "distance": -1.2, "good": -3.0, "also": 13.0}
    at_home = expect(how, view)
    assert 0.7 <= at_home.low <= at_home.value <= at_home.high <= 0.74
    assert how.fits == 0.7
    assert how.home.views >= 39
    for other in ({"distance": 0.2}, {"skewness": 0.5}):
        assert expect(how, {**view, **other}).low < 0


def test_errors_of_objects_are_quantiles_by_laboratory():
    found = fit_errors(
        [{"laboratory": "a", "ln_objects": x, "ln_area": 0.0} for x in np.linspace(-1, 1, 101)]
        + [{"laboratory": "b", "ln_objects": 0.0, "ln_area": 0.5}] * 3
    )
    assert found.objects == pytest.approx((-0.8, 0.8), abs=0.03)
    assert found.mean_area == (0.0, 0.5)


def test_two_laboratories_are_too_few():
    with pytest.raises(TrainingError, match="too few"):
        fit_expected(rows("ab"), NAMES)


def test_quantiles_go_by_weight():
    values = np.arange(10.0)
    assert weighted_quantiles(values, np.ones(10), (0.1, 0.9)) == (0.0, 8.0)
    assert weighted_quantiles(values, np.r_[np.zeros(9), 1.0], (0.1,)) == (9.0,)


def second_opinions(laboratories, asked="mine", seed=0, knows=("first", "second")):
    """Views of which other models tell, and the model by itself does not."""
    rng, found = np.random.default_rng(seed), []
    for laboratory in laboratories:
        for _ in range(60):
            good = rng.normal()
            agrees = {f"agrees_{name}": float(np.tanh(0.4 + 0.3 * good + 0.05 * rng.normal())) for name in knows}
            own = dict.fromkeys(STATISTICS, 0.5) | {"polarity": float(np.exp(rng.normal()))}
            true = float(np.tanh(0.5 + 0.4 * good))
            found.append({"laboratory": laboratory, "asked": asked, "true": true, **own, **agrees})
    return found


def test_a_committee_is_learned_and_tells():
    how = fit_expected(second_opinions("abcd"), {"polarity": -1, "committee": 1})
    assert {m.model for m in how.committee} == {"first", "second"}
    assert how.search is not None
    assert how.search.statistics == tuple(STATISTICS)
    fresh = second_opinions("e", seed=9)
    told = [expect(how, row).value for row in fresh]
    assert np.corrcoef(told, [row["true"] for row in fresh])[0, 1] > 0.6
    without = [{k: v for k, v in row.items() if not k.startswith("agrees_")} for row in fresh]
    assert abs(np.corrcoef([expect(how, row).value for row in without], [r["true"] for r in fresh])[0, 1]) < 0.3


def test_views_beside_are_fitted_to_and_their_laboratory_is_left_out_with_its_own():
    mine, theirs = second_opinions("abc"), second_opinions("abc", "theirs", 1, ("first",))
    how = fit_expected(mine, {"committee": 1}, beside=theirs)
    assert {m.model for m in how.committee} == {"first", "second"}
    assert how.views == len(mine) + len(theirs)
    # what is known of a laboratory beside must not tell of it: the interval stays as wide as it is
    odd = [{**row, "true": row["true"] - 0.5 * (row["laboratory"] == "c")} for row in mine]
    also = [{**row, "true": row["true"] - 0.5 * (row["laboratory"] == "c")} for row in theirs]
    assert fit_expected(odd, {"committee": 1}, beside=also).low_by < how.low_by - 0.2
