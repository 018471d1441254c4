import numpy as np
import pytest
from skimage.measure import regionprops

from vitascope.core.errors import InputError
from vitascope.ops.objects.annotations import class_numbers, ellipse, paint, square


def test_classes_are_told_by_name_or_number_and_may_be_missing():
    names = ("live", "dead")
    values = ["Dead", " live ", None, float("nan"), 200, np.int64(1), "2"]
    assert class_numbers(values, names) == [2, 1, 0, 0, 200, 1, 2]
    for wrong in ("apoptotic", -1, 1.5, "inf"):
        with pytest.raises(InputError, match="is no class of this model"):
            class_numbers([wrong], names)


def test_squares_have_their_side_and_are_cut_off_at_the_edge():
    painted = paint((20, 20), [square(np.array([10.0, 10.0]), 5), square(np.array([0.0, 19.0]), 5)], [1, 2])
    wanted = np.zeros((20, 20), int)
    wanted[8:13, 8:13], wanted[:3, 17:] = 1, 2
    np.testing.assert_array_equal(painted, wanted)
    assert not paint((20, 20), [square(np.array([-40.0, 5.0]), 5)], [1]).any()


def test_where_classes_overlap_nothing_counts_and_one_class_may_overlap_itself():
    outlines = [square(np.array([10.0, x]), 9) for x in (8.0, 14.0, 17.0)]
    painted = paint((20, 30), outlines, [1, 2, 2])
    assert set(np.unique(painted[:, 10:13])) == {0}
    assert (painted[10, 4:10] == 1).all()
    assert (painted[10, 13:22] == 2).all()


def test_an_ellipse_has_its_axes():
    corners = np.array([(10.0, 10.0), (10.0, 70.0), (40.0, 70.0), (40.0, 10.0)])
    (region,) = regionprops(paint((64, 96), [ellipse(corners)], [1]).astype(int))
    assert region.axis_major_length == pytest.approx(60, rel=0.03)
    assert region.axis_minor_length == pytest.approx(30, rel=0.03)
    assert region.centroid == pytest.approx((25, 40), abs=0.5)
