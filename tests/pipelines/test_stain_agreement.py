import numpy as np
import pytest

from tests_support import blobs, make_card
from vitascope.core.errors import InputError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.engine.select_planes import SelectedPlanes
from vitascope.io.results.temporary_store import TemporaryStore
from vitascope.ops.objects.segment import SegmentParams, segment_blocks
from vitascope.pipelines.stain_agreement import compare_with_stain, find_stain, scaled_stain

IMAGE = Micrograph.from_array(np.zeros((40, 50)))


def stain(shape=(40, 50), axes=None, names=(), name="reference"):
    return Micrograph.from_array(np.zeros(shape), axes=axes, channel_names=names, name=name)


def test_without_a_real_stain_there_is_nothing_to_compare():
    assert find_stain(None, IMAGE, make_card()) is None


def test_one_stain_for_one_target_needs_no_name():
    found = find_stain(stain(), IMAGE, make_card())
    assert (found.channel, found.k, found.target) == (0, 0, "DNA")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (stain(name="A01_actin_confocal"), (0, "actin")),
        (stain((2, 40, 50), "CYX", ("DAPI / DNA", "GFP")), (0, "DNA")),
        (stain((2, 40, 50), "CYX", ("GFP", "Actin")), (1, "actin")),
        (stain((1, 40, 50), "CYX", ("w2",), "field_dna"), (0, "DNA")),
    ],
)
def test_names_tell_which_target_a_stain_shows(reference, expected):
    found = find_stain(reference, IMAGE, make_card(targets=("DNA", "actin")))
    assert (found.channel, found.target) == expected
    assert found.k == ("DNA", "actin").index(found.target)


@pytest.mark.parametrize("reference", [stain(name="mask"), stain((2, 40, 50), "CYX"), stain((2, 40, 50), "CYX", "ab")])
@pytest.mark.fault("A18")
def test_a_stain_that_cannot_be_told_is_asked_for(reference):
    with pytest.raises(InputError, match="which of DNA, actin the real stain") as caught:
        find_stain(reference, IMAGE, make_card(targets=("DNA", "actin")))
    assert caught.value.flag == "wrong_channels"


def test_a_stain_of_another_field_is_refused():
    with pytest.raises(InputError, match="real stain is 40 x 51 px, the image 40 x 50"):
        find_stain(stain((40, 51)), IMAGE, make_card())
    with pytest.raises(InputError, match="has 3 steps along T, the image 1"):
        find_stain(stain((3, 40, 50), "TYX"), IMAGE, make_card())


def test_the_plane_that_belongs_to_a_picture_is_compared():
    array = np.arange(6).reshape(2, 3, 1, 1) * np.ones((2, 3, 40, 50))
    series = Micrograph.from_array(array, axes="TZYX")
    found = find_stain(series, series, make_card())
    assert np.asarray(found.plane(SelectedPlanes([], 1, 2)))[0, 0] == 5
    single = find_stain(stain(), series, make_card())
    assert np.asarray(single.plane(SelectedPlanes([], 1, 2))).shape == (40, 50)


def test_a_stain_is_scaled_by_its_percentiles():
    picture = np.random.default_rng(0).integers(100, 4000, (60, 70)).astype(np.uint16)
    low, high = np.percentile(picture, (1, 99.9))
    scaled = run_to_end(scaled_stain(picture, TemporaryStore()))
    np.testing.assert_allclose(scaled, np.clip((picture - low) / (high - low), 0, 1), atol=1e-5)


def test_a_large_stain_lies_on_disk_as_long_as_it_is_used():
    picture = np.random.default_rng(0).integers(0, 4000, (60, 70)).astype(np.uint16)
    room = TemporaryStore(in_memory_bytes=0)
    scaled = run_to_end(scaled_stain(picture, room))
    assert not isinstance(scaled, np.ndarray)
    np.testing.assert_array_equal(np.asarray(scaled), run_to_end(scaled_stain(picture, TemporaryStore())))


def test_a_constant_stain_is_zero():
    assert not run_to_end(scaled_stain(np.full((9, 9), 5, np.uint8), TemporaryStore())).any()


def compare(truth, predicted, table, pixel_size_um=0.5):
    image = Micrograph.from_array(truth)
    found = find_stain(image, image, make_card())
    params = SegmentParams(diameter_px=18)
    return run_to_end(compare_with_stain(found, SelectedPlanes([], 0, None), [predicted], table, params, pixel_size_um))


def segment(picture, pixel_size_um=0.5):
    return run_to_end(
        segment_blocks(picture, SegmentParams(diameter_px=18), pictures={"DNA": picture}, pixel_size_um=pixel_size_um)
    ).table


def test_a_perfect_prediction_agrees_in_everything():
    centres = [(y, x) for y in range(40, 500, 60) for x in range(40, 500, 60)]
    truth = (4000 * blobs((512, 512), centres)).astype(np.uint16)
    predicted = run_to_end(scaled_stain(truth, TemporaryStore()))
    numbers, agreement, crops = compare(truth, predicted, segment(predicted))
    assert numbers["pcc"] == pytest.approx(1)
    assert numbers["ssim"] == pytest.approx(1)
    assert numbers["nrmse"] == pytest.approx(0, abs=1e-6)
    assert numbers["real_objects"] == len(centres)
    assert (agreement["over"] == "crops").all()
    for _, row in agreement.iterrows():
        assert row["truth_mean"] == pytest.approx(row["predicted_mean"], rel=1e-5)
    assert agreement.set_index("quantity").loc["count", "truth_mean"] * 4 == len(centres)
    assert crops["real_count"].sum() == crops["predicted_count"].sum() == len(centres)


def test_an_inverted_prediction_disagrees():
    truth = (4000 * blobs((128, 128))).astype(np.uint16)
    predicted = 1 - run_to_end(scaled_stain(truth, TemporaryStore()))
    numbers, *_ = compare(truth, predicted, segment(predicted))
    assert numbers["pcc"] == pytest.approx(-1)


def test_without_objects_only_pixels_are_compared():
    truth = (4000 * blobs((64, 64))).astype(np.uint16)
    numbers, agreement, crops = compare(truth, run_to_end(scaled_stain(truth, TemporaryStore())), None)
    assert set(numbers) == {"pcc", "ssim", "nrmse"}
    assert agreement.empty
    assert crops.empty


@pytest.mark.fault("A02")
@pytest.mark.fault("A04")
@pytest.mark.parametrize("how", ["constant", "few not finite"])
def test_a_stain_that_says_little_gives_numbers_or_none_but_no_error(how):
    truth = (4000 * blobs((64, 64))).astype(np.float32)
    predicted = run_to_end(scaled_stain(truth, TemporaryStore()))
    if how == "constant":
        truth[:] = 7
    else:
        truth[:3] = np.nan
    numbers, *_ = compare(truth, predicted, segment(predicted))
    assert np.isnan(numbers["pcc"]) == (how == "constant")
    if how != "constant":
        assert numbers["pcc"] == pytest.approx(np.corrcoef(truth[3:].ravel(), predicted[3:].ravel())[0, 1], abs=0.02)
