"""Jacobian maps: the recursive rectified back-propagation of equation 5, written out layer by layer.

Kraus, Ba and Frey 2016 (seed 002, "Kraus 2016"), section 3.3. From the last layer on, where the backward activation is
P_i p_ij, each layer's is the positive part of what its transposed Jacobian makes of the one above:
a(l-1) = max(0, (dz(l)/dz(l-1))^T a(l)). For a linear network the map is its positive weights times P_i p_ij.

Every step scales with its input, so that P_i, which the whole image is needed for, may be multiplied afterwards: one
pass over the tiles yields instances and maps. Everything is made of operations that compile for a processor: gradients
are not asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitascope.networks.mil_cnn import MilCnn


class MapsOutput(NamedTuple):
    """What the tiled predictor wants: a picture, and what lies on the coarse grid of instances.

    ``maps``: (B, K, H, W), for each class the sum of its map over the input's channels; ``encoding``: the deepest
    features and, as the last K of it, the instances' logits, (B, F + K, h, w).
    """

    maps: Tensor
    encoding: Tensor


class JacobianMaps(nn.Module):
    """A network with its maps of p_ij, not yet multiplied by P_i.

    Parameters
    ----------
    network : MilCnn
    """

    def __init__(self, network: MilCnn) -> None:
        super().__init__()
        self.features, self.classes = network.features, network.classes

    def forward(self, x: Tensor) -> MapsOutput:
        """Map (B, C, H, W) to maps and instances."""
        encoding, inputs = run_layers(self.features, x)
        logits = self.classes(encoding)
        start = torch.sigmoid(logits)  # (B, K, h, w)
        classes = start.shape[1]
        one = torch.eye(classes, dtype=start.dtype, device=start.device)
        each = (start[:, None] * one[None, :, :, None, None]).flatten(0, 1)  # (B K, K, h, w)
        maps = rectified_backward([*self.features, self.classes], [*inputs, encoding], each)
        summed = maps.sum(1).reshape(-1, classes, *maps.shape[2:])  # (B, K, H, W)
        return MapsOutput(summed, torch.cat([encoding, logits], 1))


class InstanceMaps(nn.Module):
    """A network without its maps, for numbers alone: the picture is each instance's p, repeated over its square.

    Parameters
    ----------
    network : MilCnn
    """

    def __init__(self, network: MilCnn) -> None:
        super().__init__()
        self.features, self.classes, self.step = network.features, network.classes, 16 * network.stride0

    def forward(self, x: Tensor) -> MapsOutput:
        """Map (B, C, H, W) to probabilities and instances."""
        encoding = self.features(x)
        logits = self.classes(encoding)
        picture = torch.sigmoid(logits).repeat_interleave(self.step, 2).repeat_interleave(self.step, 3)
        return MapsOutput(picture, torch.cat([encoding, logits], 1))


def run_layers(layers: nn.Sequential, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Run a sequence of layers and keep the input of each."""
    inputs = []
    for layer in layers:
        inputs.append(x)
        x = layer(x)
    return x, inputs


def rectified_backward(layers: list[nn.Module], inputs: list[Tensor], start: Tensor) -> Tensor:
    """Carry backward activations from the output of a sequence of layers to its input, rectified at every layer.

    Parameters
    ----------
    layers : list of nn.Module
        Convolutions (stride 1, kernel odd, "same" padding), average and max-pooling, ReLU, ELU, batch normalisation
        (in evaluation), dropout. A normalisation right behind a convolution belongs to that layer: what stands
        between the two is not rectified.
    inputs : list of Tensor, (B, C_l, H_l, W_l) each
        What each layer was given in the forward pass.
    start : Tensor, shape (B M, K, h, w)
        Backward activations at the output, M for each image.

    Returns
    -------
    Tensor, shape (B M, C, H, W), >= 0

    Raises
    ------
    TypeError
        If there is no rule for a layer.

    References
    ----------
    Kraus 2016 (seed 002), equation 5.
    """
    g = start
    for number in range(len(layers) - 1, -1, -1):
        layer = layers[number]
        g = backward(layer, inputs[number], g)
        own = isinstance(layer, nn.BatchNorm2d) and number > 0 and isinstance(layers[number - 1], nn.Conv2d)
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d) and not own:
            g = F.relu(g)
    return g


