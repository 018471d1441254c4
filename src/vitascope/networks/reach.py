"""How far networks see, and what their inputs are multiples of; free of torch, for whoever plans tiles."""

from __future__ import annotations

from typing import NamedTuple


class Reach(NamedTuple):
    """How far a network sees.

    ``halo_px``: reach of an output pixel across, from an edge on a multiple; ``multiple_px``: sides of the input are
    multiples of this; ``halo_z`` and ``multiple_z``: the same along z, 0 for networks of pictures.
    """

    halo_px: int
    multiple_px: int
    halo_z: int = 0
    multiple_z: int = 0


UNET = Reach(halo_px=96, multiple_px=16)
"""Four max-poolings; the five levels' reach is 92 px from an edge on a multiple of 16."""

FNET = Reach(halo_px=96, multiple_px=16)
"""Four strided convolutions; the reach is 94 px from an edge on a multiple of 16."""

UNET3D = Reach(halo_px=24, multiple_px=4, halo_z=12, multiple_z=2)

MIL_CNN = Reach(halo_px=68, multiple_px=16)
"""Both times the stride of ave_pool0. A pixel of a Jacobian map reaches to the instances that see it (33 s + 1), and to
what those see in turn; the multiple is the distance of two instances."""

RESNET = Reach(halo_px=0, multiple_px=32)
"""It sees one whole square."""
