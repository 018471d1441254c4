import numpy as np
import pytest
import torch

from vitascope.core.errors import MemoryShortageError, ModelError
from vitascope.core.progress import run_to_end
from vitascope.engine import device
from vitascope.engine.device import Device, pick_device
from vitascope.engine.execution_plan import Plan
from vitascope.engine.open_backends import SquareBackend
from vitascope.engine.openvino_backend import OpenVinoBackend
from vitascope.engine.tiled_prediction import FeaturePool, Stitching, predict_picture
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.tiling.tiles import gaussian_window, plan_axis

PLAN = Plan("cpu", "f32", 320, 1)


def predict(model, picture, plan=PLAN, **kwargs):
    out = np.full((2, *picture.shape[1:]), np.nan, np.float32)

    def sink(where, piece):
        out[(slice(None), *where)] = piece

    used = run_to_end(predict_picture(model, array_reader(picture), picture.shape[1:], plan, sink, **kwargs))
    return out, used


def whole(model, picture):
    """The reference: torch, in one pass, over the picture padded once to a multiple of 16."""
    h, w = picture.shape[1:]
    padded = np.pad(picture, ((0, 0), (0, -h % 16), (0, -w % 16)), mode="reflect")
    with torch.no_grad():
        out = model.network(torch.from_numpy(padded)[None])
    return out.image[0, :, :h, :w].numpy(), out.encoding[0].numpy()


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).standard_normal((2, 530, 410), np.float32)


def test_tiles_equal_one_pass(model, picture):
    """Issue figure: at most 1e-4 in 32 bit, whatever the tile."""
    expected, _ = whole(model, picture)
    assert expected.std() > 0.01
    for tile_px in (256, 320, 512, 1024):
        out, _ = predict(model, picture, Plan("cpu", "f32", tile_px, 1))
        assert np.abs(out - expected).max() <= 1e-4


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (17, 17), (65, 100), (513, 1)])
@pytest.mark.fault("A07")
@pytest.mark.fault("A08")
def test_any_size_comes_back_in_its_own_shape(model, shape):
    picture = np.random.default_rng(1).standard_normal((2, *shape), np.float32)
    out, _ = predict(model, picture)
    assert out.shape[1:] == shape
    assert np.isfinite(out).all()


def test_features_are_pooled_alike_whatever_the_tile(model, picture):
    _, encoding = whole(model, picture)
    expected = []
    for rows in (slice(0, 16), slice(16, 34)):
        for columns in (slice(0, 16), slice(16, 26)):
            expected.append(encoding[:, rows, columns].mean((1, 2)))
    for tile_px in (320, 1024):
        pool = FeaturePool(picture.shape[1:], 256, 16)
        predict(model, picture, Plan("cpu", "f32", tile_px, 1), pool=pool)
        assert pool.grid == (2, 2)
        np.testing.assert_allclose(pool.features(), expected, atol=1e-4)


def test_flips_are_averaged(model, picture):
    ours, _ = predict(model, picture[:, :320, :320], flip=True)
    straight, _ = whole(model, picture[:, :320, :320])
    mirrored, _ = whole(model, np.ascontiguousarray(picture[:, :320, 319::-1]))
    np.testing.assert_allclose(ours, (straight + mirrored[:, :, ::-1]) / 2, atol=1e-4)


def test_border_stitching_keeps_the_centres_of_256_px_windows(model, picture):
    """Equation 25: each kept centre equals that of its window predicted alone."""
    out, _ = predict(model, picture, stitching=Stitching("border", 32))
    start, stop, low, high = plan_axis(544, 256, 32, 16)[1]
    column = plan_axis(416, 256, 32, 16)[0]
    padded = np.pad(picture, ((0, 0), (0, 14), (0, 6)), mode="reflect")
    with torch.no_grad():
        window = torch.from_numpy(padded[None, :, start:stop, column[0] : column[1]])
        alone = model.network(window).image[0].numpy()
    np.testing.assert_allclose(
        out[:, low:high, column[2] : column[3]], alone[:, low - start : high - start, column[2] : column[3]], atol=1e-4
    )


def test_gaussian_blending_is_the_weighted_mean_of_windows(model, picture):
    out, _ = predict(model, picture, stitching=Stitching("gaussian", 32))
    padded = np.pad(picture, ((0, 0), (0, 14), (0, 6)), mode="reflect")
    total, weights = np.zeros((2, 544, 416)), np.zeros((544, 416))
    bell = gaussian_window((256, 256))
    for y0, y1, *_ in plan_axis(544, 256, 32, 16):
        for x0, x1, *_ in plan_axis(416, 256, 32, 16):
            with torch.no_grad():
                answer = model.network(torch.from_numpy(padded[None, :, y0:y1, x0:x1])).image[0].numpy()
            total[:, y0:y1, x0:x1] += answer * bell
            weights[y0:y1, x0:x1] += bell
    np.testing.assert_allclose(out, (total / weights)[:, :530, :410], atol=1e-4)


def test_progress_counts_tiles_and_ends_full(model, picture):
    steps = predict_picture(model, array_reader(picture), picture.shape[1:], PLAN, lambda *_: None)
    seen = list(steps)
    assert [p.done for p in seen] == list(range(len(seen)))
    assert seen[-1].done == seen[-1].total == len(plan_axis(544, 320, 96, 16)) * len(plan_axis(416, 320, 96, 16))


@pytest.mark.fault("E07")
def test_same_input_same_bits(model, picture):
    first, _ = predict(model, picture)
    second, _ = predict(model, picture)
    np.testing.assert_array_equal(first, second)


