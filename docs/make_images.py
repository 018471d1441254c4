"""Take the pictures of the documentation from the running program (needs a screen).

``python docs/make_images.py [demo] [phenotype] [train] [bring] [trust]``; all without a name; trust needs no screen.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parent / "images"
LIMIT_S = 600.0


def wait(app: object, seconds: float, done: object = lambda: False) -> None:
    """Let the window work for a while, or until something is done."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not done():  # type: ignore[operator]
        app.processEvents()  # type: ignore[attr-defined]
        time.sleep(0.02)


def wait_for_masks(app: object, viewer: Any, dock: Any) -> None:
    """Let a run come to its masks, and show all of them."""
    wait(
        app,
        LIMIT_S,
        lambda: any(type(layer).__name__ == "Labels" for layer in viewer.layers) and not dock.runner.running,
    )
    viewer.reset_view()
    wait(app, 2.0)


def photograph(viewer: Any, name: str) -> None:
    """Save the whole window."""
    IMAGES.mkdir(exist_ok=True)
    viewer.screenshot(str(IMAGES / name), canvas_only=False, flash=False)


def demo(app: object, viewer: Any) -> None:
    """Run the demo and photograph its window."""
    from vitascope.gui.demo import start

    dock = start(viewer)
    wait_for_masks(app, viewer, dock)
    photograph(viewer, "dock.png")


def phenotype(app: object, viewer: Any) -> None:
    """Classify the sample of a treated well, and photograph the dock with its maps."""
    from vitascope.core.paths import SAMPLES
    from vitascope.gui.docks.phenotype_dock import PhenotypeDock

    viewer.open(str(SAMPLES / "bbbc013_positive.ome.tif"), plugin="vitascope")
    dock = PhenotypeDock(viewer)
    viewer.window.add_dock_widget(dock, name="Phenotype")
    dock.run()
    wait_for_masks(app, viewer, dock)
    photograph(viewer, "phenotype.png")


def train(app: object, viewer: Any) -> None:
    """Fine-tune on the sample of neurons for two rounds, and photograph both docks."""
    from vitascope.core.paths import SAMPLES
    from vitascope.gui.docks.models_dock import ModelsDock
    from vitascope.gui.docks.train_dock import TrainDock

    os.environ["VITASCOPE_MODELS"] = tempfile.mkdtemp(prefix="vitascope-")
    for name in ("isl_phase", "isl_stains"):
        viewer.open(str(SAMPLES / f"{name}.ome.tif"), plugin="vitascope")
    dock = TrainDock(viewer)
    window = viewer.window.add_dock_widget(dock, name="Train")
    dock.model.model.setCurrentIndex(dock.model.model.findText("nuclei-phase"))
    phase = next(layer for layer in viewer.layers if "phase" in layer.name)
    dock.data.input.main.choose(phase)
    dock.data.input.planes.setText("3")
    dock.data.add()
    wait(app, LIMIT_S, lambda: "looking" not in dock.data.pairs.item(0).text())
    dock.settings.setValue(dock.settings.value().changed(epochs=3, steps_per_epoch=1))
    dock.train()
    wait(app, LIMIT_S, lambda: dock.status.text().startswith(("epoch 3", "settling")))
    wait(app, 1.0)
    photograph(viewer, "train.png")
    dock.area.verticalScrollBar().setValue(dock.area.verticalScrollBar().maximum())
    wait(app, 0.5)
    photograph(viewer, "train_live.png")
    dock.stop()
    wait(app, LIMIT_S, lambda: not dock.runner.running)
    viewer.window.remove_dock_widget(window)
    models = ModelsDock(viewer)
    viewer.window.add_dock_widget(models, name="Models")
    models.list.choose("nuclei-phase-mine")
    wait(app, 1.0)
    photograph(viewer, "models.png")


