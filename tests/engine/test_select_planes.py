import numpy as np
import pytest

from tests_support import make_card
from vitascope.core.errors import InputError, ModelError
from vitascope.core.micrograph import Micrograph
from vitascope.engine.select_planes import choose_planes, find_channel, graph_channels, select_pictures


def spec(planes=1, channels=("phase",)):
    return make_card(planes=planes).input.model_copy(update={"channels": channels})


def numbered(axes, *shape):
    """Planes that hold their own number."""
    count = int(np.prod(shape))
    array = np.broadcast_to(np.arange(count).reshape(*shape, 1, 1), (*shape, 4, 4))
    return Micrograph.from_array(array, axes=axes + "YX")


def values(picture):
    return [int(np.asarray(p)[0, 0]) for p in picture.planes]


def test_a_stack_becomes_one_picture_per_time_point():
    pictures, flags = select_pictures(numbered("TZ", 2, 3), spec(planes=3), None, None)
    assert [(values(p), p.t, p.z) for p in pictures] == [([0, 1, 2], 0, None), ([3, 4, 5], 1, None)]
    assert flags == ()


@pytest.mark.fault("A29")
def test_a_model_of_single_planes_runs_on_every_plane():
    pictures, _ = select_pictures(numbered("TZ", 2, 2), spec(), None, None)
    assert [(values(p), p.t, p.z) for p in pictures] == [([0], 0, 0), ([1], 0, 1), ([2], 1, 0), ([3], 1, 1)]


def test_a_single_plane_has_no_number():
    pictures, _ = select_pictures(numbered("", *()), spec(), None, None)
    assert [(p.t, p.z) for p in pictures] == [(0, None)]


def test_the_channel_is_taken_from_every_plane():
    image = numbered("CZ", 2, 3)
    pictures, _ = select_pictures(image, spec(planes=3), "1", None)
    assert values(pictures[0]) == [3, 4, 5]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("GFP", "phase"), 1),
        (("Phase Contrast", "DAPI"), 0),
        (("DAPI", "BF"), 1),
        (("TL DIC", "mCherry"), 0),
        (("phase", "bright-field"), 0),
    ],
)
@pytest.mark.fault("A17")
def test_names_tell_the_label_free_channel(names, expected):
    image = Micrograph.from_array(np.zeros((2, 4, 4)), axes="CYX", channel_names=names)
    assert find_channel(image, None, "phase") == expected


@pytest.mark.parametrize("names", [(), ("DAPI", "GFP"), ("bright-field", "DIC")])
@pytest.mark.fault("A18")
def test_channels_that_cannot_be_told_apart_are_asked_for(names):
    image = Micrograph.from_array(np.zeros((2, 4, 4)), axes="CYX", channel_names=names)
    with pytest.raises(InputError, match="do not tell which one is label-free") as caught:
        find_channel(image, None, "phase")
    assert caught.value.flag == "wrong_channels"
    assert (names[0] if names else "numbers 0 to 1") in caught.value.hint


def test_a_name_counts_before_a_number_and_capitals_do_not():
    image = Micrograph.from_array(np.zeros((2, 4, 4)), axes="CYX", channel_names=("1", "Phase"))
    assert find_channel(image, "1", "phase") == 0
    assert find_channel(image, "pHASE", "phase") == 1


@pytest.mark.parametrize("channel", ["2", "-1", "²", "GFP", ""])
@pytest.mark.fault("A16")
def test_a_channel_that_is_not_there_is_refused_with_those_that_are(channel):
    image = Micrograph.from_array(np.zeros((2, 4, 4)), axes="CYX", channel_names=("DAPI", "phase"))
    with pytest.raises(InputError, match="no channel") as caught:
        find_channel(image, channel, "phase")
    assert caught.value.hint == "It has 0: DAPI, 1: phase."


