import errno
import json
import os
import pickle

import numpy as np
import pytest
import safetensors.numpy

from vitascope.core.errors import ModelError, OutputError
from vitascope.io.models import weights
from vitascope.io.models.weights import check_header, read_weights, sha256_of_bytes, write_weights


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    return {
        "first.weight": rng.standard_normal((4, 3)).astype(np.float16),
        "norm.running_var": rng.random(5).astype(np.float32),
        "empty": np.zeros((0, 3), np.float32),
    }


@pytest.fixture
def file(tmp_path, tensors):
    path = tmp_path / "m.safetensors"
    sha256 = write_weights(path, tensors)
    return path, sha256


def packed(header, data=b""):
    """A file with any header, given as text or as what JSON can hold."""
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begin, end, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def refused(tmp_path, data, match):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=match) as caught:
        read_weights(path, None)
    assert caught.value.flag == "model_refused"
    assert "bad.safetensors" in caught.value.message
    assert str(tmp_path) not in str(caught.value)


def test_what_was_written_is_read_back_to_the_bit(file, tensors):
    path, sha256 = file
    found = read_weights(path, sha256)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor)


def test_the_file_is_one_that_the_library_reads(file, tensors):
    np.testing.assert_array_equal(safetensors.numpy.load_file(file[0])["first.weight"], tensors["first.weight"])


@pytest.mark.fault("D09")
def test_one_flipped_bit_anywhere_is_refused_by_its_hash(file):
    path, sha256 = file
    good = path.read_bytes()
    for position in (0, 12, len(good) - 1):
        bad = bytearray(good)
        bad[position] ^= 1
        path.write_bytes(bytes(bad))
        with pytest.raises(ModelError, match="SHA-256 differs"):
            read_weights(path, sha256)


@pytest.mark.parametrize("kept", [0, 7, 8, 40, -1])
@pytest.mark.fault("D11")
def test_a_file_cut_short_is_refused_also_without_a_hash(tmp_path, file, kept):
    data = file[0].read_bytes()
    refused(tmp_path, data[:kept], "not a sound safetensors file")


class Payload:
    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return os.mkdir, (str(self.sentinel),)


@pytest.mark.fault("D04")
@pytest.mark.fault("D02")
def test_a_pickle_posing_as_weights_is_refused_and_never_run(tmp_path):
    sentinel = tmp_path / "was-run"
    refused(tmp_path, pickle.dumps(Payload(sentinel)), "not a sound safetensors file")
    assert not sentinel.exists()


@pytest.mark.fault("D01")
@pytest.mark.fault("D03")
def test_what_torch_saves_is_refused_and_never_run(tmp_path):
    torch = pytest.importorskip("torch")
    sentinel = tmp_path / "was-run"
    for saved in (Payload(sentinel), torch.nn.Linear(2, 2)):
        path = tmp_path / "bad.safetensors"
        torch.save(saved, path)
        refused(tmp_path, path.read_bytes(), "not a sound safetensors file")
    assert not sentinel.exists()


@pytest.mark.parametrize("length", [2**60, 200 << 20, 2**64 - 1])
@pytest.mark.fault("D06")
def test_a_header_longer_than_its_file_is_refused_before_anything_is_allocated(tmp_path, length):
    refused(tmp_path, length.to_bytes(8, "little") + b"{}", "longer than the file")


@pytest.mark.parametrize(
    "header",
    [
        "{",
        "nothing",
        "\xff\xfe",
        "[" * 100_000,
        "5",
        '"ab"',
        "null",
        '{"a": 1}',
        '{"a": {"dtype": "F32", "shape": [1]}}',
        {"a": entry(0, 4, dtype="F7")},
        {"a": entry(0, 4, dtype="O")},
        {"a": entry(0, 4, shape=("x",))},
        {"a": entry("a", "b")},
        '{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, NaN]}}',
        '[["a", [["dtype", "F32"], ["shape", [1]], ["data_offsets", [0, 4]]]]]',
        '{"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}',
    ],
)
@pytest.mark.fault("D06")
def test_headers_that_are_none_are_refused(tmp_path, header):
    refused(tmp_path, packed(header, b"\0\0\0\0"), "not a sound safetensors file")


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"a": entry(0, 4), "b": entry(2, 6)}, "overlap"),
        ({"a": entry(0, 4), "b": entry(8, 12)}, "gaps"),
        ({"a": entry(4, 8)}, "gaps"),
        ({"a": entry(0, 4)}, "do not fill the file"),
        ({"a": entry(0, 16, shape=(4,))}, "do not fill the file"),
        ({"a": entry(0, 8, shape=(3,))}, "another length than its shape"),
        ({"a": entry(-4, 0)}, "another length than its shape"),
        ({"a": entry(0, 8, shape=(-1, -2))}, "another length than its shape"),
        ({"a": entry(0, 8, shape=(2**62, 2**62))}, "another length than its shape"),
    ],
)
@pytest.mark.fault("D07")
def test_offsets_that_do_not_tile_the_file_are_refused(tmp_path, header, why):
    refused(tmp_path, packed(header, b"\0" * 8), why)


@pytest.mark.fault("D08")
def test_a_tensor_named_twice_is_refused(tmp_path):
    first, second = json.dumps(entry(0, 4)), json.dumps(entry(4, 8))
    refused(tmp_path, packed(f'{{"a": {first}, "a": {second}}}', b"\0" * 8), "named twice")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.fault("D13")
def test_weights_that_are_no_numbers_are_refused_naming_the_tensor(tmp_path, bad):
    path = tmp_path / "m.safetensors"
    write_weights(path, {"good": np.ones(2, np.float32), "last.bias": np.array([0, bad], np.float32)})
    with pytest.raises(ModelError, match=r"NaN or infinity in 'last\.bias'"):
        read_weights(path, None)


@pytest.mark.fault("D13")
def test_weights_too_large_for_the_network_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    write_weights(path, {"a": np.array([1e300])})
    with pytest.raises(ModelError, match="infinity"):
        read_weights(path, None)


def test_a_missing_file_is_said_so(tmp_path):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read_weights(tmp_path / "gone.safetensors", None)


@pytest.mark.fault("D06")
def test_a_file_beyond_the_cap_is_refused_unread(tmp_path, monkeypatch, file):
    monkeypatch.setattr(weights, "MAX_BYTES", 10)
    with pytest.raises(ModelError, match="up to 4 GiB"):
        read_weights(*file)


def test_metadata_is_no_tensor():
    check_header(packed({"__metadata__": {"made": "here"}, "a": entry(0, 4)}, b"\0" * 4), "m")


def test_the_hash_is_that_of_the_file(file):
    path, sha256 = file
    assert sha256_of_bytes(path.read_bytes()) == sha256


@pytest.mark.fault("F13")
def test_a_full_disk_leaves_the_older_file_as_it_was(file, monkeypatch):
    path, sha256 = file

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="full"):
        write_weights(path, {"a": np.zeros(3, np.float32)})
    assert sha256_of_bytes(path.read_bytes()) == sha256
    assert [p.name for p in path.parent.iterdir()] == [path.name]