def bring(app: object, viewer: Any) -> None:
    """Bring a network as ONNX: the questions, the pictures before it is kept, and its domain."""
    from vitascope.core.paths import SAMPLES
    from vitascope.gui.docks.models_dock import ModelsDock
    from vitascope.gui.docks.stain_dock import StainDock
    from vitascope.gui.train.bring_dialog import BringQuestion
    from vitascope.gui.train.keep_dialog import KeepQuestion
    from vitascope.tasks.late_modules import load_exchange

    folder = Path(tempfile.mkdtemp(prefix="vitascope-"))
    os.environ["VITASCOPE_MODELS"] = str(folder)
    path = load_exchange().export_onnx("organelles-brightfield", folder / "their network.onnx")
    viewer.open(str(SAMPLES / "jurkat_brightfield.ome.tif"), plugin="vitascope")
    dock = ModelsDock(viewer)
    viewer.window.add_dock_widget(dock, name="Models")
    wait(app, 1.0)
    photograph(viewer, "bring_a_model_dock.png")
    dock.ask_bring(path)
    question = dock.findChild(BringQuestion)
    question.name.setText("theirs")
    question.outputs.setText("DNA, ER, actin, mitochondria, RNA")
    question.normalise.setCurrentIndex(question.normalise.findData("percentile:1:99"))
    wait(app, 1.0)
    IMAGES.mkdir(exist_ok=True)
    question.grab().save(str(IMAGES / "bring_a_model.png"))
    question.accept()
    wait(app, LIMIT_S, lambda: dock.findChild(KeepQuestion) is not None)
    keep = dock.findChild(KeepQuestion)
    wait(app, 1.0)
    keep.grab().save(str(IMAGES / "bring_a_model_keep.png"))
    keep.accept()
    wait(app, 2.0)
    viewer.reset_view()
    photograph(viewer, "bring_a_model_tried.png")
    dock.list.choose("theirs")
    dock.list.domain_button.click()
    wait(app, LIMIT_S, lambda: not dock.runner.running)
    wait(app, 1.0)
    photograph(viewer, "bring_a_model_domain.png")
    stain = StainDock(viewer)
    viewer.window.add_dock_widget(stain, name="Predict nuclei")
    stain.model.model.setCurrentIndex(stain.model.model.findText("theirs"))
    stain.run()
    wait(app, LIMIT_S, lambda: not stain.runner.running)
    wait(app, 1.0)
    photograph(viewer, "bring_a_model_run.png")


def trust() -> None:
    """Draw predictions that are good, middling and bad beside what was expected of them and the real stain."""
    import matplotlib.pyplot as plt
    import numpy as np

    import vitascope
    from vitascope.core.paths import SAMPLES
    from vitascope.io.images.read import read_image
    from vitascope.ops.intensity.corruption import defocus
    from vitascope.stats.agreement import pcc

    def sample(name: str, z: int = 0) -> Any:
        return np.asarray(read_image(str(SAMPLES / f"{name}.ome.tif")).plane(0, 0, z))

    phase, jurkat = sample("isl_phase", 3), sample("jurkat_brightfield")
    cases = (
        ("Good: like the training images", phase, sample("isl_stains")),
        ("Unsure: a laboratory the model never saw", jurkat, sample("jurkat_dna")),
        ("Bad: out of focus", defocus(phase.astype(np.float32), 16.0), sample("isl_stains")),
    )
    figure, axes = plt.subplots(3, 3, figsize=(9, 9.6), layout="constrained")
    for (told, image, truth), row in zip(cases, axes, strict=True):
        result = vitascope.run("stain", image, model="nuclei-phase", masks=False)
        predicted = np.asarray(result.output("prediction").array).reshape(image.shape)
        found, seen = result.rows[0], (slice(0, 260), slice(0, 260))
        interval = f"{found['expected_pcc_low']:.2f} to {found['expected_pcc_high']:.2f}"
        words = (
            told,
            f"predicted: expected {interval} ({result.trust.level})",
            f"real stain: true {pcc(truth.astype(np.float64), predicted):.2f}",
        )
        for axis, picture, title in zip(row, (image, predicted, truth), words, strict=True):
            low, high = np.percentile(picture, (0.5, 99.8))
            axis.imshow(picture[seen], cmap="gray", vmin=low, vmax=high)
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    figure.savefig(IMAGES / "trust.png", dpi=90)
    plt.close(figure)


def main() -> None:
    """Take the pictures that are named, or all."""
    if len(sys.argv) == 1 or "trust" in sys.argv[1:]:
        trust()
    if sys.argv[1:] == ["trust"]:
        return
    import napari
    from napari.qt import get_qapp

    app = get_qapp()
    for take in (demo, phenotype, train, bring):
        if len(sys.argv) > 1 and take.__name__ not in sys.argv[1:]:
            continue
        viewer = napari.Viewer(show=True)
        viewer.window.resize(*(int(n) for n in os.environ.get("VITASCOPE_WINDOW_PX", "1500 940").split()))
        take(app, viewer)
        viewer.close()


if __name__ == "__main__":
    main()
