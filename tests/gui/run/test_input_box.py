import numpy as np
import pytest
from napari.layers import Image, Labels

from gui_support import make_spec
from vitascope.core.errors import InputError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.engine.select_planes import find_channel
from vitascope.gui.layers.snapshot import OWN
from vitascope.gui.run.input_box import EMPTY, InputBox
from vitascope.gui.run.layer_box import list_choices
from vitascope.tasks.registry import find_task


def image(shape=(30, 40), name="image", **kwargs):
    return Image(np.arange(np.prod(shape), dtype=np.uint16).reshape(shape), name=name, **kwargs)


@pytest.fixture
def box(qtbot):
    found = InputBox(make_spec())
    qtbot.addWidget(found)
    return found


def give(box, *layers, selected=(), active=None):
    box.set_layers(list(layers), list(selected), active)


def texts(combo):
    return [combo.itemText(i) for i in range(combo.count())]


@pytest.mark.fault("H01")
def test_without_a_layer_it_says_what_to_do(box):
    assert box.problem() == EMPTY
    assert box.note.text() == EMPTY
    give(box, Labels(np.zeros((4, 4), int)))
    assert box.problem() == EMPTY
    with pytest.raises(InputError):
        box.value()


def test_the_active_image_is_preselected_and_the_choice_stays(box):
    a, b = image(name="a"), image(name="b")
    give(box, a, b, active=a)
    assert box.main.currentText() == "a"
    give(box, a, b, image(name="c"), active=b)
    assert box.main.currentText() == "a"


def test_layers_come_go_and_are_renamed(box):
    a, b = image(name="a"), image(name="b")
    give(box, a, b, active=a)
    a.name = "renamed"
    give(box, a, b)
    assert box.main.currentText() == "renamed"
    give(box, b)
    assert box.main.currentText() == "b"
    give(box)
    assert box.problem() == EMPTY


def test_results_come_last_and_are_never_preselected(box):
    result = image(name="result", metadata={"provenance": {}})
    a = image(name="a")
    give(box, a, result, active=result)
    assert texts(box.main) == ["a", "result"]
    assert box.main.currentText() == "a"


def test_optional_roles_begin_with_none(box):
    a, b = image(name="a"), image(name="b")
    give(box, a, b, active=b)
    reference = box.layer_boxes["reference"]
    assert reference.currentText() == "none"
    reference.choose(a)
    snapshots, _ = box.value()
    assert {role: s.name for role, s in snapshots.items()} == {"image": "b", "reference": "a"}
    give(box, b, active=b)
    assert reference.currentText() == "none"


def test_selected_layers_are_offered_together_in_the_order_of_their_names(box):
    planes = [image(name=f"z{i}") for i in (10, 2, 1)]
    give(box, *planes, selected=planes, active=planes[0])
    assert texts(box.main)[-2:] == ["3 selected layers as planes", "3 selected layers as channels"]
    box.main.setCurrentIndex(box.main.count() - 2)
    snapshot = box.value()[0]["image"]
    assert (snapshot.stacked, snapshot.sizes["Z"]) == ("Z", 3)
    np.testing.assert_array_equal(snapshot.micrograph().array[0], planes[2].data)
    np.testing.assert_array_equal(snapshot.micrograph().array[2], planes[0].data)


@pytest.mark.fault("A29")
def test_dimensions_are_asked_only_where_they_can_be_read_in_several_ways(box):
    give(box, image())
    assert not box.form.isRowVisible(box.axes)
    stack = image((3, 30, 40), axis_labels=("t", "y", "x"))
    give(box, stack)
    assert box.form.isRowVisible(box.axes)
    assert box.axes.currentText() == "3 times"
    assert texts(box.axes) == ["3 planes", "3 times", "3 channels"]
    box.axes.setCurrentIndex(0)
    box.axes.activated.emit(0)
    assert box.value()[0]["image"].sizes["Z"] == 3
    assert stack.metadata[OWN]["axes"] == "ZYX"


@pytest.mark.fault("A18")
def test_channels_without_telling_names_are_asked_for(box):
    layer = image((2, 30, 40), axis_labels=("c", "y", "x"))
    give(box, layer)
    assert texts(box.channel) == ["choose …", "0", "1"]
    with pytest.raises(ParameterError, match="several channels"):
        box.value()
    box.channel.setCurrentIndex(2)
    assert box.value()[1]["channel"] == "1"


@pytest.mark.fault("A17")
def test_a_channel_whose_name_tells_is_preselected(box):
    layer = image((2, 30, 40), axis_labels=("c", "y", "x"), metadata={OWN: {"channel_names": ("DAPI", "Phase")}})
    give(box, layer)
    assert box.value()[1]["channel"] == "Phase"


NAMES = [
    ("DAPI", "Phase"),
    ("BF", "GFP"),
    ("TL", "FITC"),
    ("tl_10x", "tl"),
    ("Bright field", "Phase contrast"),
    ("phase", "Phase contrast", "DAPI"),
    ("DAPI", "GFP"),
    ("DIC", "DIC"),
    ("dapi", "Transmitted", "Labelfree"),
]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("wanted", ["phase", "brightfield", "dapi"])
def test_the_dock_chooses_the_channel_that_the_pipeline_would(box, names, wanted):
    pixels = np.zeros((len(names), 30, 40), np.uint16)
    try:
        taken = find_channel(Micrograph.from_array(pixels, axes="CYX", channel_names=names), None, wanted)
    except InputError:
        taken = None
    box.set_model_channel(wanted)
    give(box, Image(pixels, axis_labels=("c", "y", "x"), metadata={OWN: {"channel_names": names}}))
    assert box.channel.currentData() == (None if taken is None else names[taken])