def backward(layer: nn.Module, x: Tensor, g: Tensor) -> Tensor:
    """Multiply backward activations by the transposed Jacobian of one layer at its input.

    Parameters
    ----------
    layer : nn.Module
    x : Tensor, shape (B, C, H, W)
        What the layer was given.
    g : Tensor, shape (B M, C', H', W')
        At its output.

    Returns
    -------
    Tensor, shape (B M, C, H, W)

    Raises
    ------
    TypeError
        If there is no rule for the layer.
    """
    if isinstance(layer, nn.Conv2d):
        return _through_convolution(layer, g)
    if isinstance(layer, nn.MaxPool2d):
        return _through_max_pooling(layer, x, g)
    if isinstance(layer, nn.AvgPool2d):
        return _through_average_pooling(layer, x, g)
    if isinstance(layer, nn.ReLU):
        return _times(g, (x > 0).to(g.dtype))
    if isinstance(layer, nn.ELU):
        return _times(g, torch.where(x > 0, torch.ones_like(x), layer.alpha * torch.exp(x.clamp_max(0))))
    if isinstance(layer, nn.BatchNorm2d):
        assert layer.running_var is not None
        gain = torch.rsqrt(layer.running_var + layer.eps) * (layer.weight if layer.affine else 1.0)
        return g * gain[None, :, None, None]
    if isinstance(layer, nn.Dropout | nn.Dropout2d | nn.Identity):
        return g
    raise TypeError(f"there is no rule to go back through {type(layer).__name__}")


def _times(g: Tensor, factor: Tensor) -> Tensor:
    """Multiply (B M, C, H, W) by (B, C, H, W)."""
    if factor.shape[0] == 1:
        return g * factor
    return (g.reshape(factor.shape[0], -1, *g.shape[1:]) * factor[:, None]).flatten(0, 1)


def _through_convolution(layer: nn.Conv2d, g: Tensor) -> Tensor:
    kernel, padding = layer.kernel_size, layer.padding
    same = all(isinstance(p, int) and 2 * p + 1 == k for p, k in zip(padding, kernel, strict=True))
    if not same or layer.stride != (1, 1) or layer.dilation != (1, 1) or layer.groups != 1:
        raise TypeError("there is no rule to go back through a convolution that is strided, dilated or not 'same'")
    return F.conv2d(g, layer.weight.flip(2, 3).transpose(0, 1), padding=(kernel[0] // 2, kernel[1] // 2))


def _through_average_pooling(layer: nn.AvgPool2d, x: Tensor, g: Tensor) -> Tensor:
    if (layer.kernel_size, layer.padding, layer.count_include_pad) != (3, 1, True):
        raise TypeError("average pooling is gone back through where it is 3 x 3, padded by 1")
    stride = layer.stride if isinstance(layer.stride, int) else layer.stride[0]
    channels = g.shape[1]
    weight = g.new_full((channels, 1, 3, 3), 1 / 9)
    height, width = x.shape[-2:]
    rest = (height - 1) - (g.shape[-2] - 1) * stride, (width - 1) - (g.shape[-1] - 1) * stride
    return F.conv_transpose2d(g, weight, stride=stride, padding=1, output_padding=rest, groups=channels)


def _through_max_pooling(layer: nn.MaxPool2d, x: Tensor, g: Tensor) -> Tensor:
    """Give each window's share to its largest pixel, the first of equal ones, as the derivative in torch does.

    Windows of 3 x 3 at every second pixel overlap: a pixel takes from one window (even row and column), two, or four.
    """
    if (layer.kernel_size, layer.stride, layer.padding) != (3, 2, 1):
        raise TypeError("max-pooling is gone back through where it is 3 x 3, of stride 2, padded by 1")
    height, width = x.shape[-2:]
    if height % 2 or width % 2:
        raise TypeError("max-pooling is gone back through where the sides of its input are even")
    highest = layer(x)
    padded = F.pad(x, (1, 1, 1, 1), value=float("-inf"))
    parts: dict[tuple[int, int], Tensor] = {}
    free = torch.ones_like(highest)  # no pixel of the window was the largest yet
    for dy in range(3):
        for dx in range(3):
            candidate = padded[..., dy : dy + height : 2, dx : dx + width : 2]
            hit = (candidate == highest).to(g.dtype) * free
            free = free - hit
            share = _times(g, hit)  # (B M, C, H/2, W/2), for pixel (2 i + dy - 1, 2 j + dx - 1)
            parts[dy, dx] = share

    def moved(part: Tensor, by_row: bool) -> Tensor:
        """Move what belongs to pixel -1 of each window to pixel 1 of the window before."""
        return F.pad(part[..., 1:, :], (0, 0, 0, 1)) if by_row else F.pad(part[..., 1:], (0, 1))

    even_even = parts[1, 1]
    even_odd = parts[1, 2] + moved(parts[1, 0], False)
    odd_even = parts[2, 1] + moved(parts[0, 1], True)
    odd_odd = parts[2, 2] + moved(parts[2, 0], False) + moved(parts[0, 2], True)
    odd_odd = odd_odd + moved(moved(parts[0, 0], True), False)
    quarters = torch.stack([even_even, even_odd, odd_even, odd_odd], 2).flatten(1, 2)  # (B M, 4 C, H/2, W/2)
    return F.pixel_shuffle(quarters, 2)
