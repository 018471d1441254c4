import json
from types import SimpleNamespace

import pytest

from vitascope.core.card import Architecture
from vitascope.core.errors import ParameterError
from vitascope.core.params import RunParams
from vitascope.core.paths import cache
from vitascope.engine import execution_plan, measured_speed, open_backends
from vitascope.engine import resolve_plan as resolving
from vitascope.engine.device import Device, core_count, pick_device
from vitascope.engine.execution_plan import (
    LEAST_TILE_BYTES,
    MEMORY_SHARE,
    TILES_PX,
    VOLUME_MEMORY_BYTES,
    Plan,
    memory_cap,
    window_sides,
)
from vitascope.engine.load_model import find_family
from vitascope.engine.measured_speed import Speed, best_precision, measured_speeds
from vitascope.engine.open_backends import open_backend
from vitascope.engine.openvino_backend import OpenVinoBackend
from vitascope.engine.resolve_plan import best_tile, resolve_plan, smaller_plan
from vitascope.engine.torch_backend import TorchBackend
from vitascope.ops.tiling.tiles import plan_tiles

CPU = Device("cpu", "Processor", 16 << 30, ("f32", "bf16"))
GPU = Device("cuda:0", "GPU", 12 << 30, ("f32", "bf16", "f16"))
MPS = Device("mps", "Apple", 16 << 30, ("f32", "f16"))
FAMILY = find_family(Architecture(name="unet"))


def speeds(f32=1.0, bf16=0.5, bytes_per_px=100.0):
    return [
        Speed("f32", 192, f32, bytes_per_px),
        Speed("bf16", 192, bf16, bytes_per_px),
        Speed("f32", 512, f32, bytes_per_px),
        Speed("bf16", 512, bf16, bytes_per_px),
        Speed("bf16", 1024, bf16, bytes_per_px),
        Speed("bf16", 2144, bf16, bytes_per_px),
    ]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path))


@pytest.fixture
def measuring(monkeypatch):
    """Count measurements instead of making them."""
    calls = []

    def measure(model, device, threads, tiles, known=()):
        missing = [s for s in speeds() if s.precision in device.precisions and s.tile_px in tiles and s not in known]
        if missing:
            calls.append((device.id, threads))
        return [*known, *missing]

    monkeypatch.setattr(measured_speed, "measure", measure)
    monkeypatch.setattr(
        measured_speed, "compare_formats", lambda model, device, threads: measure(model, device, threads, (192,))
    )
    monkeypatch.setattr(resolving, "pick_device", lambda wanted: pick_device(wanted, [CPU]))
    return calls


@pytest.mark.parametrize(
    ("bf16", "expected"), [(0.5, "bf16"), (1 / 1.21, "bf16"), (1 / 1.19, "f32"), (1.0, "f32"), (2.0, "f32")]
)
def test_a_shorter_format_must_be_a_fifth_faster_to_be_taken(bf16, expected):
    assert best_precision(speeds(bf16=bf16)) == expected


def test_without_another_format_it_is_32_bit():
    assert best_precision([Speed("f32", 512, 1.0, 1.0)]) == "f32"


@pytest.mark.parametrize("shape", [(100, 100), (768, 768), (2136, 2136), (5000, 3000)])
def test_the_tile_is_the_one_whose_windows_take_least_time(shape):
    """With one speed for all pixels: the fewest pixels computed, halos included, in memory enough."""

    def pixels(tile):
        windows = [t.window for t in plan_tiles(shape, window_sides(FAMILY, tile, shape), 96)]
        sizes = [(y.stop - y.start) * (x.stop - x.start) for y, x in windows]
        return sum(sizes), max(sizes)

    for cap in (1 << 40, 100 * 1100**2, 100 * 400**2, 1):
        fitting = [t for t in TILES_PX if pixels(t)[1] * 100 <= cap] or [TILES_PX[0]]
        expected = min(fitting, key=lambda t: (pixels(t)[0], t))
        assert best_tile(speeds(), "bf16", shape, FAMILY, cap) == expected


def test_a_tile_that_was_measured_slow_is_passed_over():
    slow = [Speed("f32", 512, 1.0, 1.0), Speed("f32", 1024, 9.0, 1.0), Speed("f32", 2144, 9.0, 1.0)]
    assert best_tile(slow, "f32", (2000, 2000), FAMILY, 1 << 40) == 512


