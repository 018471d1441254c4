import numpy as np
import pytest

from vitascope.core.paths import SAMPLES
from vitascope.io.images.read import read_image
from vitascope.ops.geometry.registration import estimate_shift


def shifted(name, dy, dx, reference, margin=24):
    a, b = (np.asarray(read_image(str(SAMPLES / n)).plane(0, 0, z)) for n, z in ((reference, 0), (name, 0)))
    height, width = a.shape
    inner = a[margin : height - margin, margin : width - margin]
    return inner, b[margin - dy : height - margin - dy, margin - dx : width - margin - dx]


@pytest.mark.parametrize("shift", [(0, 0), (7, -4), (-12, 9)])
def test_the_shift_of_a_stain_against_its_bright_field_is_found(shift):
    image, stain = shifted("jurkat_dna.ome.tif", *shift, "jurkat_brightfield.ome.tif")
    found = estimate_shift(image, stain)
    assert (found.y_px, found.x_px) == pytest.approx((-shift[0], -shift[1]), abs=1.0)
    assert found.sure or shift == (0, 0)


def test_pictures_that_have_nothing_in_common_say_nothing():
    rng = np.random.default_rng(0)
    found = estimate_shift(rng.normal(size=(200, 200)), rng.normal(size=(200, 200)))
    assert not found.sure


@pytest.mark.parametrize("picture", [np.zeros((64, 64)), np.full((64, 64), np.nan), np.ones((8, 90))])
def test_what_cannot_be_compared_is_not_sure(picture):
    assert not estimate_shift(picture, np.random.default_rng(0).normal(size=picture.shape)).sure


@pytest.mark.parametrize("side", [128, 212, 300, 400])
def test_neurons_that_lie_on_their_stain_are_hardly_ever_said_to_lie_beside_it(side):
    """Neurites make most of the texture in phase contrast and none of it in a stain of nuclei."""
    phase = np.asarray(read_image(str(SAMPLES / "isl_phase.ome.tif")).plane(z=3)).astype(float)
    stain = np.asarray(read_image(str(SAMPLES / "isl_stains.ome.tif")).plane(c=0)).astype(float)
    rng = np.random.default_rng(side)
    corners = rng.integers(0, 512 - side + 1, (12, 2))
    cuts = [(slice(y, y + side), slice(x, x + side)) for y, x in corners]
    said = [s for s in (estimate_shift(phase[c], stain[c]) for c in cuts) if s.sure and s.length_px > 2]
    assert len(said) <= 2
