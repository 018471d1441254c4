"""Images with known truth, for training, tests and benchmarks."""
