"""A small spheroid and a model that tells live from dead by the brighter dye."""

import numpy as np
import torch

from optics_support import NOISE_FREE
from vitascope.core.card import Architecture, InputSpec, ModelCard, Normalisation, Target, Weights
from vitascope.core.micrograph import Micrograph
from vitascope.engine.load_model import build_network, export_tensors
from vitascope.io.models.cards import write_card
from vitascope.io.models.weights import write_weights
from vitascope.networks.unet import initialise
from vitascope.recipes.recipe import parse_recipe
from vitascope.simulate.spheroids import StackParams, simulate_spheroid

VOXEL = (4.0, 2.0, 2.0)
SPHEROID = simulate_spheroid(
    StackParams(diameter_um=80.0, dose=1.0, oxygen_um=25.0, margin_um=14.0, leak=0.0, spread=0.1),
    VOXEL,
    NOISE_FREE,
    0,
)


def by_brightness():
    """Return a network without training that tells the dye: a voxel is live or dead by the brighter channel."""
    architecture = Architecture(name="unet3d", arguments={"in_channels": 2, "out_channels": 3, "width": 2})
    network = build_network(architecture)
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, p in network.named_parameters():
            if not name.startswith("viability"):
                p.zero_()
        last = network.decoder[-1].residual  # gets the input by the skip connection, then what was enlarged
        last.weight[0, 0], last.weight[1, 1] = 1, 1
        head = network.heads[0]
        head.weight[1, 0], head.weight[2, 1] = 40, 40
        head.bias[0] = 20.0
        network.density_head.bias.fill_(-1.0)
    return architecture, network.eval()


def save_by_brightness(folder):
    """Save that network with its card; returns the card's path."""
    architecture, network = by_brightness()
    sha256 = write_weights(folder / "bright.safetensors", export_tensors(network, "float32"))
    card = ModelCard(
        id="bright",
        task="spheroid",
        title="Brighter dye",
        summary="Not trained",
        architecture=architecture,
        input=InputSpec(
            modality="fluorescence",
            channels=("live", "dead"),
            also_called={"live": ("calcein",), "dead": ("PI",)},
            spatial_dims=3,
            pixel_size_um=2.0,
            z_step_um=4.0,
            normalisation=Normalisation(method="zscore", low=2, high=99.8),
        ),
        targets=(Target(name="live"), Target(name="dead"), Target(name="density", unit="cells per 1000 µm³")),
        data=(),
        split="none",
        limitations="Always.",
        licence="CC0-1.0",
        weights=Weights(file="bright.safetensors", sha256=sha256, dtype="float32", parameters=1),
    )
    return write_card(card, folder)


def stack(image=SPHEROID.image, names=("calcein", "PI"), **changes):
    sizes = {"pixel_size_um": VOXEL[1], "z_step_um": VOXEL[0], **changes}
    return Micrograph.from_array(image.astype(np.uint16), axes="CZYX", channel_names=names, name="s", **sizes)


def make_recipe(**changes):
    recipe = {
        "task": "spheroid",
        "id": "tiny",
        "title": "Tiny",
        "summary": "Simulated",
        "limitations": "Always.",
        "licence": "CC0-1.0",
        "credit": "nobody",
        "split": {"by": "group"},
        "input": {
            "modality": "fluorescence",
            "channels": ["live", "dead"],
            "spatial_dims": 3,
            "pixel_size_um": 2.0,
            "z_step_um": 4.0,
            "normalisation": {"method": "zscore", "low": 2, "high": 99.8},
        },
        "targets": [{"name": "live"}, {"name": "dead"}, {"name": "density"}],
        "network": {"name": "unet3d", "arguments": {"in_channels": 2, "out_channels": 3, "width": 2}},
        "volumes": {"simulated": [2, 1, 1], "diameters_um": [40, 50], "crop_planes": 4},
        "loss": {"log_dice": 0.5, "focal": 0.5, "density": 0.1, "viability": 0.1},
        "crop_px": 32,
        "training": {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "precision": "f32", "learning_rate": 0.01},
    }
    return parse_recipe({**recipe, **changes}, "tiny")
