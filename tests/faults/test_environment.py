"""Settings of the interpreter and the machine that a run has to live with."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

import vitascope
from tests_support import blobs, make_domain, make_model, save_model
from vitascope.core.errors import ReaderError

FAST = {"model": "test-model", "precision": "f32", "tile_px": 512, "threads": 1}


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv("VITASCOPE_MODELS", str(folder))
    save_model(make_model(width=0.25, object_diameter_px=18, domain=make_domain()), folder)
    return folder


@pytest.mark.parametrize("kind", ["plain", "not finite", "constant", "one pixel", "extreme"])
@pytest.mark.fault("H29")
def test_a_run_raises_no_warning_where_numpy_and_python_make_them_errors(kind):
    picture = (200 + 1000 * blobs((96, 96))).astype(np.float32)
    if kind == "not finite":
        picture[:3] = np.nan
        picture[5, 5] = np.inf
    elif kind == "constant":
        picture[:] = 7
    elif kind == "one pixel":
        picture = picture[:1, :1]
    elif kind == "extreme":
        picture = np.where(picture > 700, 3e38, -3e38).astype(np.float32)
    with np.errstate(divide="raise", invalid="raise", over="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        result = vitascope.run("stain", picture, reference=picture, **FAST)
    assert np.isfinite(result.output("prediction").array).all()


LARGE = """
import threading, time
import dask.array as da
import numpy as np
import psutil
import vitascope

process, peak = psutil.Process(), [0]

def watch():
    while True:
        peak[0] = max(peak[0], process.memory_info().rss)
        time.sleep(0.02)

tile = (1000 * np.random.default_rng(0).random((1024, 1024))).astype(np.uint16)
image = da.tile(da.from_array(tile, chunks=1024), (8, 8))
threading.Thread(target=watch, daemon=True).start()
result = vitascope.run("stain", image, model="test-model", precision="f32", tile_px=1024, masks=False)
assert result.output("prediction").array.shape == (8192, 8192)
print(peak[0])
"""


@pytest.mark.slow
@pytest.mark.fault("E16")
def test_a_large_lazy_image_takes_less_than_two_gigabytes():
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2 << 30


@pytest.mark.parametrize("suffix", ["czi", "nd2", "lif"])
@pytest.mark.fault("B29")
def test_files_of_vendors_are_refused_with_what_to_do_whatever_they_hold(tmp_path, suffix):
    for i, content in enumerate([b"", b"text", bytes(range(256)) * 40, b"ZISRAWFILE", b"\xda\xce\xbe\x0a"]):
        path = tmp_path / f"{i}.{suffix}"
        path.write_bytes(content)
        with pytest.raises(ReaderError, match="cannot be read") as caught:
            vitascope.read_images(str(path))
        assert "copy it again" in caught.value.hint
        assert "OME-TIFF" in caught.value.hint
