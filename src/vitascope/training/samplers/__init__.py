"""Batches drawn from training images, a pure function of (seed, step)."""
