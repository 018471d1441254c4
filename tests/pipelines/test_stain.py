import dask.array as da
import numpy as np
import pytest
import zarr

import vitascope
from tests_support import blobs, make_card, make_domain, make_model, save_model
from vitascope.core.errors import InputError, ModelError
from vitascope.core.micrograph import Micrograph
from vitascope.core.progress import run_to_end
from vitascope.pipelines.stain import run
from vitascope.tasks.stain import StainParams

FAST = {"model": "test-model", "precision": "f32", "tile_px": 512, "threads": 1}


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """Three models with random weights: one plane, a stack of three, and one that knows its pixel size."""
    import torch

    torch.manual_seed(1)
    folder = tmp_path / "models"
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    common = {"width": 0.25, "object_diameter_px": 18}
    save_model(make_model(domain=make_domain(), **common), folder)
    save_model(make_model(model_id="stack", planes=3, targets=("DNA", "actin"), **common), folder)
    save_model(make_model(model_id="sized", pixel_size_um=0.5, **common), folder)


@pytest.fixture
def image():
    return (200 + 1000 * blobs((150, 170))).astype(np.uint16)


def predict(image, axes=None, **params):
    axes = axes or ("ZYX" if isinstance(image, np.ndarray) and image.ndim == 3 else None)
    return vitascope.run("stain", image, axes=axes, **{**FAST, **params})


def test_gives_prediction_masks_table_and_row_on_the_images_grid(image):
    result = predict(image, pixel_size_um=0.5, min_contrast=0)
    prediction, labels = result.output("prediction"), result.output("labels")
    assert prediction.array.shape == labels.array.shape == image.shape
    assert prediction.array.dtype == np.float32
    assert labels.array.dtype == np.uint32
    assert sorted(set(np.unique(labels.array)) - {0}) == labels.table["label"].tolist()
    counted = np.bincount(labels.array.ravel(), minlength=len(labels.table) + 1)[1:]
    assert counted.tolist() == labels.table["area_px"].tolist()
    np.testing.assert_allclose(labels.table["area_um2"], counted * 0.25)
    assert result.rows[0]["objects"] == len(labels.table)
    assert result.provenance.params["tile_px"] == 512
    assert result.provenance.inputs[0]["pixels_sha256"]


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr", "memmap", "fortran", "reversed", "readonly"])
@pytest.mark.fault("A13")
def test_any_kind_of_array_gives_the_same_pixels_and_is_left_as_it_was(image, kind, tmp_path):
    expected = predict(image).output("prediction").array
    if kind == "dask":
        given = da.from_array(image, chunks=(64, 50))
    elif kind == "zarr":
        given = zarr.create_array(str(tmp_path / "a.zarr"), data=image, chunks=(40, 60))
    elif kind == "memmap":
        np.save(tmp_path / "a.npy", image)
        given = np.load(tmp_path / "a.npy", mmap_mode="r")
    elif kind == "fortran":
        given = np.asfortranarray(image)
    elif kind == "reversed":
        given = np.ascontiguousarray(image[::-1, ::-1])[::-1, ::-1]
    else:
        given = image.copy()
        given.flags.writeable = kind != "readonly"
    np.testing.assert_array_equal(predict(given).output("prediction").array, expected)
    np.testing.assert_array_equal(np.asarray(given), image)


@pytest.mark.parametrize("dtype", [">u2", ">f4", "<f8", "u4", "i4", "f2"])
@pytest.mark.fault("A11")
def test_byte_order_and_width_do_not_matter(image, dtype):
    expected = predict(image).output("prediction").array
    ours = predict(image.astype(dtype)).output("prediction").array
    np.testing.assert_allclose(ours, expected, atol=2e-3)


@pytest.mark.fault("A21")
def test_gain_and_offset_change_next_to_nothing(image):
    expected = predict(image).output("prediction").array
    for other in (image * 10, image + 500, image.astype(np.float32) * 16 / 65535):
        assert np.abs(predict(other).output("prediction").array - expected).max() < 1e-3


@pytest.mark.fault("A01")
def test_an_image_without_a_finite_pixel_is_rejected():
    with pytest.raises(InputError, match="finite") as caught:
        predict(np.full((50, 50), np.nan, np.float32))
    assert caught.value.flag == "no_finite_pixels"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.fault("A02")
