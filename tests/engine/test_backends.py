"""The two run times, OpenVINO and torch, against the network itself."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from vitascope.engine.openvino_backend import OpenVinoBackend, cpu_name, cpu_precisions, is_memory_error
from vitascope.engine.torch_backend import TorchBackend


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).standard_normal((2, 96, 144), np.float32)


@pytest.fixture(scope="module")
def expected(model, picture):
    with torch.no_grad():
        return [a[0].numpy() for a in model.network(torch.from_numpy(picture)[None])]


def open_(kind, model, precision="f32"):
    if kind == "openvino":
        return OpenVinoBackend(model.network, 2, precision, 1)
    return TorchBackend(model.network, "cpu", precision)


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_32_bit_equals_the_network(kind, model, picture, expected):
    for ours, theirs in zip(open_(kind, model)(picture), expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_bf16_is_close_and_not_the_same(kind, model, picture, expected):
    if kind == "openvino" and "bf16" not in cpu_precisions():
        pytest.skip("this processor has no bf16")
    image = open_(kind, model, "bf16")(picture)[0]
    assert np.corrcoef(image.ravel(), expected[0].ravel())[0, 1] > 0.99
    assert np.abs(image - expected[0]).max() > 1e-6


@pytest.mark.parametrize("kind", ["openvino", "torch"])
@pytest.mark.fault("E07")
def test_same_window_same_bits_also_after_other_windows(kind, model, picture):
    backend = open_(kind, model)
    first = [a.copy() for a in backend(picture)]
    for side in (32, 48, 64):
        assert backend(picture[:, :side, :side])[0].shape == (2, side, side)
    for ours, theirs in zip(backend(picture), first, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["openvino", "torch"])
def test_threads_that_run_their_windows_at_once_get_each_its_own_answer_to_the_bit(kind, model, picture):
    backend = OpenVinoBackend(model.network, 2, "f32", 1, streams=2) if kind == "openvino" else open_(kind, model)
    windows = [picture + n for n in range(6)]
    expected = [open_(kind, model)(x)[0].copy() for x in windows]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda x: backend.infer_concurrently(x)[0], windows * 3))
    for ours, theirs in zip(found, expected * 3, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_number_of_threads_changes_no_bit(model, picture):
    one, two = (OpenVinoBackend(model.network, 2, "f32", n)(picture)[0].copy() for n in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.fault("J12")
def test_no_operation_is_missing_where_only_deterministic_ones_are_allowed(model, picture, expected):
    torch.use_deterministic_algorithms(True)
    try:
        ours = TorchBackend(model.network, "cpu", "f32")(picture)[0]
    finally:
        torch.use_deterministic_algorithms(False)
    np.testing.assert_allclose(ours, expected[0], atol=1e-4)


def test_the_network_given_is_left_where_it_is(model, picture):
    backend = TorchBackend(model.network, "cpu", "f32")
    before = [p.data_ptr() for p in model.network.parameters()]
    backend(picture)
    assert [p.data_ptr() for p in model.network.parameters()] == before
    assert next(model.network.parameters()).device.type == "cpu"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("[CPU] failed to allocate 12 bytes"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
@pytest.mark.fault("E03")
def test_a_shortage_of_memory_is_told_from_other_errors(error, expected):
    assert is_memory_error(error) == expected


@pytest.mark.fault("E03")
def test_openvinos_shortage_of_memory_is_pythons(model, picture, monkeypatch):
    backend = open_("openvino", model)

    def run_out(shape):
        raise RuntimeError("Exception from src/cpu: std::bad_alloc")

    monkeypatch.setattr(backend, "_compile", run_out)
    with pytest.raises(MemoryError):
        backend(picture)


def test_other_errors_of_openvino_stay_what_they_are(model):
    with pytest.raises(RuntimeError):
        open_("openvino", model)(np.zeros((3, 64, 64), np.float32))


def test_the_processor_has_a_name_and_computes_in_32_bit():
    assert cpu_name().strip()
    assert cpu_precisions()[0] == "f32"


def test_telemetry_stays_unimportable(model, picture):
    open_("openvino", model)(picture)
    assert sys.modules["openvino_telemetry"] is None


FIRST_AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
from vitascope.engine import openvino_backend
openvino_backend._core()
start = threading.Barrier(8)
def ask():
    start.wait()
    sys.modules["openvino"].Type.f32.to_dtype()
threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
for one in threads:
    one.start()
for one in threads:
    one.join(10)
sys.exit(any(one.is_alive() for one in threads))
"""


def test_threads_that_infer_first_and_at_once_do_not_wait_for_each_other_for_ever():
    """OpenVINO's table of types, filled by two threads at once, hung a plate run that was resumed."""
    for _ in range(2):
        subprocess.run([sys.executable, "-c", FIRST_AT_ONCE], check=True, timeout=120)
