"""How to train: the parameters of the one training loop, and what it tells while it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vitascope.core.aliases import Aliased
from vitascope.core.progress import Progress


class TrainingParams(Aliased):
    """Settings of the training loop, frozen and recorded with the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(40, ge=1, le=100_000, title="Epochs", description="Passes of training.")
    steps_per_epoch: int = Field(50, ge=1, title="Steps", description="Batches in a round.")
    batch_size: int = Field(8, ge=1, le=4096, title="Batch", description="Crops or images at once.")
    optimizer: Literal["adam", "adadelta", "sgd"] = Field("adam", title="Optimiser", description="Method of descent.")
    learning_rate: float = Field(1e-3, gt=0, title="Learning rate", description="Size of a step.")
    momentum: float = Field(0.9, ge=0, lt=1, title="Momentum", description="Of SGD.")
    weight_decay: float = Field(0.0, ge=0, title="Weight decay", description="Pull of the weights towards 0 (L2).")
    l1: float = Field(0.0, ge=0, title="L1", description="Penalty on the sum of absolute weights.")
    clip_norm: float | None = Field(None, gt=0, title="Gradient clip", description="Longest gradient; empty for none.")
    schedule: Literal["constant", "cosine", "steps", "plateau"] = Field(
        "constant", title="Schedule", description="How the learning rate falls."
    )
    warmup_steps: int = Field(0, ge=0, title="Warm-up", description="Steps over which the learning rate rises.")
    decay_factor: float = Field(0.9, gt=0, le=1, title="Decay", description="Factor at each stage.")
    decay_epochs: int = Field(
        10,
        ge=1,
        title="Decay every",
        description="For 'steps': epochs between stages; for 'plateau': epochs without a better score.",
    )
    average_decay: float = Field(
        0.0, ge=0, lt=1, title="Averaging", description="Decay of the running average of the weights; 0 for none."
    )
    bn_stats_steps: int = Field(
        0,
        ge=0,
        title="Settling",
        description="Batches of plain crops by which batch normalisation is measured anew at the end; 0 for none.",
    )
    patience: int = Field(
        0, ge=0, title="Patience", description="Epochs without a better score until the end; 0 never."
    )
    seed: int = Field(0, ge=0, title="Seed", description="Start of all random numbers.")
    precision: Literal["auto", "f32", "tf32", "bf16", "f16"] = Field(
        "auto", title="Precision", description="Number format of the forward pass."
    )
    freeze: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Freeze",
        description="Share of the layers that see the image first whose weights stay those of the starting model.",
    )
    only_first: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Only the first",
        description="Share of the layers that see the image first that alone change, with all batch normalisation; 0 "
        "for all. Suits images of other optics (Lee 2023, doi:10.48550/arXiv.2210.11466).",
    )


