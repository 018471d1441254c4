"""What can be run: one parameter model and one spec per task; free of torch."""
