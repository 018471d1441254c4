import dask.array as da
import numpy as np
import pytest

from tests_support import make_card
from vitascope.core.card import Normalisation
from vitascope.core.errors import InputError, ModelError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.engine.preprocess import LinearMap, fit_normalisation, prepare_picture, rescale_factor
from vitascope.ops.intensity.histogram import histogram


def spec(**how):
    return make_card(normalisation=Normalisation(**{"method": "standard", **how})).input


def prepare(planes, how, scale=1.0):
    prepared = run_to_end(prepare_picture(planes, how, scale))
    height, width = prepared.shape_yx
    return prepared, prepared.read((slice(0, height), slice(0, width)))


@pytest.fixture
def planes():
    rng = np.random.default_rng(0)
    return [rng.integers(low, low + 900, (40, 50)).astype(np.uint16) for low in (100, 1000)]


def test_standard_is_median_and_standard_deviation_of_all_planes_together(planes):
    _, found = prepare(planes, spec(method="standard"))
    both = np.stack(planes).astype(float)
    np.testing.assert_allclose(found, (both - np.median(both)) / both.std(), rtol=1e-5, atol=1e-6)


def test_minmax_is_equation_24(planes):
    _, found = prepare(planes, spec(method="minmax"))
    both = np.stack(planes).astype(float)
    np.testing.assert_allclose(found, (both - both.min()) / (both.max() - both.min()), rtol=1e-5, atol=1e-6)


def test_percentiles_map_to_0_and_1(planes):
    _, found = prepare(planes, spec(method="percentile", low=2, high=90))
    both = np.stack(planes).astype(float)
    low, high = np.percentile(both, (2, 90))
    np.testing.assert_allclose(found, (both - low) / (high - low), rtol=1e-5, atol=1e-6)


def test_the_training_set_normalises_each_channel_whatever_the_image(planes):
    how = {"method": "dataset", "means": (100.0, 900.0), "stds": (50.0, 200.0), "clip": (-2, 9)}
    _, found = prepare(planes, spec(**how))
    expected = np.stack([(planes[0] - 100.0) / 50, (planes[1] - 900.0) / 200])
    np.testing.assert_allclose(found, np.clip(expected, -2, 9), rtol=1e-5, atol=1e-6)
    with pytest.raises(ModelError, match="2 channel"):
        prepare(planes[:1], spec(**how))


def test_each_plane_can_have_its_own(planes):
    _, found = prepare(planes, spec(method="minmax", per="plane"))
    for plane, ours in zip(planes, found, strict=True):
        np.testing.assert_allclose(ours, (plane - float(plane.min())) / float(np.ptp(plane)), rtol=1e-5, atol=1e-6)


def test_the_result_is_clipped(planes):
    _, found = prepare(planes, spec(method="standard", clip=(-0.5, 0.25)))
    assert found.min() == np.float32(-0.5)
    assert found.max() == np.float32(0.25)


def test_windows_agree_with_the_whole_also_for_lazy_planes(planes):
    _, whole = prepare(planes, spec())
    lazy, _ = prepare([da.from_array(p, chunks=(13, 7)) for p in planes], spec())
    np.testing.assert_array_equal(lazy.read((slice(5, 20), slice(30, 50))), whole[:, 5:20, 30:50])
    beyond = lazy.read((slice(-3, 40), slice(0, 54)))
    np.testing.assert_array_equal(beyond, np.pad(whole, ((0, 0), (3, 0), (0, 4)), mode="reflect"))


@pytest.mark.fault("A02")
@pytest.mark.fault("A03")
def test_what_is_not_finite_becomes_the_median_and_is_masked(planes):
    plane = planes[0].astype(np.float32)
    plane[:2] = np.nan
    plane[5, 5] = np.inf
    prepared, found = prepare([plane], spec())
    finite = np.isfinite(plane)
    assert "nan_masked" in prepared.flags
    np.testing.assert_array_equal(prepared.finite((slice(0, 40), slice(0, 50))), finite)
    np.testing.assert_allclose(found[0][~finite], 0, atol=1e-2)
    known = plane[finite].astype(float)
    np.testing.assert_allclose(found[0][finite], (known - np.median(known)) / known.std(), atol=1e-3)
    assert prepare([planes[0]], spec())[0].finite is None


@pytest.mark.fault("A02")
def test_more_than_a_tenth_not_finite_is_rejected_with_the_share(planes):
    plane = planes[0].astype(np.float32)
    plane[:, :6] = np.nan
    with pytest.raises(InputError, match="12% of the pixels are not finite"):
        prepare([plane], spec())


@pytest.mark.fault("A04")
def test_a_constant_plane_is_zero_and_flagged():
    for method in ("standard", "minmax", "percentile"):
        prepared, found = prepare([np.full((8, 8), 7, np.uint8)], spec(method=method))
        assert prepared.flags == ("constant",)
        assert not found.any()


@pytest.mark.fault("A14")
def test_differences_of_huge_whole_numbers_are_kept():
    plane = np.full((8, 8), 2**40, np.uint64)
    plane[0, 0] += 1
    _, found = prepare([plane], spec(method="minmax"))
    assert found[0, 0, 0] == 1
    assert found.sum() == 1


