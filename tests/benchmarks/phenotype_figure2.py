"""Draw the poolings as Figure 2 of Kraus 2016 does, and what Noisy-AND learned; writes the pictures of the docs.

``python -m tests.benchmarks phenotype_figure2 [FOLDER]``
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from vitascope.core.paths import BUNDLED_MODELS
from vitascope.engine.load_model import load_model
from vitascope.networks.pooling import Pooling, noisy_and

DOCS = Path(__file__).parents[2] / "docs" / "images"
INSTANCES = 1000
CURVES = (
    ("noisy_or", 1.0, "Noisy-OR"), ("isr", 1.0, "ISR"), ("max", 1.0, "max"), ("lse", 1.0, "LSE r = 1"),
    ("lse", 5.0, "LSE r = 5"), ("generalised_mean", 1.0, "GM r = 1 (mean)"), ("generalised_mean", 5.0, "GM r = 5"),
    ("noisy_and", 5.0, "Noisy-AND a = 5"), ("noisy_and", 10.0, "Noisy-AND a = 10"),
)  # fmt: skip
COLOURS = ("#000000", "#6A6A6A", "#A0A0A0", "#E69F00", "#D55E00", "#009E73", "#005C43", "#56B4E9", "#0072B2")


def left(axes) -> None:
    """P against the share of instances that are on."""
    on = np.arange(0, INSTANCES + 1, 10)
    z = torch.full((len(on), 1, 1, INSTANCES), -12.0)
    for row, count in enumerate(on):
        z[row, :, :, :count] = 12.0
    for (name, sharpness, title), colour in zip(CURVES, COLOURS, strict=True):
        p = torch.exp(Pooling(name, 1, sharpness)(z).log_p)[:, 0].detach()
        axes.plot(on / INSTANCES, p, label=title, color=colour, linewidth=1.5)
    axes.set_xlabel("share of instances that are on")
    axes.set_ylabel("P of the bag")
    axes.legend(fontsize=7, frameon=False)


def right(axes) -> None:
    """What a bundled model learned: P against the mean p of its instances, for each class."""
    model = load_model(str(BUNDLED_MODELS / "cell-cycle-brightfield.json"), "phenotype")
    mean = torch.linspace(0.001, 0.999, 200)
    z = torch.logit(mean)[:, None, None]
    b, a = model.network.pooling.b, model.network.pooling.sharpness
    p = torch.exp(noisy_and(z.expand(-1, len(b), 1), b, a=a).log_p)
    for k, target in enumerate(model.card.targets):
        axes.plot(mean, p[:, k], label=f"{target.name}, b = {float(b[k]):.2f}", color=COLOURS[k + 2])
    axes.set_xlabel("mean p of the instances")
    axes.set_title(f"learned by {model.card.id} (a = {a:g})", fontsize=8)
    axes.legend(fontsize=7, frameon=False)


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0]) if arguments else DOCS
    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(8, 3.4), layout="constrained", dpi=110)
    both = figure.subplots(1, 2, sharey=True)
    left(both[0])
    right(both[1])
    figure.savefig(folder / "pooling.png")
    print(folder / "pooling.png")


if __name__ == "__main__":
    main(sys.argv[1:])
