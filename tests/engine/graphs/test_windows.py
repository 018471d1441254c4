import numpy as np
import pytest

from vitascope.core.graph_spec import GraphOutput, GraphSpec
from vitascope.engine.graphs.windows import blended, cut, cut_depth


def make_spec(axes="bcyx", out=None, centre=False, **more):
    output = GraphOutput(name="y", axes=out or axes, centre=centre)
    return GraphSpec(opset=17, input="x", axes=axes, outputs=(output,), **more)


@pytest.mark.parametrize(
    ("length", "window", "step"), [(10, 4, 3), (97, 32, 24), (5, 5, 1), (9, 5, 1), (1000, 256, 192)]
)
def test_the_weights_of_blended_windows_add_up_to_one(length, window, step):
    total = np.zeros(length)
    for piece in blended(length, window, step):
        total[piece.keep] += 1 if piece.weight is None else piece.weight
        assert piece.stop - piece.start == window
    np.testing.assert_allclose(total, 1, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 300, 211), (1, 1000, 700), (1, 513, 2000)])
def test_exact_windows_cover_each_pixel_once_and_keep_their_distance(shape):
    spec = make_spec(divisor=(1, 4, 4), step=(1, 16, 16), reach=(0, 30, 30))
    found = cut(spec, shape, 1 << 30, tile_px=256)
    assert found.exact
    for pieces, length in ((found.y, shape[1]), (found.x, shape[2])):
        assert [p.keep.start for p in pieces[1:]] == [p.keep.stop for p in pieces[:-1]]
        assert (pieces[0].keep.start, pieces[-1].keep.stop) == (0, length)
        for piece in pieces:
            assert piece.start % 16 == 0
            assert (piece.stop - piece.start) % 4 == 0
            assert piece.start == 0 or piece.keep.start - piece.start >= 30
            assert piece.stop >= length or piece.stop - piece.keep.stop >= 30
        assert max(p.stop for p in pieces) < length + 4


def test_a_picture_that_fits_is_one_window_and_exact_whatever_the_network_sees():
    found = cut(make_spec(divisor=(1, 4, 4)), (1, 301, 300), 1 << 30)
    assert (found.count, found.exact, found.y[0].stop) == (1, True, 304)
    assert not cut(make_spec(divisor=(1, 4, 4)), (1, 3001, 3000), 1 << 26).exact


def test_one_size_only_is_padded_or_blended():
    spec = make_spec(sides=(1, 128, 128))
    assert cut(spec, (1, 100, 90), 1 << 30).exact
    assert cut(spec, (1, 100, 90), 1 << 30).y[0].stop == 128
    assert not cut(spec, (1, 300, 90), 1 << 30).exact


@pytest.mark.parametrize(
    ("spec", "planes", "windows", "centre"),
    [
        (make_spec(), 4, 4, False),
        (make_spec("bczyx", sides=(5, None, None)), 9, 5, False),
        (make_spec("bczyx", sides=(5, None, None)), 3, 1, False),
        (make_spec("bzyx", "bcyx", sides=(5, None, None)), 5, 1, True),
        (make_spec("bzyx", "bcyx", sides=(5, None, None)), 9, 9, True),
        (make_spec("bczyx"), 30, 1, False),
        (make_spec("bczyx", centre=True, sides=(5, None, None)), 3, 1, True),
        (make_spec("bczyx", centre=True, sides=(5, None, None)), 9, 9, True),
        (make_spec("bczyx", "bcyx"), 30, 1, True),
    ],
)
def test_depth_is_cut_as_the_network_takes_it(spec, planes, windows, centre):
    pieces, middle, _ = cut_depth(spec, planes)
    assert (len(pieces), middle) == (windows, centre)