@pytest.mark.fault("A17")
@pytest.mark.parametrize("names", [("green", "DNA"), ("dna", "GFP"), ("Channel1", "Channel2", "GFP", "DNA")])
def test_the_channels_of_a_model_are_found_by_name_in_its_order(names):
    image = Micrograph.from_array(numbered("C", len(names)).array, axes="CYX", channel_names=names)
    both = spec(channels=("GFP", "DNA")).model_copy(update={"also_called": {"GFP": ("green",)}})
    (picture,), flags = select_pictures(image, both, None, None)
    lowered = [n.lower() for n in names]
    assert values(picture) == [lowered.index("green" if "green" in names else "gfp"), lowered.index("dna")]
    assert flags == (("fewer_channels_used",) if len(names) > 2 else ())


@pytest.mark.fault("A18")
@pytest.mark.parametrize("names", [(), ("x", "y"), ("GFP", "y"), ("GFP", "green")])
def test_channels_that_names_do_not_tell_are_asked_for(names):
    image = Micrograph.from_array(numbered("C", 2).array, axes="CYX", channel_names=names)
    both = spec(channels=("GFP", "DNA")).model_copy(update={"also_called": {"GFP": ("green",)}})
    with pytest.raises(InputError, match="do not tell which is which"):
        select_pictures(image, both, None, None)
    (picture,), _ = select_pictures(image, both, None, None, ("1", "0"))
    assert values(picture) == [1, 0]


@pytest.mark.fault("A16")
def test_an_image_with_fewer_channels_than_the_model_is_refused_with_both():
    with pytest.raises(InputError, match=r"takes 2 channels \(phase, DIC\); the image has 1"):
        select_pictures(numbered("Z", 2), spec(channels=("phase", "DIC")), None, None)


def test_a_model_of_several_planes_of_several_channels_is_refused():
    image = Micrograph.from_array(numbered("CZ", 2, 3).array, axes="CZYX", channel_names=("phase", "DIC"))
    with pytest.raises(ModelError, match="several planes of several channels"):
        select_pictures(image, spec(planes=3, channels=("phase", "DIC")), None, None)


def test_each_plane_of_several_channels_is_a_picture():
    image = Micrograph.from_array(numbered("CZ", 2, 3).array, axes="CZYX", channel_names=("DIC", "phase"))
    pictures, _ = select_pictures(image, spec(channels=("phase", "DIC")), None, (0, 2))
    assert [(values(p), p.z) for p in pictures] == [([3, 0], 0), ([5, 2], 2)]


@pytest.mark.parametrize("count", [7, 8, 13, 50])
def test_longer_stacks_are_sampled_evenly_with_both_ends(count):
    planes, _ = choose_planes(count, 7, None)
    assert planes[0] == 0
    assert planes[-1] == count - 1
    steps = np.diff(planes)
    assert len(planes) == 7
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize(
    ("count", "wanted", "planes", "words"),
    [
        (3, 7, None, "stack of 7 planes; the image has 3"),
        (5, 2, (0, 5), "Plane 5 is not there"),
        (6, 2, (-1, 5), "Plane -1 is not there"),
        (5, 2, (0, 1, 2), "takes 2 planes; 3 are named"),
        (5, 1, (), "No plane is named"),
        (5, 2, (), "No plane is named"),
    ],
)
@pytest.mark.fault("A16")
def test_planes_that_do_not_fit_are_refused(count, wanted, planes, words):
    with pytest.raises(InputError, match=words) as caught:
        choose_planes(count, wanted, planes)
    assert caught.value.flag == "wrong_planes"


def test_a_plane_taken_twice_is_flagged_in_a_stack_and_run_once_alone():
    assert choose_planes(5, 3, (1, 2, 2)) == ((1, 2, 2), ("planes_missing",))
    assert choose_planes(5, 1, (3, 1, 3)) == ((3, 1), ())


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (("phase", "brightfield"), ("Brightfield", "phase"), [1, 0]),
        (("a", "b"), ("channel 1", "channel 2"), [0, 1]),
        ((), ("brightfield", "phase"), [0, 1]),
    ],
)
def test_channels_of_a_network_from_elsewhere_are_told_by_name(names, wanted, found):
    image = Micrograph(np.zeros((2, 8, 8), np.uint8), "CYX", channel_names=names)
    assert list(graph_channels(image, spec(channels=wanted), None)[0]) == found