@pytest.mark.parametrize(("total_gib", "free_gib"), [(4, 1), (8, 6), (24, 20), (64, 60), (64, 1)])
def test_a_tile_takes_no_more_than_its_share_of_memory(monkeypatch, total_gib, free_gib):
    memory = SimpleNamespace(total=total_gib << 30, available=free_gib << 30)
    monkeypatch.setattr(execution_plan.psutil, "virtual_memory", lambda: memory)
    assert memory_cap(CPU) == min(max(LEAST_TILE_BYTES, int(memory.total * MEMORY_SHARE)), memory.available // 4)
    assert memory_cap(CPU, is_3d=True) == min(VOLUME_MEMORY_BYTES, memory.available // 4)
    assert memory_cap(GPU) == memory_cap(GPU, is_3d=True) == GPU.memory_bytes // 3


def test_windows_are_fitted_to_a_picture():
    """Nine windows of 1024 px over 2136 px do 2.1 times the work of one pass; fitted ones 1.2 times in 1400 x 1400."""
    shape = (2136, 2136)
    sides = window_sides(FAMILY, best_tile(speeds(), "bf16", shape, FAMILY, 100 * 1400**2), shape)
    windows = [t.window for t in plan_tiles(shape, sides, FAMILY.halo, FAMILY.multiple)]
    assert sum((y.stop - y.start) * (x.stop - x.start) for y, x in windows) <= 1.2 * 2144**2
    assert window_sides(FAMILY, 2144, shape) == (2144, 2144)


def test_what_the_user_fixed_is_kept_and_the_rest_chosen(model, measuring):
    chosen = resolve_plan(model, RunParams(threads=1, tile_px=640), (700, 700))
    assert chosen == Plan("cpu", "bf16", 640, 1)
    chosen = resolve_plan(model, RunParams(threads=1, precision="f32"), (100, 100))
    assert chosen == Plan("cpu", "f32", best_tile(speeds(), "f32", (100, 100), FAMILY, 1 << 30), 1)
    assert len(measuring) == 1


def test_a_plan_that_is_fixed_needs_no_measurement(model, measuring):
    resolve_plan(model, RunParams(threads=1, precision="f32", tile_px=512), (700, 700))
    assert measuring == []


def test_tiles_are_measured_when_a_picture_first_needs_them(model, measuring):
    measured = [measured_speeds(model, CPU, 1, shape) for shape in [(100, 100), (500, 400), (600, 500), (5000, 600)]]
    assert [[s.tile_px for s in found] for found in measured] == [
        [192, 192],
        [192, 192],
        [512, 512, 1024],
        [512, 512, 1024, 2144],
    ]
    assert len(measuring) == 3
    assert measured_speeds(model, CPU, 1, (100, 100)) == measured[0]
    assert len(measuring) == 3


@pytest.mark.parametrize("shape", [(100, 100), (320, 512), (513, 100), (1024, 1024), (1400, 900), (3000, 2000)])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_plan_does_not_depend_on_which_larger_pictures_were_run_before(model, measuring, shape, precision):
    """Else a run and its repetition a day later would differ in what they record."""
    before = best_tile(measured_speeds(model, CPU, 1, shape), precision, shape, FAMILY, 1 << 40)
    measured_speeds(model, CPU, 1)
    assert best_tile(measured_speeds(model, CPU, 1, shape), precision, shape, FAMILY, 1 << 40) == before


def test_with_one_format_a_small_picture_needs_no_measurement(model, measuring):
    assert resolve_plan(model, RunParams(threads=1, precision="bf16"), (300, 400)) == Plan("cpu", "bf16", 416, 1)
    assert measuring == []
    resolve_plan(model, RunParams(threads=1, precision="bf16"), (600, 500))
    assert len(measuring) == 1


@pytest.mark.parametrize(("gain", "timings"), [(3.0, [1, 1]), (1.3, [1, 1, 2, 2]), (1.0, [1, 1, 2, 2]), (0.5, [1, 1])])
def test_formats_are_timed_again_only_where_it_is_not_plain_which_one_is_worthwhile(model, monkeypatch, gain, timings):
    asked = []

    def time(model, plan, repeats=2, open_with=None):
        asked.append(repeats)
        return Speed(plan.precision, plan.tile_px, 1.0 if plan.precision == "f32" else 1 / gain, 1.0)

    monkeypatch.setattr(measured_speed, "_time", time)
    measured_speed.measure(model, CPU, 1, (512,))
    assert asked == timings
    asked.clear()
    measured_speed.compare_formats(model, CPU, 1)
    assert asked == [3, 3]


def test_threads_are_the_cores_unless_named(model, measuring):
    assert resolve_plan(model, RunParams(), (100, 100)).threads == core_count()


def test_a_resolved_plan_resolves_to_itself(model, measuring):
    first = resolve_plan(model, RunParams(), (700, 700))
    assert resolve_plan(model, RunParams(**first.resolved()), (50, 50)) == first


def test_a_format_the_device_lacks_is_refused_with_those_it_has(model, measuring):
    with pytest.raises(ParameterError, match="does not compute in f16") as caught:
        resolve_plan(model, RunParams(precision="f16"), (100, 100))
    assert caught.value.hint == "It takes f32, bf16."


@pytest.mark.parametrize("device", ["tpu", "cpu0", "", "gpu"])
@pytest.mark.fault("I11")
def test_a_device_nobody_knows_is_refused(model, measuring, device):
    with pytest.raises(ParameterError, match="is no device"):
        resolve_plan(model, RunParams(device=device), (100, 100))


@pytest.mark.fault("E04")
def test_a_device_that_is_not_there_is_replaced_and_flagged_its_format_with_it(model, measuring):
    chosen = resolve_plan(model, RunParams(device="cuda:1", precision="f16", tile_px=512), (100, 100))
    assert (chosen.device, chosen.precision, chosen.flags) == ("cpu", "f32", ("device_fallback",))


def test_devices_are_picked_by_kind_and_number():
    devices = [GPU, Device("cuda:1", "GPU 2", 1, ("f32",)), CPU]
    assert pick_device("auto", devices) == (GPU, False)
    assert pick_device("cuda", devices) == (GPU, False)
    assert pick_device("cuda:1", devices)[0].label == "GPU 2"
    assert pick_device("cpu", devices) == (CPU, False)
    assert pick_device("cuda:2", devices) == (CPU, True)
    assert pick_device("mps", devices) == (CPU, True)
    assert pick_device("mps", [MPS, CPU]) == (MPS, False)


@pytest.mark.fault("E01")
@pytest.mark.fault("E02")
def test_less_memory_takes_smaller_tiles_then_the_processor_then_nothing():
    plan, tiles = Plan("cuda:0", "bf16", 2144, 2), []
    while plan is not None:
        tiles.append((plan.device, plan.precision, plan.tile_px))
        plan = smaller_plan(plan, (5000, 5000))
    assert tiles == [
        *(("cuda:0", "bf16", t) for t in (2144, 1344, 896, 512, 320)),
        *(("cpu", "f32", t) for t in (416, 320)),
    ]


def test_a_tile_larger_than_the_picture_is_not_tried_again():
    plan = smaller_plan(Plan("cpu", "f32", 2144, 1), (600, 500))
    assert plan.tile_px == 416
    assert plan.flags == ("tile_reduced",)


def test_speeds_are_measured_once_and_kept(model, measuring):
    first = measured_speeds(model, CPU, 2)
    assert measured_speeds(model, CPU, 2) == first == speeds()[2:]
    assert measuring == [("cpu", 2)]
    measured_speeds(model, CPU, 1)
    assert measuring == [("cpu", 2), ("cpu", 1)]
    assert measured_speeds(model, CPU, 2) == first
    assert len(json.loads((cache() / "speed-1.json").read_text())) == 2


def entry(**changes):
    return [{"precision": "f32", "tile_px": 512, "seconds_per_px": 1e-8, "bytes_per_px": 100.0, **changes}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\x80\x04",
        "[" * 100_000,
        {"KEY": []},
        {"KEY": None},
        {"KEY": "fast"},
        {"KEY": [1]},
        {"KEY": entry(precision="bf16")},
        {"KEY": entry(seconds_per_px="fast")},
        {"KEY": entry(seconds_per_px=0)},
        {"KEY": entry(seconds_per_px=float("nan"))},
        {"KEY": entry(tile_px=None)},
        {"KEY": entry(colour="red")},
    ],
)
@pytest.mark.fault("J11")
def test_a_damaged_or_older_cache_is_measured_anew(model, measuring, text):
    measured_speeds(model, CPU, 2)
    file = cache() / "speed-1.json"
    key = next(iter(json.loads(file.read_text())))
    file.write_text(json.dumps({key: text["KEY"]}) if isinstance(text, dict) else text)
    assert measured_speeds(model, CPU, 2) == speeds()[2:]
    assert len(measuring) == 2


@pytest.mark.fault("E11")
def test_a_machine_without_a_writable_cache_measures_every_time(model, measuring, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "file" / "cache"))
    assert measured_speeds(model, CPU, 2) == measured_speeds(model, CPU, 2)
    assert len(measuring) == 2


def test_a_real_measurement_gives_times_and_bytes_for_every_format(model, monkeypatch):
    monkeypatch.setattr(measured_speed, "memory_cap", lambda device, is_3d: 0)
    device = pick_device("cpu")[0]
    found = measured_speed.measure(model, device, 1, (512, 1024))
    assert [s.precision for s in found] == list(device.precisions)
    assert all(s.seconds_per_px > 0 and s.bytes_per_px >= 2 * (2 * 4 + 2) for s in found)


def test_the_last_backend_of_a_network_stays_open(model):
    plan = Plan("cpu", "f32", 512, 1)
    first = open_backend(model, plan)
    assert isinstance(first, OpenVinoBackend)
    assert open_backend(model, Plan("cpu", "f32", 1024, 1)) is first
    assert open_backend(model, Plan("cpu", "f32", 512, 2)) is not first
    assert open_backend(model, plan) is not first


def test_other_devices_compute_through_torch(model, monkeypatch):
    seen = []
    monkeypatch.setattr(TorchBackend, "__init__", lambda self, network, *how: seen.append(how))
    open_backend(model, Plan("cuda:0", "f16", 512, 1, batch=4))
    open_backends._opened.pop(model.source)
    assert seen == [("cuda:0", "f16", 4)]
