"""Images with known truth, for samples, tests and benchmarks."""
