"""Autoencoders of crops (seed 004, section 4.2.2): what a picture is made of, without any target.

There their two clusters were dark and bright crops (figure 55). What the thesis proposes against it is done here: crops
that hold enough of something, each brought to mean 0 and standard deviation 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from skimage.filters import threshold_otsu
from torch import Tensor, nn

from vitascope.core.errors import InputError, TrainingError
from vitascope.core.progress import ProgressGenerator
from vitascope.core.training_params import TrainingParams
from vitascope.engine.device import pick_device
from vitascope.networks.autoencoder import CROP_PX, Autoencoder, Code, make_autoencoder
from vitascope.training.loop.batches import Batch
from vitascope.training.loop.loop import TrainingJob, train

BATCH, EPOCH_STEPS, HELD_OUT = 8, 50, 16
BLOCK_PX = 16
LEAST_FOREGROUND = 0.2
"""Share of a crop's squares of 16 px that hold something, from which it is used."""

TRIES = 20
MOST = 4.0
"""Standard deviations that normalised pixels are cut at: one glaring pixel is not to be all that is learnt."""

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class CropChoice:
    """Which crops are learnt from, and how they are prepared.

    Parameters
    ----------
    foreground : bool
        Whether only crops are taken of which enough holds something.
    normalised : bool
        Whether each is brought to mean 0 and standard deviation 1; otherwise all by the same numbers.
    """

    foreground: bool = False
    normalised: bool = False


@dataclass(frozen=True)
class TrainedAutoencoder:
    """What training leaves.

    Parameters
    ----------
    network : Autoencoder
        In evaluation mode.
    error : float
        Mean squared error of held-out crops over their variance: 1 for a network that knows the mean alone.
    mean, spread : float
        That pixels are prepared by where crops are not normalised each.
    choice : CropChoice
    """

    network: Autoencoder
    error: float
    mean: float
    spread: float
    choice: CropChoice

    def prepare(self, crop: ArrayLike) -> Picture:
        """Return a crop (256, 256) as the network is given it."""
        return prepared(np.asarray(crop, np.float32), self.mean, self.spread, self.choice.normalised)

    def encode(self, crops: Sequence[ArrayLike]) -> NDArray[np.float32]:
        """Return codes, shape (N, 3528) or (N, 200), of crops, each (256, 256)."""
        given = np.stack([self.prepare(crop) for crop in crops])
        with torch.inference_mode():
            parts = [self.network.encode(torch.from_numpy(one[None, None])).flatten(1) for one in given]
        return torch.cat(parts).numpy()


class CropsToThemselves(TrainingJob):
    """Random crops of pictures, to be drawn again.

    Parameters
    ----------
    pictures, kept_apart : sequence of array, each (Y, X), float32, at least 256 px a side
        To learn from, and to measure on.
    code : {3528, 200}
    choice : CropChoice
    seed : int

    Raises
    ------
    InputError
        If a picture is too small or not finite, or no crop holds enough.
    """

    def __init__(
        self, pictures: Sequence[Picture], kept_apart: Sequence[Picture], code: Code, choice: CropChoice, seed: int
    ) -> None:
        for one in (*pictures, *kept_apart):
            if one.ndim != 2 or min(one.shape) < CROP_PX or not np.isfinite(one).all():
                raise InputError(
                    f"A picture of the shape {one.shape} gives no crops of {CROP_PX} px.",
                    f"Give finite planes of at least {CROP_PX} px a side.",
                )
        self.network: nn.Module = make_autoencoder(code, seed)
        self._pictures, self._seed, self.choice = pictures, seed, choice
        self.mean = float(np.mean([one.mean() for one in pictures]))
        self.spread = float(np.sqrt(np.mean([((one - self.mean) ** 2).mean() for one in pictures])))
        if self.spread == 0:
            raise InputError("The pictures have one single value.", "Give others.")
        self._threshold = texture_threshold(pictures) if choice.foreground else 0.0
        rng = np.random.default_rng((seed, 2))
        self.held_out = np.stack([self._crop(kept_apart, rng) for _ in range(HELD_OUT)])

    def batch(self, step: int, size: int) -> Batch:
        """Return ``image``, (B, 1, 256, 256)."""
        rng = np.random.default_rng((self._seed, step))
        crops = np.stack([self._crop(self._pictures, rng) for _ in range(size)])
        return {"image": torch.from_numpy(np.ascontiguousarray(crops[:, None]))}

    def _crop(self, pictures: Sequence[Picture], rng: np.random.Generator) -> Picture:
        for _ in range(TRIES):
            picture = pictures[int(rng.integers(len(pictures)))]
            top, left = (int(rng.integers(0, n - CROP_PX + 1)) for n in picture.shape)
            crop = picture[top : top + CROP_PX, left : left + CROP_PX]
            if not self.choice.foreground or foreground(crop, self._threshold) >= LEAST_FOREGROUND:
                turned = np.rot90(crop, int(rng.integers(4)))
                crop = turned[::-1] if rng.random() < 0.5 else turned
                return prepared(crop, self.mean, self.spread, self.choice.normalised)
        raise InputError(
            "The pictures hold too little: no crop of them is filled to a fifth.",
            "Give fuller ones, or take all crops.",
        )

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean squared error, as the thesis has it."""
        return nn.functional.mse_loss(network(batch["image"]).image.float(), batch["image"])

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Measure the error of held-out crops over their variance; the score is one less that."""
        given = torch.from_numpy(self.held_out[:, None])
        with torch.inference_mode():
            answer = torch.cat([network(one[None]).image.float() for one in given])
        error = float(((answer - given) ** 2).mean() / given.var(unbiased=False))
        return {"error": error, "score": 1 - error}


