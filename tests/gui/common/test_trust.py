import pytest

from gui_support import make_card
from vitascope.core.result import Trust
from vitascope.gui.common.trust import check_before, in_full


@pytest.mark.parametrize(
    ("planes", "given", "model_um", "image_um", "diameter", "rescale", "level", "says"),
    [
        (7, 5, 0.65, 0.65, None, True, "outside", "takes 7 planes, the image has 5"),
        (7, 7, 0.65, 0.65, None, True, "fits", "7 planes"),
        (1, 9, 0.65, 0.655, None, True, "fits", "0.655 µm per pixel"),
        (1, 1, 0.65, 0.325, None, True, "fits", "rescaled"),
        (1, 1, 0.65, 0.2, None, True, "unsure", "3.2 times"),
        (1, 1, 0.65, 10.0, None, True, "outside", "too far apart"),
        (1, 1, 0.65, 0.325, None, False, "unsure", "is off"),
        (1, 1, 0.65, None, None, True, "unknown", "the model has 0.65 µm"),
        (1, 1, None, 0.65, None, True, "unknown", "12 px wide"),
        (1, 1, None, None, 24.0, True, "fits", "Objects of 24 px"),
        (1, 1, 0.65, None, 120.0, True, "outside", "too far apart"),
    ],
)
def test_planes_and_pixel_size_are_compared_with_numbers(
    planes, given, model_um, image_um, diameter, rescale, level, says
):
    spec = make_card(planes=planes, pixel_size_um=model_um).input
    trust = check_before(spec, planes=given, pixel_size_um=image_um, object_diameter_px=diameter, rescale=rescale)
    assert trust.level == level
    assert says in " ".join(trust.reasons)


def test_the_worst_finding_counts():
    spec = make_card(planes=7, pixel_size_um=0.65).input
    trust = check_before(spec, planes=1, pixel_size_um=None)
    assert trust.level == "outside"
    assert len(trust.reasons) == 2


def test_a_fit_without_reasons_gets_a_sentence():
    assert in_full(Trust("fits")).reasons
    unsure = Trust("unsure", ("Dark.",))
    assert in_full(unsure) is unsure
