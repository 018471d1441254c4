"""One bar for a run of many stages."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitascope.core.progress import Progress
from vitascope.gui.common.whole_run import WholeRun

STAGES = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 30), st.sampled_from(["a", "b (1 of 3)", "b (2 of 3)", "c"])),
    max_size=40,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a machine that is busy
@given(STAGES)
def test_the_bar_never_goes_back_and_never_runs_over(steps):
    whole = WholeRun()
    shares = [whole(Progress(min(done, total), total, stage)) for done, total, stage in steps]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)


def test_stages_follow_each_other_on_one_bar():
    whole = WholeRun()
    shares = [whole(Progress(*at)) for at in [(0, 1, "Starting"), (10, 10, "Predicting"), (1, 2, "Measuring")]]
    assert shares == pytest.approx([0, 0.85, 0.85 + 0.15 * 0.85 / 2])


def test_each_picture_has_an_equal_part():
    whole = WholeRun()
    for number in range(1, 5):
        start = whole(Progress(0, 8, f"Predicting ({number} of 4)"))
        assert start == pytest.approx((number - 1) / 4)
        whole(Progress(8, 8, f"Predicting ({number} of 4)"))
        whole(Progress(3, 3, "Measuring"))
    assert whole(Progress(1, 1, "Writing")) == pytest.approx(0.75 + 0.25 * (0.85 + 0.15 * 0.85))
