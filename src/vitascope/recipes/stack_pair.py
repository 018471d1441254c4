"""A label-free stack and the stain of the same field, to train a network of volumes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vitascope.core.params import FormParams


@dataclass(frozen=True, eq=False)
class StackPair:
    """One field.

    Parameters
    ----------
    name : str
    image : array, shape (Z, Y, X), real
        Label-free.
    stain : array, shape (Z, Y, X), or (Y, X) for a projection of the brightest pixels along z
    """

    name: str
    image: NDArray[np.generic]
    stain: NDArray[np.generic]


class StackTrainParams(FormParams):
    """Settings of a training of fnet on stacks, frozen and recorded."""

    steps: int = Field(2000, ge=1, le=1_000_000, description="Batches to learn from.")
    filters: int = Field(32, ge=2, le=64, description="Of the first level; 32 in the paper.")
    crop_px: int = Field(64, ge=32, le=256, multiple_of=16, description="Side of a crop.")
    planes: int = Field(32, ge=16, le=64, multiple_of=16, description="Planes of a crop.")
    batch: int = Field(4, ge=1, le=64, description="Crops at once; 24 in the paper.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Size of a step.")
    seed: int = Field(0, ge=0, description="Start of all random numbers.")
    held_out: float = Field(0.25, ge=0.1, le=0.5, description="Share of the rows, the last ones, to measure on.")


@dataclass(frozen=True)
class StackFigures:
    """How well a network does on rows that it was not trained on.

    Parameters
    ----------
    pcc : float
        Correlation of prediction and stain; a network that answers the mean everywhere has none (0).
    explained : float
        Share of the stain's variance that is predicted: 1 - squared error / that of the mean of the training rows.
    first_loss, last_loss : float
        Mean squared error over the first and the last tenth of the steps, in variances of the stain.
    rows : tuple of int
        First and last row that it was measured on, of the last pair.
    """

    pcc: float
    explained: float
    first_loss: float
    last_loss: float
    rows: tuple[int, int]