class AugmentParams(BaseModel):
    """How training crops are varied, frozen; chances are per crop.

    The defaults are those of Pankova 2022 (seed 004), section 3.1.4: flips 30 % each way, rotation by any angle, the
    three zooms, contrast halved or tripled and defocus of severity 4 (a disk of radius 2 px, Table 9), each in 20 % of
    crops.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip_vertical: float = Field(0.3, ge=0, le=1, description="Chance to turn top and bottom over.")
    flip_horizontal: float = Field(0.3, ge=0, le=1, description="Chance to swap left and right.")
    rotation_degrees: float = Field(180.0, ge=0, le=180, description="Largest angle of rotation, either way.")
    quarter_turns: bool = Field(
        False,
        description="Turn whole images by quarters only, so that nothing in their corners leaves the picture.",
    )
    whole_pixels: bool = Field(
        False,
        description="Lay crops on whole pixels, where they are neither zoomed, bent nor turned by other than quarters: "
        "between pixels the finest texture is lost, which bright-field lives by.",
    )
    zoom: Literal["thesis", "range", "none"] = Field(
        "thesis",
        description="thesis: 100 px (20 %), 50 px (20 %) or 20 px (60 %) taken off each side of the crop, then "
        "enlarged to its size; range: between zoom_low and zoom_high.",
    )
    zoom_low: float = Field(0.8, gt=0, description="For 'range': least enlargement.")
    zoom_high: float = Field(1.25, gt=0, description="For 'range': greatest enlargement.")
    elastic_px: float = Field(0.0, ge=0, description="Standard deviation of a smooth random bend.")
    contrast: float = Field(0.2, ge=0, le=1, description="Chance to halve or triple the contrast.")
    defocus: float = Field(0.2, ge=0, le=1, description="Chance of a defocus blur.")
    defocus_radius_px: float = Field(2.0, ge=0, description="Radius of the blurring disk.")
    corruption: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Chance of one of defocus, contrast and brightness at a level of Table 9, cut to the scale from 0 "
        "to 1 as there (Pankova 2022, section 4.1.6).",
    )
    corruption_levels: tuple[Annotated[int, Field(ge=-5, le=5)], ...] = Field(
        (-4, 4), description="Levels that are drawn from; defocus has those above 0. The thesis names -4 and 4."
    )
    brightness: float = Field(0.0, ge=0, description="Standard deviation of an added constant.")
    gain: float = Field(0.0, ge=0, description="Standard deviation of the logarithm of a factor.")
    plane_gain: float = Field(0.0, ge=0, description="The same for each plane on its own, with an added constant.")
    noise: float = Field(0.0, ge=0, description="Largest typical standard deviation of added noise.")
    cutout: int = Field(0, ge=0, description="Number of squares blanked in half of the crops.")
    cutout_px: int = Field(40, ge=1, description="Largest side of a blanked square.")
    plane_dropout: float = Field(0.0, ge=0, lt=1, description="Chance to blank each plane.")
    mixup: float = Field(
        0.0,
        ge=0,
        description="Crops of a batch are added in pairs, in shares drawn from Beta(mixup, mixup), and so is their "
        "truth (Zhang 2018, doi:10.48550/arXiv.1710.09412); 0 for none.",
    )
    coarse: float = Field(
        0.0, ge=0, le=1, description="For whole images: chance to show one with fewer pixels along a side."
    )
    coarse_least: float = Field(0.35, gt=0, le=1, description="Least share of the pixels along a side that is left.")
    defocus_any: bool = Field(False, description="Defocus by any radius up to that of the disk.")
    invert: float = Field(0.0, ge=0, le=1, description="Chance to turn bright and dark over.")
    gamma: float = Field(0.0, ge=0, description="Standard deviation of the logarithm of a power of the grey values.")
    halo: float = Field(
        0.0, ge=0, description="Greatest share of a wide blur that is taken off, as in phase contrast, or added."
    )
    shading: float = Field(0.0, ge=0, description="Slow change over the crop, in its standard deviations.")
    normalise: float = Field(
        0.0, ge=0, le=1, description="Chance to bring a crop to median 0 and standard deviation 1 by itself."
    )
    overlay: float = Field(
        0.0,
        ge=0,
        le=1,
        description="For amounts in transmitted light, as shares of the background: chance to lay a second image over "
        "the first. Light is multiplied, amounts add up.",
    )


PLAIN = AugmentParams(
    flip_vertical=0, flip_horizontal=0, rotation_degrees=0, zoom="none", contrast=0, defocus=0, defocus_radius_px=0
)
"""Crops as they lie in the image."""


class CropFilter(BaseModel):
    """Which crops are worth training on, judged by the target in [0, 1] (Pankova 2022, section 3.2.1).

    The thesis names the faults - mostly background, over-exposed, under-exposed - and gives no numbers; these are ours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    foreground_above: float = Field(0.15, ge=0, le=1, description="Target above this is foreground.")
    min_foreground: float = Field(0.0, ge=0, le=1, description="Least share of foreground in a crop; 0 keeps all.")
    max_saturated: float = Field(1.0, ge=0, le=1, description="Largest share of pixels at the top of the scale.")
    min_peak: float = Field(0.0, ge=0, le=1, description="The brightest pixel must reach this (under-exposure).")
    keep_anyway: float = Field(
        0.0, ge=0, le=1, description="Chance to keep a crop that fails, so that background is seen."
    )


class TargetPreparation(BaseModel):
    """What is done to a poor stain before it is learnt (Pankova 2022, section 3.4.1.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    denoise: Literal["none", "n2v"] = Field(
        "none",
        title="Denoise",
        description="n2v: take the noise off by Noise2Void first, learnt from the stain alone; refused where "
        "neighbouring pixels share their noise.",
    )
    rolling_ball_px: float | None = Field(
        None, gt=0, title="Rolling ball", description="Radius of a ball that takes the background off; empty for none."
    )
    clip_percentile: float | None = Field(
        None, ge=0, lt=100, title="Clip", description="Percentile below which all is made 0; empty for none."
    )
    mask: bool = Field(
        False,
        title="Mask",
        description="Make the stain black and white by a local threshold and an opening, for the areas of whole cells "
        "(section 3.5.1); learn it by the loss 'bce'.",
    )
    mask_block_px: int = Field(
        111,
        ge=3,
        title="Neighbourhood of the mask",
        description="Odd side of the neighbourhood of that threshold; about twice a cell, px.",
    )


@dataclass(frozen=True, eq=False)
class Preview:
    """What is held out beside what a network makes of it.

    Parameters
    ----------
    name : str
        What is predicted.
    truth, predicted : array, shape (h, w), a picture, or (N,), numbers of N images
    image : array, shape (h, w), or None
        What the network sees; None for numbers.
    """

    name: str
    truth: NDArray[np.floating[Any]]
    predicted: NDArray[np.floating[Any]]
    image: NDArray[np.floating[Any]] | None = None


@dataclass(frozen=True)
class EpochProgress(Progress):
    """Progress of training, with what was measured.

    Parameters
    ----------
    epoch : int
    loss : float
        Mean training loss of the epoch so far.
    metrics : mapping
        Of the last validation; empty before the first.
    preview : bool
        Whether an epoch just ended, so that pictures may be refreshed.
    history : tuple of mapping
        One entry for every epoch that ended, those before an interruption too.
    start : mapping
        What the starting model measured on the validation part; empty without one.
    quick : mapping
        What a ridge regression on its features measured there; empty without one.
    picture : Preview or None
        Of the last epoch that ended in this process, or of the starting model.
    """

    epoch: int = 0
    loss: float = math.nan
    metrics: Mapping[str, float] = field(default_factory=dict)
    preview: bool = False
    history: tuple[Mapping[str, float], ...] = ()
    start: Mapping[str, float] = field(default_factory=dict)
    quick: Mapping[str, float] = field(default_factory=dict)
    picture: Preview | None = None
