"""A plate and a task that need no model, for tests of plate runs; workers in other processes can import them."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from vitascope.batch.plate.job import PlateJob
from vitascope.batch.plate.run import run_plate
from vitascope.core.errors import InputError
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress, run_to_end
from vitascope.core.result import ImageOutput, LabelsOutput, Provenance, Result
from vitascope.io.plates.read import open_plate
from vitascope.tasks.spec import Role, TaskSpec

GREED_BYTES = 3 << 28


class FakeParams(RunParams):
    gain: float = 2.0
    log: str = ""
    seconds: float = 0.0
    poison: str = ""
    greedy: str = ""


def note(params, text):
    """Write down that an image is computed, in one write, so that a kill cannot lose it."""
    if params.log:
        with Path(params.log).open("ab", buffering=0) as file:
            file.write(f"{text}\n".encode())
        Path(f"{params.log}.process").write_text(str(os.getpid()))


def fake_run(inputs, params):
    """Scale the image; the left half is object 1, the right half object 2."""
    image = inputs["image"]
    note(params, image.name)
    if params.poison and params.poison in image.name:
        os.kill(os.getpid(), signal.SIGKILL)
    if params.greedy and params.greedy in image.name:
        hoard = np.ones(GREED_BYTES // 8)
        time.sleep(10 * hoard[-1])
    picture = params.gain * np.asarray(image.plane(), np.float32)
    if not picture.any():
        raise InputError("It is black.", flag="constant")
    end = time.monotonic() + params.seconds
    while time.monotonic() < end:
        time.sleep(0.005)
        yield Progress(0, 1, "Waiting")
    labels = np.ones(image.shape_yx, np.uint32)
    labels[:, image.shape_yx[1] // 2 :] = 2
    means = [float(picture[labels == k].mean()) for k in (1, 2)]
    table = pd.DataFrame({"label": [1, 2], "mean": means, "area_um2": np.nan})
    resolved = {**params.model_dump(mode="json"), "model": "fake", "device": "cpu", "precision": "f32", "tile_px": 512}
    provenance = Provenance(
        task="fake", model="fake", model_sha256=os.environ.get("FAKE_SHA", "0" * 64), params=resolved, device="cpu",
        precision="f32", inputs=[{"role": "image", "name": image.name}], versions={},
        started="2026-01-01T00:00:00+00:00", seconds=0.1,
    )  # fmt: skip
    return Result(
        (
            ImageOutput("prediction", "predicted", picture, "YX", ("DNA",), limits=(0.0, 9.0), colormap="magma"),
            LabelsOutput("labels", "halves", labels, "YX", table),
        ),
        ({"time": None, "mean": float(picture.mean()), "largest": int(picture.max())},),
        "things", image.place, image.name, flags=(), provenance=provenance,
    )  # fmt: skip


@dataclass(frozen=True)
class FakeSpec(TaskSpec):
    def load(self):
        return fake_run


SPEC = FakeSpec(
    "fake", "Fake", "Scale", "Scale images.", FakeParams, "", "", (Role("image", "Image", "Any."),), "mean", "Mean"
)


def make_plate(folder, wells=12, fields=1, size=16):
    """Write a small plate; every image has numbers of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(wells):
        for field in range(fields):
            picture = np.random.default_rng((k, field)).integers(1, 200, (size, size)).astype(np.uint16)
            name = f"p_{'ABCDEFGH'[k // 12]}{k % 12 + 1:02d}_s{field + 1}_w1.tif"
            tifffile.imwrite(folder / name, picture)
    return folder


def make_job(plate, out, **changes):
    params = SPEC.make_params(**{k: changes.pop(k) for k in list(changes) if k in FakeParams.model_fields})
    return PlateJob(SPEC, open_plate(plate), params, Path(out), **changes)


def tables(out):
    """All tables of a run, as bytes and as frames."""
    return {
        "results.csv": (out / "results.csv").read_bytes(),
        "objects.csv": (out / "objects.csv").read_bytes(),
        "results.parquet": pd.read_parquet(out / "results.parquet").to_dict("list").__repr__(),
        "objects.parquet": pd.read_parquet(out / "objects.parquet").to_dict("list").__repr__(),
    }


def main(plate, out, log, seconds, workers):
    """Run a plate as a program of its own, to be killed."""
    run_to_end(run_plate(make_job(Path(plate), out, log=log, seconds=float(seconds), workers=int(workers) or None)))


if __name__ == "__main__":
    main(*sys.argv[1:])
