"""Models and images made on the spot for tests."""

from __future__ import annotations

import numpy as np
import tifffile
import torch
from scipy.special import expit

from vitascope.core.card import (
    Architecture,
    DataSource,
    Domain,
    InputSpec,
    ModelCard,
    Normalisation,
    Target,
    Weights,
)
from vitascope.engine.load_model import FAMILIES, LoadedModel, build_network, export_tensors
from vitascope.io.models.cards import write_card
from vitascope.io.models.weights import sha256_of_bytes, write_weights


def make_card(
    model_id="test-model",
    *,
    planes=1,
    targets=("DNA",),
    width=1.0,
    sha256="0" * 64,
    pixel_size_um=None,
    object_diameter_px=None,
    normalisation=None,
    domain=None,
    task="stain",
    dtype="float32",
):
    """A valid card for a U-Net."""
    return ModelCard(
        id=model_id,
        task=task,
        title="Test",
        summary="Random weights.",
        architecture=Architecture(
            name="unet", arguments={"in_channels": planes, "out_channels": len(targets), "width": width}
        ),
        input=InputSpec(
            modality="phase contrast",
            channels=("phase",),
            planes=planes,
            pixel_size_um=pixel_size_um,
            object_diameter_px=object_diameter_px,
            normalisation=normalisation or Normalisation(method="standard", clip=(-5, 5)),
        ),
        targets=tuple(Target(name=t, masks=i == 0) for i, t in enumerate(targets)),
        data=(DataSource(name="none", licence="CC0-1.0", credit="nobody"),),
        split="none",
        limitations="Always: its weights are random.",
        licence="CC0-1.0",
        weights=Weights(file=f"{model_id}.safetensors", sha256=sha256, dtype=dtype, parameters=1),
        domain=domain,
    )


def make_model(seed=1, **kwargs) -> LoadedModel:
    """A loaded network with random weights, the same for one seed, that differ enough to tell pixels apart."""
    card = make_card(**kwargs)
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        network = build_network(card.architecture)
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
        network.last.weight.mul_(3)
    network.eval().requires_grad_(False)
    return LoadedModel(card, network, FAMILIES["unet"])


def save_model(model: LoadedModel, folder, dtype="float32"):
    """Write a model as card and weights; returns the path of the card."""
    sha256 = write_weights(folder / model.card.weights.file, export_tensors(model.network, dtype))
    weights = model.card.weights.model_copy(update={"sha256": sha256, "dtype": dtype})
    return write_card(model.card.model_copy(update={"weights": weights}), folder)


def make_domain(crop_px=64, **statistics):
    """A domain that everything fits, unless told otherwise."""
    wide = dict.fromkeys(("mean", "contrast", "focus", "skewness"), (-1e9, 0.0, 1e9))
    return Domain(crop_px=crop_px, crops=1, statistics={**wide, **statistics})


def blobs(shape=(120, 150), centres=((30, 30), (30, 100), (80, 60)), radius=9.0, seed=0, noise=0.02):
    """A picture in [0, 1] with smooth round nuclei at given centres (y, x)."""
    y, x = np.indices(shape)
    picture = np.zeros(shape)
    for cy, cx in centres:
        picture = np.maximum(picture, expit(radius - np.hypot(y - cy, x - cx)))
    return np.clip(picture + np.random.default_rng(seed).normal(0, noise, shape), 0, 1).astype(np.float32)


def make_recipe(folder, shape=(160, 96), images=1, **changes):
    """Write a tiny data set whose stain can be read off its image, and return a recipe for it as plain values."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    hashes, pairs = {}, []
    for i in range(images):
        centres = rng.uniform(8, np.array(shape) - 8, (12, 2))
        stain = (1000 * blobs(shape, centres, 6.0, seed=i)).astype(np.uint16)
        phase = (500 + 0.3 * stain + rng.normal(0, 20, shape)).astype(np.uint16)
        for name, picture in (("phase", phase), ("dna", stain)):
            tifffile.imwrite(data / f"{name}{i}.tif", picture)
            hashes[f"{name}{i}.tif"] = sha256_of_bytes((data / f"{name}{i}.tif").read_bytes())
        pairs.append({"image": f"phase{i}.tif", "targets": {"DNA": f"dna{i}.tif"}})
    recipe = {
        "task": "stain",
        "id": "tiny",
        "title": "Tiny",
        "summary": "Synthetic.",
        "limitations": "Always.",
        "licence": "CC0-1.0",
        "credit": "nobody",
        "data": [
            {
                "name": "made-up",
                "url": "https://example.org/data",
                "licence": "CC0-1.0",
                "credit": "nobody",
                "folder": "data",
                "sha256": hashes,
                "pairs": pairs,
            }
        ],
        "split": {"by": "region", "train_rows": [[0, 64]], "validation_rows": [[72, 104]], "test_rows": [[112, 160]]},
        "input": {
            "modality": "phase contrast",
            "channels": ["phase"],
            "normalisation": {"method": "standard", "clip": [-5, 5]},
        },
        "targets": [{"name": "DNA", "masks": True}],
        "network": {"name": "unet", "arguments": {"in_channels": 1, "out_channels": 1, "width": 0.25}},
        "crop_px": 32,
        "augment": {"zoom": "none", "defocus": 0.0, "contrast": 0.0},
        "training": {"epochs": 2, "steps_per_epoch": 3, "batch_size": 2, "precision": "f32", "learning_rate": 0.01},
    }
    return {**recipe, **changes}
