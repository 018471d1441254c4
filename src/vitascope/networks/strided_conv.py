"""The 1 x 1 convolution around a residual block that halves the side."""

from __future__ import annotations

from torch import Tensor, nn


class SubsampledConv(nn.Conv2d):
    """A 1 x 1 convolution of every ``stride``-th pixel, without bias; weights as of ``nn.Conv2d(..., 1, stride)``.

    The pixels are picked before the convolution. With a stride of its own, the backward pass of a 1 x 1 convolution
    over channels-last images writes beyond its memory where the channels are no multiple of 16 (torch 2.13, oneDNN,
    processors with AVX-512): training then ends in a crash of the whole program, such as with 12 filters and wells of
    192 px.

    Parameters
    ----------
    inputs, outputs : int
    stride : int, >= 1
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        self.every = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride), rounded up."""
        return super().forward(x[:, :, :: self.every, :: self.every])
