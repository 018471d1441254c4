"""What a number of a whole image rests on: places hidden one after the other, or gradients added up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vitascope.core.progress import Progress, ProgressGenerator

CELLS = 10
"""Places along a side that are hidden one after the other."""

PATH_STEPS = 32


def occlusion(
    values_of: Callable[[Sequence[NDArray[np.float32]]], Sequence[float]],
    image: NDArray[np.float32],
    value: float,
    channels: slice,
    cells: int,
) -> ProgressGenerator[NDArray[np.float64]]:
    """Hide one place after the other and see how much the number falls.

    Parameters
    ----------
    values_of : callable
        Gives the numbers of images (C, side, side), a row of places at a time.
    image : array, shape (C, side, side), float32
        In network units, 0 being the empty field.
    value : float
        Number of the whole image.
    channels : slice
        That are hidden.
    cells : int, >= 1
        Places along a side.

    Returns
    -------
    array, shape (cells, cells), float64
        ``value`` minus the number with this place hidden: above 0 where the place raises it.

    References
    ----------
    Zeiler and Fergus 2014, section 4.2.
    """
    edges = np.linspace(0, image.shape[-1], cells + 1).round().astype(int)
    found = np.zeros((cells, cells))
    for row in range(cells):
        yield Progress(row, cells, "Looking at what it rests on")
        row_hidden = []
        for column in range(cells):
            hidden = image.copy()
            hidden[channels, edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = 0
            row_hidden.append(hidden)
        found[row] = value - np.asarray(values_of(row_hidden), np.float64)
    return found


def integrated_gradients(
    network: nn.Module, image: NDArray[np.float32], steps: int = PATH_STEPS
) -> ProgressGenerator[NDArray[np.float64]]:
    """Add up the gradients on the straight way from the empty field to the image.

    Parameters
    ----------
    network : nn.Module
        Gives ``value`` (B, 1).
    image : array, shape (C, side, side), float32
        In network units, 0 being the empty field.
    steps : int, >= 1
        Points on the way (middle rule).

    Returns
    -------
    array, shape (side, side), float64
        Summed over channels; all pixels sum to the number less that of the empty field, but for the steps' coarseness.

    References
    ----------
    Sundararajan, Taly and Yan 2017, equation 1.
    """
    device = next(network.parameters()).device
    x = torch.from_numpy(image)[None].to(device)
    total = torch.zeros_like(x)
    for number in range(steps):
        yield Progress(number, steps, "Looking at what it rests on")
        point = (x * ((number + 0.5) / steps)).requires_grad_(True)
        (gradient,) = torch.autograd.grad(network(point).value.sum(), point)
        total += gradient
    return (total * x / steps)[0].sum(0).double().cpu().numpy()
