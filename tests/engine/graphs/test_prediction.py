import numpy as np
import pytest

from vitascope.core.errors import MemoryShortageError, ModelError
from vitascope.core.graph_spec import GraphOutput, GraphSpec
from vitascope.core.progress import run_to_end
from vitascope.engine.graphs.prediction import predict_graph
from vitascope.ops.geometry.resample import array_reader

IMAGE = np.random.default_rng(0).random((1, 700, 610), np.float32)


class Doubling:
    """A network that gives twice what it takes, as far as memory and card go."""

    def __init__(self, most_px=1 << 20, answer=2.0, failing=()):
        self.most_px, self.answer, self.failing, self.asked = most_px, answer, list(failing), []

    def pictures(self, x, outputs):
        """(C, D, h, w) to the same."""
        self.asked.append(x.shape)
        if self.failing:
            raise self.failing.pop(0)
        if max(x.shape[2:]) > self.most_px:
            raise MemoryError
        return x * np.float32(self.answer)


class Source:
    """Holds a network, and which devices it was opened on."""

    def __init__(self, network, **more):
        output = GraphOutput(name="y", axes="bcyx")
        self.spec = GraphSpec(opset=17, input="x", axes="bcyx", outputs=(output,), bytes_per_px=1, **more)
        self.network, self.devices = network, []

    def open(self, threads, device="cpu"):
        """The network, on any device."""
        self.devices.append(device)
        return self.network


def predicted(source, **options):
    found = np.zeros(IMAGE.shape, np.float32)
    steps = predict_graph(source, [array_reader(IMAGE)], IMAGE.shape, [list(found)], threads=1, **options)
    return run_to_end(steps), found


@pytest.mark.parametrize("reach", [(0, 20, 20), None])
def test_windows_shrink_where_memory_runs_out_and_it_is_said(reach):
    network = Doubling(most_px=400)
    answer, found = predicted(Source(network, reach=reach))
    assert "tile_reduced" in answer.flags
    assert ("not_exact" in answer.flags) == (reach is None)
    assert max(network.asked[-1][2:]) <= 400 < max(network.asked[0][2:])
    np.testing.assert_allclose(found, 2 * IMAGE, rtol=1e-5)


def test_memory_that_does_not_suffice_for_the_smallest_window_is_said():
    with pytest.raises(MemoryShortageError, match="smallest window"):
        predicted(Source(Doubling(most_px=100), reach=(0, 20, 20)))
    with pytest.raises(MemoryShortageError, match="smallest window"):
        predicted(Source(Doubling(most_px=100), sides=(1, 512, 512)))


def test_a_card_that_fails_is_stood_in_for():
    source = Source(Doubling(failing=[RuntimeError("CUDA error: an illegal memory access")]))
    answer, found = predicted(source, device="cuda:0")
    assert (answer.device, answer.flags) == ("cpu", ("device_fallback",))
    assert source.devices == ["cuda:0", "cpu"]
    np.testing.assert_array_equal(found, 2 * IMAGE)


def test_a_run_ends_between_two_windows():
    network, found = Doubling(), np.zeros(IMAGE.shape, np.float32)
    source = Source(network, reach=(0, 20, 20))
    steps = predict_graph(source, [array_reader(IMAGE)], IMAGE.shape, [list(found)], threads=1, tile_px=256)
    for _ in range(3):
        next(steps)
    steps.close()
    assert len(network.asked) == 2
    assert found.any()
    assert not found[:, -1].any()


def test_answers_that_are_no_numbers_or_of_another_size_are_refused():
    with pytest.raises(ModelError, match="not finite"):
        predicted(Source(Doubling(answer=np.inf)))
    with pytest.raises(ModelError, match="does not take a window"):
        predicted(Source(Doubling(failing=[RuntimeError("Shapes do not match")])))
