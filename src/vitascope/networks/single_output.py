"""Networks that answer with one tensor, for programs that know nothing else; weights are those of their parents."""

from __future__ import annotations

from torch import Tensor

from vitascope.networks.fnet import FNet, FNet3d
from vitascope.networks.mil_cnn import MilCnn
from vitascope.networks.unet import UNet
from vitascope.networks.unet3d import UNet3d


class PlainUNet(UNet):
    """A U-Net that returns its image only."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Predict fluorescence (B, K, H, W) from (B, C, H, W)."""
        return super().forward(x).image


class PlainFNet(FNet):
    """The network of Ounkomol 2018 that returns its image only."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Predict fluorescence (B, K, H, W) from (B, C, H, W)."""
        return super().forward(x).image


class PlainFNet3d(FNet3d):
    """The network of Ounkomol 2018 for volumes that returns its image only."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Predict fluorescence (B, K, D, H, W) from (B, C, D, H, W)."""
        return super().forward(x).image


class PlainUNet3d(UNet3d):
    """A U-Net for volumes that returns its image only: probabilities of the classes, then the density."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Predict (B, K, D, H, W) from (B, C, D, H, W)."""
        return super().forward(x).image


class PlainMilCnn(MilCnn):
    """A network of bags that returns the probabilities of the classes only."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Classify (B, C, H, W), all of whose instances count: (B, K)."""
        return self.probabilities(super().forward(x).scores)
