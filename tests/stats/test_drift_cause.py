"""The cause of an alarm, told from how real images look when they are blurred, darkened or flattened."""

import numpy as np
import pytest

from vitascope.core.errors import InputError
from vitascope.core.paths import SAMPLES
from vitascope.io.images.read import read_image
from vitascope.ops.intensity.appearance import APPEARANCE, LOOKS, appearance
from vitascope.ops.intensity.corruption import defocus
from vitascope.stats.drift.cause import DIRECTIONS, OTHER, CauseFinder, cause_of, usual_appearance
from vitascope.stats.drift.file_format import pack_reference, unpack_reference
from vitascope.stats.drift.reference import fit_reference
from vitascope.stats.drift.step import Step

SIDE = 160


@pytest.fixture(scope="module")
def pieces():
    """Two halves of pieces of a real phase-contrast field, one after the other from all over it."""
    field = np.asarray(read_image(str(SAMPLES / "isl_phase.ome.tif")).plane(), np.float32)
    found = [
        field[y : y + SIDE, x : x + SIDE]
        for y in range(0, field.shape[0] - SIDE + 1, 48)
        for x in range(0, field.shape[1] - SIDE + 1, 48)
    ]
    return found[::2], found[1::2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p, OTHER),
        (lambda p: defocus(p, 2.0), "blurred"),
        (lambda p: p * 2 / 3, "darker"),
        (lambda p: p * 4 / 3, "brighter"),
        (lambda p: (p - p.mean()) * 2.5 + p.mean(), "more contrast"),
        (lambda p: (p - p.mean()) * 0.4 + p.mean(), "less contrast"),
    ],
)
def test_what_was_done_to_real_pieces_is_named(pieces, change, words):
    usual = usual_appearance([appearance(piece) for piece in pieces[0]])
    assert cause_of(usual, [appearance(change(piece)) for piece in pieces[1]]).words == words


def test_density_is_told_where_half_of_the_things_are_missing():
    def field(things, seed):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:SIDE, :SIDE]
        image = 1000 + rng.normal(size=(SIDE, SIDE)) * 5
        for top, left in rng.uniform(0, SIDE, (things, 2)):
            image += 300 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / 30)
        return image

    usual = usual_appearance([appearance(field(60, i)) for i in range(30)])
    few = cause_of(usual, [appearance(field(8, 100 + i)) for i in range(10)])
    assert few.shifts[APPEARANCE.index("density")] < 0


def test_a_number_that_is_not_there_is_no_cause():
    assert np.isnan(appearance(np.zeros((64, 64)))).all()
    assert np.isnan(appearance(np.full((32, 32), -5.0) + np.eye(32))[1])
    usual = usual_appearance([[np.nan, 1.0, 0.0, 0.0]] * 5)
    assert np.isnan(usual.centre[0])
    assert cause_of(usual, [[9.0, 1.0, 0.0, 0.0]] * 10).words == OTHER
    assert tuple(DIRECTIONS) == APPEARANCE
    assert len(appearance(np.eye(64))) == LOOKS
    with pytest.raises(InputError, match="shape"):
        usual_appearance(np.zeros((3, 3)))


def test_the_loudest_window_tells_the_cause_under_the_image_where_the_alarm_began():
    finder = CauseFinder(usual_appearance([[0.0, 0.0, 0.0, 0.0]] * 5), window=4)
    for n in range(8):
        look = [0.0, 0.0, 0.0, 0.0] if n < 4 else [-1.0, 0.02 * (n == 4), 0.0, 0.0]
        finder.step(f"i{n}", look, Step(0.1 * n, 0.35, n >= 5))
    assert {name: cause.words for name, cause in finder.found.items()} == {"i5": "blurred"}
    assert finder.found["i5"].shifts[0] == -100  # of the last window, all of it blurred
    silent = CauseFinder(None, window=4)
    silent.step("a", None, Step(1.0, 0.5, True))
    assert silent.found == {}


def test_a_reference_keeps_how_its_images_look():
    rng = np.random.default_rng(0)
    about = {"name": "r", "model": "m", "model_sha256": "0" * 64, "window": 4, "erts": (32,)}
    features, looks = rng.normal(size=(40, 8)), rng.normal(size=(40, 4))
    looks[:, 1] = np.nan
    told = fit_reference(features, appearances=looks, **about)
    back = unpack_reference(pack_reference(told))
    np.testing.assert_equal([back.usual.centre, back.usual.spread], [told.usual.centre, told.usual.spread])
    plain = fit_reference(features, **about)
    assert b"usual" not in pack_reference(plain)
    assert unpack_reference(pack_reference(plain)).usual is None
    assert unpack_reference(pack_reference(plain)).looks is None
    assert plain.sha256 != told.sha256
    assert back.sha256 == told.sha256
    np.testing.assert_array_equal(back.gram, told.gram)
