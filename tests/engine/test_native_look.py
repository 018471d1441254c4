import numpy as np
import pytest
from scipy import ndimage

from vitascope.engine.native_look import look_at
from vitascope.io.models.cards import find_model
from vitascope.ops.wells.flaws import SIDES_PX
from vitascope.ops.wells.squares import Region, Squares
from vitascope.simulate.wells import make_well

WELL = make_well(1, 3, 0, 256).image.astype(np.float32)


@pytest.fixture(scope="module")
def card():
    return find_model("atp-organoid")[0]


def seen(card, picture, *, flat_field=True):
    return look_at(card, [picture], Squares(picture, Region(0, 0, len(picture)), SIDES_PX), flat_field=flat_field)


def uneven(amount=0.5):
    return WELL * np.linspace(1 - amount / 2, 1 + amount / 2, 256, dtype=np.float32)[:, None]


def test_a_good_well_is_handed_on_untouched(card):
    look = seen(card, WELL, flat_field=True)
    assert look.flags == ()
    assert look.planes[0] is WELL


def test_uneven_light_is_divided_out_and_said(card):
    look = seen(card, uneven(), flat_field=True)
    assert look.flags == ("flat_fielded",)
    assert look.evened
    np.testing.assert_allclose(look.planes[0], WELL, rtol=0.06)


def test_uneven_light_stays_where_that_is_not_wanted(card):
    look = seen(card, uneven(), flat_field=False)
    assert look.flags == ("shading",)
    assert not look.evened


def test_focus_is_judged_by_the_cards_range_only(card):
    blurred = ndimage.gaussian_filter(WELL, 6)
    assert seen(card, blurred, flat_field=True).flags == ("out_of_focus",)
    told = {k: v for k, v in card.domain.statistics.items() if k != "native_focus"}
    domain = card.domain.model_copy(update={"statistics": told})
    unknown = card.model_copy(update={"domain": domain})
    assert seen(unknown, blurred, flat_field=True).flags == ()
    assert seen(card.model_copy(update={"domain": None}), blurred, flat_field=True).flags == ()


def test_a_picture_of_few_pixels_is_not_called_too_sharp():
    """Averaging pixels makes edges of one pixel: sharp for its size, whatever the lens did."""
    card = find_model("viability-spheroid-sim")[0]
    even = np.random.default_rng(0).normal(3000, 300, (256, 256)).astype(np.float32)
    assert "oversharp" in seen(card, even, flat_field=True).flags
    assert "oversharp" not in seen(card, even[:64, :64], flat_field=True).flags
