"""Networks as others write them: axes in other orders, axes left out, one plane of several, answers of many kinds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from graph_support import Centre, Sheets, SmallUNet, Turned, seeded, to_onnx, torch_answer
from vitascope import run
from vitascope.core.errors import ModelError, ParameterError
from vitascope.core.micrograph import Micrograph
from vitascope.exchange.graph_import import guess, import_graph

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("ignore")  # torch's exporters warn of themselves


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)


def picture(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def brought(network, shape, free, image):
    """The card of a network, and what it answers to an image of grey values as they are."""
    Path("net.onnx").write_bytes(to_onnx(network, shape, free))
    card = import_graph(Path("net.onnx"), "stain", "theirs", normalise="none")
    axes = {2: "YX", 3: "ZYX"}[image.ndim]
    return card, run("stain", Micrograph(image, axes), model="theirs").outputs[0]


def same(found, wanted):
    np.testing.assert_allclose(found, wanted, atol=2e-5 * max(1e-6, float(np.ptp(wanted))))


@pytest.mark.parametrize(
    ("after", "free", "out"),
    [((0, 2, 3, 1), (1, 2), "byxc"), ((0, 2, 3, 1), (0, 1, 2), "byxc"), ((0, 1, 2, 3), (1, 2), "bcyx")],
)
def test_channels_may_stand_last(after, free, out):
    network, image = seeded(SmallUNet, levels=1), picture(64, 72)
    card, output = brought(Turned(network, (0, 3, 1, 2), after).eval(), (1, 32, 32, 1), free, image)
    assert (card.graph.axes, card.graph.outputs[0].axes) == ("byxc", out)
    same(output.array, torch_answer(network, image[None]))


def test_channels_of_volumes_may_stand_last():
    network, stack = seeded(Sheets), picture(5, 40, 32)
    turned = Turned(network, (0, 4, 1, 2, 3), (0, 2, 3, 4, 1)).eval()
    card, output = brought(turned, (1, 5, 32, 32, 1), (2, 3), stack)
    assert card.graph.axes == "bzyxc"
    same(output.array, torch_answer(network, stack[None]))


class Plainly(nn.Module):
    """Takes pictures without a batch, or answers without axes of 1, or with classes."""

    def __init__(self, how):
        super().__init__()
        self.network, self.how = seeded(SmallUNet, levels=1, outputs=1 if how == "squeezed" else 2), how

    def forward(self, x):
        """As ``how`` says."""
        if self.how == "without a batch":
            return self.network(x[None])[0]
        y = self.network(x)
        return y.squeeze() if self.how == "squeezed" else (y > y.mean()).long().sum(1)


@pytest.mark.parametrize("how", ["without a batch", "squeezed", "classes"])
def test_axes_of_one_may_be_left_out_and_classes_are_numbers_too(how):
    network, image = Plainly(how).eval(), picture(64, 72)
    shape, free = ((1, 32, 32), (1, 2)) if how == "without a batch" else ((1, 1, 32, 32), (2, 3))
    _, output = brought(network, shape, free, image)
    with torch.no_grad():
        wanted = np.squeeze(network(torch.from_numpy(image).reshape(*shape[:-2], 64, 72)).numpy())
    assert output.array.dtype == np.float32
    assert np.ptp(wanted) > 0
    same(output.array, wanted)


@pytest.mark.parametrize("planes", [9, 5, 3])
def test_a_plane_that_is_answered_belongs_to_the_middle_of_those_taken(planes):
    network, stack = seeded(Centre), picture(planes, 40, 32)
    card, output = brought(network, (1, 1, 5, 32, 32), (3, 4), stack)
    assert card.graph.outputs[0].centre
    around = np.pad(stack, [(2, 2), (0, 0), (0, 0)], mode="reflect")
    each = [torch_answer(network, around[None, z : z + 5])[:, 0] for z in range(planes)]
    same(output.array, np.stack(each, 1) if planes > 5 else each[planes // 2])


class BuiltForFive(nn.Module):
    """Takes planes by fives, whatever its file declares."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv3d(1, 8, (5, 1, 1), stride=(5, 1, 1)), nn.Conv2d(8, 10, 3, padding=1)

    def forward(self, x):
        """Five planes at once to two channels of five."""
        y = self.b(torch.relu(self.a(x)[:, :, 0]))
        return y.reshape(y.shape[0], 2, 5, y.shape[2], y.shape[3])


