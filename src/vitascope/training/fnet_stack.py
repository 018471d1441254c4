"""Train the network of Ounkomol 2018 on stacks: a label-free stack in, fluorescence out, plane by plane.

What is written is a checkpoint in the layout of the public implementation: ``vitascope.exchange`` makes ONNX of it, and
it is run as any network of volumes is.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.core.errors import InputError, TrainingError
from vitascope.core.progress import ProgressGenerator
from vitascope.core.training_params import TrainingParams
from vitascope.engine.device import pick_device
from vitascope.io.atomic import write_bytes
from vitascope.networks.fnet import FNet3d
from vitascope.networks.unet import initialise
from vitascope.ops.tiling.tiles import padded_length, reflect_index
from vitascope.recipes.stack_pair import StackFigures, StackPair, StackTrainParams
from vitascope.stats.agreement import pcc
from vitascope.training.loop.batches import Batch
from vitascope.training.loop.loop import TrainingJob, train
from vitascope.training.losses.images import weighted_mean

MULTIPLE = 16
VALIDATION = 0.15
"""Share of the rows, before the held-out ones, by which the best epoch is chosen."""

GAP_PX = 16
"""Rows between the parts: what is learnt of one does not lie beside the other."""

EPOCH_STEPS = 50
"""Steps between measurements; a short training has ten of them.

Processors compute in float32: in bf16, torch 2.13 gave gradients of up to 1e37 for convolutions of volumes of 2 x 4 x 4
voxels, which the deepest levels have, from memory that nothing was written to.
"""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A pair on the network's scale.

    Parameters
    ----------
    image : array, shape (D, Y, X), float32
        Mean 0 and standard deviation 1 over the stack, as in a run; continued by reflection to a multiple of 16 planes.
    stain : array, shape (Z, Y, X) or (Y, X), float32
        Mean 0 and standard deviation 1 over the rows to train on.
    planes : int
        Z, of the image as it was.
    train, validate, test : slice
        Rows of each part.
    """

    image: Floats
    stain: Floats
    planes: int
    train: slice
    validate: slice
    test: slice


def prepare(pair: StackPair, params: StackTrainParams) -> Prepared:
    """Check a pair, bring it to the network's scale and cut its rows into parts.

    Raises
    ------
    InputError
        If shapes differ, a stack is too small, or has pixels that are no numbers or all alike.
    """
    image, stain = np.asarray(pair.image, np.float64), np.asarray(pair.stain, np.float64)
    if image.ndim != 3 or stain.shape not in (image.shape, image.shape[1:]):
        raise InputError(
            f"The stack of '{pair.name}' is {' x '.join(map(str, image.shape))}, its stain "
            f"{' x '.join(map(str, stain.shape))}.",
            "Give a stack (z, y, x) and a stain of the same size, or one plane of it.",
            flag="wrong_dimensions",
        )
    height, width = image.shape[1:]
    ends = round(height * (1 - params.held_out - VALIDATION)), round(height * (1 - params.held_out))
    parts = (slice(0, ends[0] - GAP_PX), slice(ends[0], ends[1] - GAP_PX), slice(ends[1], height))
    if min(parts[0].stop, width) < params.crop_px or parts[1].stop - parts[1].start < MULTIPLE:
        raise InputError(
            f"'{pair.name}' is too small to be trained on: {height} x {width} px.",
            f"Rows are kept apart for measuring; crops are {params.crop_px} px. Give a larger field.",
            flag="wrong_dimensions",
        )
    for what, values in (("stack", image), ("stained picture", stain)):
        if not np.isfinite(values).all() or not values[..., parts[0], :].std():
            raise InputError(
                f"The {what} of '{pair.name}' has pixels that are no numbers, or one single value.",
                "Check how it was saved.",
                flag="constant",
            )
    scaled = (image - image.mean()) / image.std()
    known = stain[..., parts[0], :]
    deep = scaled[reflect_index(0, padded_length(len(scaled), MULTIPLE), len(scaled))]
    return Prepared(
        image=deep.astype(np.float32),
        stain=((stain - known.mean()) / known.std()).astype(np.float32),
        planes=len(image),
        train=parts[0],
        validate=parts[1],
        test=parts[2],
    )


