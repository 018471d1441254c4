"""Images with known truth, for samples, training, tests and benchmarks."""