def train_autoencoder(
    pictures: Sequence[ArrayLike],
    kept_apart: Sequence[ArrayLike],
    *,
    code: Code = 3528,
    choice: CropChoice = CropChoice(),
    steps: int = 1000,
    seed: int = 0,
) -> ProgressGenerator[TrainedAutoencoder]:
    """Train an autoencoder on crops of pictures, by the loop of all trainings.

    Parameters
    ----------
    pictures, kept_apart : sequence of array, each (Y, X), at least 256 px a side
        To learn from, and to measure on.
    code : {3528, 200}
    choice : CropChoice
    steps : int, >= 50
    seed : int

    Yields
    ------
    Progress

    Returns
    -------
    TrainedAutoencoder

    Raises
    ------
    InputError
        If the pictures cannot be used.
    TrainingError
        If the network does not settle.
    """
    given, apart = ([np.asarray(one, np.float32) for one in some] for some in (pictures, kept_apart))
    if not given or not apart:
        raise InputError("There is nothing to learn from, or nothing to measure on.", "Give pictures for both.")
    job = CropsToThemselves(given, apart, code, choice, seed)
    how = TrainingParams(
        epochs=max(1, round(steps / EPOCH_STEPS)),
        steps_per_epoch=EPOCH_STEPS,
        batch_size=BATCH,
        learning_rate=1e-3,
        schedule="cosine",
        warmup_steps=min(20, steps),
        bn_stats_steps=0,
        seed=seed,
    )
    device, _ = pick_device("cpu")
    trained = yield from train(job, how, precision="bf16" if "bf16" in device.precisions else "f32")
    if trained.stopped == "diverged" or not isinstance(trained.network, Autoencoder):
        raise TrainingError("The autoencoder did not settle.", "Try another seed.")
    error = job.validate(trained.network)["error"]
    return TrainedAutoencoder(network=trained.network, error=error, mean=job.mean, spread=job.spread, choice=choice)


def prepared(crop: Picture, mean: float, spread: float, normalised: bool) -> Picture:
    """Return a crop less its mean over its spread, its own or those given, cut at four."""
    if normalised:
        mean, spread = float(crop.mean()), float(crop.std())
    return np.ascontiguousarray((crop - mean) / max(spread, 1e-12), np.float32).clip(-MOST, MOST)


def texture_threshold(pictures: Sequence[Picture]) -> float:
    """Return the spread of squares of 16 px that parts those that hold something from ground (Otsu, of logarithms)."""
    spreads = np.concatenate([_spreads(one).ravel() for one in pictures])
    told = np.log(spreads[spreads > 0])
    if len(told) < 2 or np.ptp(told) == 0:
        raise InputError("The pictures are flat: nothing stands out from the ground.", "Give others.")
    return float(np.exp(threshold_otsu(told)))


def foreground(crop: Picture, threshold: float) -> float:
    """Return the share of squares of 16 px of a crop whose spread is above a threshold."""
    return float((_spreads(crop) > threshold).mean())


def _spreads(picture: Picture) -> NDArray[np.float32]:
    rows, columns = (n // BLOCK_PX for n in picture.shape)
    cut = picture[: rows * BLOCK_PX, : columns * BLOCK_PX].reshape(rows, BLOCK_PX, columns, BLOCK_PX)
    return np.asarray(cut.std(axis=(1, 3)))
