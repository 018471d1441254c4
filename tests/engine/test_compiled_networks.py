"""Networks as they were compiled before: found again, of the same bits, rebuilt where damaged, never too many."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from tests_support import make_model, save_model
from vitascope.core.paths import SAMPLES, cache
from vitascope.engine import compiled_networks
from vitascope.engine import load_model as load
from vitascope.engine import openvino_backend as backends
from vitascope.engine.deferred_network import DeferredNetwork, network_key
from vitascope.engine.load_model import load_model
from vitascope.engine.openvino_backend import OpenVinoBackend, cpu_precisions
from vitascope.io.models.cards import find_cards, read_card
from vitascope.networks.unet import UNet


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VITASCOPE_MODELS", str(tmp_path / "models"))
    forget_loaded(monkeypatch)


def forget_loaded(monkeypatch):
    """Begin as a new process does."""
    monkeypatch.setattr(load, "_loaded", load.OrderedDict())


@pytest.fixture
def saved(tmp_path):
    (tmp_path / "models").mkdir()
    save_model(make_model(width=0.25, planes=2), tmp_path / "models")


def kept():
    return sorted((cache() / "compiled-1").glob("*.bin"))


def answer(model, x, precision="f32", threads=1):
    backend = OpenVinoBackend(model.source, x.shape[0], precision, threads)
    return [np.array(output) for output in backend(x)]


def no_trace(monkeypatch):
    monkeypatch.setattr(backends, "_trace", lambda network, example: pytest.fail("the network was traced"))


@pytest.mark.parametrize("precision", cpu_precisions())
def test_what_was_kept_gives_the_same_bits_as_what_was_traced(saved, monkeypatch, precision):
    model = load_model("test-model", "stain")
    pictures = [np.random.default_rng(0).standard_normal((2, h, w), np.float32) for h, w in ((64, 64), (96, 144))]
    plain = [
        [np.array(a) for a in OpenVinoBackend(model.network, 2, precision, 1)(x)] for x in pictures
    ]  # a network without a key is never kept
    expected = np.array(OpenVinoBackend(model.network, 2, precision, 1)(pictures[1][:, :80])[0])
    assert kept() == []
    first = [answer(model, x, precision) for x in pictures]
    assert len(kept()) == 3  # the network, and two shapes
    forget_loaded(monkeypatch)
    no_trace(monkeypatch)
    monkeypatch.setattr(load, "_build_filled", lambda card, tensors: pytest.fail("the network was built"))
    again = load_model("test-model", "stain")
    assert again is not model
    second = [answer(again, x, precision) for x in pictures]
    new_shape = answer(again, pictures[1][:, :80], precision)
    for found in (first, second):
        for ours, theirs in zip(found, plain, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(new_shape[0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(find_cards()))
def test_every_bundled_network_computes_the_same_bits_from_the_cache(name, monkeypatch):
    card = read_card(find_cards()[name])
    model = load_model(name, card.task)
    sides = (8, 32, 32) if model.family.is_3d else (128, 128)
    x = np.random.default_rng(1).standard_normal((card.network_channels, *sides), np.float32)
    plain = [np.array(a) for a in OpenVinoBackend(model.network, x.shape[0], "f32", 1, sides)(x)]
    first = [np.array(a) for a in OpenVinoBackend(model.source, x.shape[0], "f32", 1, sides)(x)]
    for ours, theirs in zip(first, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * float(np.abs(theirs).max()))
    for _ in range(2):
        backend = OpenVinoBackend(model.source, x.shape[0], "f32", 1, sides)
        for ours, theirs in zip(backend(x), first, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        forget_loaded(monkeypatch)
        no_trace(monkeypatch)
        model = load_model(name, card.task)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: b"x" * 100,
        lambda data: compiled_of(b""),
        lambda data: compiled_of(b"not a network"),
        lambda data: compiled_of(bytes(8)),
        lambda data: compiled_of((1 << 62).to_bytes(8, "little") + b"<net"),
        lambda data: compiled_of(data[32:400]),
    ],
)
@pytest.mark.fault("J11")
def test_what_is_damaged_is_made_anew(saved, monkeypatch, damage):
    """Also where its checksum is right, as of another version's file."""
    x = np.random.default_rng(0).standard_normal((2, 64, 64), np.float32)
    expected = answer(load_model("test-model", "stain"), x)
    good = [path.read_bytes() for path in kept()]
    for path, data in zip(kept(), good, strict=True):
        path.write_bytes(damage(data))
    forget_loaded(monkeypatch)
    np.testing.assert_array_equal(answer(load_model("test-model", "stain"), x)[0], expected[0])
    assert len(kept()) == len(good)
    assert all(compiled_networks.read(path.stem) != damage(data)[32:] for path, data in zip(kept(), good, strict=True))
    no_trace(monkeypatch)
    forget_loaded(monkeypatch)
    np.testing.assert_array_equal(answer(load_model("test-model", "stain"), x)[0], expected[0])


