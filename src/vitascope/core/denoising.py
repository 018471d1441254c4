"""How noise is taken off a picture, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vitascope.core.params import FormParams


class DenoiseParams(FormParams):
    """Settings of Noise2Void, frozen and recorded."""

    steps: int = Field(
        500,
        ge=1,
        le=100_000,
        title="Steps",
        description="How long it learns from the picture; more take longer and follow finer structure.",
    )
    seed: int = Field(
        0, ge=0, title="Seed", description="Start of all random numbers; the same gives the same picture."
    )
    despite_correlation: bool = Field(
        False,
        title="Despite shared noise",
        description="Denoise although neighbouring pixels share their noise, which then partly stays.",
    )


@dataclass(frozen=True, eq=False)
class Denoised:
    """A picture without noise.

    Parameters
    ----------
    picture : array, shape (Y, X), float32, in the grey values of the input
    noise : float, >= 0
        Standard deviation of the noise that was measured, in grey values.
    correlation : float
        Of the noise of neighbouring pixels.
    """

    picture: NDArray[np.float32]
    noise: float
    correlation: float
