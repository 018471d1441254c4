"""Gaps between ticks of Qt's event loop while a stain is fine-tuned on the processor, from the click to the model."""

from __future__ import annotations

import os
import sys
import tempfile
import time

import numpy as np
from tests.benchmarks.machine import describe

TICK_MS = 5
EPOCHS, STEPS, SIDE_PX = 2, 6, 512
LIMIT_S = 300


def main(arguments: list[str]) -> None:
    os.environ["VITASCOPE_MODELS"] = tempfile.mkdtemp()
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    from vitascope.gui.docks.train_dock import TrainDock

    assert "torch" not in sys.modules
    viewer = napari.Viewer()
    rng = np.random.default_rng(0)
    stain = rng.normal(100, 10, (SIDE_PX, SIDE_PX)).astype(np.float32)
    stain[::32, ::32] += 1000
    phase = viewer.add_image(stain * 0.3 + rng.normal(0, 5, stain.shape), name="phase")
    viewer.add_image(stain, name="stain DNA", visible=False)
    viewer.layers.selection.active = phase
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    dock.model.model.setCurrentIndex(dock.model.model.findText("nuclei-phase"))
    dock.settings.setValue(dock.settings.value().changed(epochs=EPOCHS, steps_per_epoch=STEPS))
    box = next(iter(dock.data.truths.values()))
    box.setCurrentIndex(box.findText("stain DNA"))
    for _ in range(40):
        QApplication.processEvents()
        time.sleep(0.02)
    ticks, stages, ended, stage = [time.perf_counter()], [""], [], ["adding the pair"]

    def tick() -> None:
        ticks.append(time.perf_counter())
        stages.append(stage[0])

    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(TICK_MS)
    dock.data.add()
    end = time.perf_counter() + 30
    while "looking" in dock.data.pairs.item(0).text() and time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.001)
    dock.runner.progressed.connect(lambda p, _: stage.__setitem__(0, p.stage))
    dock.runner.ended.connect(ended.append)
    stage[0] = "from the click on"
    dock.train()
    end = time.perf_counter() + LIMIT_S
    while not ended and time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.001)
    timer.stop()
    print(describe())
    print(ended[0].kind if ended else "not ended", dock.status.text()[:200])
    gaps = 1000 * np.diff(ticks)
    names = np.array(stages[1:])
    print(
        f"{len(gaps)} ticks in {ticks[-1] - ticks[0]:.0f} s: median {np.median(gaps):.0f} ms, "
        f"p99 {np.percentile(gaps, 99):.0f} ms, longest {gaps.max():.0f} ms, {(gaps > 100).sum()} over 100 ms"
    )
    for name in dict.fromkeys(names):
        own = gaps[names == name]
        print(f"  {name:32} {len(own):5} ticks, p99 {np.percentile(own, 99):5.0f} ms, longest {own.max():5.0f} ms")
    viewer.close()
