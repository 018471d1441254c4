"""Cards, weights, archives and training logs."""