def compiled_of(data):
    """A file of the cache whose checksum is right."""
    compiled_networks.write("0" * 64, data)
    path = cache() / "compiled-1" / f"{'0' * 64}.bin"
    kept_bytes = path.read_bytes()
    path.unlink()
    return kept_bytes


@pytest.mark.fault("E11")
def test_without_a_writable_cache_all_is_computed_every_time(saved, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "file" / "cache"))
    x = np.zeros((2, 64, 64), np.float32)
    first = answer(load_model("test-model", "stain"), x)
    forget_loaded(monkeypatch)
    np.testing.assert_array_equal(answer(load_model("test-model", "stain"), x)[0], first[0])


def test_other_weights_format_or_threads_are_another_network(saved, monkeypatch, tmp_path):
    x = np.ones((2, 64, 64), np.float32)
    model = load_model("test-model", "stain")
    answer(model, x)
    answer(model, x, threads=2)
    assert len(kept()) == 3
    other = make_model(2, width=0.25, planes=2)
    save_model(other, tmp_path / "models")
    changed = load_model("test-model", "stain")
    assert changed.source.key != model.source.key
    np.testing.assert_array_equal(answer(changed, x)[0], OpenVinoBackend(other.network, 2, "f32", 1)(x)[0])
    monkeypatch.setattr(backends, "cpu_key", lambda: "another processor")
    before = len(kept())
    answer(changed, x)
    assert len(kept()) == before + 1


def test_the_key_changes_with_our_code_and_with_versions(monkeypatch):
    from vitascope.engine import deferred_network as deferred

    keys = {network_key("a"), network_key("b"), network_key("a", "b")}
    monkeypatch.setattr(deferred, "_code", lambda: "changed")
    keys.add(network_key("a"))
    for package in ("torch", "openvino", "vitascope"):
        monkeypatch.setattr(deferred, "versions", lambda package=package: {package: "99"})
        keys.add(network_key("a"))
    assert len(keys) == 7


def test_those_not_used_for_longest_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(compiled_networks, "MOST_BYTES", 1000)
    for number in range(4):
        compiled_networks.write(f"{number}", bytes(200))
        os.utime(cache() / "compiled-1" / f"{number}.bin", (number, number))
    assert [path.stem for path in kept()] == ["0", "1", "2", "3"]
    assert compiled_networks.holds("0")  # used again
    assert compiled_networks.read("1") == bytes(200)
    compiled_networks.write("4", bytes(200))
    assert [path.stem for path in kept()] == ["0", "1", "3", "4"]
    compiled_networks.write("large", bytes(600))
    assert "large" not in {path.stem for path in kept()}


def test_a_network_is_built_once_and_when_it_is_wanted():
    built = []

    def build():
        built.append(UNet(width=0.25))
        return built[-1]

    network = DeferredNetwork("key", "UNet", build)
    assert not network.is_compiled
    assert built == []
    assert network.get() is network.get() is built[0]
    assert len(built) == 1


RUN = """
import sys
from vitascope.cli.main import app
from vitascope.engine.device import may_have_graphics_card
card = may_have_graphics_card()
try:
    app(["run", "stain", sys.argv[1], "-o", sys.argv[2]])
except SystemExit as end:
    assert not end.code, end.code
heavy = ("torch", "monai", "dask", "zarr", "scipy.stats")
print("card" if card else [name for name in heavy if name in sys.modules])
"""


@pytest.mark.slow
def test_a_warm_run_loads_no_torch_and_writes_the_same_pixels(tmp_path):
    loaded = []
    for number in range(2):
        command = [sys.executable, "-c", RUN, str(SAMPLES / "isl_phase.ome.tif"), str(tmp_path / f"out{number}")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        loaded.append(done.stdout.strip().splitlines()[-1])
    for kind in ("prediction", "labels"):
        first, second = (tifffile.imread(tmp_path / f"out{n}" / kind / "isl_phase.ome.tif") for n in range(2))
        np.testing.assert_array_equal(first, second)
    if loaded[0] == "card":
        pytest.skip("torch is asked for a graphics card here")
    assert loaded == ["['torch']", "[]"]
