"""A task of the docks that needs no model, and runs that wait for no thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication

from vitascope.core.card import Architecture, DataSource, InputSpec, Metric, ModelCard, Normalisation, Target, Weights
from vitascope.core.errors import InputError
from vitascope.core.params import RunParams
from vitascope.core.progress import Progress
from vitascope.core.result import ImageOutput, LabelsOutput, Provenance, Result, Trust
from vitascope.core.status import Status
from vitascope.gui.common.runner import failure
from vitascope.tasks.spec import Role, TaskSpec


def settle():
    """Let everything happen that waits, deletions among it."""
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()


def now(work, then):
    """Do at once what a dock launches, as a thread would later; an error arrives as the thread's failure."""
    try:
        value = work()
    except Exception as error:
        value = failure(error)
    then(value)


def at_once(runner, work):
    """Do the work where it is asked for, as the worker would in its thread."""
    steps = work()
    while True:
        try:
            runner.on_step(next(steps))
        except StopIteration as stop:
            runner.on_end(stop.value)
            return


class FakeParams(RunParams):
    channel: str | None = Field(None, title="Channel", description="The channel.")
    planes: tuple[int, ...] | None = Field(None, title="Planes", description="The planes.")
    gain: float = Field(2.0, title="Gain", description="Factor.", gt=0, le=10)
    shift: float | None = Field(None, title="Shift", description="Summand.", json_schema_extra={"unit": "grey values"})
    times: int = Field(
        3, title="Times", description="ProgressGenerator.", ge=1, le=50, json_schema_extra={"advanced": True}
    )


def fake_run(inputs, params):
    """Scale the image; what is bright becomes one object a quarter. ProgressGenerator once for each of ``times``."""
    image = inputs["image"]
    if image.sizes["X"] < 4:
        raise InputError("The image is too small.", "Take a larger one.", flag="unfit_input")
    picture = params.gain * np.asarray(image.plane(), np.float32) + (params.shift or 0)
    for i in range(params.times):
        yield Progress(i, params.times, "Scaling")
    labels = np.zeros(image.shape_yx, np.uint32)
    y, x = (n // 2 for n in image.shape_yx)
    labels[: y - 1, : x - 1], labels[y + 1 :, x + 1 :] = 1, 2
    table = pd.DataFrame({"label": [1, 2], "area_px": [float((labels == k).sum()) for k in (1, 2)], "area_um2": np.nan})
    provenance = Provenance(
        task="fake",
        model="fake-model",
        model_sha256="0" * 64,
        params={**params.model_dump(mode="json"), "model": "fake-model", "device": "cpu"},
        device="cpu",
        precision="f32",
        inputs=[{"role": "image", "name": image.name}],
        versions={},
        started="2026-01-01T00:00:00+00:00",
        seconds=1.0,
    )
    return Result(
        (
            ImageOutput("prediction", "predicted", picture, "YX", ("DNA",), limits=(0.0, 9.0), colormap="magma"),
            LabelsOutput("labels", "nuclei", labels, "YX", table),
        ),
        ({"time": None, "z": None, "objects": 2, "mean_area_px": float(table["area_px"].mean())},),
        "nuclei",
        image.place,
        image.name,
        Status.of_flags(image.flags),
        image.flags,
        trust=Trust("fits"),
        provenance=provenance,
    )


@dataclass(frozen=True)
class FakeSpec(TaskSpec):
    """A task whose pipeline is a function of the tests."""

    run: object = fake_run

    def start(self, inputs, params):
        return self.run(inputs, params)


def make_spec(run=fake_run):
    return FakeSpec(
        "fake", "Count things", "Count things", "Scale an image.", FakeParams, "", "",
        (Role("image", "Image", "Any image."), Role("reference", "Real stain", "To compare with.", optional=True)),
        "objects", "Things", run=run,
    )  # fmt: skip


def make_card(model_id="fake-model", planes=1, pixel_size_um=None):
    """A valid card of the fake task; there are no weights to it."""
    return ModelCard(
        id=model_id, task="fake", title="A fake model", summary="Trained on nothing",
        architecture=Architecture(name="none"),
        input=InputSpec(
            modality="phase contrast", channels=("phase",), planes=planes, pixel_size_um=pixel_size_um,
            object_diameter_px=12.0, normalisation=Normalisation(method="standard"),
        ),
        targets=(Target(name="DNA", masks=True, colormap="bop blue"),),
        data=(DataSource(name="none", licence="CC0-1.0", credit="<nobody & no one>"),),
        split="none",
        metrics=(Metric(name="PCC", value=0.853, low=0.82, high=0.88, level=0.95, on="test rows", n=5),),
        limitations="Always.", licence="CC0-1.0",
        weights=Weights(file=f"{model_id}.safetensors", sha256="0" * 64, dtype="float32", parameters=1234),
    )  # fmt: skip