class Hungry:
    """A network that runs out of memory above a window size."""

    def __init__(self, model, plan, limit_px, error):
        self.inner = OpenVinoBackend(model.network, 2, plan.precision, 1)
        self.limit_px, self.error = limit_px, error

    def __call__(self, x):
        if max(x.shape[1:]) > self.limit_px:
            raise self.error
        return self.inner(x)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
@pytest.mark.fault("E01")
@pytest.mark.fault("E03")
def test_out_of_memory_takes_the_next_smaller_tile_and_goes_on(model, picture, error):
    expected, _ = whole(model, picture)
    out, used = predict(model, picture, Plan("cpu", "f32", 2144, 1), open_with=lambda m, p: Hungry(m, p, 330, error))
    assert used.tile_px == 320
    assert "tile_reduced" in used.flags
    assert np.abs(out - expected).max() <= 1e-4


@pytest.mark.fault("E02")
def test_out_of_memory_at_every_tile_is_one_clear_error(model, picture):
    with pytest.raises(MemoryShortageError, match="320 px"):
        predict(model, picture, open_with=lambda m, p: Hungry(m, p, 0, MemoryError()))


def test_other_errors_are_not_taken_for_memory(model, picture):
    with pytest.raises(RuntimeError, match="broken"):
        predict(model, picture, open_with=lambda m, p: Hungry(m, p, 0, RuntimeError("broken")))


class Overflowing:
    """A network whose numbers overflow in low precision."""

    def __init__(self, model, plan):
        self.inner = OpenVinoBackend(model.network, 2, "f32", 1)
        self.low = plan.precision != "f32"

    def __call__(self, x):
        image, encoding = self.inner(x)
        return (np.full_like(image, np.nan) if self.low else image), encoding


@pytest.mark.fault("E06")
def test_numbers_that_overflow_are_computed_again_in_32_bit(model, picture):
    out, used = predict(model, picture, Plan("cpu", "bf16", 320, 1), open_with=Overflowing)
    assert used.precision == "f32"
    assert "precision_raised" in used.flags
    assert np.isfinite(out).all()


def test_a_model_without_numbers_in_32_bit_is_refused(model, picture):
    class Broken(Overflowing):
        def __call__(self, x):
            return tuple(np.full_like(a, np.nan) for a in self.inner(x))

    with pytest.raises(ModelError, match="not finite"):
        predict(model, picture, open_with=Broken)


def test_closing_stops_within_one_tile(model, picture):
    calls = []
    steps = predict_picture(model, array_reader(picture), picture.shape[1:], PLAN, lambda *a: calls.append(a))
    next(steps)
    next(steps)
    steps.close()
    assert len(calls) == 1


class FailingCard:
    """A graphics card whose context breaks after a number of windows; the processor's network stands behind it."""

    def __init__(self, model, plan, good, error, used):
        self._inner = OpenVinoBackend(model.network, 2, "f32", 1, (64, 64), 1)
        self._plan, self._good, self._error, self._used = plan, good, error, used

    def __call__(self, x):
        self._used.append(self._plan.device)
        if self._plan.device != "cpu":
            self._good -= 1
            if self._good < 0:
                raise self._error
        return self._inner(x)

    infer_concurrently = __call__


CUDA_ERRORS = [
    RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later."),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
    RuntimeError("CUDA error: device-side assert triggered"),
    torch.AcceleratorError("CUDA error: unspecified launch failure"),
]


@pytest.fixture
def no_broken_devices(monkeypatch):
    monkeypatch.setattr("vitascope.engine.device._broken", set())


@pytest.mark.parametrize("error", CUDA_ERRORS)
@pytest.mark.usefixtures("no_broken_devices")
def test_after_a_failed_card_this_image_and_all_others_run_on_the_processor(model, picture, error):
    used = []
    expected, _ = predict(model, picture)
    plan = Plan("cuda:0", "f16", 320, 1)
    out, after = predict(model, picture, plan, open_with=lambda m, p: FailingCard(m, p, 1, error, used))
    np.testing.assert_array_equal(out, expected)
    assert (after.device, after.precision, after.flags) == ("cpu", "f32", ("device_fallback",))
    assert used[:2] == ["cuda:0"] * 2
    assert set(used[2:]) == {"cpu"}
    cards = [Device("cuda:0", "a card", 8 << 30, ("f32",)), Device("cpu", "processor", 8 << 30, ("f32",))]
    left = [card for card in cards if card.id not in device._broken]
    assert pick_device("auto", left) == (cards[1], True)
    assert pick_device("cuda", left) == (cards[1], True)


@pytest.mark.usefixtures("no_broken_devices")
def test_squares_go_on_where_a_card_fails_or_is_too_small(model):
    x = np.random.default_rng(1).standard_normal((2, 64, 64), np.float32)
    for error, broken in ((CUDA_ERRORS[0], {"cuda:0"}), (torch.OutOfMemoryError("CUDA out of memory"), set())):
        device._broken.clear()
        used = []

        def card(m, p, streams, error=error, used=used):
            return FailingCard(m, p, 0, error, used)

        backend = SquareBackend(model, Plan("cuda:0", "f32", 64, 1), card)
        first, second = backend.infer_concurrently(x)[0], backend.infer_concurrently(x)[0]
        np.testing.assert_array_equal(first, second)
        assert used == ["cuda:0", "cpu", "cpu"]
        assert backend.plan.flags == ("device_fallback",)
        assert device._broken == broken


@pytest.mark.usefixtures("no_broken_devices")
def test_an_error_of_the_calculation_is_no_error_of_the_card(model, picture):
    wrong = RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")
    with pytest.raises(RuntimeError, match="size of tensor"):
        predict(model, picture, Plan("cuda:0", "f32", 320, 1), open_with=lambda m, p: FailingCard(m, p, 0, wrong, []))
    assert not device._broken
