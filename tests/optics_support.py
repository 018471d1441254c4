"""Optics that add nothing to a simulated volume."""

from vitascope.simulate.volume_optics import VolumeOptics

NOISE_FREE = VolumeOptics(
    blur_zyx_um=(0.0, 0.0, 0.0),
    attenuation_um=float("inf"),
    autofluorescence=0.0,
    photons=float("inf"),
    read_noise=0.0,
    salt_pepper=0.0,
)
