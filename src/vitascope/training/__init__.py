"""How models are made: the loop, its data, samplers and losses, and what each task brings."""