@pytest.mark.parametrize(
    "values", [(-3e38, 3e38), (0, 1e-40), (0, 3e38), (1e-44, 1e-42)], ids=["widest", "tiny", "huge", "tiniest"]
)
def test_the_ends_of_float32_give_finite_numbers_and_no_warning(values):
    plane = np.linspace(*values, 64, dtype=np.float64).astype(np.float32).reshape(8, 8)
    for method in ("standard", "minmax", "percentile"):
        _, found = prepare([plane], spec(method=method, clip=(-5, 5)))
        assert np.isfinite(found).all()
    _, found = prepare([plane], spec(method="minmax"))
    expected = (plane.astype(float) - plane.min()) / (float(plane.max()) - float(plane.min()))
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_one_pixel_beyond_all_others_is_cut_at_the_limit():
    pixels = np.array([[0.5, 3e38, -3e38]], np.float32)
    assert LinearMap(0.5, 1e4, 0.5, (-2, 3))(pixels).tolist() == [[0, 3, -2]]


def test_a_smaller_scale_gives_a_smaller_grid(planes):
    prepared, found = prepare(planes, spec(method="minmax"), 0.5)
    assert prepared.shape_yx == found.shape[1:] == (20, 25)
    assert prepared.source_yx == (40, 50)
    flat = np.full((40, 50), 3.0)
    flat[:, 25:] = 5.0
    _, found = prepare([flat], spec(method="minmax"), 0.5)
    np.testing.assert_allclose(found[0, :, :9], 0, atol=1e-6)
    np.testing.assert_allclose(found[0, :, 16:], 1, atol=1e-6)


def test_a_grid_never_vanishes():
    prepared, _ = prepare([np.arange(6, dtype=np.uint8).reshape(1, 6)], spec(), 0.125)
    assert prepared.shape_yx == (1, 1)


def test_the_map_leaves_its_pixels_as_they_are():
    pixels = np.array([[1.0, np.nan]], np.float32)
    LinearMap(0.0, 1.0, 0.5, None)(pixels)
    assert np.isnan(pixels[0, 1])


@pytest.mark.parametrize(("method", "gain"), [("standard", 0.5), ("minmax", 0.25), ("percentile", 0.25)])
def test_every_method_fits_two_values_by_hand(method, gain):
    """Half the pixels 2, half 6: median 4, standard deviation 2, span 4."""
    counted = histogram(np.array([2, 6] * 500, np.uint8))
    fitted = fit_normalisation(counted, Normalisation(method=method))
    assert fitted.gain == pytest.approx(gain)
    assert fitted.offset == {"standard": 4.0, "minmax": 2.0, "percentile": 2.0}[method]


def sized(pixel_size_um):
    return Micrograph.from_array(np.zeros((4, 4)), pixel_size_um=pixel_size_um)


def factor(image_um, model_um, *, rescale=True, diameter=None, model_diameter=None):
    wanted = make_card(pixel_size_um=model_um, object_diameter_px=model_diameter).input
    return rescale_factor(sized(image_um), wanted, rescale=rescale, object_diameter_px=diameter)


def test_the_image_is_brought_to_the_models_pixel_size():
    assert factor(0.5, 0.25) == (2.0, ())
    assert factor(0.25, 0.5) == (0.5, ())


@pytest.mark.fault("A23")
def test_unknown_sizes_leave_the_grid_alone():
    assert factor(None, 0.5) == (1.0, ())
    assert factor(0.5, None) == (1.0, ())


def test_next_to_equal_sizes_are_not_resampled():
    assert factor(0.5, 0.505) == (1.0, ())
    assert factor(0.5, 0.52)[0] != 1


def test_the_diameter_counts_where_sizes_do_not_tell():
    assert factor(None, 0.5, diameter=40, model_diameter=20) == (0.5, ())
    assert factor(None, 0.5, diameter=40) == (1.0, ())
    assert factor(0.5, 0.25, diameter=40, model_diameter=20) == (2.0, ())


def test_a_mismatch_that_is_not_to_be_mended_is_flagged():
    assert factor(0.5, 0.25, rescale=False) == (1.0, ("pixel_size_mismatch",))


@pytest.mark.parametrize("image_um", [4.1, 0.06])
def test_sizes_too_far_apart_are_refused_with_both(image_um):
    with pytest.raises(InputError, match=f"{image_um} µm per pixel, the model's 0.5"):
        factor(image_um, 0.5)


@pytest.mark.parametrize("end", ["bright", "dark"])
@pytest.mark.parametrize("method", ["percentile", "zscore", "background", "dataset", "standard", "minmax"])
@pytest.mark.parametrize("percent", [1.5, 5.0])
@pytest.mark.parametrize("clip", [None, (-1.0, 1.0), (-0.2, 0.2)])
def test_saturation_is_a_warning_only_where_the_network_sees_another_picture(end, method, percent, clip):
    """The true picture is known here: the two are made ready, and compared pixel by pixel."""
    noise = np.random.default_rng(5).normal(1000, 300, (256, 256))
    true = noise.clip(1 if end == "bright" else -5000, None).round().astype(np.int32)
    if end == "bright":
        saturated = np.minimum(true, int(np.percentile(true, 100 - percent)))
    else:
        saturated = np.maximum(true - int(np.percentile(true, percent)), 0)
        true = true - int(np.percentile(true, percent))
    own = {"means": (900.0,), "stds": (400.0,)} if method == "dataset" else {}
    how = Normalisation(method=method, low=2, high=98, clip=clip, **own)
    spec = make_card().input.model_copy(update={"normalisation": how})
    first, second = (run_to_end(prepare_picture([one], spec, 1.0)) for one in (true, saturated))
    everything = (slice(0, 256), slice(0, 256))
    same = np.allclose(first.read(everything), second.read(everything), atol=1e-6)
    assert second.flags == (("saturated_clipped",) if same else ("saturated",))
    assert not set(first.flags) & {"saturated", "saturated_clipped"}
