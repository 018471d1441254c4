import numpy as np
import pytest
from napari.layers import Image

from vitascope.core.micrograph import Micrograph
from vitascope.core.result import ImageOutput, Provenance, Result
from vitascope.gui.layers.add import add_result
from vitascope.gui.layers.frame import Frame
from vitascope.gui.run.maps_apart import MapsApart
from vitascope.tasks.atp import SPEC

PROVENANCE = Provenance(
    task="atp",
    model="a-model",
    model_sha256="0" * 64,
    params={},
    device="cpu",
    precision="f32",
    inputs=[],
    versions={},
    started="2026-01-01T00:00:00+00:00",
    seconds=1.0,
)
KINDS = [SPEC.kinds[title] for title in ("contribution", "attention", "organoids")]


def maps(viewer, titles):
    """Layers of a run that made these maps, on an image of half a micrometre per pixel."""
    field = viewer.add_image(np.zeros((20, 30)), name="well", scale=(0.5, 0.5))
    outputs = tuple(
        ImageOutput(
            kind="maps",
            title=title,
            array=np.random.default_rng(0).random((20, 30)).astype(np.float32),
            axes="YX",
            channel_names=("map",),
            unit="",
            limits=(0.0, 1.0),
            colormap="magma",
        )
        for title in titles
    )
    place = Micrograph(np.zeros((20, 30)), "YX").place
    made = Result(outputs, ({"atp": 1.0},), "RLU", place, "well", provenance=PROVENANCE)
    return add_result(viewer, made, Frame.of_layer(field, "YX"))


def test_maps_are_laid_apart_and_back(viewer, qtbot):
    box = MapsApart(viewer, KINDS)
    qtbot.addWidget(box)
    layers = maps(viewer, ("contribution", "attention", "organoids", "percentile"))
    before = [(tuple(layer.translate), layer.visible) for layer in layers]
    box.offer(layers)
    assert not box.isHidden()
    box.setChecked(True)
    left = [float(layer.extent.world[0][-1]) for layer in layers[:3]]
    assert np.diff(left) == pytest.approx([left[1] - left[0]] * 2)
    assert left[1] > float(layers[0].extent.world[1][-1])
    assert all(layer.visible for layer in layers[:3])
    assert tuple(layers[3].translate) == before[3][0]
    box.setChecked(False)
    assert [(tuple(layer.translate), layer.visible) for layer in layers] == before


def test_another_well_is_laid_apart_at_once_and_removed_maps_are_left_alone(viewer, qtbot):
    box = MapsApart(viewer, KINDS)
    qtbot.addWidget(box)
    box.offer(maps(viewer, ("contribution", "attention", "organoids")))
    box.setChecked(True)
    viewer.layers.clear()
    box.setChecked(False)
    assert not viewer.layers
    box.setChecked(True)
    second = maps(viewer, ("contribution", "attention", "organoids"))
    box.offer(second)
    assert len({float(layer.extent.world[0][-1]) for layer in second}) == 3


def test_a_model_without_attention_has_nothing_to_compare(viewer, qtbot):
    box = MapsApart(viewer, KINDS)
    qtbot.addWidget(box)
    box.offer(maps(viewer, ("contribution", "percentile")))
    assert box.isHidden()
    assert all(isinstance(layer, Image) for layer in viewer.layers)
