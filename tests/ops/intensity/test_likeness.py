"""Crops of pictures are known again by where they lie on a small version."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from vitascope.ops.intensity.fingerprint import SHA, fingerprint, marks, raw_sha256
from vitascope.ops.intensity.likeness import (
    CROP_PX,
    LEAST_LIKENESS,
    MOST_BYTES,
    band,
    crops_of,
    kept_looks,
    likeness,
    look_of,
    read_look,
)


def field(seed, shape=(700, 800)):
    rng = np.random.default_rng(seed)
    cells = ndimage.gaussian_filter(rng.normal(size=shape), 12)
    shading = np.hypot(*np.meshgrid(np.linspace(-1, 1, shape[1]), np.linspace(-1, 1, shape[0])))
    return (6000 + 400 * cells / cells.std() - 800 * shading).astype(np.uint16)


@pytest.mark.parametrize("first", [(0, 0), (101, 347), (444, 544), (3, 6)])
def test_a_crop_is_known_wherever_it_was_cut_at_another_exposure_and_with_noise(first):
    picture = field(0)
    crop = picture[first[0] : first[0] + CROP_PX, first[1] : first[1] + CROP_PX] * 0.5 + 30
    crop = crop + np.random.default_rng(1).normal(size=crop.shape) * 40
    assert likeness(crop, [read_look(look_of(picture))]) > 0.88


def test_other_fields_under_the_same_light_are_not():
    looks = [read_look(look_of(field(seed))) for seed in (1, 2)]
    assert max(likeness(crop, looks) for crop in crops_of(field(0))) < LEAST_LIKENESS - 0.15


def test_an_edge_on_empty_ground_is_no_likeness():
    edge = np.zeros((400, 400))
    edge[:, 200:] = 1
    assert likeness(edge[:256, 70:326], [read_look(look_of(edge))]) == 0
    assert likeness(np.full((256, 256), 7.0), [read_look(look_of(field(0)))]) == 0


def test_a_look_is_small_text_that_reads_back_to_its_levels():
    picture = field(0)
    text = look_of(picture)
    assert len(text) < 8000
    np.testing.assert_allclose(read_look(text), band(picture), atol=3 / 7 / 2 + 1e-6)
    assert look_of(picture[:255]) == ""
    with pytest.raises(ValueError, match="damaged"):
        read_look("look:4 4 00000")


def test_too_many_looks_are_thinned_out():
    texts = [f"look:{i} " + "x" * 50_000 for i in range(20)]
    kept = kept_looks([*texts, texts[0], ""])
    assert sum(map(len, kept)) <= MOST_BYTES
    assert kept == texts[::4]


def test_marks_hold_the_fingerprint_the_hash_of_the_raw_pixels_and_a_look():
    picture = field(0)
    own = marks([picture])
    digest = hashlib.sha256(picture.tobytes()).hexdigest()
    assert own == (fingerprint(picture), SHA + digest, look_of(picture))
    assert raw_sha256(picture.astype(">u2")) == raw_sha256(picture[:, :]) == digest
    assert marks([picture], look=False) == own[:2]
