import numpy as np
import pytest
from scipy import ndimage

from vitascope.core.card import InputSpec, Normalisation
from vitascope.core.errors import InputError
from vitascope.core.progress import run_to_end
from vitascope.engine.preprocess_volume import filter_median, prepare_volume
from vitascope.io.results.temporary_store import TemporaryStore

SPEC = InputSpec(
    modality="fluorescence",
    channels=("live", "dead"),
    spatial_dims=3,
    pixel_size_um=1.0,
    z_step_um=4.0,
    normalisation=Normalisation(method="zscore", low=2, high=98),
)
RNG = np.random.default_rng(0)
STACK = RNG.gamma(2.0, 300.0, (9, 21, 24)).astype(np.uint16)


def everything(prepared):
    return prepared.read(tuple(slice(0, n) for n in prepared.shape))


def test_the_recipe_of_section_2_2_step_by_step():
    other = STACK[:, ::-1] // 2
    prepared = run_to_end(prepare_volume([STACK, other], SPEC, (1.0, 1.0, 1.0), TemporaryStore()))
    for found, raw in zip(everything(prepared), (STACK, other), strict=True):
        smooth = ndimage.median_filter(raw, size=3, mode="mirror").astype(float)
        cut = np.clip(smooth, *np.percentile(smooth, [2, 98]))
        np.testing.assert_allclose(found, (cut - cut.mean()) / cut.std(), atol=2e-3)


def test_planes_that_lie_far_apart_are_filtered_each_on_its_own():
    spec = SPEC.model_copy(update={"median": "plane"})
    found = everything(run_to_end(prepare_volume([STACK], spec, (1.0, 1.0, 1.0), TemporaryStore())))[0]
    smooth = ndimage.median_filter(STACK, size=(1, 3, 3), mode="mirror").astype(float)
    cut = np.clip(smooth, *np.percentile(smooth, [2, 98]))
    np.testing.assert_allclose(found, (cut - cut.mean()) / cut.std(), atol=2e-3)


def test_pieces_give_the_same_median_as_the_whole(monkeypatch):
    found = np.zeros_like(STACK)
    monkeypatch.setattr("vitascope.engine.preprocess_volume.chunk_slices", lambda a: pieces(a.shape))
    run_to_end(filter_median(STACK, found, 0.0))
    np.testing.assert_array_equal(found, ndimage.median_filter(STACK, size=3, mode="mirror"))


def pieces(shape):
    return [
        (slice(z, min(z + 2, shape[0])), slice(y, min(y + 7, shape[1])), slice(0, shape[2]))
        for z in range(0, shape[0], 2)
        for y in range(0, shape[1], 7)
    ]


def test_salt_and_pepper_are_gone():
    stack = np.full((7, 15, 15), 500, np.uint16)
    stack[3, 7, 7], stack[5, 2, 9] = 65535, 0
    found = np.zeros_like(stack)
    run_to_end(filter_median(stack, found, 0.0))
    assert (found == 500).all()


def test_it_is_brought_to_the_networks_voxels_and_windows_agree():
    prepared = run_to_end(prepare_volume([STACK, STACK], SPEC, (0.5, 2.0, 2.0), TemporaryStore()))
    assert prepared.shape == (4, 42, 48)
    whole = everything(prepared)
    window = (slice(1, 4), slice(5, 30), slice(11, 40))
    np.testing.assert_array_equal(prepared.read(window), whole[(slice(None), *window)])


def test_voxels_that_are_not_finite_are_masked_and_the_input_stays_as_it_is():
    stack = STACK.astype(np.float32)
    stack[4, 3:9, 3:9] = np.nan
    before = stack.copy()
    prepared = run_to_end(prepare_volume([stack, STACK], SPEC, (1.0, 1.0, 1.0), TemporaryStore()))
    assert "nan_masked" in prepared.flags
    assert np.isfinite(everything(prepared)).all()
    mask = prepared.finite(tuple(slice(0, n) for n in stack.shape))
    np.testing.assert_array_equal(mask, np.isfinite(stack))
    np.testing.assert_array_equal(stack, before)


def test_planes_of_nan_are_refused():
    stack = STACK.astype(np.float32)
    stack[:2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        run_to_end(prepare_volume([stack, STACK], SPEC, (1.0, 1.0, 1.0), TemporaryStore()))


def test_a_constant_channel_becomes_zero():
    flat = np.full_like(STACK, 7)
    prepared = run_to_end(prepare_volume([STACK, flat], SPEC, (1.0, 1.0, 1.0), TemporaryStore()))
    assert "constant" in prepared.flags
    assert not everything(prepared)[1].any()