@pytest.mark.fault("A03")
def test_few_pixels_that_are_no_numbers_become_background(image, bad):
    spoiled = image.astype(np.float32)
    spoiled[10:20, 10:40] = bad
    result = predict(spoiled)
    prediction = result.output("prediction").array
    assert "nan_masked" in result.flags
    assert np.isfinite(prediction).all()
    assert (prediction[10:20, 10:40] == 0).all()
    spoiled[:, :60] = bad
    with pytest.raises(InputError, match="35%") as caught:
        predict(spoiled)
    assert caught.value.flag == "too_many_nan"


@pytest.mark.fault("A04")
def test_a_constant_image_has_no_nuclei_and_says_so():
    result = predict(np.full((64, 64), 5, np.uint8))
    assert result.rows[0]["objects"] == 0
    assert {"constant", "no_objects"} <= set(result.flags)
    assert result.status == "WARN"
    assert not result.output("prediction").array.any()


@pytest.mark.parametrize("shape", [(0, 32), (0, 0)])
@pytest.mark.fault("A06")
def test_an_image_without_pixels_is_refused(shape):
    with pytest.raises(InputError, match="no pixels"):
        predict(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (17, 17), (513, 1), (65, 100)])
@pytest.mark.fault("A07")
@pytest.mark.fault("A08")
def test_the_smallest_and_oddest_sizes_run(shape):
    image = np.random.default_rng(0).integers(0, 1000, shape).astype(np.uint16)
    assert predict(image).output("labels").array.shape == shape