def test_a_depth_that_the_file_leaves_free_is_found_or_told():
    network, stack = seeded(BuiltForFive), picture(5, 40, 32)
    card, output = brought(network, (1, 1, 5, 32, 32), (0, 2, 3, 4), stack)
    assert card.graph.sides == (5, None, None)
    same(output.array, torch_answer(network, stack[None]))
    told = import_graph(Path("net.onnx"), "stain", "told", answers={"depth": 5})
    assert told.graph.model_copy(update={"bytes_per_px": card.graph.bytes_per_px}) == card.graph
    Path("net.onnx").write_bytes(to_onnx(network, (1, 1, 5, 32, 32), (3, 4)))
    with pytest.raises(ParameterError, match="takes 5 plane"):
        import_graph(Path("net.onnx"), "stain", "other", answers={"depth": 7})


class Many(nn.Module):
    """Answers with two pictures, a smaller one, means and classes."""

    def __init__(self):
        super().__init__()
        self.network = seeded(SmallUNet, levels=1)

    def forward(self, x):
        """Five answers."""
        y = self.network(x)
        return y[:, :1], y[:, 1:], y[:, :, ::2, ::2], y.mean((2, 3)), y.argmax(1)


def test_answers_that_are_no_pictures_are_left_aside_and_named():
    names = ["nuclei", "membrane", "half", "mean", "classes"]
    torch.onnx.export(
        Many().eval(),
        (torch.zeros(1, 1, 32, 32),),
        "net.onnx",
        dynamo=False,
        input_names=["x"],
        output_names=names,
        dynamic_axes={"x": {2: "h", 3: "w"}},
    )
    guessed = guess(Path("net.onnx")).outputs
    assert guessed[:2] == ("nuclei", "membrane")
    assert not any("mean" in name or "classes" in name for name in guessed)
    card = import_graph(Path("net.onnx"), "stain", "theirs")
    assert [t.name for t in card.targets] == ["nuclei", "membrane"]
    assert any("half, mean, classes" in note for note in card.training["notes"])


def test_what_torch_writes_of_itself_is_refused_with_what_to_do():
    torch.onnx.export(seeded(SmallUNet, levels=1), (torch.zeros(1, 1, 32, 32),), "net.onnx", external_data=True)
    assert Path("net.onnx.data").is_file()
    with pytest.raises(ModelError) as error:
        import_graph(Path("net.onnx"), "stain", "theirs")
    assert "external_data=False" in error.value.hint


class Bytes(nn.Module):
    """Takes whole numbers."""

    def forward(self, x):
        """To 0 to 1."""
        return x.float() / 255


def test_whole_numbers_in_are_refused_by_name():
    torch.onnx.export(Bytes(), (torch.zeros(1, 1, 32, 32, dtype=torch.uint8),), "net.onnx", dynamo=False)
    with pytest.raises(ModelError, match="takes uint8"):
        import_graph(Path("net.onnx"), "stain", "theirs")


def test_the_recipe_of_the_page_gives_a_file_that_is_run():
    page = (Path(__file__).parents[2] / "docs" / "bring_a_model.md").read_text("utf-8")
    recipe = page.split("## From PyTorch to ONNX")[1].split("```python")[1].split("```")[0]
    exec(recipe, {"torch": torch, "network": seeded(SmallUNet, levels=1)})
    card = import_graph(Path("net.onnx"), "stain", "theirs")
    assert card.graph.sides == (1, None, None)
    assert card.graph.reach is not None
