"""Many images, the same run."""
