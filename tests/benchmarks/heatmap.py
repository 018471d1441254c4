"""The heat map of 1536 wells: redraw in ms, and from a click on a 2048 x 2048 px well to its image on the screen."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from tests.benchmarks.machine import describe

ROUNDS = 20


def main(arguments: list[str]) -> None:
    import napari
    from qtpy.QtWidgets import QApplication

    from vitascope.batch.plate.run import run_plate
    from vitascope.core.progress import run_to_end
    from vitascope.core.well import Well

    sys.path.insert(0, str(Path(__file__).parent.parent))
    from plate_support import make_job

    print(describe())
    with tempfile.TemporaryDirectory(prefix="vitascope-heatmap-") as folder:
        plate = Path(folder) / "plate"
        plate.mkdir()
        small = np.ones((8, 8), np.uint16)
        large = np.random.default_rng(0).integers(0, 4000, (2048, 2048)).astype(np.uint16)
        for row in range(32):
            for column in range(48):
                picture = large if row == 0 and column < 10 else small + row
                tifffile.imwrite(plate / f"p_{Well(row, column)}_s1_w1.tif", picture)
        out = Path(folder) / "out"
        run_to_end(run_plate(make_job(plate, out)))
        viewer = napari.Viewer()
        viewer.window.resize(1366, 768)
        _, dock = viewer.window.add_plugin_dock_widget("vitascope", "Plate")
        dock.open_results(out)
        end = time.perf_counter() + 2
        while time.perf_counter() < end:  # the window is laid out
            QApplication.processEvents()
        grid = dock.heat.panels[0].grid
        redraws, redraws_cpu, clicks, clicks_cpu = [], [], [], []
        for i in range(ROUNDS):
            start, cpu = time.perf_counter(), time.process_time()
            dock.heat.robust.setChecked(i % 2 == 1)  # colours and paints all wells anew
            grid.grab()  # paints at once; beside OpenGL, Qt puts off a repaint until the next frame
            redraws.append(1000 * (time.perf_counter() - start))
            redraws_cpu.append(1000 * (time.process_time() - cpu))
        for i in range(10):
            before = dock.view.shown
            start, cpu = time.perf_counter(), time.process_time()
            grid._go(Well(0, i))
            while dock.view.shown == before:
                QApplication.processEvents()
                time.sleep(0.001)
            viewer.window._qt_viewer.canvas._scene_canvas.native.repaint()
            clicks.append(time.perf_counter() - start)
            clicks_cpu.append(time.process_time() - cpu)
        shape = f"{grid.shape[0]} x {grid.shape[1]} wells on {grid.width()} x {grid.height()} px"
        print(f"redraw, {shape}: median {np.median(redraws):.1f} ms, worst {max(redraws):.1f} ms of {ROUNDS}; "
              f"CPU median {np.median(redraws_cpu):.1f} ms")  # fmt: skip
        print(f"click to image, prediction and objects drawn: first {clicks[0]:.3f} s, then median "
              f"{np.median(clicks[1:]):.3f} s, worst {max(clicks[1:]):.3f} s; CPU median {np.median(clicks_cpu[1:]):.3f} s")  # fmt: skip
        viewer.close()
