"""Noise2Void: a network learns to take the noise off one picture, from that picture alone.

A pixel is hidden and predicted from its neighbours. Where noise is independent from pixel to pixel, the neighbours tell
of the signal in it but not of its noise, and what is predicted best is the signal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitascope.core.denoising import Denoised, DenoiseParams
from vitascope.core.errors import InputError, TrainingError
from vitascope.core.progress import Progress, ProgressGenerator
from vitascope.core.training_params import TrainingParams
from vitascope.engine.device import pick_device
from vitascope.networks.unet import HALO_PX, MULTIPLE_PX, UNet, initialise
from vitascope.ops.geometry.resample import array_reader
from vitascope.ops.intensity.noise import FIXED_PATTERN, measure_noise
from vitascope.ops.tiling.tiles import crop_to, plan_tiles
from vitascope.training.loop.batches import Batch
from vitascope.training.loop.loop import TrainingJob, train
from vitascope.training.losses.images import mse

CROP_PX = 64
BOX_PX = 8
"""One pixel of every 8 x 8 is hidden. Krull 2019 hides fewer, and trains for far more steps."""

NEIGHBOURS_PX = 2
"""A hidden pixel takes the value of another one so far off, along rows and columns; never its own."""

WIDTH = 0.5
BATCH = 8
EPOCH_STEPS = 50
TILE_PX = 1024
LEARNING_RATE = 4e-3
"""Four times that of other trainings: a few hundred steps are all there are."""


class BlindSpots(TrainingJob):
    """Crops of one picture with pixels hidden.

    Parameters
    ----------
    picture : array, shape (Y, X), float32, finite
        Of mean 0 and standard deviation 1; at least 64 px a side.
    seed : int
    """

    def __init__(self, picture: NDArray[np.float32], seed: int) -> None:
        self.network: nn.Module = UNet(width=WIDTH, final_sigmoid=False)
        initialise(self.network, torch.Generator().manual_seed(seed))
        self._picture, self._seed = picture, seed

    def batch(self, step: int, size: int) -> Batch:
        """Return ``image`` with hidden pixels, ``target`` without, ``weight`` 1 on them; each (B, 1, 64, 64)."""
        rng = np.random.default_rng((self._seed, step))
        crops = np.stack([self._crop(rng) for _ in range(size)])
        hidden, places = hide(crops, rng)
        parts = (hidden, crops, places.astype(np.float32))
        image, target, weight = (torch.from_numpy(np.ascontiguousarray(part[:, None])) for part in parts)
        return {"image": image, "target": target, "weight": weight}

    def plain_batch(self, step: int, size: int) -> Batch:
        """Return crops with nothing hidden, as the whole picture is predicted in the end."""
        rng = np.random.default_rng((self._seed, 1, step))
        crops = np.stack([self._crop(rng) for _ in range(size)])
        return {"image": torch.from_numpy(np.ascontiguousarray(crops[:, None]))}

    def _crop(self, rng: np.random.Generator) -> NDArray[np.float32]:
        top, left = (int(rng.integers(0, n - CROP_PX + 1)) for n in self._picture.shape)
        crop = self._picture[top : top + CROP_PX, left : left + CROP_PX]
        crop = np.rot90(crop, int(rng.integers(4)))
        return crop[::-1] if rng.random() < 0.5 else crop

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the squared error of the hidden pixels (Krull 2019, equation 11)."""
        return mse(network(batch["image"]).image.float(), batch["target"], batch["weight"])

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Measure nothing: there is no truth."""
        return {}


def hide(crops: NDArray[np.float32], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Hide one pixel in every box of 8 x 8, by the value of another one up to 2 px off.

    Parameters
    ----------
    crops : array, shape (B, h, w), float32
        Sides are multiples of 8.
    rng : Generator

    Returns
    -------
    tuple of array, shape (B, h, w)
        Crops with hidden pixels, and which they are.

    References
    ----------
    Krull, Buchholz, Jug 2019, Noise2Void, doi:10.1109/CVPR.2019.00223, section 4; the pixel itself is left out of what
    it is replaced by, as in Höck 2022, N2V2, doi:10.48550/arXiv.2211.08512.
    """
    count, height, width = crops.shape
    boxes = (count, height // BOX_PX, width // BOX_PX)
    y = np.arange(boxes[1])[None, :, None] * BOX_PX + rng.integers(0, BOX_PX, boxes)
    x = np.arange(boxes[2])[None, None, :] * BOX_PX + rng.integers(0, BOX_PX, boxes)
    side = 2 * NEIGHBOURS_PX + 1
    middle = side * side // 2
    drawn = rng.integers(0, side * side - 1, boxes)
    drawn += drawn >= middle
    dy, dx = drawn // side - NEIGHBOURS_PX, drawn % side - NEIGHBOURS_PX
    # a step that leaves the crop goes the other way: never on the pixel itself
    other_y = np.where((y + dy < 0) | (y + dy >= height), y - dy, y + dy)
    other_x = np.where((x + dx < 0) | (x + dx >= width), x - dx, x + dx)
    number = np.broadcast_to(np.arange(count)[:, None, None], boxes)
    hidden = crops.copy()
    hidden[number, y, x] = crops[number, other_y, other_x]
    places = np.zeros(crops.shape, bool)
    places[number, y, x] = True
    return hidden, places


def denoise_picture(picture: NDArray[Any], params: DenoiseParams, device: str = "auto") -> ProgressGenerator[Denoised]:
    """Take the noise off one picture.

    Parameters
    ----------
    picture : array, shape (Y, X), real, at least 64 px a side
        Pixels that are not finite take the median, and stay what they were in the answer.
    params : DenoiseParams
    device : str

    Yields
    ------
    Progress

    Returns
    -------
    Denoised

    Raises
    ------
    InputError
        If the picture is too small, has no finite pixel or one value, or its noise knows of its neighbours and
        ``params.despite_correlation`` is off.
    TrainingError
        If the network does not settle.

    References
    ----------
    Krull, Buchholz, Jug 2019, Noise2Void, doi:10.1109/CVPR.2019.00223.
    """
    values = np.asarray(picture, np.float64)
    if values.ndim != 2 or min(values.shape) < CROP_PX:
        raise InputError(
            f"A picture of {' x '.join(map(str, values.shape))} px cannot be denoised.",
            f"Give a plane of at least {CROP_PX} px a side.",
            flag="wrong_dimensions",
        )
    finite = np.isfinite(values)
    if not finite.any():
        raise InputError("No pixel of the image is a finite number.", flag="no_finite_pixels")
    noise = measure_noise(np.where(finite, values, np.nan))
    check_noise(noise.correlation, params)
    filled = np.where(finite, values, np.median(values[finite]))
    mean, spread = float(filled.mean()), float(filled.std())
    if spread == 0:
        raise InputError("The image has one single value: there is no noise in it.", flag="constant")
    scaled = ((filled - mean) / spread).astype(np.float32)
    epochs = max(1, round(params.steps / EPOCH_STEPS))
    how = TrainingParams(
        epochs=epochs,
        steps_per_epoch=EPOCH_STEPS,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        schedule="cosine",
        warmup_steps=min(20, params.steps),
        average_decay=0.95,
        bn_stats_steps=20,
        seed=params.seed,
    )
    chosen, _ = pick_device(device)
    precision = "bf16" if "bf16" in chosen.precisions else "f32"
    trained = yield from train(BlindSpots(scaled, params.seed), how, device=chosen.id, precision=precision)
    if trained.stopped == "diverged":
        raise TrainingError("The network that takes off noise did not settle.", "Try another seed.")
    clean = yield from _predict(trained.network, scaled)
    answer = np.where(finite, clean.astype(np.float64) * spread + mean, values)
    return Denoised(np.asarray(answer, np.float32), noise.sigma, noise.correlation)


def check_noise(correlation: float, params: DenoiseParams) -> None:
    """Refuse noise that knows of its neighbours, which a network would learn together with the signal.

    Raises
    ------
    InputError
    """
    if abs(np.nan_to_num(correlation)) > FIXED_PATTERN and not params.despite_correlation:
        raise InputError(
            f"Neighbouring pixels share their noise (correlation {correlation:.2f}, at most {FIXED_PATTERN} is taken): "
            "it would be learnt with the signal, and stay.",
            "Give the picture as the camera made it, before smoothing or resizing; or denoise despite it.",
            flag="unfit_input",
        )


def _predict(network: nn.Module, scaled: NDArray[np.float32]) -> ProgressGenerator[NDArray[np.float32]]:
    read, shape = array_reader(scaled[None]), (scaled.shape[0], scaled.shape[1])
    tiles = plan_tiles(shape, TILE_PX, HALO_PX, MULTIPLE_PX)
    out = np.zeros(shape, np.float32)
    for done, tile in enumerate(tiles):
        yield Progress(done, len(tiles), "taking off noise")
        window = torch.from_numpy(np.ascontiguousarray(read(tile.window)))[None]
        with torch.inference_mode():
            answer = network(window).image[0].float().numpy()
        in_picture, in_window = crop_to(tile, shape)
        out[in_picture] = answer[(0, *in_window)]
    yield Progress(len(tiles), len(tiles), "taking off noise")
    return out