@pytest.mark.parametrize("shape", [(100,), (1, 1, 1, 1, 10, 10)])
@pytest.mark.fault("A09")
def test_too_few_or_many_dimensions_are_refused_naming_what_is_read(shape):
    with pytest.raises(InputError, match="2 to 5"):
        predict(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", [np.complex64, object, "U3"])
@pytest.mark.fault("A12")
def test_pixels_that_are_no_real_numbers_are_refused(dtype):
    with pytest.raises(InputError, match="no real number"):
        predict(np.zeros((20, 20), dtype))


@pytest.mark.fault("A14")
def test_whole_numbers_beyond_2_to_53_are_flagged():
    image = np.full((40, 40), 2**60, np.uint64)
    image[10:20, 10:20] += 2**58
    assert "precision_lost" in predict(image).flags


@pytest.mark.fault("A19")
def test_saturation_is_flagged(image):
    clipped = image.copy()
    clipped[:30] = 65535
    assert "saturated" in predict(clipped).flags
    assert "saturated" not in predict(image).flags


def test_grey_stored_as_colour_is_accepted_and_colour_refused(image):
    grey = np.stack([image] * 3, -1)
    ours = predict(grey, axes="YXS").output("prediction").array
    np.testing.assert_array_equal(ours, predict(image).output("prediction").array)
    with pytest.raises(InputError, match="colour"):
        predict(np.stack([image, image, image // 2], -1), axes="YXS")


@pytest.mark.fault("A16")
@pytest.mark.fault("A18")
def test_channels_are_found_by_name_or_asked_for(image):
    other = np.zeros_like(image)
    both = np.stack([other, image])
    expected = predict(image).output("prediction").array
    named = Micrograph.from_array(both, axes="CYX", channel_names=("GFP", "Phase"))
    np.testing.assert_array_equal(predict(named).output("prediction").array, expected)
    np.testing.assert_array_equal(predict(both, axes="CYX", channel="1").output("prediction").array, expected)
    with pytest.raises(InputError, match="which one is label-free"):
        predict(both, axes="CYX")
    with pytest.raises(InputError, match="no channel 'DIC'"):
        predict(named, channel="DIC")


@pytest.mark.fault("A17")
def test_permuted_channels_are_resolved_by_name(image):
    other = np.zeros_like(image)
    one = Micrograph.from_array(np.stack([image, other]), axes="CYX", channel_names=("phase", "GFP"))
    two = Micrograph.from_array(np.stack([other, image]), axes="CYX", channel_names=("GFP", "phase"))
    np.testing.assert_array_equal(predict(one).output("prediction").array, predict(two).output("prediction").array)


def test_a_stack_needs_as_many_planes_as_the_model(image):
    stack = np.stack([image] * 3)
    result = predict(stack, model="stack")
    assert result.output("prediction").array.shape == (2, *image.shape)
    assert result.output("prediction").channel_names == ("DNA", "actin")
    assert result.output("labels").array.shape == image.shape
    with pytest.raises(InputError, match="stack of 3 planes; the image has 2"):
        predict(stack[:2], model="stack")
    with pytest.raises(InputError, match="2 are named"):
        predict(stack, model="stack", planes=(0, 1))


def test_longer_stacks_are_sampled_evenly(image):
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 1000, (5, 60, 60)).astype(np.uint16)
    expected = predict(stack[[0, 2, 4]], model="stack").output("prediction").array
    np.testing.assert_array_equal(predict(stack, model="stack").output("prediction").array, expected)
    named = predict(stack, model="stack", planes=(0, 2, 4)).output("prediction").array
    np.testing.assert_array_equal(named, expected)


@pytest.mark.fault("A29")
def test_time_and_z_run_plane_by_plane_with_labels_counted_on(image):
    series = np.stack([np.stack([image, image[::-1]]), np.stack([image[:, ::-1], image])])
    result = predict(series, axes="TZYX", min_contrast=0)
    prediction, labels = result.output("prediction"), result.output("labels")
    assert prediction.axes == labels.axes == "TZYX"
    np.testing.assert_array_equal(prediction.array[1, 1], predict(image).output("prediction").array)
    assert [(r["time"], r["z"]) for r in result.rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    table = labels.table
    assert table["label"].tolist() == list(range(1, len(table) + 1))
    assert len(table) == sum(r["objects"] for r in result.rows) > 0
    for t in (0, 1):
        for z in (0, 1):
            here = set(np.unique(labels.array[t, z])) - {0}
            assert here == set(table[(table["time"] == t) & (table["z"] == z)]["label"])


def test_planes_that_are_run_alone_stay_where_they_are_in_the_stack(image):
    stack = np.stack([image, image[::-1], image[:, ::-1], image])
    result = predict(stack, planes=(2,), min_contrast=0)
    prediction, labels = result.output("prediction").array, result.output("labels").array
    assert prediction.shape == labels.shape == stack.shape
    np.testing.assert_array_equal(prediction[2], predict(stack[2]).output("prediction").array)
    assert not prediction[[0, 1, 3]].any()
    assert not labels[[0, 1, 3]].any()
    assert [r["z"] for r in result.rows] == [2]


def test_a_plane_named_twice_is_run_once(image):
    once, twice = (predict(np.stack([image] * 3), planes=p, min_contrast=0) for p in ((1,), (1, 1)))
    assert once.output("labels").table.equals(twice.output("labels").table)
    labels = twice.output("labels")
    assert sorted(set(np.unique(labels.array)) - {0}) == labels.table["label"].tolist()


@pytest.mark.fault("A23")
@pytest.mark.parametrize("size", [None, 0, -1, float("nan")])
def test_without_a_pixel_size_the_run_is_unscaled_and_flagged(image, size):
    given = Micrograph.from_array(image, pixel_size_um=size)
    result = predict(given, model="sized", min_contrast=0)
    assert "pixel_size_unknown" in result.flags
    table = result.output("labels").table
    assert table["area_um2"].isna().all()
    np.testing.assert_array_equal(
        result.output("prediction").array, predict(image, model="sized", pixel_size_um=0.5).output("prediction").array
    )


def test_another_pixel_size_is_brought_to_the_models_and_back(image):
    coarse = image.astype(np.float32)
    fine = np.kron(coarse, np.ones((2, 2), np.float32))
    expected = predict(coarse, model="sized", pixel_size_um=0.5).output("prediction").array
    ours = predict(fine, model="sized", pixel_size_um=0.25).output("prediction").array
    assert ours.shape == fine.shape
    shrunk = ours.reshape(150, 2, 170, 2).mean((1, 3))
    assert np.corrcoef(shrunk[8:-8, 8:-8].ravel(), expected[8:-8, 8:-8].ravel())[0, 1] > 0.9
    off = predict(fine, model="sized", pixel_size_um=0.25, rescale=False)
    assert "pixel_size_mismatch" in off.flags
    with pytest.raises(InputError, match="too far apart"):
        predict(image, model="sized", pixel_size_um=50.0)


def test_unknown_sizes_can_be_matched_by_the_diameter_of_nuclei(image):
    fine = np.kron(image.astype(np.float32), np.ones((2, 2), np.float32))
    by_size = predict(fine, model="sized", pixel_size_um=0.25).output("prediction").array
    by_diameter = predict(fine, object_diameter_px=36, model="sized").output("prediction").array
    np.testing.assert_allclose(by_diameter, by_size, atol=1e-5)


@pytest.mark.fault("E08")
def test_the_tile_never_changes_the_result():
    picture = (1000 * blobs((700, 640), [(y, x) for y in range(40, 700, 90) for x in range(40, 640, 80)])).astype(
        np.uint16
    )
    results = [predict(picture, tile_px=t, min_contrast=0) for t in (256, 512, 2048)]
    for other in results[1:]:
        np.testing.assert_allclose(other.output("prediction").array, results[0].output("prediction").array, atol=1e-4)
        first, second = (r.output("labels").array > 0 for r in (results[0], other))
        assert (first & second).sum() / max(1, (first | second).sum()) >= 0.99


@pytest.mark.fault("E04")
def test_a_missing_gpu_falls_back_to_the_processor_and_says_so(image, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = predict(image, device="cuda")
    assert result.provenance.device == "cpu"
    assert "device_fallback" in result.flags


def test_what_was_resolved_repeats_the_run_to_the_bit(image):
    first = vitascope.run("stain", image, model="test-model")
    again = vitascope.run("stain", image, **first.provenance.params)
    np.testing.assert_array_equal(first.output("prediction").array, again.output("prediction").array)
    np.testing.assert_array_equal(first.output("labels").array, again.output("labels").array)
    assert again.provenance.params == first.provenance.params


def test_a_model_given_by_its_path_repeats_too(image, tmp_path):
    path = save_model(make_model(model_id="far", width=0.25), tmp_path / "elsewhere")
    first = predict(image, model=str(path))
    assert first.provenance.model == "far"
    again = vitascope.run("stain", image, **first.provenance.params)
    np.testing.assert_array_equal(first.output("prediction").array, again.output("prediction").array)


def test_an_image_unlike_the_training_images_is_told_with_numbers(image, tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "m"))
    save_model(make_model(width=0.25, domain=make_domain(contrast=(5.0, 6.0, 7.0))), tmp_path / "m")
    result = predict(image)
    assert result.trust.level == "unsure"
    assert {"unsure", "low_contrast"} <= set(result.flags)
    assert "training images lie between 5 and 7" in result.message


def test_the_real_stain_is_compared_pixel_by_pixel_and_in_numbers():
    centres = [(y, x) for y in range(40, 600, 60) for x in range(40, 600, 60)]
    picture = blobs((600, 600), centres)
    model = predict(picture, min_contrast=0)
    prediction = model.output("prediction").array
    result = predict(picture, reference=prediction, min_contrast=0)
    assert result.rows[0]["pcc"] > 0.98  # the reference is clipped at its percentiles
    agreement = result.tables["agreement"].set_index("quantity")
    assert agreement.loc["count", "over"] == "crops"
    assert result.rows[0]["real_objects"] > 0
    with pytest.raises(InputError, match="same field"):
        predict(picture, reference=prediction[:100])


def test_closing_a_run_leaves_nothing(image):
    steps = run({"image": Micrograph.from_array(image)}, StainParams(**FAST))
    next(steps)
    steps.close()
    assert run_to_end(run({"image": Micrograph.from_array(image)}, StainParams(**FAST))).status == "OK"


@pytest.mark.fault("D14")
def test_a_model_for_another_task_is_refused(image, tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "m"))
    model = make_model(width=0.25)
    save_model(type(model)(make_card(task="atp", width=0.25), model.network, model.family), tmp_path / "m")
    with pytest.raises(ModelError, match="'atp', not 'stain'"):
        predict(image)