class StackJob(TrainingJob):
    """Crops of stacks, each stack as often as the others.

    Parameters
    ----------
    pairs : sequence of Prepared
    params : StackTrainParams
    """

    def __init__(self, pairs: Sequence[Prepared], params: StackTrainParams) -> None:
        self.network: nn.Module = FNet3d(filters=params.filters)
        initialise(self.network, torch.Generator().manual_seed(params.seed))
        self._pairs, self._params = pairs, params

    def batch(self, step: int, size: int) -> Batch:
        """Return ``image`` (B, 1, d, h, w), ``target`` (B, 1, d or 1, h, w) and ``weight`` (B, 1, d, 1, 1)."""
        crops = [self._crop(np.random.default_rng((self._params.seed, step, n))) for n in range(size)]
        names = ("image", "target", "weight")
        return {n: torch.from_numpy(np.stack(p)) for n, p in zip(names, zip(*crops, strict=True), strict=True)}

    def plain_batch(self, step: int, size: int) -> Batch:
        """Return crops as in training: they are not augmented but by turning."""
        return self.batch(step, size)

    def _crop(self, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        pair, side = self._pairs[int(rng.integers(len(self._pairs)))], self._params.crop_px
        depth = min(self._params.planes, len(pair.image))
        is_stack = pair.stain.ndim == 3
        if not is_stack:
            depth = len(pair.image)  # the brightest may lie in any plane
        first = int(rng.integers(len(pair.image) - depth + 1))
        top = int(rng.integers(pair.train.start, pair.train.stop - side + 1))
        left = int(rng.integers(pair.image.shape[2] - side + 1))
        window = (slice(top, top + side), slice(left, left + side))
        image = pair.image[(slice(first, first + depth), *window)]
        real = np.arange(first, first + depth) < pair.planes
        target = (
            pair.stain[(reflect_index(first, first + depth, pair.planes), *window)]
            if is_stack
            else pair.stain[window][None]
        )
        turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
        image, target = (np.rot90(p, turns, (1, 2)) for p in (image, target))
        if mirrored:
            image, target = image[:, ::-1], target[:, ::-1]
        weight = real.astype(np.float32)[:, None, None]
        return np.ascontiguousarray(image[None]), np.ascontiguousarray(target[None]), weight[None]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean squared error (Ounkomol 2018), of the brightest of all planes where the stain is a plane."""
        found = network(batch["image"]).image.float()
        target, weight = batch["target"], batch["weight"]
        if target.shape[2] == 1 < found.shape[2]:
            lowest = torch.finfo(found.dtype).min
            brightest = found.masked_fill(weight.expand_as(found) == 0, lowest).amax(2, keepdim=True)
            return torch.mean((brightest - target) ** 2)
        return weighted_mean((found - target) ** 2, weight)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the correlation on the rows that are kept for it."""
        found = [compare(network, pair, pair.validate) for pair in self._pairs]
        value = float(np.nan_to_num(np.mean([pcc(t, p) for p, t in found])))
        return {"pcc": value, "score": value}


def compare(network: nn.Module, pair: Prepared, rows: slice) -> tuple[Floats, Floats]:
    """Predict some rows of a pair in one pass; returns prediction and stain, flat."""
    image = pair.image[:, rows]
    deep = [padded_length(n, MULTIPLE) for n in image.shape[1:]]
    image = image[:, reflect_index(0, deep[0], image.shape[1])][:, :, reflect_index(0, deep[1], image.shape[2])]
    weight = next(network.parameters())
    with torch.inference_mode():
        answer = network(torch.from_numpy(np.ascontiguousarray(image))[None, None].to(weight.device)).image
    stain = pair.stain[..., rows, :]
    found = answer[0, 0, : pair.planes, : stain.shape[-2], : stain.shape[-1]].float().cpu().numpy()
    if stain.ndim == 2:
        found = found.max(0)
    return found.ravel(), stain.ravel()


def train_on_stacks(
    pairs: Sequence[StackPair], params: StackTrainParams, out: Path, device: str = "auto"
) -> ProgressGenerator[StackFigures]:
    """Train fnet for volumes on pairs, write its weights, and measure it on rows that were held out.

    Parameters
    ----------
    pairs : sequence of StackPair
    params : StackTrainParams
    out : Path
        File of weights to write (``.pt``), in the layout of the public fnet.
    device : str

    Yields
    ------
    Progress

    Returns
    -------
    StackFigures

    Raises
    ------
    InputError
        If a pair cannot be used.
    TrainingError
        If there is none, or the network does not settle.

    References
    ----------
    Ounkomol et al. 2018, Nature Methods 15, 917, doi:10.1038/s41592-018-0111-2, methods: mean squared error, Adam.
    """
    if not pairs:
        raise TrainingError("There is no pair to train on.", "Give a stack and its stain.")
    prepared = [prepare(pair, params) for pair in pairs]
    per_epoch = min(EPOCH_STEPS, max(1, params.steps // 10))
    how = TrainingParams(
        epochs=max(1, round(params.steps / per_epoch)),
        steps_per_epoch=per_epoch,
        batch_size=params.batch,
        learning_rate=params.learning_rate,
        schedule="cosine",
        warmup_steps=min(20, params.steps),
        bn_stats_steps=min(20, params.steps),
        seed=params.seed,
    )
    chosen, _ = pick_device(device)
    precision = "bf16" if chosen.id != "cpu" and "bf16" in chosen.precisions else "f32"
    trained = yield from train(StackJob(prepared, params), how, device=chosen.id, precision=precision)
    if trained.stopped == "diverged":
        raise TrainingError("The network did not settle.", "Take a smaller learning rate, or another seed.")
    found = [compare(trained.network, pair, pair.test) for pair in prepared]
    predicted, real = (np.concatenate(part) for part in zip(*found, strict=True))
    losses = [entry["loss"] for entry in trained.history]
    tenth = max(1, len(losses) // 10)
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in trained.network.state_dict().items()}, buffer)
    write_bytes(out, buffer.getvalue())
    return StackFigures(
        pcc=float(np.nan_to_num(pcc(real, predicted))),
        explained=float(1 - np.mean((predicted - real) ** 2) / np.mean(real**2)),  # 0 is the mean of the training rows
        first_loss=float(np.mean(losses[:tenth])),
        last_loss=float(np.mean(losses[-tenth:])),
        rows=(prepared[-1].test.start, prepared[-1].test.stop - 1),
    )
