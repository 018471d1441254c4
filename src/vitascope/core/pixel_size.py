"""How far the pixels of an image may be from those of a model."""

SAME_SIZE_FRACTION = 0.02
"""Pixel sizes closer than this are one and the image is not resampled: cells of one kind differ more than that in size,
and interpolation blurs."""

MAX_RESCALE = 8.0
"""Images further apart are refused: a nucleus of 20 px would be 2.5 px wide, and nothing of it could be recognised."""