def test_another_model_changes_the_guess_and_never_the_users_choice(box):
    names = ("Phase", "Brightfield", "DAPI")
    layer = image((3, 30, 40), axis_labels=("c", "y", "x"), metadata={OWN: {"channel_names": names}})
    give(box, layer)
    assert box.channel.currentData() is None
    box.set_model_channel("brightfield")
    assert box.channel.currentData() == "Brightfield"
    box.set_model_channel("phase")
    assert box.channel.currentData() == "Phase"
    box.channel.setCurrentIndex(box.channel.findData("DAPI"))
    box.set_model_channel("brightfield")
    assert box.channel.currentData() == "DAPI"


def test_planes_are_typed_as_numbers_and_ranges(box):
    give(box, image((9, 30, 40)))
    assert box.planes.placeholderText() == "all 9"
    assert box.value()[1]["planes"] is None
    box.planes.setText("0-2, 6")
    assert box.value()[1]["planes"] == (0, 1, 2, 6)
    box.planes.setText("first")
    assert "'first' cannot be read" in box.problem()
    assert "border" in box.planes.styleSheet()
    give(box, image())
    assert box.value()[1]["planes"] is None


def type_size(qtbot, box, text):
    box.pixel_size.selectAll()
    box.pixel_size.insert(text)
    box.pixel_size.setModified(True)
    box.pixel_size.editingFinished.emit()


def test_the_pixel_size_comes_from_metadata(box):
    give(box, image(scale=(325, 325), units=("nm", "nm")))
    assert box.pixel_size.text() == "0.325"
    assert box.value()[0]["image"].scale.pixel_size_um == 0.325


def test_every_digit_of_a_pixel_size_is_kept(box):
    give(box, image(scale=(0.3225123, 0.3225123), units=("um", "um")))
    assert float(box.pixel_size.text()) == 0.3225123


def test_an_unknown_pixel_size_is_asked_once_and_kept_with_the_layer(qtbot, box):
    layer = image()
    give(box, layer)
    assert box.pixel_size.placeholderText() == "not known"
    type_size(qtbot, box, "0,65")
    assert box.value()[0]["image"].scale.pixel_size_um == 0.65
    other = InputBox(make_spec())
    qtbot.addWidget(other)
    give(other, layer)
    assert other.pixel_size.text() == "0.65"
    assert tuple(layer.scale) == (1, 1)


def test_a_pixel_size_may_be_declared_unknown(qtbot, box):
    layer = image(scale=(0.5, 0.5), units=("um", "um"))
    give(box, layer)
    type_size(qtbot, box, "")
    assert box.value()[0]["image"].scale.pixel_size_um is None


@pytest.mark.fault("A23")
@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "large"])
def test_a_pixel_size_that_is_none_is_refused_in_a_sentence(qtbot, box, text):
    layer = image()
    give(box, layer)
    type_size(qtbot, box, text)
    assert f"'{text}' is no length" in box.problem()
    assert "pixel_size_um" not in layer.metadata.get(OWN, {})


@pytest.mark.fault("A24")
def test_what_is_odd_about_a_layer_is_said(box):
    give(box, image(scale=(2, 2), units=("second", "second")))
    assert "is not a length" in box.note.text()


def test_the_tab_key_goes_from_top_to_bottom(qtbot, box):
    give(box, image((2, 3, 30, 40)))
    box.show()
    order, widget = [], box.main
    while widget not in order:
        order.append(widget)
        widget = widget.nextInFocusChain()
    wanted = [box.main, box.axes, box.channel, box.planes, box.pixel_size, box.layer_boxes["reference"]]
    assert [w for w in order if w in wanted] == wanted


def test_channels_that_come_one_by_one_become_the_whole_image(qtbot):
    found = InputBox(find_task("spheroid"))
    qtbot.addWidget(found)
    own = [
        {OWN: {"image": "s", "sources": ("s.tif",), "channel": k, "channel_names": (n,)}} for k, n in enumerate("ab")
    ]
    a, b = (image((5, 9, 9), f"s {n}", metadata=o) for n, o in zip("ab", own, strict=True))
    give(found, a, active=a)
    assert found.main.currentText() == "s a"
    give(found, a, b, active=b)
    assert found.main.currentText() == "s, 2 channels"
    found.main.choose(a)  # what a user chose stays
    give(found, a, b, image(name="c"), active=b)
    assert found.main.currentText() == "s a"


def test_two_volumes_of_one_shape_are_offered_as_channels_of_tasks_that_take_several():
    live, dead = (Image(np.zeros((4, 8, 8)), name=name) for name in ("calcein", "PI"))
    other = Image(np.zeros((5, 8, 8)), name="another stack")
    texts = [c.text for c in list_choices([live, dead], [dead], whole=True)]
    assert texts == ["PI", "calcein", "calcein and PI as channels"]
    assert [c.text for c in list_choices([live, dead], [dead])] == ["PI", "calcein"]
    both = list_choices([live, dead], [live, dead], whole=True)
    assert [c.text for c in both if c.stacked] == ["2 selected layers as channels"]
    assert not [c for c in list_choices([live, other], [live], whole=True) if c.stacked]
    assert not [c for c in list_choices([live, dead, other], [live], whole=True) if c.stacked]
