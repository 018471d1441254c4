"""Small networks, images and recipes of the task ``phenotype``, made on the spot."""

from __future__ import annotations

import numpy as np
import tifffile
import torch

from vitascope.core.card import Architecture, DataSource, InputSpec, ModelCard, Normalisation, Target, Weights
from vitascope.engine.load_model import LoadedModel, build_network, find_family
from vitascope.io.models.weights import sha256_of_bytes

CLASSES = ("negative", "positive")


def make_card(model_id="tiny-phenotype", *, channels=("GFP", "DNA"), classes=CLASSES, cell_px=24.0, **arguments):
    """A valid card for a small network."""
    given = {"in_channels": len(channels), "out_channels": len(classes), "width": 0.1, **arguments}
    return ModelCard(
        id=model_id,
        task="phenotype",
        title="Test",
        summary="Random weights.",
        architecture=Architecture(name="mil_cnn", arguments=given),
        input=InputSpec(
            modality="fluorescence",
            channels=channels,
            also_called={"GFP": ("Channel1",), "DNA": ("Channel2",)},
            object_diameter_px=cell_px,
            normalisation=Normalisation(
                method="dataset", means=(100.0,) * len(channels), stds=(50.0,) * len(channels), clip=(-5, 10)
            ),
        ),
        targets=tuple(Target(name=c, unit="probability") for c in classes),
        data=(DataSource(name="none", licence="CC0-1.0", credit="nobody"),),
        split="none",
        limitations="Always: its weights are random.",
        licence="CC0-1.0",
        weights=Weights(file=f"{model_id}.safetensors", sha256="0" * 64, dtype="float32", parameters=1),
        default_params={"threshold": 0.05, "smoothing": 0.8},
    )


def make_model(seed=0, **kwargs) -> LoadedModel:
    """A loaded network with random weights that tell images apart."""
    card = make_card(**kwargs)
    torch.manual_seed(seed)
    network = build_network(card.architecture)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(1.6)
    network.eval().requires_grad_(False)
    return LoadedModel(card, network, find_family(card.architecture))


def cells(positive, shape=(96, 96), seed=0, spacing=24, background=20):
    """GFP and DNA (2, H, W), uint8: round nuclei; GFP fills them (positive), or a ring around them (negative)."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    gfp, dna = (np.full(shape, float(background)) for _ in range(2))
    for cy in range(spacing // 2, shape[0], spacing):
        for cx in range(spacing // 2, shape[1], spacing):
            r = np.hypot(y - cy - rng.uniform(-2, 2), x - cx - rng.uniform(-2, 2))
            dna += 150 * (r < 5)
            gfp += 150 * ((r < 5) if positive else (r >= 5) & (r < 9))
    noisy = [np.clip(c + rng.normal(0, 4, shape), 0, 255).astype(np.uint8) for c in (gfp, dna)]
    return np.stack(noisy)


def write_well(folder, well, image):
    """Write the channels of a well as the plate's microscope does."""
    for number, channel in enumerate(image, 1):
        tifffile.imwrite(folder / f"Channel{number}-01-{well[0]}-{well[1:]}.tif", channel)


def make_plate(folder, wells):
    """Write a plate and its table; ``wells`` maps a well to whether it is positive (None: treated)."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["Well,Control,Dose"]
    for seed, (well, positive) in enumerate(wells.items()):
        write_well(folder, well, cells(bool(positive), seed=seed))
        lines.append(f"{well},{'' if positive is None else ('yes' if positive else 'no')},{int(bool(positive))}")
    (folder / "plate.csv").write_text("\n".join(lines))


def make_recipe(folder, **changes):
    """A recipe for a plate of eight wells, as plain values."""
    data = folder / "plate"
    if not data.is_dir():
        make_plate(data, {f"A0{i}": i % 2 == 0 for i in range(1, 9)} | {"B01": None})
    recipe = {
        "task": "phenotype",
        "id": "tiny",
        "title": "Tiny",
        "summary": "Synthetic.",
        "limitations": "Always.",
        "licence": "CC0-1.0",
        "credit": "nobody",
        "data": [
            {
                "name": "plate",
                "url": "https://example.org/plate",
                "licence": "CC0-1.0",
                "credit": "nobody",
                "folder": "plate",
                "bags": {
                    "table": "plate.csv",
                    "label": "Control",
                    "classes": {"yes": "positive", "no": "negative"},
                    "treatment": ["Dose"],
                },
            }
        ],
        "split": {
            "by": "group",
            "train_groups": ["A01", "A02", "A03", "A04"],
            "test_groups": ["A05", "A06", "A07", "A08"],
        },
        "input": {
            "modality": "fluorescence",
            "channels": ["GFP", "DNA"],
            "also_called": {"GFP": ["Channel1"], "DNA": ["Channel2"]},
            "object_diameter_px": 18,
            "normalisation": {"method": "dataset"},
        },
        "targets": [{"name": "negative"}, {"name": "positive"}],
        "network": {
            "name": "mil_cnn",
            "arguments": {
                "in_channels": 2, "out_channels": 2, "width": 0.1, "dropout_pool": 0.0, "dropout_features": 0.0,
            },
        },
        "crop_px": 64,
        "augment": {"zoom": "none", "contrast": 0.0, "defocus": 0.0},
        "training": {"epochs": 2, "steps_per_epoch": 3, "batch_size": 2, "precision": "f32", "learning_rate": 0.003},
    }  # fmt: skip
    return {**recipe, **changes}


def montage(cell_list, columns):
    """Lay cells (side, side) out as one picture; what is left over stays noise."""
    side = cell_list[0].shape[0]
    grid = np.random.default_rng(0).normal(100, 0.5, (columns * side, columns * side))
    for i, cell in enumerate(cell_list):
        y, x = divmod(i, columns)
        grid[y * side : (y + 1) * side, x * side : (x + 1) * side] = cell
    return grid.astype(np.uint16)


def make_cell_recipe(folder, counts=(30, 28), **changes):
    """A recipe of montages: dots of one or the other size, as plain values."""
    data = folder / "cells"
    data.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    y, x = np.indices((16, 16))
    hashes, pairs = {}, []
    for name, radius, count in zip(("small", "large"), (2.5, 5.0), counts, strict=True):
        made = [100 + 500 * (np.hypot(y - 8, x - 8) < radius) + rng.normal(0, 20, (16, 16)) for _ in range(count)]
        made.append(made[0])  # a repeat
        tifffile.imwrite(data / f"{name}.tif", montage(made, 6))
        hashes[f"{name}.tif"] = sha256_of_bytes((data / f"{name}.tif").read_bytes())
        pairs.append({"image": f"{name}.tif", "labels": {name: 1}, "montage": [6, 6, 16], "group": name})
    recipe = make_recipe(folder)
    del recipe["crop_px"]
    recipe["data"][0].update({"name": "cells", "folder": "cells", "sha256": hashes, "pairs": pairs})
    del recipe["data"][0]["bags"]
    recipe |= {
        "split": {"by": "group", "validation_fraction": 0.2, "test_fraction": 0.3},
        "input": {
            "modality": "bright-field",
            "channels": ["bright-field"],
            "object_diameter_px": 8,
            "normalisation": {"method": "dataset"},
        },
        "targets": [{"name": "small"}, {"name": "large"}],
        "mosaic": {"rows": [2, 3], "thresholds": {"small": 0.5, "large": 0.3}, "validation_bags": 6, "test_bags": 12},
        "network": {
            "name": "mil_cnn",
            "arguments": {"in_channels": 1, "out_channels": 2, "width": 0.1, "last": "sigmoid"},
        },
    }
    return {**recipe, **changes}
