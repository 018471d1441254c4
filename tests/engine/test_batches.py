"""Windows in batches, as a graphics card takes them, on a stand-in for one; and what a precision sets."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from vitascope.core.params import RunParams
from vitascope.core.progress import run_to_end
from vitascope.engine import device as devices
from vitascope.engine import open_backends
from vitascope.engine import resolve_plan as resolving
from vitascope.engine.device import Device, for_volumes
from vitascope.engine.execution_plan import Plan
from vitascope.engine.measured_speed import Speed
from vitascope.engine.number_format import numbers
from vitascope.engine.open_backends import SquareBackend
from vitascope.engine.resolve_plan import best_batch, fixed_plan, smaller_plan
from vitascope.engine.tiled_prediction import predict_picture
from vitascope.engine.torch_backend import TorchBackend
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.tiling.tiles import plan_tiles

CARD = Device("cuda:0", "Card", 8 << 30, ("f32", "tf32", "bf16", "f16"))


@pytest.fixture(scope="module")
def windows():
    return list(np.random.default_rng(0).standard_normal((7, 2, 32, 48), np.float32))


def on_processor(model, plan, streams=1):
    """Stand in for a graphics card: the same batches, computed by torch on the processor."""
    return TorchBackend(model.network, "cpu", plan.precision, plan.batch)


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 8])
def test_batches_of_any_size_answer_each_window_alike(model, windows, at_once):
    alone = [TorchBackend(model.network, "cpu", "f32")(x) for x in windows]
    found = list(TorchBackend(model.network, "cpu", "f32", at_once).answers(windows))
    assert len(found) == len(windows)
    for ours, theirs in zip(found, alone, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)


def test_the_company_of_a_window_changes_no_bit_of_its_answer(model, windows):
    """A batch that is not full is filled up: as many windows go through the same kernels."""
    backend = TorchBackend(model.network, "cpu", "f32", 4)
    first, *_ = backend.answers(windows[:1])
    among, *_ = backend.answers(windows)
    for a, b in zip(first, among, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_next_batch_is_read_and_sent_before_the_last_is_waited_for(model, windows, monkeypatch):
    backend, said = TorchBackend(model.network, "cpu", "f32", 2), []
    send, collect = backend._send, backend._collect

    def told_send(group, buffer):
        said.append(f"send {len(group)}")
        return send(group, buffer)

    def told_collect(sent):
        said.append(f"collect {sent.used}")
        return collect(sent)

    monkeypatch.setattr(backend, "_send", told_send)
    monkeypatch.setattr(backend, "_collect", told_collect)
    assert len(list(backend.answers(windows[:5]))) == 5
    assert said == ["send 2", "send 2", "collect 2", "send 1", "collect 2", "collect 1"]


def test_answers_stay_when_their_buffers_are_used_again(model, windows):
    backend = TorchBackend(model.network, "cpu", "f32", 2)
    kept = list(backend.answers(windows))
    again = [a[0].copy() for a in kept]
    list(backend.answers([x + 1 for x in windows]))
    for ours, theirs in zip(kept, again, strict=True):
        np.testing.assert_array_equal(ours[0], theirs)


@pytest.mark.parametrize("flip", [False, True])
def test_a_picture_in_batches_equals_one_window_after_the_other(model, flip):
    picture = np.random.default_rng(1).standard_normal((2, 700, 500), np.float32)

    def run(plan):
        out = np.zeros((2, 700, 500), np.float32)

        def sink(where, piece):
            out[(slice(None), *where)] = piece

        predict = predict_picture(
            model, array_reader(picture), (700, 500), plan, sink, flip=flip, open_with=on_processor
        )
        return out, run_to_end(predict)

    one, _ = run(Plan("cuda:0", "f32", 320, 1))
    many, used = run(Plan("cuda:0", "f32", 320, 1, batch=4))
    assert used.batch == 4
    np.testing.assert_allclose(many, one, atol=1e-4)


def test_short_of_memory_the_batch_is_halved_before_the_window():
    plan, seen = Plan("cuda:0", "bf16", 512, 2, batch=4), []
    while plan is not None and plan.device != "cpu":
        seen.append((plan.batch, plan.tile_px))
        plan = smaller_plan(plan, (5000, 5000))
    assert seen == [(4, 512), (2, 512), (1, 512), (1, 320)]
    assert (plan.batch, plan.precision) == (1, "f32")


@pytest.mark.parametrize(("memory", "expected"), [(1 << 40, 32), (4.5, 4), (8.0, 8), (0.5, 1)])
def test_a_batch_is_what_fits_the_memory_and_the_picture(memory, expected):
    windows = plan_tiles((5000, 5000), 512, 96)
    pixels = 512 * 512
    speeds = [Speed("f32", 512, 1.0, 100.0), Speed("bf16", 512, 1.0, 50.0)]
    assert best_batch(speeds, windows, int(memory * pixels * 100)) == expected
    assert best_batch(speeds, windows[:3], 1 << 60) <= 4


def test_many_squares_go_on_with_less_at_once_and_at_last_on_the_processor(model, windows):
    tried = []

    class Small(TorchBackend):
        def answers(self, given):
            tried.append(self.at_once)
            if self.at_once > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().answers(given)

    def open_small(model, plan, streams):
        return Small(model.network, "cpu", plan.precision, plan.batch)

    squares = SquareBackend(model, Plan("cuda:0", "f32", 32, 1, batch=8), open_small)
    found = squares.infer_many(windows)
    assert tried == [8, 4, 2]
    assert (squares.plan.batch, squares.plan.flags) == (2, ("tile_reduced", "tile_reduced"))
    for ours, x in zip(found, windows, strict=True):
        np.testing.assert_allclose(ours[0], TorchBackend(model.network, "cpu", "f32")(x)[0], atol=1e-4)


def test_the_processor_takes_one_at_once_and_a_card_eight(monkeypatch):
    cpu = Device("cpu", "Processor", 8 << 30, ("f32",))
    for device, params, expected in [(cpu, {"batch": 5}, 1), (CARD, {}, 8), (CARD, {"batch": 3}, 3)]:
        monkeypatch.setattr(resolving, "pick_device", lambda wanted, device=device: (device, False))
        assert fixed_plan(RunParams(threads=1, **params), 128).batch == expected


@pytest.mark.parametrize(("precision", "tf32"), [("f32", False), ("tf32", True), ("bf16", False)])
def test_tf32_is_used_only_where_it_is_asked_for_and_algorithms_are_deterministic(precision, tf32):
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # autocast for a card warns where there is none
        with numbers(torch.device("cuda"), precision):
            assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == tf32
            assert torch.backends.cudnn.deterministic
            assert not torch.backends.cudnn.benchmark
            assert torch.are_deterministic_algorithms_enabled()
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_settings_are_put_back_after_a_failure():
    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(ValueError, match="broken"), numbers(torch.device("cuda"), "f32"):
        raise ValueError("broken")
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize(("runs", "expected"), [(True, "mps"), (False, "cpu")])
def test_an_apple_gpu_without_volumes_is_replaced_and_flagged(monkeypatch, runs, expected):
    monkeypatch.setattr(devices, "_apple_runs_volumes", lambda: runs)
    apple = Device("mps", "Apple", 1 << 30, ("f32", "f16"))
    device, fallback = for_volumes(apple, False)
    assert (device.id, fallback) == (expected, not runs)
    assert for_volumes(CARD, False) == (CARD, False)


def test_a_plan_is_repeated_by_what_it_records():
    plan = Plan("cuda:0", "tf32", 512, 2, batch=4)
    told = RunParams(**plan.resolved())
    assert replace(plan, flags=()) == Plan(told.device, told.precision, told.tile_px, told.threads, (), told.batch)


def test_a_square_alone_and_many_share_one_network_on_the_card(model, windows, monkeypatch):
    opened = []

    def open_counted(model, plan, streams=1):
        opened.append(plan)
        return on_processor(model, plan)

    monkeypatch.setattr(open_backends, "open_anew", open_counted)
    squares = SquareBackend(model, Plan("cuda:0", "f32", 32, 1, batch=4))
    alone = squares.infer_concurrently(windows[0])
    many = squares.infer_many(windows)
    again = squares.infer_concurrently(windows[0])
    open_backends._opened.pop(model.source)
    assert len(opened) == 1
    np.testing.assert_array_equal(alone[0], again[0])
    np.testing.assert_allclose(many[0][0], alone[0], atol=1e-4)
