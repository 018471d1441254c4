"""From a recipe to images in network units, split without leakage."""
